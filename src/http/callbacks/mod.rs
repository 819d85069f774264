//! What WeChat calls. No token: a signature over the bytes as they came. Answers are WeChat's, not
//! problems.

pub(super) mod wechat_payments;
pub(super) mod wechat_refunds;
