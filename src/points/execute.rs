//! Executes points commands: awards, deductions, redemptions and holds, once per reference.

use std::sync::Arc;

use super::{
    Instruction, PointsCommand, PointsError, PointsService, PointsTransaction,
    PointsTransactionKind, PointsTransactionState, Rules,
    command::EXPIRED_AT_CREATION,
    transaction_entries as entries,
    transaction_store::{self, PointsTransactions},
};
use crate::{
    audit,
    db::{Cx, Operation, Wanted, WorkingSet},
    facts::Stage,
    idempotency::KeyUse,
    ledger,
    primitives::{
        AccountId, EntryId, EntryKind, Id, Lane, MerchantId, Points, PointsTransactionId,
    },
    risk::{
        self, Action, ActivityKey, Evaluation, NewReview, ReviewKind, ReviewPolicy,
        rules_wanting_review,
    },
};

/// A points transaction, and whether its command is a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    pub transaction: PointsTransaction,
    pub repeated: bool,
}

/// Executes a command. A repeat (the reference and the request of an earlier command) returns the
/// points transaction in its present state. Another request under a used reference fails with
/// [`PointsError::ReferenceReused`].
///
/// Risk's decision is stored with the points transaction. One that risk blocks is stored as
/// refused, and this and every repeat fail with [`PointsError::Blocked`]. A command that fails for
/// lack of points stores nothing, so its reference may be used again. Caps neither limit awards nor
/// count them.
pub async fn execute(
    service: &PointsService,
    command: PointsCommand,
) -> Result<Executed, PointsError> {
    let now = service.db.now();
    let rules = service.rules.current(command.tenant).await?;
    // A repeat is answered before risk is asked and before the command is checked: a day that was
    // valid at first may have passed since.
    let (merchant, evaluation) = if transaction_store::is_known(&service.db, &command).await? {
        (None, Evaluation::default())
    } else {
        command.check(now.business_day())?;
        let merchant = check_parties(service, &command).await?;
        let evaluation = match command.facts(merchant, now) {
            Some(facts) => {
                let claim = command.claim();
                let event = ActivityKey::of(&[claim.id, claim.request_hash].concat());
                service.risk.evaluate_keyed(facts, event).await
            }
            None => Evaluation::default(),
        };
        (merchant, evaluation)
    };
    let operation = ExecuteCommand {
        command,
        merchant,
        rules,
        evaluation: evaluation.clone(),
        terms: service.risk.review_policy(),
    };
    let db = service.db.clone();
    let transaction = async move { db.submit(operation).await };
    let is_done = |executed: &Executed| !executed.transaction.is_blocked();
    let executed = evaluation.run_and_conclude(transaction, is_done).await?;
    if executed.transaction.is_blocked() {
        return Err(PointsError::Blocked);
    }
    Ok(executed)
}

/// Checks that the customer, merchant and order of the command exist and belong together. Returns
/// the merchant that the command is about. A blocked customer accepts deductions only.
async fn check_parties(
    service: &PointsService,
    command: &PointsCommand,
) -> Result<Option<MerchantId>, PointsError> {
    let parties = service.parties.find(&service.db, command).await?;
    let active = parties
        .customer_active
        .ok_or(PointsError::CustomerUnknown)?;
    if !active && command.kind() != PointsTransactionKind::Deduct {
        return Err(PointsError::CustomerBlocked);
    }
    if command.merchant.is_some() && !parties.merchant_exists {
        return Err(PointsError::MerchantUnknown);
    }
    if command.order.is_none() {
        return Ok(command.merchant);
    }
    match parties.order {
        Some(order) if order.customer != Some(command.customer) => Err(PointsError::OrderNotTheirs),
        None => Err(PointsError::OrderNotTheirs),
        Some(order)
            if command
                .merchant
                .is_some_and(|given| given != order.merchant) =>
        {
            Err(PointsError::MerchantUnknown)
        }
        Some(order) => Ok(Some(order.merchant)),
    }
}

#[derive(Debug, Clone)]
struct ExecuteCommand {
    command: PointsCommand,
    /// The merchant of the command, or of its order.
    merchant: Option<MerchantId>,
    rules: Arc<Rules>,
    evaluation: Evaluation,
    terms: ReviewPolicy,
}

/// What risk decided about a command that is valid and affordable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Now,
    Later,
    Never,
}

impl ExecuteCommand {
    /// A back end cannot answer a challenge for its customer, so a challenge becomes a review by a
    /// person.
    fn verdict(&self) -> Verdict {
        match self.evaluation.action() {
            Action::Allow => Verdict::Now,
            Action::Verify | Action::Review => Verdict::Later,
            Action::Block => Verdict::Never,
        }
    }

    fn new_transaction(&self, cx: &Cx<'_>) -> PointsTransaction {
        let (command, now) = (&self.command, cx.now());
        let (expired_from, hold_until) = match command.instruction {
            Instruction::Award { expired_from } => {
                let by_rule = || {
                    let rule = self.rules.in_force(self.merchant, now).rule;
                    rule.terms.expired_from(now.business_day())
                };
                (Some(expired_from.unwrap_or_else(by_rule)), None)
            }
            Instruction::Hold { minutes } => {
                let seconds = i64::from(minutes).saturating_mul(60);
                (None, Some(now.plus_seconds(seconds)))
            }
            Instruction::Deduct | Instruction::Redeem => (None, None),
        };
        let (state, captured) = match (self.verdict(), command.instruction) {
            (Verdict::Never, _) => (PointsTransactionState::Refused, Points::ZERO),
            (Verdict::Later, _) => (PointsTransactionState::UnderReview, Points::ZERO),
            (Verdict::Now, Instruction::Hold { .. }) => {
                (PointsTransactionState::Held, Points::ZERO)
            }
            (Verdict::Now, Instruction::Redeem) => (PointsTransactionState::Done, command.points),
            (Verdict::Now, Instruction::Award { .. } | Instruction::Deduct) => {
                (PointsTransactionState::Done, Points::ZERO)
            }
        };
        PointsTransaction {
            id: PointsTransactionId::new(cx.new_id(command.customer.lane())),
            tenant: command.tenant,
            customer: command.customer,
            kind: command.kind(),
            state,
            points: command.points,
            captured,
            returned: Points::ZERO,
            returns: 0,
            returns_of: None,
            source: command.source.clone(),
            reference: command.reference.clone(),
            reason: command.reason.clone(),
            order: command.order,
            merchant: self.merchant,
            expired_from,
            hold_until,
            created_by: command.by.clone(),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    fn review(&self, transaction: &PointsTransaction) -> NewReview {
        let (stage, kind) = match transaction.kind {
            PointsTransactionKind::Award => (Stage::PointsCredit, EntryKind::PointsAwarded),
            PointsTransactionKind::Deduct
            | PointsTransactionKind::Redeem
            | PointsTransactionKind::Return => (Stage::Redeem, EntryKind::PointsReserved),
        };
        NewReview {
            tenant: transaction.tenant,
            kind: ReviewKind::PointsTransaction,
            cause: transaction.id.id(),
            stage,
            entry: EntryId::of(transaction.id.id(), kind),
            customer: transaction.customer,
            merchant: transaction.merchant,
            points: transaction.points,
            amount: None,
            source: transaction.source.to_string(),
            rules: self
                .evaluation
                .decision()
                .map(rules_wanting_review)
                .unwrap_or_default(),
        }
    }

    fn book(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        transaction: &PointsTransaction,
    ) -> Result<(), PointsError> {
        match (self.verdict(), self.command.instruction) {
            (Verdict::Never, _) => Ok(()),
            (Verdict::Now, Instruction::Award { .. }) => entries::award(set, cx, transaction),
            (Verdict::Later, Instruction::Award { .. }) => {
                entries::award_pending(set, cx, transaction)
            }
            (Verdict::Now | Verdict::Later, Instruction::Deduct) => {
                entries::check_available(set, cx, transaction)?;
                entries::deduct(set, cx, transaction)
            }
            (Verdict::Now, Instruction::Redeem) => {
                entries::check_available(set, cx, transaction)?;
                entries::redeem(set, cx, transaction)
            }
            (Verdict::Now, Instruction::Hold { .. })
            | (Verdict::Later, Instruction::Redeem | Instruction::Hold { .. }) => {
                entries::check_available(set, cx, transaction)?;
                entries::reserve(set, cx, transaction)
            }
        }
    }
}

/// The answer to a command that was carried out before.
pub(super) fn before(set: &WorkingSet, made: Id) -> Result<Executed, PointsError> {
    let transaction = set
        .get::<PointsTransactions>(PointsTransactionId::new(made))
        .cloned();
    Ok(Executed {
        transaction: transaction.ok_or(PointsError::NotFound)?,
        repeated: true,
    })
}

impl Operation for ExecuteCommand {
    type Reply = Executed;
    type Refusal = PointsError;
    const NAME: &'static str = "points.execute";

    fn lane(&self) -> Lane {
        self.command.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        if let Some(made) = self.command.claim().want(want, set) {
            want.row::<PointsTransactions>(PointsTransactionId::new(made));
        }
        let account = AccountId::customer_points(self.command.customer);
        match self.command.kind() {
            PointsTransactionKind::Award => ledger::want_crediting(want, set, account),
            PointsTransactionKind::Deduct
            | PointsTransactionKind::Redeem
            | PointsTransactionKind::Return => {
                ledger::want_spending(want, account);
            }
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Executed, PointsError> {
        let claim = self.command.claim();
        match claim.check(set) {
            KeyUse::New => {}
            KeyUse::Repeated(made) => return before(set, made),
            KeyUse::Taken(made) => {
                return Err(PointsError::ReferenceReused(PointsTransactionId::new(made)));
            }
        }
        let transaction = self.new_transaction(cx);
        // The command was checked earlier, and midnight may have passed since.
        if transaction
            .expired_from
            .is_some_and(|on| on <= cx.now().business_day())
        {
            return Err(EXPIRED_AT_CREATION);
        }
        self.book(set, cx, &transaction)?;
        self.evaluation.store(set, cx, transaction.id.id());
        if transaction.state == PointsTransactionState::UnderReview {
            risk::open_review(set, self.review(&transaction), &self.terms, cx.now());
        }
        claim.use_for(set, cx, transaction.id.id());
        note(set, cx, &transaction, &transaction.created_by);
        set.put::<PointsTransactions>(transaction.id, transaction.clone());
        Ok(Executed {
            transaction,
            repeated: false,
        })
    }
}

/// Writes an audit line with the points transaction's state.
pub(super) fn note(
    set: &mut WorkingSet,
    cx: &Cx<'_>,
    transaction: &PointsTransaction,
    by: &audit::Actor,
) {
    let action = audit::AuditAction::PointsTransaction {
        customer: transaction.customer,
        kind: transaction.kind.name(),
        state: transaction.state.name(),
        points: transaction.points,
        captured: transaction.captured,
    };
    audit::note(set, cx, transaction.tenant, by, action, &transaction.id);
}

/// Returns the operation, for tests without a database.
#[cfg(test)]
pub(crate) fn executing(
    command: PointsCommand,
    evaluation: Evaluation,
) -> impl Operation<Reply = Executed, Refusal = PointsError> {
    let rules = super::rules::one_rule(command.tenant, 1, super::RuleTerms::default());
    ExecuteCommand {
        command,
        merchant: None,
        rules,
        evaluation,
        terms: ReviewPolicy::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        db::batch::memory::Memory,
        points::{Reference, Source},
        primitives::{BusinessDay, CustomerId, Id, TenantId},
    };

    #[test]
    fn an_award_that_midnight_overtook_is_refused() {
        let day = BusinessDay::parse("2026-11-20").unwrap();
        let execute = |seconds: i64| {
            let command = PointsCommand {
                tenant: TenantId(1),
                customer: CustomerId::new(Id::from_bytes([7; 16])),
                instruction: Instruction::Award {
                    expired_from: Some(day),
                },
                points: Points::parse(5).unwrap(),
                source: Source::parse("crm").unwrap(),
                reference: Reference::parse("r").unwrap(),
                reason: "生日".to_owned(),
                order: None,
                merchant: None,
                by: audit::Actor::operator("crm"),
            };
            let at = day.start().plus_seconds(seconds);
            Memory::new(1).decide(at, &executing(command, Evaluation::default()))
        };
        assert_eq!(
            execute(-1).unwrap().transaction.state,
            PointsTransactionState::Done
        );
        for late in [0, 1] {
            let refused = execute(late).unwrap_err();
            assert!(
                matches!(
                    refused,
                    PointsError::Field {
                        field: "last_usable_on",
                        ..
                    }
                ),
                "{refused:?}"
            );
        }
    }
}
