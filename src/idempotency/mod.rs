//! The same intention twice is one effect, and the same answer.
//!
//! A caller names an intention with an `Idempotency-Key`. For payments the order itself remembers
//! it (slice `payments`); this slice serves the other endpoints that make something: registrations,
//! collection codes, approvals.
//!
//! [`once()`] wraps any [`Work`](crate::db::Work): the key is claimed **in the transaction of the
//! effect**, and the answer is stored there too, so a record exists exactly where its effect does.
//! A refused request leaves no record: nothing happened, and the same key may be used again.
//!
//! | second request with the key | answer |
//! |---|---|
//! | same input, first one committed | the first one's status and body, byte for byte, marked as replayed |
//! | other input | [`OnceError::KeyReused`] |
//! | first one still running | waits for it at the primary key's lock, then one of the two above |
//!
//! Operations of the group commit claim theirs in their own commit ([`Claim`], `keys.rs`): the row
//! names the effect, which is the answer.
//!
//! Tables owned: `idempotency_keys`.

mod claim;
mod key;
mod keys;
mod once;
mod store;

pub use claim::Claim;
pub(crate) use claim::first_half;
pub use key::{IdempotencyKey, InvalidKey};
pub(crate) use keys::KeyUse;
pub use once::{OnceAnswer, OnceError, StoredAnswer, once};
pub(crate) use store::is_known;
