//! Giving, taking, spending and setting aside points: a back end asks, once per reference.

use std::sync::Arc;

use super::{
    Deed, DeedError, DeedKind, DeedState, DeedWish, Desk, Rules, Wanted as Want,
    deed_entries as entries,
    deed_store::{self, Deeds},
    wish::OVER_AT_BIRTH,
};
use crate::{
    audit,
    db::{Cx, Operation, Wanted, WorkingSet},
    facts::Stage,
    idempotency::{KeyRow, Keys},
    ledger,
    primitives::{AccountId, DeedId, EntryId, EntryKind, Lane, MerchantId, Points},
    risk::{
        self, Action, ActivityKey, Evaluation, NewReview, ReviewKind, ReviewPolicy,
        rules_wanting_review,
    },
};

/// A deed, and whether it had been asked for before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub deed: Deed,
    pub before: bool,
}

/// Does what a back end asks for. The same reference with the same request is the same deed, for ever, and is answered with it as it stands by now; with another request
/// it is [`DeedError::ReferenceReused`].
///
/// Whatever risk says is stored with the deed: one that it stops is kept as refused ([`DeedError::Blocked`], again at each repetition). What cannot be for want of points
/// leaves no trace, and its reference may be used again. Caps are for what payments earn: they neither bound awards nor count them.
pub async fn ask(desk: &Desk, wish: DeedWish) -> Result<Asked, DeedError> {
    let now = desk.db.now();
    let rules = desk.rules.current(wish.tenant).await?;
    // Who repeats is answered by the deed, whatever has changed since: risk is not asked twice, nor is a day that has passed a mistake by now.
    let (merchant, evaluation) = if deed_store::is_known(&desk.db, &wish).await? {
        (None, Evaluation::default())
    } else {
        wish.check(now.business_day())?;
        let merchant = check_parties(desk, &wish).await?;
        let evaluation = match wish.facts(merchant, now) {
            Some(facts) => {
                let event = ActivityKey::of(&[wish.key(), wish.request_hash()].concat());
                desk.risk.evaluate_keyed(facts, event).await
            }
            None => Evaluation::default(),
        };
        (merchant, evaluation)
    };
    let operation = AskDeed {
        wish,
        merchant,
        rules,
        evaluation: evaluation.clone(),
        terms: desk.risk.review_policy(),
    };
    let db = desk.db.clone();
    let deed = async move { db.submit(operation).await };
    let is_done = |asked: &Asked| !asked.deed.is_blocked();
    let asked = evaluation.run_and_conclude(deed, is_done).await?;
    if asked.deed.is_blocked() {
        return Err(DeedError::Blocked);
    }
    Ok(asked)
}

/// Whether all that the wish names is there. Gives the merchant that it is about. Points can be taken from a customer who is blocked, and nothing else.
async fn check_parties(desk: &Desk, wish: &DeedWish) -> Result<Option<MerchantId>, DeedError> {
    let parties = deed_store::find_parties(&desk.db, wish).await?;
    let status = parties.customer.ok_or(DeedError::CustomerUnknown)?;
    if status != "active" && wish.kind() != DeedKind::Deduct {
        return Err(DeedError::CustomerBlocked);
    }
    if wish.merchant.is_some() && !parties.merchant_exists {
        return Err(DeedError::MerchantUnknown);
    }
    if wish.order.is_none() {
        return Ok(wish.merchant);
    }
    match parties.order {
        Some((customer, _)) if customer != Some(wish.customer) => Err(DeedError::OrderNotTheirs),
        None => Err(DeedError::OrderNotTheirs),
        Some((_, merchant)) if wish.merchant.is_some_and(|given| given != merchant) => {
            Err(DeedError::MerchantUnknown)
        }
        Some((_, merchant)) => Ok(Some(merchant)),
    }
}

#[derive(Debug, Clone)]
struct AskDeed {
    wish: DeedWish,
    /// The merchant that it is about, which the order may have told.
    merchant: Option<MerchantId>,
    rules: Arc<Rules>,
    evaluation: Evaluation,
    terms: ReviewPolicy,
}

/// What becomes of a wish that can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Now,
    Later,
    Never,
}

impl AskDeed {
    /// A back end cannot answer a challenge in its customer's place: where risk would ask for one, a person decides.
    fn verdict(&self) -> Verdict {
        match self.evaluation.action() {
            Action::Allow => Verdict::Now,
            Action::Verify | Action::Review => Verdict::Later,
            Action::Block => Verdict::Never,
        }
    }

    fn new_deed(&self, cx: &Cx<'_>) -> Deed {
        let (wish, now) = (&self.wish, cx.now());
        let (expires_on, hold_until) = match wish.wanted {
            Want::Award { expires_on } => {
                let by_rule = || {
                    let rule = self.rules.in_force(self.merchant, now).rule;
                    rule.terms.expires_on(now.business_day())
                };
                (Some(expires_on.unwrap_or_else(by_rule)), None)
            }
            Want::Hold { minutes } => {
                let seconds = i64::from(minutes).saturating_mul(60);
                (None, Some(now.plus_seconds(seconds)))
            }
            Want::Deduct | Want::Redeem => (None, None),
        };
        let (state, captured) = match (self.verdict(), wish.wanted) {
            (Verdict::Never, _) => (DeedState::Refused, Points::ZERO),
            (Verdict::Later, _) => (DeedState::UnderReview, Points::ZERO),
            (Verdict::Now, Want::Hold { .. }) => (DeedState::Held, Points::ZERO),
            (Verdict::Now, Want::Redeem) => (DeedState::Done, wish.points),
            (Verdict::Now, Want::Award { .. } | Want::Deduct) => (DeedState::Done, Points::ZERO),
        };
        Deed {
            id: DeedId::new(cx.new_id(wish.customer.lane())),
            tenant: wish.tenant,
            customer: wish.customer,
            kind: wish.kind(),
            state,
            points: wish.points,
            captured,
            returned: Points::ZERO,
            returns: 0,
            returns_of: None,
            source: wish.source.clone(),
            reference: wish.reference.clone(),
            reason: wish.reason.clone(),
            order: wish.order,
            merchant: self.merchant,
            expires_on,
            hold_until,
            created_by: wish.by.clone(),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// What a person is to decide.
    fn review(&self, deed: &Deed) -> NewReview {
        let (stage, kind) = match deed.kind {
            DeedKind::Award => (Stage::PointsCredit, EntryKind::PointsAwarded),
            DeedKind::Deduct | DeedKind::Redeem | DeedKind::Return => {
                (Stage::Redeem, EntryKind::PointsReserved)
            }
        };
        NewReview {
            tenant: deed.tenant,
            kind: ReviewKind::PointsTransaction,
            cause: deed.id.id(),
            stage,
            entry: EntryId::of(deed.id.id(), kind),
            customer: deed.customer,
            merchant: deed.merchant,
            points: deed.points,
            amount: None,
            source: deed.source.to_string(),
            rules: self
                .evaluation
                .decision()
                .map(rules_wanting_review)
                .unwrap_or_default(),
        }
    }

    fn book(&self, set: &mut WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> Result<(), DeedError> {
        match (self.verdict(), self.wish.wanted) {
            (Verdict::Never, _) => Ok(()),
            (Verdict::Now, Want::Award { .. }) => entries::award(set, cx, deed),
            (Verdict::Later, Want::Award { .. }) => entries::award_later(set, cx, deed),
            (Verdict::Now | Verdict::Later, Want::Deduct) => {
                entries::afford(set, cx, deed)?;
                entries::deduct(set, cx, deed)
            }
            (Verdict::Now, Want::Redeem) => {
                entries::afford(set, cx, deed)?;
                entries::redeem(set, cx, deed)
            }
            (Verdict::Now, Want::Hold { .. })
            | (Verdict::Later, Want::Redeem | Want::Hold { .. }) => {
                entries::afford(set, cx, deed)?;
                entries::reserve(set, cx, deed)
            }
        }
    }
}

impl Operation for AskDeed {
    type Reply = Asked;
    type Refusal = DeedError;
    const NAME: &'static str = "points.ask_deed";

    fn lane(&self) -> Lane {
        self.wish.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        let key = self.wish.key();
        want.row::<Keys>(key);
        if set.has_loaded::<Keys>(key)
            && let Some(used) = set.get::<Keys>(key)
        {
            want.row::<Deeds>(DeedId::new(used.effect));
        }
        let account = AccountId::customer_points(self.wish.customer);
        match self.wish.kind() {
            DeedKind::Award => ledger::want_crediting(want, set, account),
            DeedKind::Deduct | DeedKind::Redeem | DeedKind::Return => {
                ledger::want_spending(want, account);
            }
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Asked, DeedError> {
        let key = self.wish.key();
        if let Some(used) = set.get::<Keys>(key).copied() {
            if used.request_hash != self.wish.request_hash() {
                return Err(DeedError::ReferenceReused(DeedId::new(used.effect)));
            }
            let deed = set.get::<Deeds>(DeedId::new(used.effect)).cloned();
            let deed = deed.ok_or(DeedError::NotFound)?;
            return Ok(Asked { deed, before: true });
        }
        let deed = self.new_deed(cx);
        // It was checked when it was asked for, and midnight may have come since.
        if deed
            .expires_on
            .is_some_and(|on| on <= cx.now().business_day())
        {
            return Err(OVER_AT_BIRTH);
        }
        self.book(set, cx, &deed)?;
        self.evaluation.store(set, cx, deed.id.id());
        if deed.state == DeedState::UnderReview {
            risk::open_review(set, self.review(&deed), &self.terms, cx.now());
        }
        let used = KeyRow {
            tenant: deed.tenant,
            request_hash: self.wish.request_hash(),
            effect: deed.id.id(),
            at: cx.now(),
        };
        set.put::<Keys>(key, used);
        note(set, cx, &deed, &deed.created_by);
        set.put::<Deeds>(deed.id, deed.clone());
        Ok(Asked {
            deed,
            before: false,
        })
    }
}

/// The line in the audit log: what the deed is by now.
pub(super) fn note(set: &mut WorkingSet, cx: &Cx<'_>, deed: &Deed, by: &audit::Actor) {
    let action = audit::Action::PointsDeed {
        customer: deed.customer,
        kind: deed.kind.name(),
        state: deed.state.name(),
        points: deed.points,
        captured: deed.captured,
    };
    audit::note(set, cx, deed.tenant, by, action, &deed.id);
}

/// The operation by itself, for tests that need no database.
#[cfg(test)]
pub(crate) fn asking(
    wish: DeedWish,
    evaluation: Evaluation,
) -> impl Operation<Reply = Asked, Refusal = DeedError> {
    let rules = super::rules::one_rule(wish.tenant, 1, super::RuleTerms::default());
    AskDeed {
        wish,
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
    fn an_award_that_midnight_overtook_is_over_at_birth() {
        let day = BusinessDay::parse("2026-11-20").unwrap();
        let ask = |seconds: i64| {
            let wish = DeedWish {
                tenant: TenantId(1),
                customer: CustomerId::new(Id::from_bytes([7; 16])),
                wanted: Want::Award {
                    expires_on: Some(day),
                },
                points: Points::parse(5).unwrap(),
                source: Source::parse("crm").unwrap(),
                reference: Reference::parse("r").unwrap(),
                reason: "生日".to_owned(),
                order: None,
                merchant: None,
                by: audit::Actor::new("crm"),
            };
            let at = day.start().plus_seconds(seconds);
            Memory::new(1).decide(at, &asking(wish, Evaluation::default()))
        };
        assert_eq!(ask(-1).unwrap().deed.state, DeedState::Done);
        for late in [0, 1] {
            let refused = ask(late).unwrap_err();
            assert!(
                matches!(
                    refused,
                    DeedError::Field {
                        field: "expires_on",
                        ..
                    }
                ),
                "{refused:?}"
            );
        }
    }
}
