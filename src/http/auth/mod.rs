//! Log in and stay in.

pub(super) mod refresh;
mod session;
pub(super) mod wechat_login;
