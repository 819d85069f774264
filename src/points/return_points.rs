//! Giving back what a deduction or a redemption took: a back end asks, once per reference, for all of it or a part.
//!
//! A **return** is a deed of its own, of kind [`DeedKind::Return`], that names the deed whose points it gives back ([`Deed::returns_of`]) and is done at once. Nobody else's
//! deed can be returned, and never more than it took and has not given back.
//!
//! - **Into the lots from which they came**, which are kept with each deed (`point_deed_lots`). Of a part, the lots that expire last get theirs back first: after it the
//!   customer has what they would have if less had been spent in the first place.
//! - **What would be over by now** goes back into its own day all the same. It cannot be spent, and the next sweep takes it, as it would have if it had never been spent:
//!   a return gives back points, not time.
//! - **A debt** that arose meanwhile is repaid first, out of the lots whose day has not come.
//! - **Two at once** meet at the version of the deed that they return: one of them finds less left. **Twice** is the same return, by its reference.
//! - Risk is not asked, and customers who are blocked get back what is theirs. Caps are for payments.
//!
//! One commit, by the operation alone: killed before it nothing was written and the caller repeats; after it the reference finds it.

use super::{
    Asked, Deed, DeedError, DeedKind, DeedState, Desk, Reference, Source, Unfit,
    ask::note,
    deed_entries as entries,
    deed_store::{DeedLots, Deeds},
    wish::{check_words, key_of},
};
use crate::{
    audit::Actor,
    db::{Cx, Operation, Wanted, WorkingSet},
    idempotency::{KeyRow, Keys, first_half},
    ledger::{self, LedgerError},
    primitives::{AccountId, BusinessDay, DeedId, Lane, Points, TenantId},
};

/// Points to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnWish {
    pub tenant: TenantId,
    /// What took them.
    pub of: DeedId,
    pub points: Points,
    pub source: Source,
    pub reference: Reference,
    pub reason: String,
    pub by: Actor,
}

/// Gives points back. The same reference with the same request is the same return, for ever; with another request it is [`DeedError::ReferenceReused`].
pub async fn give_back(desk: &Desk, wish: ReturnWish) -> Result<Asked, DeedError> {
    check_words(wish.points, &wish.reason)?;
    Ok(desk.db.submit(GiveBack { wish }).await?)
}

#[derive(Debug, Clone)]
struct GiveBack {
    wish: ReturnWish,
}

impl ReturnWish {
    fn key(&self) -> [u8; 16] {
        key_of(
            self.tenant,
            DeedKind::Return,
            (&self.source, &self.reference),
        )
    }

    fn request_hash(&self) -> [u8; 16] {
        first_half(&[
            b"return",
            self.of.bytes(),
            &self.points.get().to_be_bytes(),
            self.reason.as_bytes(),
        ])
    }

    fn new_deed(&self, cx: &Cx<'_>, of: &Deed) -> Deed {
        Deed {
            id: DeedId::new(cx.new_id(of.customer.lane())),
            tenant: of.tenant,
            customer: of.customer,
            kind: DeedKind::Return,
            state: DeedState::Done,
            points: self.points,
            captured: Points::ZERO,
            returned: Points::ZERO,
            returns: 0,
            returns_of: Some(of.id),
            source: self.source.clone(),
            reference: self.reference.clone(),
            reason: self.reason.clone(),
            order: of.order,
            merchant: of.merchant,
            expires_on: None,
            hold_until: None,
            created_by: self.by.clone(),
            version: 1,
            created_at: cx.now(),
            updated_at: cx.now(),
        }
    }
}

impl Operation for GiveBack {
    type Reply = Asked;
    type Refusal = DeedError;
    const NAME: &'static str = "points.return";

    fn lane(&self) -> Lane {
        self.wish.of.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        let key = self.wish.key();
        want.row::<Keys>(key);
        if set.has_loaded::<Keys>(key)
            && let Some(used) = set.get::<Keys>(key)
        {
            want.row::<Deeds>(DeedId::new(used.effect));
        }
        want.row::<Deeds>(self.wish.of);
        if set.has_loaded::<Deeds>(self.wish.of)
            && let Some(of) = set.get::<Deeds>(self.wish.of)
        {
            want.row::<DeedLots>(of.id);
            ledger::want_spending(want, AccountId::customer_points(of.customer));
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Asked, DeedError> {
        let wish = &self.wish;
        let key = wish.key();
        if let Some(used) = set.get::<Keys>(key).copied() {
            if used.request_hash != wish.request_hash() {
                return Err(DeedError::ReferenceReused(DeedId::new(used.effect)));
            }
            let deed = set.get::<Deeds>(DeedId::new(used.effect)).cloned();
            let deed = deed.ok_or(DeedError::NotFound)?;
            return Ok(Asked { deed, before: true });
        }
        let theirs = |deed: &&Deed| deed.tenant == wish.tenant && deed.source == wish.source;
        let of = set.get::<Deeds>(wish.of).filter(theirs).cloned();
        let of = of.ok_or(DeedError::NotFound)?;
        let less = of.give_back(wish.points).map_err(|unfit| match unfit {
            Unfit::State(state) => DeedError::NotDone(state),
            Unfit::Amount(_) | Unfit::Kind(_) | Unfit::Left(_) => unfit.into(),
        })?;
        let lots = take_from_deed(set, cx, &of, wish.points)?;
        let deed = wish.new_deed(cx, &of);
        entries::give_back(set, cx, &deed, &lots)?;
        let used = KeyRow {
            tenant: deed.tenant,
            request_hash: wish.request_hash(),
            effect: deed.id.id(),
            at: cx.now(),
        };
        set.put::<Keys>(key, used);
        note(set, cx, &deed, &deed.created_by);
        set.put::<Deeds>(less.id, less);
        set.put::<Deeds>(deed.id, deed.clone());
        Ok(Asked {
            deed,
            before: false,
        })
    }
}

/// So many points of what the deed took of lots, the last to expire first; noted as returned.
fn take_from_deed(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    of: &Deed,
    points: Points,
) -> Result<Vec<(BusinessDay, Points)>, DeedError> {
    let mut lots = set.get::<DeedLots>(of.id).cloned().unwrap_or_default();
    let (mut due, mut parts) = (points.get(), Vec::new());
    for (on, lot) in lots.iter_mut().rev() {
        let part = lot.taken.saturating_sub(lot.returned).min(due);
        if part > 0 {
            lot.returned = lot.returned.saturating_add(part);
            due = due.saturating_sub(part);
            parts.push((*on, Points::parse(part).map_err(|_| LedgerError::Overflow)?));
        }
    }
    if due > 0 {
        let inconsistent = cx.inconsistent("a deed has less left in its lots than it says");
        return Err(LedgerError::from(inconsistent).into());
    }
    set.put::<DeedLots>(of.id, lots);
    Ok(parts)
}

/// The operation by itself, for tests that need no database.
#[cfg(test)]
pub(crate) fn returning(wish: ReturnWish) -> impl Operation<Reply = Asked, Refusal = DeedError> {
    GiveBack { wish }
}
