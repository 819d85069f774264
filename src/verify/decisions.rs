//! What risk decided, and what was booked on it: invariant 13.
//!
//! # A decision by itself
//!
//! It can be read; its id is that of an activity with its stage; the columns that people search by
//! are what the decision itself says; and what it says can be made again: its inputs through the
//! rule set that it names give its action and the rules that fired ([`RuleSets::again`]). A rule
//! set that is gone, changed or unreadable is a violation of each decision that names it. What was
//! decided without rules (number 0: by a test) cannot be made again.
//!
//! # A decision and its activity
//!
//! Entries and decisions have the activity's id with another last byte, so they come in one order
//! and are merged as they are read: what is kept in memory is the decisions on one activity, one
//! for each stage.
//!
//! | entry | stage | what was decided |
//! |---|---|---|
//! | `Settlement`, its money | `payment.create` | not block: an order that was stopped is not there to be paid (verify, where nobody could answer, is a review) |
//! | `Settlement`, its points | `points.credit` | allow |
//! | | `payment.create` | allow |
//! | `PointsHeld` | `points.credit` | allow, verify or review, and |
//! | | either stage | not allow at both: something wanted the review; or there is an exception that says why the payment itself is uncertain |
//! | `PointsAwarded`, at once | `points.credit` | allow |
//! | `PointsAwarded`, pending | `points.credit` | verify or review, and it is there |
//! | `PointsReserved`, `PointsDeducted`, `PointsCaptured` | `redeem` | not block |
//! | `RefundAccepted`, `RefundClawback` | `refund` | not block |
//!
//! An entry without a decision was booked while risk was off, which is no violation: nothing else
//! tells when that was. Where something can only be by a decision (points that are held), the
//! decision must be there. The version of the rule by which points were earned is named by the
//! order (invariant 6).

use std::{collections::HashMap, sync::Arc};

use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use super::{
    Invariant, Progress, Report,
    pages::{Cursor, Paged},
    readable::RowKey,
};
use crate::{
    db::{DbError, Sql},
    facts::Stage,
    ledger::{AccountKind, Phase, Transfer},
    payments::ExceptionKind,
    primitives::{
        CustomerId, DecisionId, EntryKind, MerchantId, Money, OrderId, Points, TenantId, Timestamp,
    },
    risk::{self, Action, Decision, Effect, RuleSet, read_decision},
};

/// Rule sets that are in memory at once. Decisions come in the order of time, more or less, and a
/// set is in force for hours or weeks.
const RULE_SETS_MAX: usize = 32;

/// Decisions, read beside the entries.
#[derive(Default)]
pub(super) struct DecisionPass {
    decisions: Cursor<Decisions>,
    /// On the activity whose entries are coming.
    of_activity: Vec<Stored>,
    rule_sets: RuleSets,
}

impl DecisionPass {
    /// Takes the next entry, in the order of the entries' ids.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        entry: &[Transfer],
        report: &mut Report,
    ) -> Result<(), DbError> {
        let cause = entry[0].id.entry.cause();
        self.of_activity.retain(|stored| stored.id.cause() == cause);
        while let Some(stored) = self.decisions.peek(conn, report).await?
            && stored.id.cause() <= cause
        {
            self.decisions.next(conn, report).await?;
            self.rule_sets.by_itself(conn, &stored, report).await?;
            if stored.id.cause() == cause {
                self.of_activity.push(stored);
            }
        }
        let said = |stage: Stage| {
            let of_stage = |stored: &&Stored| stored.id == DecisionId::of(cause, stage.code());
            let stored = self.of_activity.iter().find(of_stage)?;
            stored.decision.as_ref().map(|decision| decision.action)
        };
        if let Some(mut allowed) = is_allowed(entry, said) {
            let held = entry[0].id.entry.kind() == Some(EntryKind::PointsHeld);
            if held && !allowed && said(Stage::PointsCredit) != Some(Action::Block) {
                allowed = is_held_as_unsure(conn, OrderId::new(cause)).await?;
            }
            report.expect(Invariant::DecisionsAreReproducible, allowed, || {
                let said = Stage::ALL.map(|stage| (stage.name(), said(stage).map(Action::name)));
                let said = said
                    .into_iter()
                    .filter_map(|(stage, said)| Some((stage, said?)));
                format!(
                    "{} is booked, and risk said {:?}",
                    entry[0].id.entry,
                    said.collect::<Vec<_>>()
                )
            });
        }
        Ok(())
    }

    /// After the last entry: decisions on what has none.
    pub(super) async fn finish(
        mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
        progress: &mut dyn Progress,
    ) -> Result<(), DbError> {
        while let Some(stored) = self.decisions.next(conn, report).await? {
            self.rule_sets.by_itself(conn, &stored, report).await?;
            progress.advance(self.decisions.rows_since_last());
        }
        progress.advance(self.decisions.rows_since_last());
        report.looked_at(Invariant::DecisionsAreReproducible, 1);
        Ok(())
    }
}

/// Whether a person was told that what WeChat says of the payment leaves open what it earns. Then
/// its points wait whatever risk says.
async fn is_held_as_unsure(conn: &mut MySqlConnection, order: OrderId) -> Result<bool, DbError> {
    let raised: Option<i64> = sqlx::query_scalar(
        "/* verify.unsure_payment */ SELECT 1 FROM payment_exceptions WHERE order_id = ? AND kind IN (?, ?) LIMIT 1",
    )
    .bind(order)
    .bind(ExceptionKind::ForeignRefund.name())
    .bind(ExceptionKind::ImplausibleTime.name())
    .fetch_optional(conn)
    .await?;
    Ok(raised.is_some())
}

/// Whether what was decided allows the entry; nothing for entries that nobody decides on.
fn is_allowed(entry: &[Transfer], said: impl Fn(Stage) -> Option<Action>) -> Option<bool> {
    let id = entry[0].id.entry;
    if id.is_resolution() {
        return None;
    }
    let is = |stage, action| said(stage) == Some(action);
    let at_most = |stage, most| said(stage).is_none_or(|action| action <= most);
    let credit = Stage::PointsCredit;
    Some(match id.kind()? {
        EntryKind::Settlement => {
            let earns = entry.iter().any(|leg| {
                leg.credit.kind() == Some(AccountKind::CustomerPoints) && leg.phase == Phase::Posted
            });
            let create = said(Stage::PaymentCreate);
            // A verify that nobody could answer, of a till's order, is taken as a review: then no
            // points are posted at once.
            let made = create != Some(Action::Block);
            let at_once =
                at_most(credit, Action::Allow) && at_most(Stage::PaymentCreate, Action::Allow);
            made && (!earns || at_once)
        }
        EntryKind::PointsHeld => {
            let wanted = is(credit, Action::Review)
                || is(credit, Action::Verify)
                || is(Stage::PaymentCreate, Action::Review)
                || is(Stage::PaymentCreate, Action::Verify);
            wanted && at_most(credit, Action::Review)
        }
        // Where a back end asks, nobody is there to answer a challenge.
        EntryKind::PointsAwarded if entry[0].phase == Phase::Pending => {
            is(credit, Action::Review) || is(credit, Action::Verify)
        }
        EntryKind::PointsAwarded => at_most(credit, Action::Allow),
        EntryKind::PointsReserved | EntryKind::PointsDeducted | EntryKind::PointsCaptured => {
            at_most(Stage::Redeem, Action::Review)
        }
        EntryKind::RefundAccepted | EntryKind::RefundClawback => {
            at_most(Stage::Refund, Action::Review)
        }
        EntryKind::Adjustment
        | EntryKind::RefundOutcome
        | EntryKind::RefundedElsewhere
        | EntryKind::SharingSent
        | EntryKind::SharingOutcome
        | EntryKind::SharingReturned
        | EntryKind::SharingLanded
        | EntryKind::PointsExpired
        | EntryKind::DebtRepaid
        | EntryKind::HeldPartCredited
        | EntryKind::WithheldCredited
        | EntryKind::PointsReturned => return None,
    })
}

/// The rule sets by which decisions were made, by number; what is wrong with those that cannot be
/// had.
#[derive(Default)]
struct RuleSets(HashMap<u32, Result<Arc<RuleSet>, &'static str>>);

impl RuleSets {
    async fn by_itself(
        &mut self,
        conn: &mut MySqlConnection,
        stored: &Stored,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let problem = match (&stored.decision, mismatch(stored)) {
            (Some(decision), None) => self.again(conn, decision).await?,
            (Some(_) | None, problem) => problem.map(str::to_owned),
        };
        report.expect(
            Invariant::DecisionsAreReproducible,
            problem.is_none(),
            || format!("{}: {}", stored.id, problem.unwrap_or_default()),
        );
        Ok(())
    }

    /// What is wrong with a decision that its rules, asked again, would not make.
    async fn again(
        &mut self,
        conn: &mut MySqlConnection,
        decision: &Decision,
    ) -> Result<Option<String>, DbError> {
        let number = decision.rule_set;
        if number == 0 {
            return Ok(None);
        }
        let rules = match self.get(conn, number).await? {
            Ok(rules) => rules,
            Err(problem) => return Ok(Some(format!("was made by rule set {number}, {problem}"))),
        };
        let Decision {
            facts,
            measured,
            answered,
            ..
        } = decision;
        let again = rules.evaluate(number, facts, measured, *answered);
        Ok((!is_same(decision, &again)).then(|| {
            format!(
                "says {} for {:?}, and rule set {number} says {} for {:?}",
                decision.action,
                reasons(decision),
                again.action,
                reasons(&again)
            )
        }))
    }

    async fn get(
        &mut self,
        conn: &mut MySqlConnection,
        number: u32,
    ) -> Result<Result<Arc<RuleSet>, &'static str>, DbError> {
        if let Some(known) = self.0.get(&number) {
            return Ok(known.clone());
        }
        let found = match risk::find_rule_set(conn, number).await {
            Ok(Some(rules)) => Ok(Arc::new(rules)),
            Ok(None) => Err("which does not exist"),
            Err(DbError::Inconsistent(problem)) => Err(problem),
            Err(error) if error.is_of_row() => Err("which cannot be read"),
            Err(error) => return Err(error),
        };
        if self.0.len() >= RULE_SETS_MAX {
            self.0.clear();
        }
        self.0.insert(number, found.clone());
        Ok(found)
    }
}

fn mismatch(stored: &Stored) -> Option<&'static str> {
    let Some(decision) = &stored.decision else {
        return Some("cannot be read");
    };
    if stored.id != DecisionId::of(stored.id.cause(), decision.facts.stage.code()) {
        return Some("is under the id of another stage");
    }
    if stored.columns != Columns::of(decision) {
        return Some("its columns say something else than the decision");
    }
    None
}

/// Made again from the same inputs, a decision is the same if it does the same for the same
/// reasons. How a reason is worded may change with the program.
fn is_same(stored: &Decision, again: &Decision) -> bool {
    (stored.action, stored.answered) == (again.action, again.answered)
        && reasons(stored) == reasons(again)
}

/// The rules that fired: what each wants, and what became of that.
fn reasons(decision: &Decision) -> Vec<(&str, Action, Effect)> {
    let fired = decision.fired.iter();
    fired
        .map(|fired| (fired.rule.as_str(), fired.action, fired.effect))
        .collect()
}

/// A row of `risk_decisions`.
#[derive(Debug, Clone)]
struct Stored {
    id: DecisionId,
    columns: Columns,
    /// None when the bytes are not a decision.
    decision: Option<Decision>,
}

/// What people search by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Columns {
    tenant: TenantId,
    stage: i64,
    action: i64,
    shadow: i64,
    rule_set: u32,
    decided_at: Timestamp,
    customer: Option<CustomerId>,
    merchant: Option<MerchantId>,
    /// Fen.
    amount: Option<i64>,
    points: Option<i64>,
}

impl Columns {
    fn of(decision: &Decision) -> Self {
        let facts = &decision.facts;
        let fired = decision.fired.iter();
        let shadow = fired.filter(|fired| fired.effect == Effect::Shadow);
        let shadow = shadow.map(|fired| fired.action.code()).max().unwrap_or(0);
        Self {
            tenant: facts.tenant,
            stage: facts.stage.code().into(),
            action: decision.action.code().into(),
            shadow: shadow.into(),
            rule_set: decision.rule_set,
            decided_at: facts.at,
            customer: facts.customer,
            merchant: facts.merchant,
            amount: facts.amount.map(Money::get),
            points: facts.points.map(Points::get),
        }
    }
}

/// `risk_decisions` by id.
struct Decisions;

impl Paged for Decisions {
    type Item = Stored;
    const ROW: RowKey = RowKey("risk_decisions", 1);

    fn after(last: Option<&Stored>, sql: &mut Sql) {
        sql.push(
            "SELECT /* verify.decisions */ id, tenant_id, stage, action, shadow, rule_set, decided_at, customer_id, merchant_id, amount_fen, points, decision \
             FROM risk_decisions",
        );
        if let Some(last) = last {
            sql.push(" WHERE id > ").bytes(last.id.bytes());
        }
        sql.push(" ORDER BY id");
    }

    fn read(row: &MySqlRow) -> Result<Stored, sqlx::Error> {
        let small = |column: usize| row.try_get::<i8, _>(column).map(i64::from);
        let packed: Vec<u8> = row.try_get(11)?;
        Ok(Stored {
            id: row.try_get(0)?,
            columns: Columns {
                tenant: TenantId(row.try_get(1)?),
                stage: small(2)?,
                action: small(3)?,
                shadow: small(4)?,
                rule_set: row.try_get(5)?,
                decided_at: row.try_get(6)?,
                customer: row.try_get(7)?,
                merchant: row.try_get(8)?,
                amount: row.try_get(9)?,
                points: row.try_get(10)?,
            },
            decision: read_decision(&packed).ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::ConstrainedSide,
        primitives::{AccountId, EntryId, Id, Lane, TransferId},
    };

    fn leg(kind: EntryKind, phase: Phase, column: u8, to: AccountKind) -> Transfer {
        Transfer {
            id: TransferId {
                entry: EntryId::of(Id::mint(1, 1, Lane(1)), kind),
                leg: column,
            },
            tenant: TenantId(1),
            phase,
            debit: AccountId::of_tenant(TenantId(1), AccountKind::PointsIssued),
            credit: AccountId::of_tenant(TenantId(1), to),
            amount: 1,
            constrained_side: ConstrainedSide::Neither,
            account_version: None,
            balance_after: None,
            at: Timestamp::from_micros(0),
            lot: None,
        }
    }

    /// For every action at one stage and nothing at the others: whether it allows the entry. The
    /// first is for no decision at all.
    fn verdicts(entry: &[Transfer], stage: Stage) -> [bool; 5] {
        let with = |action: Option<Action>| {
            is_allowed(entry, |asked| action.filter(|_| asked == stage)).unwrap()
        };
        [
            with(None),
            with(Some(Action::Allow)),
            with(Some(Action::Verify)),
            with(Some(Action::Review)),
            with(Some(Action::Block)),
        ]
    }

    #[test]
    fn what_is_booked_was_allowed() {
        let (yes, no) = (true, false);
        let money = leg(
            EntryKind::Settlement,
            Phase::Posted,
            0,
            AccountKind::MerchantPayable,
        );
        let points = leg(
            EntryKind::Settlement,
            Phase::Posted,
            1,
            AccountKind::CustomerPoints,
        );
        let (create, credit) = (Stage::PaymentCreate, Stage::PointsCredit);
        assert_eq!(verdicts(&[money], create), [yes, yes, yes, yes, no]);
        assert_eq!(verdicts(&[money], credit), [yes; 5]);
        assert_eq!(verdicts(&[money, points], create), [yes, yes, no, no, no]);
        assert_eq!(verdicts(&[money, points], credit), [yes, yes, no, no, no]);
        let one = |kind, phase| [leg(kind, phase, 0, AccountKind::CustomerPoints)];
        let held = one(EntryKind::PointsHeld, Phase::Pending);
        assert_eq!(verdicts(&held, credit), [no, no, yes, yes, no]);
        assert_eq!(verdicts(&held, create), [no, no, yes, yes, no]);
        let blocked = |stage| {
            Some(if stage == credit {
                Action::Block
            } else {
                Action::Review
            })
        };
        assert_eq!(is_allowed(&held, blocked), Some(no));
        let awarded = one(EntryKind::PointsAwarded, Phase::Posted);
        assert_eq!(verdicts(&awarded, credit), [yes, yes, no, no, no]);
        let awarded = one(EntryKind::PointsAwarded, Phase::Pending);
        assert_eq!(verdicts(&awarded, credit), [no, no, yes, yes, no]);
        let reserved = one(EntryKind::PointsReserved, Phase::Pending);
        assert_eq!(verdicts(&reserved, Stage::Redeem), [yes, yes, yes, yes, no]);
        let refund = one(EntryKind::RefundAccepted, Phase::Posted);
        assert_eq!(verdicts(&refund, Stage::Refund), [yes, yes, yes, yes, no]);
        let expired = one(EntryKind::PointsExpired, Phase::Posted);
        assert_eq!(is_allowed(&expired, |_| Some(Action::Block)), None);
    }
}
