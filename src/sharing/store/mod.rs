//! The row sets of sharing.

mod parts;
mod refunds;
mod returns;
mod shares;

pub(super) use parts::{PART_COLUMNS, PartsOf, read_part};
pub(super) use refunds::RefundsOf;
pub(super) use returns::{RETURN_COLUMNS, ReturnsOf, read_return};
pub(super) use shares::{SHARE_COLUMNS, Shares, read_share};

use crate::primitives::Money;

fn broken(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

fn money(units: i64) -> Result<Money, sqlx::Error> {
    Money::parse(units).map_err(|_| broken("an amount below zero"))
}

/// Cuts a text of the channel to the 80 characters of its column.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
