//! The tables that operations decide on: how to load and write many rows at once.

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

/// Words of the channel go into columns of 80 characters.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
