//! The port to WeChat's login.

use std::fmt::Debug;

use futures_util::future::BoxFuture;

use crate::primitives::Secret;

/// Who WeChat says is there. The `session_key` is dropped at the edge and never gets here.
#[derive(Debug, Clone)]
pub struct WechatIdentity {
    /// The person under our mini-program.
    pub openid: Secret<String>,
}

/// Why a login code was not exchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginFailure {
    /// Invalid, used or expired: the mini-program calls `wx.login` again.
    #[error("the login code is not valid")]
    BadCode,
    /// WeChat considers the person a risk (40226).
    #[error("WeChat blocks this person")]
    Blocked,
    #[error("too many logins")]
    TooFrequent,
    /// WeChat is busy, unreachable or our settings are wrong; the text is for logs.
    #[error("WeChat login is unavailable: {0}")]
    Unavailable(String),
}

/// Turns a `wx.login` code into a person.
pub trait WechatLogin: Debug + Send + Sync + 'static {
    fn exchange(&self, code: &str) -> BoxFuture<'_, Result<WechatIdentity, LoginFailure>>;
}
