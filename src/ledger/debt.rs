//! Debts: what of them is repaid, and when.
//!
//! A clawback of more points than are free has a shortfall, which becomes a debt (Dr customer debt
//! / Cr customer points). **A debt is repaid out of points that become free, by the operation that
//! makes them free, in its own commit** (Dr customer points / Cr customer debt). So after every
//! operation this invariant holds, which `verify` checks:
//!
//! > A customer with a debt has no free points ([`PointHoldings::free`]).
//!
//! So a customer with a debt cannot spend, and what can be spent is what is free.
//!
//! Free points come about in two ways, and in no other (`lots.rs`):
//!
//! | what makes points free | repaid out of | by |
//! |---|---|---|
//! | a payment, an award, a review that releases them | what was granted, in the lot in which it was: all of it is free, and nothing else. Of a lot that has expired when they come: what is free then, since an older hold can do with these points ([`repayment_out_of_grant`]) | the same entry; after a review an entry of its own |
//! | a hold that is released, timed out, captured in part, or voided by a review | what is free then ([`repayment`]): what was held, as far as its lots have not expired and other holds do not need it | an entry of its own |
//! | a refund that is closed or fails | the same, of all that was held for it | the entry of the outcome |
//!
//! Points that are posted out of a hold, points that expire and days that pass make nothing free.
//! Points of a review that is open are not there yet.

use super::{Accounts, Draft, LedgerError, PointHoldings, spendable};
use crate::{
    db::WorkingSet,
    primitives::{AccountId, BusinessDay, CustomerId, Points},
};

/// Returns the customer's debt, as it stands in this batch.
fn debt(set: &WorkingSet, customer: CustomerId) -> Points {
    let account = set.get::<Accounts>(AccountId::customer_points(customer));
    account.map_or(Points::ZERO, |account| account.debt)
}

/// What of `points` repays a debt when they are granted in `lot` on `today`: for the entry that
/// grants them, after that leg. Only after [`want_crediting`](super::want_crediting).
pub fn repayment_out_of_grant(
    set: &WorkingSet,
    customer: CustomerId,
    (points, lot): (Points, BusinessDay),
    today: BusinessDay,
) -> Result<Option<Draft>, LedgerError> {
    let owed = debt(set, customer);
    let (from, to) = (
        AccountId::customer_points(customer),
        AccountId::customer_debt(customer),
    );
    if owed.is_zero() {
        return Ok(None);
    }
    if lot > today {
        let repaid = owed.min(points);
        let repay = Draft::posted(from, to, repaid.get()).out_of_grant(lot);
        return Ok((!repaid.is_zero()).then_some(repay));
    }
    // Expired when they come: but an older hold may use them, and leave others free.
    let mut stock = PointHoldings::of(set, from);
    let left = stock.lots.entry(lot).or_default();
    *left = left
        .checked_add(points.get())
        .ok_or(LedgerError::Overflow)?;
    let repaid = owed.get().min(stock.free(today)?);
    Ok((repaid > 0).then(|| Draft::posted(from, to, repaid)))
}

/// What of a debt is to be repaid out of what is free by now. Only after
/// [`want_spending`](super::want_spending), and after whatever made it free.
pub fn repayment(
    set: &WorkingSet,
    customer: CustomerId,
    today: BusinessDay,
) -> Result<Option<Draft>, LedgerError> {
    let owed = debt(set, customer);
    if owed.is_zero() {
        return Ok(None);
    }
    let (from, to) = (
        AccountId::customer_points(customer),
        AccountId::customer_debt(customer),
    );
    let repaid = owed.min(spendable(set, from, today)?);
    Ok((!repaid.is_zero()).then(|| Draft::posted(from, to, repaid.get())))
}
