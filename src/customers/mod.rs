//! People who pay.
//!
//! A customer is known by the openid under which WeChat knows them at one tenant's mini-program:
//! unique per tenant, and found or made at login ([`SignIn`]). Everything that is the customer's
//! (orders, accounts, holds) carries the customer's lane, given at random here.
//!
//! # Risk
//!
//! Every login is put before risk, which knows the customer if there is one already. *Block*: not
//! let in, and nobody is made. *Verify*: not let in; the challenge is answered by logging in again,
//! with a second fresh code of the same person. Its decision is stored in the transaction of the
//! login, or by itself. The staff of merchants are not asked about: they move no points of their
//! own. Challenges of other stages are answered by [`answer_challenge()`].
//!
//! Tables owned: `customers`. Invariant: one row per (tenant, openid); the key `customers_openid`
//! decides between two first logins at once.
//!
//! Left out: phone numbers. Columns for them exist; nothing asks for them before they can be
//! encrypted.

mod answer_challenge;
mod customer;
mod error;
mod find;
mod recognise;
mod sign_in;
mod store;

pub use answer_challenge::{AnswerError, answer_challenge};
pub use customer::{Customer, CustomerStatus};
pub use error::CustomerError;
pub use find::{find_customer, get_active, get_active_in};
pub use recognise::recognise;
pub use sign_in::{Arrival, Refresh, SignIn, SignedIn, find_or_create, refresh, sign_in};
