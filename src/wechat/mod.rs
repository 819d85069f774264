//! WeChat, behind the two ports that the business asks for: [`WechatGateway`] is `payments::Gateway`, [`MiniProgram`] is
//! `auth::WechatLogin`.
//!
//! The transport is our own. `wechat-pay-rust-sdk`, the crate that the product names, does not verify answers, ignores the HTTP status
//! (a 400 comes back as `Ok`, an accepted refund as an error), has no partner mode, no query and no public-key mode, and parses keys at
//! every call (2.4 ms a signature). It is used for what it does soundly, platform certificates, and as the second
//! opinion on our signatures and decryption in tests; all of that in `sdk.rs`.
//!
//! Three rules hold everywhere here:
//!
//! - **Verify, then parse.** The signature covers the raw bytes. Nothing is read out of a body that has not been verified,
//!   except the reason of a refusal (4xx), which gateways send unsigned and which cannot make us believe that something happened.
//! - **Three outcomes.** What is not proven to be done and not refused is unknown: a time-out, a reset, 202, 5xx, an unsigned or undecodable
//!   200, a wrong signature (WeChat sends some on purpose: `WECHATPAY/SIGNTEST/`).
//! - **Nothing secret is printed.** Keys have no useful `Debug`, and the URL of the login, which carries the secret, is never logged.
//!
//! Sections (§) refer to WeChat Pay's documentation as collected in the project's fact sheet: signing, verifying, prepay, errors, notices.

mod answer;
mod error;
mod gateway;
mod http;
mod keys;
mod mini_program;
mod notice;
mod sdk;
mod signature;
mod transaction;
mod transport;

pub use error::WechatError;
pub use gateway::WechatGateway;
pub use mini_program::MiniProgram;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
