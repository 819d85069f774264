//! Whether the points of a payment are credited at once, held for a review, or not at all.
//!
//! Risk is asked at [`Stage::PointsCredit`] before the settlement is submitted, with the facts that
//! the order's [recent](super::recent_orders) record has. If they cannot be had the settlement
//! fails as it does when the database is away, and the channel tells again: points are never
//! credited because nobody could be asked.
//!
//! | risk says | money | points | order's review |
//! |---|---|---|---|
//! | allow | posted | posted with it | as it was |
//! | verify, review; or review when the order was made | posted | pending, an entry of their own | open |
//! | block | posted | none, and none counted | as it was |
//!
//! Nobody can answer a challenge when a payment is settled, so *verify* is taken as *review* here.
//! A payment that earns nothing is not asked about.
//!
//! What is judged is what would be credited: what the rule earns, and the caps leave as they stand
//! a moment before. (A rule without caps, the usual one, reads nothing for that.) The commit knows
//! the caps for certain. Others may have used them up by then: less is credited than was judged, or
//! nothing, and then no decision is kept and nothing counted. Or more is left than was thought
//! (midnight came, a refund gave something back to a campaign): no points are credited that were
//! not judged, so the settlement is refused as [`SettleError::NotEvaluated`], and risk is asked
//! again about what is left now.
//!
//! A payment is one event to risk's counters, whichever process is told of it and however often:
//! the order. What is taken back, because WeChat's notice was rejected or nothing was left to
//! credit, is asked about anew the next time.

use super::{
    Order, PaidNotice, Payment, Payments, PointsReview, SettleError,
    booking::{SOURCE, book_held_points, tell_points},
    payer::{Payer, who_paid},
    recent_orders::{OrderFacts, is_own_merchant},
};
use crate::{
    db::{Cx, DbError, WorkingSet},
    facts::{Facts, Stage},
    ledger::LedgerError,
    points::{PointsMove, Rules, left_by_caps},
    primitives::{OrderId, Points, TenantId},
    risk::{self, Action, Evaluation, NewReview, ReviewKind, ReviewPolicy, rules_wanting_review},
};

/// What risk said of the points of a payment. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum CreditRisk {
    /// There is no risk.
    Off,
    /// It was not asked: there was no such order, it was paid, or it earns nothing. Should there be
    /// points after all, they wait for the next time.
    Not,
    Evaluated {
        evaluation: Evaluation,
        /// The rules that wanted a review when the order was made.
        review_rules: String,
        terms: ReviewPolicy,
    },
}

/// What becomes of the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credit {
    AtOnce,
    Held,
    Refused,
}

impl CreditRisk {
    /// Fails when risk is on and was not asked, or was asked about fewer points.
    pub(super) fn credit(&self, order: &Order, points: Points) -> Result<Credit, SettleError> {
        let wanted = order.review == PointsReview::Wanted;
        match self {
            Self::Not => Err(SettleError::NotEvaluated),
            // Risk was switched off after it had wanted a review: that stands.
            Self::Off if wanted => Ok(Credit::Held),
            Self::Off => Ok(Credit::AtOnce),
            Self::Evaluated { evaluation, .. }
                if evaluated_points(evaluation).is_some_and(|evaluated| evaluated < points) =>
            {
                Err(SettleError::NotEvaluated)
            }
            Self::Evaluated { evaluation, .. } => Ok(match evaluation.action() {
                Action::Block => Credit::Refused,
                Action::Verify | Action::Review => Credit::Held,
                Action::Allow if wanted => Credit::Held,
                Action::Allow => Credit::AtOnce,
            }),
        }
    }

    /// Stores the decision, in the commit of the settlement. Where no points were to be credited
    /// any more, it is about nothing.
    pub(super) fn note(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        points: Points,
    ) {
        match self {
            Self::Evaluated { evaluation, .. }
                if evaluation.stops_activity() || !points.is_zero() =>
            {
                _ = evaluation.store(set, cx, order.id.id());
            }
            Self::Evaluated { .. } | Self::Off | Self::Not => {}
        }
    }

    pub(super) const fn was_asked(&self) -> bool {
        matches!(self, Self::Evaluated { .. })
    }

    /// Tells the counters whether points were credited.
    pub(super) async fn conclude(&self, credited: bool) {
        match self {
            Self::Evaluated { evaluation, .. } => {
                evaluation
                    .conclude(credited && !evaluation.stops_activity())
                    .await;
            }
            Self::Off | Self::Not => {}
        }
    }
}

/// How many points risk was asked about.
fn evaluated_points(evaluation: &Evaluation) -> Option<Points> {
    evaluation.decision()?.facts.points
}

/// Why there is no evaluation.
#[derive(Debug, thiserror::Error)]
enum NotAsked {
    #[error("the caps leave nothing")]
    Nothing,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Asks risk about the points of a payment, once in this process however often it is told. Returns
/// who paid, where only the notice knows.
pub(super) async fn evaluate_credit(
    payments: &Payments,
    (tenant, order): (TenantId, Option<OrderId>),
    notice: &PaidNotice,
    rules: &Rules,
) -> Result<(CreditRisk, Option<Payer>), DbError> {
    if payments.risk.is_off() {
        return Ok((CreditRisk::Off, None));
    }
    let not = (CreditRisk::Not, None);
    let Some(order) = order else { return Ok(not) };
    let known = payments.recent.get(&payments.db, order).await?;
    // What does not fit will be rejected, and is nothing to ask about.
    let fits = |known: &OrderFacts| {
        known.tenant == tenant
            && !known.paid
            && known.amount == notice.amount
            && known.sub_mchid == notice.sub_mchid
    };
    let Some(known) = known.filter(fits) else {
        return Ok(not);
    };
    let at = Order::earned_at(order, notice.paid_at, payments.db.now());
    let rule = rules.in_force(Some(known.merchant), at).rule;
    let earned = rule.terms.earn(known.amount);
    if earned.is_zero() {
        return Ok(not);
    }
    let (customer, payer, own_merchant) = match known.customer {
        Some(customer) => (customer, None, known.own_merchant),
        None => match who_paid(payments, tenant, notice).await? {
            Payer::Known(customer) => {
                let own_merchant =
                    is_own_merchant(&payments.db, tenant, customer, known.merchant).await?;
                (customer, Some(Payer::Known(customer)), own_merchant)
            }
            // Nobody to credit.
            Payer::Unknown => return Ok((CreditRisk::Not, Some(Payer::Unknown))),
        },
    };
    let asking = async || {
        let points = left_by_caps(&payments.db, &rule, customer, earned, at).await?;
        if points.is_zero() {
            return Err(NotAsked::Nothing);
        }
        let facts = Facts {
            customer: Some(customer),
            merchant: Some(known.merchant),
            amount: Some(known.amount),
            points: Some(points),
            origin: known.origin.clone(),
            own_merchant,
            ..Facts::new(Stage::PointsCredit, tenant, payments.db.now())
        };
        let event = risk::ActivityKey::of(order.bytes());
        Ok(payments.risk.evaluate_keyed(facts, event).await)
    };
    let evaluation = match known.evaluation.get_or_try_init(asking).await {
        Ok(evaluation) => evaluation.clone(),
        Err(NotAsked::Nothing) => return Ok((CreditRisk::Not, payer)),
        Err(NotAsked::Db(error)) => return Err(error),
    };
    let by_risk = CreditRisk::Evaluated {
        evaluation,
        review_rules: known.review_rules,
        terms: payments.risk.review_policy(),
    };
    Ok((by_risk, payer))
}

/// Books the points of a paid order as pending, opens their review and tells of both. Returns what
/// the order says of it from now on. `hold_reason` says why they wait although risk did not want
/// it.
pub(super) fn hold_points(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    payment: &Payment,
    (credit_risk, hold_reason): (&CreditRisk, Option<&'static str>),
) -> Result<PointsReview, SettleError> {
    let Some(customer) = order.customer else {
        let inconsistent = cx.inconsistent("points of an order without a customer");
        return Err(LedgerError::from(inconsistent).into());
    };
    let entry = book_held_points(set, cx, order, customer, payment)?;
    let (stage, review_rules, terms) = match credit_risk {
        CreditRisk::Off | CreditRisk::Not => {
            (Stage::PaymentCreate, String::new(), ReviewPolicy::default())
        }
        CreditRisk::Evaluated {
            evaluation,
            review_rules,
            terms,
        } => match evaluation.action() {
            Action::Verify | Action::Review => {
                let review_rules = evaluation.decision().map(rules_wanting_review);
                (
                    Stage::PointsCredit,
                    review_rules.unwrap_or_default(),
                    *terms,
                )
            }
            Action::Allow | Action::Block => (Stage::PaymentCreate, review_rules.clone(), *terms),
        },
    };
    // Whoever looks at the review reads why, beside the rules that wanted one.
    let review_rules = match hold_reason {
        None => review_rules,
        Some(hold_reason) if review_rules.is_empty() => hold_reason.to_owned(),
        Some(hold_reason) => format!("{hold_reason},{review_rules}"),
    };
    let review = NewReview {
        tenant: order.tenant,
        kind: ReviewKind::Order,
        cause: order.id.id(),
        stage,
        entry,
        customer,
        merchant: Some(order.merchant),
        points: payment.points,
        amount: Some(order.amount),
        source: SOURCE.to_owned(),
        rules: review_rules,
    };
    risk::open_review(set, review, &terms, cx.now());
    tell_points(cx, order, PointsMove::Held, payment.points);
    Ok(PointsReview::Open)
}
