//! Takes expired points off an account.

use crate::{
    db::{Cx, Operation, Wanted, WorkingSet},
    ledger::{self, AccountKind, Draft, LedgerError},
    outbox::{self, Event},
    points::PointsMove,
    primitives::{AccountId, BusinessDay, EntryId, EntryKind, Lane, Points, TenantId},
};

/// Most lots that one entry expires: an entry has at most 256 legs.
const LEGS_MAX: usize = 200;

/// Expires the lots of a customer's account that have expired on `today` (UTC+8), the earliest
/// first. Points that holds can use stay in them.
///
/// Repeating it changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct ExpireLots {
    pub tenant: TenantId,
    pub account: AccountId,
    pub today: BusinessDay,
}

/// What expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    pub lots: u32,
    pub points: Points,
    /// More lots may have expired: submit the operation again.
    pub more: bool,
}

impl Operation for ExpireLots {
    type Reply = Expired;
    type Refusal = LedgerError;
    const NAME: &'static str = "points.expire";

    fn lane(&self) -> Lane {
        self.account.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        ledger::want_spending(want, self.account);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Expired, LedgerError> {
        // The caller's clock may be ahead of the batch's, by which the ledger decides.
        let today = self.today.min(cx.now().business_day());
        expire_lots(set, cx, (self.tenant, self.account), today)
    }
}

/// Expires lots inside another operation, which must have loaded the account and its lots. It then
/// finds them as after a sweep.
pub(crate) fn expire_lots(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    (tenant, account): (TenantId, AccountId),
    today: BusinessDay,
) -> Result<Expired, LedgerError> {
    let expirable = ledger::expirable(set, account, today, LEGS_MAX)?;
    let points = Points::try_sum(expirable.iter().map(|(_, points)| *points))
        .map_err(|_| LedgerError::Overflow)?;
    let expired = Expired {
        lots: u32::try_from(expirable.len()).map_err(|_| LedgerError::Overflow)?,
        points,
        more: expirable.len() == LEGS_MAX,
    };
    if expirable.is_empty() {
        return Ok(expired);
    }
    let expired_points = AccountId::of_tenant(tenant, AccountKind::PointsExpired);
    let leg = |(on, points): &(BusinessDay, Points)| {
        Draft::posted(account, expired_points, points.get()).from_lot(Some(*on))
    };
    let drafts: Vec<Draft> = expirable.iter().map(leg).collect();
    let entry = EntryId::of(cx.new_id(account.lane()), EntryKind::PointsExpired);
    ledger::post(set, tenant, entry, &drafts, cx.now())?;
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    let moved = Event::PointsMoved {
        tenant,
        merchant: None,
        what: PointsMove::Expired.code(),
        source: "expiry".to_owned(),
        rule_version: 0,
        points,
        at: cx.now(),
    };
    outbox::tell(cx, &moved);
    Ok(expired)
}
