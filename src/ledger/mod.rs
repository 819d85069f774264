//! The ledger: accounts and transfers, for money and points alike.
//!
//! # Words
//!
//! A **transfer** is an amount of one asset from a debit account to a credit account, both legs in
//! one row, so a row cannot be out of balance. A **journal entry** is the transfers with one cause,
//! written together or not at all; it has no row of its own, its id is the first part of their key
//! and is derived from the cause ([`EntryId::of`](crate::primitives::EntryId::of)), so that "twice"
//! is impossible whatever happened to caches, locks or processes. A *posting* is one side of a
//! transfer seen from its account (a view).
//!
//! An **account** is found by arithmetic from its owner and kind
//! ([`AccountId`](crate::primitives::AccountId)); the kinds stand in the chart of accounts
//! (`chart.rs`). It keeps four sums; a balance is derived:
//!
//! | sum | grows with | shrinks with |
//! |---|---|---|
//! | `debits_posted`, `credits_posted` | posted transfers, posting a pending one | never |
//! | `debits_pending`, `credits_pending` | pending transfers | their resolution |
//!
//! # Two kinds of account
//!
//! - **Constrained** ([`AccountKind::is_constrained`]): a customer's points, which may not go below
//!   zero. Loaded, decided on and written with a version check. The version counts the account's
//!   transfers without gaps, and each transfer states the version and the posted balance after it.
//!   A transfer touches at most one constrained account; what would touch two goes through a
//!   clearing account in two transfers.
//! - **Unconstrained**: channel, merchants, issued points: the hot ones. They are never loaded; a
//!   batch adds its sums to each in one commutative increment.
//!
//! # Pending
//!
//! ```text
//!            ┌── post ──▶ posted
//! pending ───┤
//!            └── void ──▶ voided
//! ```
//!
//! The resolution is a new entry whose id is derived from the pending one's alone, whichever way it
//! goes: it can happen once. Points that are pending *for* a customer are not available; points
//! pending *against* a customer are not available either.
//!
//! # Lots
//!
//! Points that reach a customer go into the lot of the day on which they expire; points that leave
//! are taken from a lot that the entry names, if any, and then from the lot that expires first, and
//! never from an expired lot. Lots change when points are posted, so the lots of an account always
//! sum to its posted balance; what is held is still in them, and stays spendable until its hold
//! ends. `lots.rs` states the order, what is *free* ([`PointHoldings::free`], the one meaning of
//! *available*) and why a hold can always be posted.
//!
//! # Debt
//!
//! A customer's account does not go below zero. A clawback of more points than are free has a
//! shortfall, which is booked in the same entry (Dr customer debt / Cr customer points). Points
//! that become free repay the debt first (Dr customer points / Cr customer debt), in the same
//! commit: a customer with a debt has no free points. `debt.rs` says when that is. The account's
//! row keeps the debt beside the sums, so that nobody has to load a second account for it.
//!
//! # Invariants
//!
//! Checked by [`crate::verify`] on the database alone: entries whole, sums equal to transfers and
//! debts to their accounts, versions gapless and balances chained, never below zero, debits =
//! credits, lots = balances, holds covered by lots, nothing free beside a debt, the chain of seals
//! unbroken.

#![warn(clippy::arithmetic_side_effects)]

mod account;
mod chart;
mod debt;
mod error;
mod lots;
#[cfg(test)]
mod lots_tests;
mod post;
mod store;
mod transfer;

pub use account::{Account, Balance};
pub use chart::{AccountKind, AccountOwner, Asset, ChartLine, NormalSide};
pub use debt::{repayment, repayment_out_of_grant};
pub use error::LedgerError;
pub use lots::{
    PointHoldings, count_as_given_back, expirable, expired_in_lot, spendable, want_lot_expiry,
};
pub use post::{
    Draft, Resolution, is_posted, post, resolve, want_accounts, want_crediting, want_entry,
    want_resolution, want_spending,
};
pub(crate) use store::{ACCOUNT_COLUMNS, TRANSFER_COLUMNS, read_account, read_transfer};
pub use store::{
    Accounts, HeldDays, Holds, Lots, LotsOf, Transfers, UnconstrainedAccounts, find_account,
    find_holdings, find_lot, forget_spent_lots,
};
#[cfg(test)]
pub(crate) use store::{LotChange, LotExpiries, LotExpiry};
pub use transfer::{ConstrainedSide, Phase, Transfer};
