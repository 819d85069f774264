//! The adapters for WeChat: [`WechatChannel`] implements `payments::PaymentChannel` and
//! `sharing::SharingChannel`; [`WechatAccounts`] has one per merchant account and implements
//! `PaymentChannels` and `SharingChannels`; [`MiniProgram`] implements `auth::WechatLogin`,
//! `deliveries::Notifier` and `merchants::MiniProgramCodes`.
//!
//! # The protocol
//!
//! WeChat Pay v3 is JSON over https, with signatures in both directions, on which its trust rests
//! rather than on TLS.
//!
//! **We sign** (§1) every request with the private key of our API certificate (商户API证书): RSA with
//! SHA-256 over method, path with query, time, a nonce and the body, each followed by a line feed.
//! `Authorization` carries the signature, our merchant number and the certificate's serial number.
//! The host is not signed, so a request can go to either host. The same key signs the arguments of
//! `wx.requestPayment`. (`signature`, `keys`)
//!
//! **WeChat signs** (§2) its answers and callbacks: time, nonce and body, each followed by a line
//! feed, in four headers. Times more than five minutes away are refused in both directions.
//! `Wechatpay-Serial` names the key: a public key 微信支付公钥 (`PUB_KEY_ID_..`) or a platform
//! certificate 平台证书 (40 hex digits). While WeChat moves a merchant from certificates to the public
//! key, both occur in any order, so both are held at once; our own `Wechatpay-Serial` on every
//! request asks for the one that we prefer. Certificates can be fetched (`certificates`). WeChat
//! sometimes sends wrong signatures on purpose (`WECHATPAY/SIGNTEST/`): such a callback is refused
//! and is sent again, and such an answer is not accepted.
//!
//! **Encryption** uses two more keys. WeChat encrypts callbacks and certificates under the agreed
//! `APIv3` key (AES-256-GCM, §12.3); the previous one is held while callbacks under it may still
//! arrive. We encrypt names and card numbers to WeChat's key (RSA-OAEP, §2.2), whose serial number
//! the request must then name.
//!
//! **Keys are replaced** without a restart (`key_ring`): the files are checked every few seconds, a
//! set of keys is exchanged as a whole, and an invalid file changes nothing.
//!
//! # Calls
//!
//! In partner mode (服务商) we collect for merchants: `sp_mchid` is ours, `sub_mchid` the
//! merchant's. In direct mode (直连) we collect for ourselves:
//! `mchid`, and orders lie under `/v3/pay/transactions` instead of `/v3/pay/partner/transactions`
//! (`..` below).
//!
//! | Call | Request | § | In | Repeated |
//! |---|---|---|---|---|
//! | `prepay` | `POST ../jsapi` | §3 | `orders` | same number |
//! | `prepay_native` | `POST ../native` | §7 | `orders` | same number |
//! | `query` | `GET ../out-trade-no/{out_trade_no}` | §4 | `orders` | always |
//! | `query_by_transaction` | `GET ../id/{transaction_id}` | §4 | `orders` | always |
//! | `close` | `POST ../out-trade-no/{out_trade_no}/close` | §4 | `orders` | same number |
//! | `refund` | `POST /v3/refund/domestic/refunds` | §5 | `refunds` | same number, once |
//! | `query_refund` | `GET /v3/refund/domestic/refunds/{out_refund_no}` | §5 | `refunds` | always |
//! | `redirect_refund` | `POST /v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund` | §5 | `refunds` | if never sent |
//! | `bill` | `GET /v3/bill/tradebill`, `/v3/bill/fundflowbill`, then the address in the answer | §6 | `bill_download`, `bill` | always |
//! | `share` | `POST /v3/profitsharing/orders`, `../orders/unfreeze` | §8 | `sharing` | same number, once |
//! | `query_share` | `GET /v3/profitsharing/orders/{out_order_no}` | §8 | `sharing` | always |
//! | `return_share` | `POST /v3/profitsharing/return-orders` | §8 | `sharing` | same number, once |
//! | `query_return` | `GET /v3/profitsharing/return-orders/{out_return_no}` | §8 | `sharing` | always |
//! | `left_to_share` | `GET /v3/profitsharing/transactions/{transaction_id}/amounts` | §8 | `sharing` | always |
//! | `ratio_max` | `GET /v3/profitsharing/merchant-configs/{sub_mchid}` | §8 | `sharing` | always |
//! | `add_receiver`, `delete_receiver` | `POST /v3/profitsharing/receivers/add`, `/delete` | §8 | `sharing` | if never sent |
//! | certificates | `GET /v3/certificates` | §2.3 | `certificates` | always |
//! | `read_notice` | what WeChat sends to us | §12 | `notice` | WeChat does |
//! | login | `GET /sns/jscode2session` | §13 | `mini_program` | never |
//!
//! # Outcomes and repeats
//!
//! `answer` turns a status, a signature and a body into done, refused or unknown; `retry` decides
//! about repeats; `hosts` switches to the backup host; `breaker` stops calls to a host that does
//! not answer. A call takes twelve seconds at most (a bill's file two minutes), an attempt five.
//! After that the outcome is unknown, and the caller repeats the call later with the same number.
//!
//! # Rules
//!
//! The transport is our own. `wechat-pay-rust-sdk` does not verify answers, ignores the HTTP status
//! (a 400 is returned as `Ok`, an accepted refund as an error), has no partner mode, no queries and
//! no public-key mode, and parses keys at every call (2.4 ms a signature). It is used only for
//! platform certificates, and in tests to check our signatures and decryption; all of that is in
//! `sdk.rs`.
//!
//! Three rules hold everywhere here:
//!
//! - **Verify, then parse.** The signature covers the raw bytes. Nothing is read from an unverified
//!   body, except the reason of a refusal (4xx), which proxies send unsigned and which cannot make
//!   us assume that something happened. Two answers are verified otherwise: a bill's file by the
//!   hash in a signed answer, and the first certificates by the key that they contain.
//! - **Three outcomes.** Everything that is neither verified as done nor refused is unknown: a
//!   time-out, a reset, 202, 5xx, an unsigned or undecodable 200, a wrong signature, a signed
//!   answer about another order.
//! - **Nothing secret is printed.** `Debug` of keys shows nothing, and URLs that carry a secret (of
//!   the login, of a bill) are never logged.
//!
//! Sections (§) are those of `docs/wechat-pay.md`.

mod accounts;
mod answer;
mod bill;
mod bill_download;
mod breaker;
mod certificates;
mod channel;
mod error;
mod hosts;
mod http;
mod key_ring;
mod keys;
mod lenient;
mod mini_program;
mod notice;
mod orders;
mod refund;
mod refunds;
mod retry;
mod sdk;
mod sharing;
mod signature;
mod transaction;
mod transport;

pub use accounts::WechatAccounts;
pub use bill::{BillError, parse_bill};
pub use channel::WechatChannel;
pub use error::WechatError;
pub use mini_program::MiniProgram;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
