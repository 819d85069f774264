//! A WeChat Pay v3 that misbehaves on request.
//!
//! WeChat Pay has no sandbox for v3, so whoever builds on it tests against production or against
//! something like this. It speaks partner mode 服务商 (and, where it is cheap, direct mode 直连) and
//! the mini-program's login over one plain HTTP listener, with real RSA keys, real signatures and
//! real AES-GCM. SDKs that nobody here wrote are content with it: `PyPI`'s `wechatpayv3`
//! (`tests/sdk/wechatpayv3_peer.py`), and npm's `wechatpay-axios-plugin` when it was tried.
//!
//! # What it answers
//!
//! | path | what |
//! |---|---|
//! | `GET /sns/jscode2session` | login: `sim-<anything>` is a user, `fail-<errcode>` that error |
//! | `POST /v3/pay/partner/transactions/jsapi` | prepay, every field rule, re-entry |
//! | `GET …/out-trade-no/{n}`, `…/id/{n}` | query |
//! | `POST …/out-trade-no/{n}/close` | close, 204 |
//! | `GET /v3/certificates` | the platform certificate, encrypted |
//! | `POST /sim/pay`, `/sim/cashier/{prepay_id}` | the user pays |
//! | `GET`/`PUT /sim/faults`, `GET /sim/stats`, `/sim/orders`, `POST /sim/codes` | control |
//! | `/phone` | a customer's phone that drives the real service through its public API |
//!
//! Every `/v3` request must be signed by the merchant within five minutes; every answer is signed by
//! the key that the request's `Wechatpay-Serial` names, by the platform certificate without one.
//!
//! # What goes wrong
//!
//! [`Faults`] holds a probability per mille for every [`Fault`] of a payment's callback and for four
//! of a prepay, all off by default, all combinable. A payment's faults are drawn from the seed and
//! its order number, so an order has the same fate in every run; [`Payment::with`] forces them.
//! The attempts that a fault spoils (tampered, wrong key, stale, future, probe) come first and take
//! the first places of the re-send schedule; the genuine callback follows, so that no money is lost.
//! A lie that is truly signed (wrong amount, wrong merchant) is a notification of its own, sent
//! before the true one. Only [`Fault::Lost`] sends nothing: then a query tells, as at WeChat.
//! [`Stats::forgeries_acknowledged`] counts what a receiver should have refused.
//!
//! # What it does not do
//!
//! No refunds, bills, profit sharing, combined orders, native or code payments; no rate limits; no
//! coupons (`payer_total` is `total`). It has one merchant and one app, and takes any `sub_mchid`
//! of digits for one of its shops. State is in memory and bounded; only keys outlive a restart.
//! `/sim` and `/phone` ask nobody who they are: keep the listener on this machine.
//!
//! # Design notes
//!
//! It shares no code with `wechat/`, the client it tests: one misunderstanding in both would prove
//! nothing. It uses nothing of the business either. It has a clock of its own ([`WallClock`]),
//! because WeChat has; numbers it gives out are never drawn from the seed, since the service keeps
//! them under unique keys across restarts.

mod answer;
mod arrivals;
mod callback;
mod certificate;
mod clock;
mod control;
mod error;
mod faults;
mod fields;
mod handle;
mod html;
mod keys;
mod login;
mod merchant_api;
mod orders;
mod payment;
mod phone;
mod phone_result;
mod phone_service;
mod prepay;
mod resend;
mod rsa;
mod server;
mod signature;
mod stats;
mod transaction;

#[cfg(test)]
mod tests;

pub use callback::{Alteration, CallbackFactory, SignedCallback};
pub use clock::WallClock;
pub use error::{PayError, SimulatorError};
pub use faults::{CallbackKey, Fault, Faults, PerMille};
pub use handle::{Simulator, SimulatorSettings};
pub use keys::{Addresses, Credentials, KeyKind, KeySet};
pub use login::openid_for;
pub use payment::{Paid, Payment};
pub use stats::Stats;
pub use transaction::{Notice, Party};
