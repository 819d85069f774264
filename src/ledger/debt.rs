//! Debts: what of them is repaid, and when.
//!
//! Who must give back more points than are free is lent the rest (Dr customer debt / Cr customer points), and gives back everything. **A debt is repaid out of whatever is free,
//! by the operation that makes it free, in its own commit** (Dr customer points / Cr customer debt). So one thing holds after every operation, and `verify` checks it:
//!
//! > Who owes points has none free ([`PointHoldings::free`]).
//!
//! Nobody who owes can therefore spend, and nothing has to be subtracted from what is free to learn what can be spent.
//!
//! Free points come about in two ways, and in no other (`lots.rs`):
//!
//! | what makes points free | repaid out of | by |
//! |---|---|---|
//! | a payment, an award, a review that lets them in | what was granted, in the lot in which it was: all of it is free, and nothing else. Of a lot that is over as it comes: what is free then, since an older hold can do with these points ([`repayment_out_of_grant`]) | the same entry; after a review an entry of its own |
//! | a hold that is released, timed out, captured in part, or let go by a review | what is free then ([`repayment`]): what was held, as far as its lots are not over and other holds do not need it | an entry of its own |
//! | a refund that is closed or fails | the same, of all that was set aside for it | the entry of the outcome |
//!
//! Points that are posted out of a hold, points that expire and days that pass make nothing free. Points of a review that is open are not there yet.

use super::{Accounts, Draft, LedgerError, PointHoldings, spendable};
use crate::{
    db::WorkingSet,
    primitives::{AccountId, BusinessDay, CustomerId, Points},
};

/// What the customer owes, as it stands in this batch.
fn debt(set: &WorkingSet, customer: CustomerId) -> Points {
    let account = set.get::<Accounts>(AccountId::customer_points(customer));
    account.map_or(Points::ZERO, |account| account.debt)
}

/// What of `points` repays a debt when they are granted in `lot` on `today`: for the entry that grants them, after that leg. Only after
/// [`want_crediting`](super::want_crediting).
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
    // Over as they come: but an older hold may use them, and leave others free.
    let mut stock = PointHoldings::of(set, from);
    let left = stock.lots.entry(lot).or_default();
    *left = left
        .checked_add(points.get())
        .ok_or(LedgerError::Overflow)?;
    let repaid = owed.get().min(stock.free(today)?);
    Ok((repaid > 0).then(|| Draft::posted(from, to, repaid)))
}

/// What of a debt is to be repaid out of what is free by now. Only after [`want_spending`](super::want_spending), and after whatever made it free.
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
