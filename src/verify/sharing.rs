//! Sharings, their parts and their returns against their journal: invariants 5 and 9.
//!
//! An entry's id is its cause's with another last byte, so the entries of each kind come in the
//! order of their sharings, parts or returns, and each kind is merged with its table as it is read.
//! What is kept in memory is one sharing with its parts and returns.
//!
//! | thing | state | its entry |
//! |---|---|---|
//! | sharing | with parts | `SharingSent`: per part, in the order of their ids, merchant → in transit |
//! | part | pending | none |
//! | | succeeded | `SharingOutcome`: in transit → receiver |
//! | | failed | `SharingOutcome`: in transit → merchant |
//! | | succeeded, late | `SharingOutcome`: in transit → merchant; and `SharingLanded`: merchant → receiver |
//! | return | succeeded | `SharingReturned`: receiver → merchant |
//! | | asked, processing, failed | none |
//!
//! # How much may be shared
//!
//! The parts are at most the base, and the base is what was paid less what was asked back before
//! (see `shared`). What is refunded later may well come to more than what the receivers then leave
//! of the payment: the merchant bears what a receiver does not give back. So the sum of both has no
//! bound of its own; what holds is that every refund which went on to the channel was covered
//! first: of each part of a merchant, what was asked back, the failures among it, is at least that
//! part of it which the refunds are of the base, rounded down.
//!
//! # Rounds
//!
//! Returns that are not final are for the refund that the sharing names, and a refund that has
//! returns waits only while it is named. That a refund waits whose turn has not come, or which will
//! need nothing back, is no fault: it is so from its request until a job looks. That a refund waits
//! at all without a sharing is found by `refunded`. All this counts as 9, as does what a sharing's
//! state says of its parts.

use std::collections::HashMap;

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report,
    pages::{Cursor, Paged},
    refunds::{Leg, in_transit},
    sharing_pages::{
        LatePart, LateParts, PartItem, Parts, PartsBySharing, ReturnItem, Returns,
        ReturnsBySharing, ShareItem, Shares,
    },
    sums::Sums,
};
use crate::{
    db::DbError,
    ledger::{AccountKind, Phase, Transfer},
    primitives::{AccountId, EntryCause, EntryKind, Id, TenantId},
    sharing::{PartState, ReceiverKind, ReturnState, ShareStateKind},
};

/// Sharings with what belongs to them, read beside the entries.
#[derive(Default)]
pub(super) struct SharingPass {
    shares: Cursor<Shares>,
    parts_of: Cursor<PartsBySharing>,
    returns_of: Cursor<ReturnsBySharing>,
    parts: Cursor<Parts>,
    late_parts: Cursor<LateParts>,
    returns: Cursor<Returns>,
    /// Parts that are not final, in fen.
    on_the_way: HashMap<TenantId, i64>,
}

impl SharingPass {
    /// Takes the next entry, in the order of the entries' ids, if it is of a sharing.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        entry: &[Transfer],
        report: &mut Report,
    ) -> Result<(), DbError> {
        let id = entry[0].id.entry;
        let cause = id.cause();
        let Some(kind) = id.kind() else {
            return Ok(());
        };
        let known = match kind.cause() {
            EntryCause::Sharing => {
                while let Some(share) = self.shares.peek(conn, report).await?
                    && share.id.id() < cause
                {
                    self.share(conn, &[], report).await?;
                }
                let next = self.shares.peek(conn, report).await?;
                let known = next.is_some_and(|share| share.id.id() == cause);
                if known {
                    self.share(conn, entry, report).await?;
                }
                known
            }
            EntryCause::SharingPart if kind != EntryKind::SharingLanded => {
                let met = merge(conn, &mut self.parts, Some(entry), report).await?;
                self.count_pending(met)
            }
            EntryCause::SharingPart => {
                let (known, _) = merge(conn, &mut self.late_parts, Some(entry), report).await?;
                known
            }
            EntryCause::SharingReturn => {
                let (known, _) = merge(conn, &mut self.returns, Some(entry), report).await?;
                known
            }
            EntryCause::Order
            | EntryCause::Refund
            | EntryCause::PointsTransaction
            | EntryCause::OrderOrPointsTransaction
            | EntryCause::Itself => return Ok(()),
        };
        if !known {
            report.violated(
                Invariant::PaidOrdersAreSettledOnce,
                format!("{id} is of a sharing, part or return that does not exist"),
            );
        }
        Ok(())
    }

    /// After the last entry: what has none, and what is in transit.
    pub(super) async fn finish(
        mut self,
        conn: &mut MySqlConnection,
        sums: &HashMap<AccountId, Sums>,
        report: &mut Report,
        progress: &mut dyn Progress,
    ) -> Result<(), DbError> {
        while self.shares.peek(conn, report).await?.is_some() {
            self.share(conn, &[], report).await?;
        }
        let rest = merge(conn, &mut self.parts, None, report).await?;
        self.count_pending(rest);
        merge(conn, &mut self.late_parts, None, report).await?;
        merge(conn, &mut self.returns, None, report).await?;
        in_transit(
            AccountKind::SharingInTransit,
            &self.on_the_way,
            sums,
            report,
        );
        progress.advance(
            self.shares.rows_since_last()
                + self.parts_of.rows_since_last()
                + self.returns_of.rows_since_last(),
        );
        progress.advance(self.parts.rows_since_last() + self.returns.rows_since_last());
        Ok(())
    }

    fn count_pending(&mut self, (known, parts): (bool, HashMap<TenantId, i64>)) -> bool {
        for (tenant, fen) in parts {
            let sum = self.on_the_way.entry(tenant).or_default();
            *sum = sum.saturating_add(fen);
        }
        known
    }

    /// Takes the next sharing with its parts and returns. Those of sharings that do not exist are
    /// named where they are merged by their own ids.
    async fn share(
        &mut self,
        conn: &mut MySqlConnection,
        sent: &[Transfer],
        report: &mut Report,
    ) -> Result<(), DbError> {
        let Some(share) = self.shares.next(conn, report).await? else {
            return Ok(());
        };
        let (mut parts, mut returns) = (Vec::new(), Vec::new());
        while let Some(part) = self.parts_of.peek(conn, report).await?
            && part.sharing <= share.id
        {
            self.parts_of.next(conn, report).await?;
            parts.extend((part.sharing == share.id).then_some(part));
        }
        while let Some(back) = self.returns_of.peek(conn, report).await?
            && back.sharing <= share.id
        {
            self.returns_of.next(conn, report).await?;
            returns.extend((back.sharing == share.id).then_some(back));
        }
        parts.sort_by_key(|part| part.id);
        sent_entry(&share, &parts, sent, report);
        state(&share, &parts, report);
        amounts(&share, &parts, &returns, report);
        round(&share, &returns, report);
        Ok(())
    }
}

fn posted(debit: AccountId, credit: AccountId, amount: i64) -> Leg {
    Leg {
        phase: Phase::Posted,
        debit,
        credit,
        amount,
    }
}

/// The entry is there, exactly so; or not there where none is due.
fn compare(what: &str, tenant: TenantId, due: &[Leg], entry: &[Transfer], report: &mut Report) {
    let legs: Vec<Leg> = entry.iter().map(Leg::of).collect();
    let right = legs == due && entry.iter().all(|leg| leg.tenant == tenant);
    report.expect(Invariant::PaidOrdersAreSettledOnce, right, || {
        format!("{what}: booked is {legs:?} where {due:?} is due")
    });
}

fn sent_entry(share: &ShareItem, parts: &[PartItem], sent: &[Transfer], report: &mut Report) {
    let merchant = AccountId::merchant_payable(share.merchant);
    let transit = AccountId::of_tenant(share.tenant, AccountKind::SharingInTransit);
    let due: Vec<Leg> = parts
        .iter()
        .map(|part| posted(merchant, transit, part.amount))
        .collect();
    let what = format!("{} was sent", share.id);
    compare(&what, share.tenant, &due, sent, report);
}

/// Under way while a part is; released under a number of its own where nothing was shared.
fn state(share: &ShareItem, parts: &[PartItem], report: &mut Report) {
    let pending = parts
        .iter()
        .any(|part| part.state == Some(PartState::Pending));
    let fits = match share.state {
        Some(ShareStateKind::Asked | ShareStateKind::Processing) => pending && !share.releases,
        Some(ShareStateKind::Releasing) => !pending && share.releases,
        Some(ShareStateKind::Done) => !pending && (share.releases || !parts.is_empty()),
        None => false,
    };
    report.expect(Invariant::HistoryIsAllowed, fits, || {
        let states: Vec<_> = parts.iter().map(|part| part.state).collect();
        format!(
            "{} is {:?} with the parts {states:?}{}",
            share.id,
            share.state,
            if share.releases { " and a release" } else { "" }
        )
    });
}

fn amounts(share: &ShareItem, parts: &[PartItem], returns: &[ReturnItem], report: &mut Report) {
    let broken = Invariant::PaidOrdersAreSettledOnce;
    let sum = sum_of(parts.iter().map(|part| part.amount));
    report.expect(broken, sum <= share.base, || {
        format!("{} shares {sum} fen of {}", share.id, share.base)
    });
    let covered = share.refunded.saturating_sub(share.asked_before);
    for part in parts {
        let of_part = returns.iter().filter(|back| back.part == part.id);
        let (failed, asked): (Vec<_>, Vec<_>) =
            of_part.partition(|back| back.state == Some(ReturnState::Failed));
        let failed = sum_of(failed.iter().map(|back| back.amount));
        let asked = sum_of(asked.iter().map(|back| back.amount));
        report.expect(broken, asked == part.returned, || {
            format!(
                "{} says that {} fen were asked back, and its returns say {asked}",
                part.id, part.returned
            )
        });
        let arrived = part.state == Some(PartState::Succeeded);
        let back_max = if arrived { part.amount } else { 0 };
        report.expect(broken, asked <= back_max, || {
            format!(
                "{asked} fen are asked back of {}, which has {back_max}",
                part.id
            )
        });
        let person = matches!(part.receiver_of, Some((_, ReceiverKind::Person)));
        report.expect(broken, !person || asked + failed == 0, || {
            format!("{} is a person's, and is asked back", part.id)
        });
        // What landed late was the merchant's in the books when refunds went on.
        let due = if arrived && !person && !part.late {
            proportion(part.amount, covered, share.base)
        } else {
            0
        };
        report.expect(broken, asked.saturating_add(failed) >= due, || {
            format!(
                "{asked} fen of {} were asked back where refunds of {covered} of {} need {due}",
                part.id, share.base
            )
        });
    }
    for back in returns {
        let ours =
            parts.iter().any(|part| part.id == back.part) && back.refund_order == Some(share.order);
        report.expect(broken, ours, || {
            format!(
                "{} is of a part or for a refund that is not of {}",
                back.id, share.order
            )
        });
    }
}

fn sum_of(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.fold(0, i64::saturating_add)
}

/// That part of `amount` which `covered` is of `base`, rounded down, and at most all of it.
fn proportion(amount: i64, covered: i64, base: i64) -> i64 {
    if covered >= base {
        return amount;
    }
    let part = i128::from(amount) * i128::from(covered.max(0)) / i128::from(base.max(1));
    i64::try_from(part).unwrap_or(amount)
}

fn round(share: &ShareItem, returns: &[ReturnItem], report: &mut Report) {
    let is_open = |back: &&ReturnItem| !back.state.is_some_and(ReturnState::is_final);
    let mut open = returns.iter().filter(is_open);
    let named = open
        .clone()
        .all(|back| Some(back.refund) == share.returning);
    let waits =
        share.returning.is_none() || open.any(|back| back.refund_waits || back.refund_withdrawn);
    report.expect(Invariant::HistoryIsAllowed, named && waits, || {
        format!(
            "{} has a round for {:?} that its returns do not have",
            share.id, share.returning
        )
    });
    let over = returns
        .iter()
        .find(|back| back.refund_waits && Some(back.refund) != share.returning);
    report.expect(Invariant::HistoryIsAllowed, over.is_none(), || {
        let refund = over.map(|back| back.refund);
        format!(
            "{refund:?} waits for shares of {}, all of which are final",
            share.id
        )
    });
}

/// What has one entry at most, with one transfer.
trait Booked {
    fn cause(&self) -> Id;
    /// The entry that is due, and whose; none when what it belongs to is missing, which is said.
    fn due(&self, report: &mut Report) -> Option<(TenantId, Vec<Leg>)>;
    fn describe(&self) -> String;
    /// In fen, as long as it is under way.
    fn pending(&self) -> Option<(TenantId, i64)>;
}

impl Booked for PartItem {
    fn cause(&self) -> Id {
        self.id.id()
    }

    fn due(&self, report: &mut Report) -> Option<(TenantId, Vec<Leg>)> {
        let broken = Invariant::PaidOrdersAreSettledOnce;
        let Some(owner) = self.owner else {
            let (id, sharing) = (self.id, self.sharing);
            report.violated(
                broken,
                format!("{id} is of {sharing}, which does not exist"),
            );
            return None;
        };
        let own = self.receiver_of.map(|(merchant, _)| merchant) == Some(owner.merchant);
        report.expect(broken, own, || {
            format!(
                "{} is for {}, no receiver of its merchant",
                self.id, self.receiver
            )
        });
        let transit = AccountId::of_tenant(owner.tenant, AccountKind::SharingInTransit);
        let to = match self.state {
            Some(PartState::Pending) | None => None,
            Some(PartState::Succeeded) if !self.late => {
                Some(AccountId::receiver_payable(self.receiver))
            }
            Some(PartState::Succeeded | PartState::Failed) => {
                Some(AccountId::merchant_payable(owner.merchant))
            }
        };
        let leg = to.map(|to| posted(transit, to, self.amount));
        Some((owner.tenant, leg.into_iter().collect()))
    }

    fn describe(&self) -> String {
        format!("{} is {:?}", self.id, self.state)
    }

    fn pending(&self) -> Option<(TenantId, i64)> {
        let owner = self.owner?;
        (self.state == Some(PartState::Pending)).then_some((owner.tenant, self.amount))
    }
}

/// A part that landed late, for the entry that says so.
impl Booked for LatePart {
    fn cause(&self) -> Id {
        self.0.id.id()
    }

    fn due(&self, _report: &mut Report) -> Option<(TenantId, Vec<Leg>)> {
        // What is missing is said where the part is met.
        let owner = self.0.owner?;
        let leg = posted(
            AccountId::merchant_payable(owner.merchant),
            AccountId::receiver_payable(self.0.receiver),
            self.0.amount,
        );
        let arrived = self.0.state == Some(PartState::Succeeded);
        Some((owner.tenant, arrived.then_some(leg).into_iter().collect()))
    }

    fn describe(&self) -> String {
        format!("{} is {:?}, late", self.0.id, self.0.state)
    }

    fn pending(&self) -> Option<(TenantId, i64)> {
        None
    }
}

impl Booked for ReturnItem {
    fn cause(&self) -> Id {
        self.id.id()
    }

    fn due(&self, report: &mut Report) -> Option<(TenantId, Vec<Leg>)> {
        let (Some(owner), Some(receiver)) = (self.owner, self.receiver) else {
            report.violated(
                Invariant::PaidOrdersAreSettledOnce,
                format!(
                    "{} is of {} of {}, one of which does not exist",
                    self.id, self.part, self.sharing
                ),
            );
            return None;
        };
        let arrived = self.state == Some(ReturnState::Succeeded);
        let leg = posted(
            AccountId::receiver_payable(receiver),
            AccountId::merchant_payable(owner.merchant),
            self.amount,
        );
        Some((owner.tenant, arrived.then_some(leg).into_iter().collect()))
    }

    fn describe(&self) -> String {
        format!("{} is {:?}", self.id, self.state)
    }

    fn pending(&self) -> Option<(TenantId, i64)> {
        None
    }
}

/// Takes what comes up to an entry's cause, or all that is left. Returns whether the cause was met,
/// and what of these is under way, in fen.
async fn merge<P: Paged>(
    conn: &mut MySqlConnection,
    items: &mut Cursor<P>,
    entry: Option<&[Transfer]>,
    report: &mut Report,
) -> Result<(bool, HashMap<TenantId, i64>), DbError>
where
    P::Item: Booked + Clone,
{
    let cause = entry.map(|entry| entry[0].id.entry.cause());
    let mut pending: HashMap<TenantId, i64> = HashMap::new();
    let mut met = false;
    while !met
        && let Some(item) = items.peek(conn, report).await?
        && cause.is_none_or(|cause| item.cause() <= cause)
    {
        items.next(conn, report).await?;
        met = Some(item.cause()) == cause;
        if let Some((tenant, fen)) = item.pending() {
            let sum = pending.entry(tenant).or_default();
            *sum = sum.saturating_add(fen);
        }
        let booked = entry.filter(|_| met).unwrap_or_default();
        if let Some((tenant, due)) = item.due(report) {
            compare(&item.describe(), tenant, &due, booked, report);
        }
    }
    Ok((met, pending))
}

#[cfg(test)]
mod tests {
    use super::proportion;

    #[test]
    fn what_must_be_back_is_rounded_down_and_at_most_all() {
        assert_eq!(proportion(1_988, 5_000, 10_000), 994);
        assert_eq!(proportion(100, 333, 999), 33);
        assert_eq!(proportion(100, 0, 999), 0);
        assert_eq!(proportion(100, -5, 999), 0);
        assert_eq!(proportion(100, 999, 999), 100);
        assert_eq!(proportion(100, 2_000, 999), 100);
        assert_eq!(proportion(i64::MAX, i64::MAX - 1, i64::MAX), i64::MAX - 1);
    }
}
