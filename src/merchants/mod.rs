//! Merchants, their staff, and the collection codes on their counters.
//!
//! # A merchant
//!
//! A person who is logged in as a customer registers a merchant ([`Register`]) and becomes its
//! owner; an operator decides ([`Decide`]):
//!
//! ```text
//!   (registered) ──► pending ──approve──► approved ──suspend──► suspended
//!                       └──────reject───► rejected
//! ```
//!
//! | state \ event | approve | reject | suspend |
//! |---|---|---|---|
//! | pending | approved | rejected | refused |
//! | approved | same number: nothing changes; other: refused | refused | suspended |
//! | rejected | refused | nothing changes | refused |
//! | suspended | refused | refused | nothing changes |
//!
//! An approved merchant has a `sub_mchid`, WeChat's number of the merchant under our service
//! provider; only such a merchant collects money. A suspended one keeps its number, its history and
//! its staff, and collects nothing: its codes lead nowhere and its open orders are closed
//! (`payments/watch.rs`). What each role may still do:
//!
//! | of a suspended merchant | owner | clerk | operator | customer |
//! |---|---|---|---|---|
//! | read payments, refunds, totals, codes | yes | yes | yes | their own |
//! | collect, or make a collection code | no | no | no | no |
//! | close an unpaid payment; ask WeChat about one | yes | yes | yes | yes |
//! | ask for a refund, agree to one | no | no | yes | |
//! | reject a refund that waits | yes | no | yes | |
//!
//! One person is on the staff of one merchant (the key `merchant_staff_openid`); the owner of a
//! rejected merchant may register again and moves to the new one.
//!
//! # A collection code
//!
//! Twelve characters of Crockford's base 32, 60 random bits: it names neither merchant nor row and
//! cannot be guessed or counted. It has a label (the counter or store) and perhaps a fixed amount.
//! A disabled code stays disabled; a new one is printed. What is printed is `{public_url}/c/{code}`
//! with the merchant's name beneath ([`Picture`]). The same code as WeChat's own kind of picture, a
//! mini-program code, is drawn by WeChat once and kept ([`mini_program_code()`]).
//!
//! What a code stands for ([`Counter`]) is cached for half a minute and forgotten when the code is
//! disabled or the merchant suspended. A reader that loaded just before may put the old answer
//! back, so the cache is for showing only: a payment asks the database again.
//!
//! # Personal data
//!
//! The contact's name and phone number are `Secret` and leave this slice masked
//! ([`Merchant::contact_phone_masked`]). They are stored in clear until the key ring exists.
//!
//! Tables owned: `merchants`, `merchant_staff`, `qr_codes`, `mini_program_codes`. They are locked
//! in this order.

mod code;
mod create_code;
mod decide;
mod disable_code;
mod error;
mod field;
mod find;
mod merchant;
mod merchant_cache;
mod mini_program_code;
mod mini_program_store;
mod picture;
mod register;
mod resolve_code;
mod sign_in;
mod staff;
mod store;

pub use code::{CodeCursor, CodeState, CodeStateKind, CollectionCode, CollectionCodeRow};
pub use create_code::{CodeForm, CreateCode};
pub use decide::{Decide, Decision};
pub use disable_code::{DisableCode, disable_code};
pub use error::MerchantError;
pub use field::{InvalidField, SubMchid};
pub use find::{
    MerchantFilter, find_merchant, get_code, get_merchant, is_open, list_codes, list_merchants,
};
pub use merchant::{Applied, InvalidTransition, Merchant, MerchantState, MerchantStateKind};
pub use merchant_cache::{CodeOwner, MerchantCache};
pub use mini_program_code::{
    CodeDrawing, DrawingFailure, MiniProgramCodes, PictureKind, ProgramVersion, mini_program_code,
};
pub use picture::{Picture, PictureError};
pub use register::{MerchantForm, Register, Registered};
pub use resolve_code::{Counter, forget_codes, resolve_code};
pub use sign_in::{RefreshStaff, SignInStaff, SignedInStaff, refresh, sign_in};
pub use staff::Staff;
pub(crate) use store::mark_sharing;
