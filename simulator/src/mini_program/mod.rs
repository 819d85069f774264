//! `https://api.weixin.qq.com` as a mini-program's server sees it: tokens, codes, messages,
//! shipping.
//!
//! Nothing here is signed, everything is HTTP 200, and what went wrong stands in `errcode`. All but
//! the token itself need an `access_token` in the query. (Login is older and lives in `login`.)
//! Rules: developers.weixin.qq.com/miniprogram/dev/server.

mod access_token;
mod admission;
mod errcode;
pub(super) mod router;
mod shipping;
pub(super) mod state;
mod subscribe;
mod tokens;
mod wxacode;

pub use state::{Shipping, SubscribeMessage};
