//! A WeChat Pay v3 that misbehaves on request.
//!
//! WeChat Pay has no sandbox for v3, so whoever builds on it tests against production or against
//! something like this. It speaks partner mode 服务商 and direct mode 直连 of one merchant, and the
//! mini-program's server API, over one plain HTTP listener, with real RSA keys, real signatures and
//! real AES-GCM. SDKs that nobody here wrote are content with it: `PyPI`'s `wechatpayv3`
//! (`tests/sdk/wechatpayv3_peer.py`), and npm's `wechatpay-axios-plugin`
//! (`tests/sdk/axios_plugin_peer.js`). `README.md` and `REFERENCE.md` beside this crate's manifest
//! are for those who use it.
//!
//! # What it answers
//!
//! | path | what |
//! |---|---|
//! | `GET /sns/jscode2session` | login: `sim-<anything>` is a user, `fail-<errcode>` that error |
//! | `POST /cgi-bin/stable_token`, `/wxa/getwxacodeunlimit`, `/cgi-bin/message/subscribe/send`, `/wxa/sec/order/upload_shipping_info` | the mini-program's token, codes, messages, deliveries |
//! | `POST /v3/pay[/partner]/transactions/jsapi`, `…/native` | prepay, every field rule, re-entry |
//! | `GET …/out-trade-no/{n}`, `…/id/{n}` | query |
//! | `POST …/out-trade-no/{n}/close` | close, 204 |
//! | `POST /v3/refund/domestic/refunds`, `GET …/{n}`, `POST …/{id}/apply-abnormal-refund` | refunds |
//! | `/v3/profitsharing/…` | profit sharing 分账: receivers, shares, unfreezing, returns, what is left |
//! | `GET /v3/bill/tradebill`, `/v3/bill/fundflowbill`, `/v3/billdownload/file` | bills of what really happened |
//! | `GET /v3/certificates` | the platform certificates, encrypted |
//! | `POST /sim/pay`, `/sim/cashier/{prepay_id}`, `/sim/scan` | the user pays |
//! | `POST /sim/password` | the user is about to, and the order cannot be closed |
//! | `/sim/refunds`, `…/plan`, `…/{n}/settle`, `/sim/balances` | how refunds end, what merchants have |
//! | `/sim/elsewhere/refunds`, `/sim/elsewhere/shares` | another system of the same merchant refunds or shares |
//! | `/sim/keys`, `/sim/merchants/{mchid}`, `/sim/receivers`, `/sim/bills` | keys on the move, fees and ratios, how shares end, when bills are ready |
//! | `POST /sim/calls` | what goes wrong with one call |
//! | `/sim/consent`, `/sim/messages`, `/sim/shipping`, `/sim/pages`, `/sim/token/expire` | the mini-program |
//! | `GET`/`PUT /sim/faults`, `GET /sim/stats`, `/sim/orders`, `POST /sim/codes` | control |
//! | `/phone` | a customer's phone that drives the real service through its public API |
//!
//! Every `/v3` request must be signed by the merchant within five minutes; every answer is signed
//! by the key that the request's `Wechatpay-Serial` names, by the platform certificate without one.
//! While a certificate is rotated or the `APIv3` key changed ([`KeyShares`]), old and new are both
//! in use.
//!
//! # What goes wrong
//!
//! [`Faults`] holds a probability per mille for every [`Fault`] of a callback, for every
//! [`CallFault`] of every [`Endpoint`], and for the ends of refunds and shares, all off by default.
//! Those of a callback combine; of a call, one happens. They are drawn from the seed and the number
//! in question (for a call, also from how often it came), so an order has the same fate in every
//! run; [`Payment::with`], [`Simulator::plan_refund`] and [`Simulator::force_call`] force them.
//! [`Faults::rate_limits`] turns WeChat's rate limits on.
//!
//! The attempts that a fault spoils (tampered, wrong key, stale, future, probe) come first and take
//! the first places of the re-send schedule; the genuine callback follows, so that no money is
//! lost. A lie that is truly signed (wrong amount, wrong merchant) is a notification of its own,
//! sent before the true one. Only [`Fault::Lost`] sends nothing: then a query says so, as at
//! WeChat. [`Stats::forgeries_acknowledged`] counts what a receiver should have refused.
//!
//! # What it does not do
//!
//! No combined orders, no app, H5 or payment-code 付款码 payments, no coupons for single goods.
//! Orders are not closed by themselves after seven days, and refunds of old orders are not slowed
//! down. It has one merchant and one app, and takes any `sub_mchid` of digits for one of its
//! merchants. State is in memory and bounded; only keys outlive a restart.
//! `/sim` and `/phone` ask nobody who they are: keep the listener on this machine.
//!
//! # Design notes
//!
//! It shares no code with `wechat/`, the client it tests: one misunderstanding in both would prove
//! nothing. It uses nothing of the business either. It has a clock of its own ([`WallClock`]),
//! because WeChat has; numbers it gives out are never drawn from the seed, since the service keeps
//! them under unique keys across restarts.

mod answer;
mod apiv3;
mod arrivals;
mod bill_api;
mod bill_file;
mod bill_lines;
mod bills;
mod call;
mod call_faults;
mod callback;
mod callback_content;
mod certificate;
mod chance;
mod clock;
mod control;
mod control_refunds;
mod control_settings;
mod coupon;
mod elsewhere;
mod endpoint;
mod error;
mod faults;
mod faulty_call;
mod fields;
mod fund_flow;
mod funds;
mod handle;
mod html;
mod key_switch;
mod keys;
mod levers;
mod limits;
mod lock;
mod login;
mod login_codes;
mod merchant_api;
mod merchants;
mod mini_program;
mod order_api;
mod orders;
mod payment;
mod phone;
mod phone_pages;
mod phone_result;
mod phone_service;
mod prepay;
mod refund_api;
mod refund_plan;
mod refund_request;
mod refund_settlement;
mod refunds;
mod resend;
mod router;
mod rsa;
mod scan;
mod sharing;
mod signature;
mod state;
mod stats;
mod token;
mod trade_bill;
mod transaction;

#[cfg(test)]
mod bills_tests;
#[cfg(test)]
mod call_tests;
#[cfg(test)]
mod elsewhere_tests;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod mini_program_tests;
#[cfg(test)]
mod refund_tests;
#[cfg(test)]
mod return_tests;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod test_merchant;
#[cfg(test)]
mod tests;

pub use bills::BillSettings;
pub use call_faults::{CallFault, CallFaults};
pub use callback::{CallbackFactory, SignedCallback};
pub use chance::PerMille;
pub use clock::WallClock;
pub use coupon::{Coupon, CouponKind};
pub use elsewhere::{RefundElsewhere, RefusedElsewhere, ShareElsewhere};
pub use endpoint::Endpoint;
pub use error::{PayError, SimulatorError};
pub use faults::{CallbackKey, Fault, Faults};
pub use handle::{ENV_PREFIX, Simulator, SimulatorSettings};
pub use key_switch::KeyShares;
pub use keys::{Addresses, Credentials, KeyKind, KeySet};
pub use login_codes::openid_for;
pub use merchants::MerchantRules;
pub use mini_program::{Shipping, SubscribeMessage};
pub use payment::{Paid, Payment};
pub use refund_plan::{RefundError, RefundPlan};
pub use refunds::{Refund, RefundDestination, RefundFate, RefundState};
pub use sharing::{ForcedReceiver, ReturnFailure, ShareFailure, ShareResult, SharingFaults};
pub use stats::Stats;
pub use transaction::{Notice, Party, TradeType};
