//! Who is calling, and what they may do.
//!
//! - A [`Principal`] is a customer, a member of a merchant's staff or an operator of the tenant;
//!   always of one tenant.
//! - An **access token** ([`Tokens`]) is a JWT of HS256 that says who its bearer is, for minutes.
//!   Nothing is looked up to verify it.
//! - A **refresh token** ([`RefreshToken`]) is 256 random bits, kept here as a hash only. It is
//!   good for one use, which gives the next one; what one login led to is a *family*. A token that
//!   is used a second time was stolen or copied, no matter by whom: the whole family is revoked and
//!   its owner logs in again, which in a mini-program costs nothing but a `wx.login`.
//! - A [`Permission`] is asked of the role's table in `permission.rs`, and nowhere else.
//!
//! Who signs in is known to the slices that own people (`customers`, `merchants`): they call
//! [`open_session`] and [`rotate_session`] inside their own transactions, and look at the person
//! again each time, so that a blocked one is out when the access token ends.
//!
//! The port to WeChat's login is [`WechatLogin`]. WeChat's `session_key` never gets here.
//!
//! Tables owned: `sessions`.
//!
//! Design notes: the token lists permissions for the apps, which hide what their user cannot do;
//! the service itself asks the table, so a permission that is taken from a role is gone at once.
//! The time is given to [`Tokens::verify`], not taken from the library's clock, so that tests can
//! move it.

mod error;
mod login;
mod permission;
mod principal;
mod refresh_token;
mod session;
mod store;
mod tokens;

pub use error::AuthError;
pub use login::{LoginFailure, WechatIdentity, WechatLogin};
pub use permission::Permission;
pub use principal::{OperatorRole, Principal, StaffRole};
pub use refresh_token::{RefreshToken, SessionLifetime, Subject, SubjectKind};
pub use session::{Rotation, open_session, revoke_session, rotate_session};
pub use tokens::{AccessToken, Tokens};
