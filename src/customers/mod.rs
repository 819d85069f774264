//! People who pay.
//!
//! A customer is known by the openid under which WeChat knows them at one tenant's mini-program: unique per tenant, and found or made at login
//! ([`SignIn`]). Everything that is the customer's (orders, accounts, holds) carries the customer's lane, given at random here.
//!
//! Tables owned: `customers`. Invariant: one row per (tenant, openid); the key `customers_openid` decides between two first logins at once.
//!
//! Left out: phone numbers. Columns for them exist; nothing asks for them before they can be encrypted.

mod customer;
mod error;
mod find;
mod recognise;
mod sign_in;
mod store;

pub use customer::{Customer, CustomerStatus};
pub use error::CustomerError;
pub use find::{find_customer, get_active, get_active_in};
pub use recognise::recognise;
pub use sign_in::{Refresh, SignIn, SignedIn, find_or_create, refresh, sign_in};
