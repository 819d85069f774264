//! Asking for a refund, and deciding on one that needs a second person.
//!
//! # Who may alone
//!
//! Limits are about what an order gives back, not about one request: a limit that is asked about
//! each piece is none. So what is judged is the sum of the order's refunds after this one, whoever
//! asked for the others, those that wait for a second person included; the order's version guards
//! it. A second person's approval goes as far: their limit is asked about the same sum.
//!
//! A clerk has a limit for the day as well, over all orders: [`StaffRefunds`] counts what each
//! person of a merchant gave back alone, and its version guards it, since two refunds of one clerk
//! may be decided by two committers at once. What somebody else agreed to is not the clerk's; what
//! failed later stays counted. Whoever is asked to approve, the audit log says what for.

use super::{
    BookingError, ChangeReason, Order, OrderSharing, Payments, PointsBack, PointsReview,
    PolicyTerms, Refund, RefundError, RefundState, TimeScale,
    booking::{book_refund, put_order, put_refund, shortfall, would_have_expired},
    list,
    points_back::points_to_give_back,
    refund_rows::want_order_and_points,
    reviews::withhold,
    risk_checks::evaluate,
    store::{Orders, Refunds, StaffRefundDay, StaffRefunds},
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Cx, DbError, Operation, Wanted, WorkingSet},
    facts::{Facts, Stage},
    idempotency::{Claim, KeyUse},
    merchants,
    primitives::{
        BusinessDay, Id, Lane, Length, MerchantId, Money, OrderId, Points, RefundId, StaffId,
        TenantId, Text, is_safe_in_bill,
    },
    risk::{Action as RiskAction, Evaluation, Stop},
};

/// WeChat refunds an order up to fifty times, within a year of the payment (`docs/wechat-pay.md`
/// §5).
const REFUNDS_MAX: u16 = 50;
const REFUND_DAYS: i64 = 365;
/// WeChat takes at most 80 bytes of a reason.
const REASON_BYTES_MAX: usize = 80;
/// How long whoever made a refund may take to tell WeChat, before a job thinks that nobody will.
const FIRST_CALL_SECONDS: i64 = 60;

/// Who asks, or decides: their name and their limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundBy {
    pub actor: Actor,
    pub role: RefundRole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundRole {
    Clerk(MerchantId),
    Owner(MerchantId),
    Operator,
}

impl RefundRole {
    fn may_see(self, merchant: MerchantId) -> bool {
        match self {
            Self::Clerk(own) | Self::Owner(own) => own == merchant,
            Self::Operator => true,
        }
    }

    /// What an order gives back at most by this person alone.
    fn own_limit(self, terms: &PolicyTerms) -> Money {
        match self {
            Self::Clerk(_) => terms.clerk_refund_max.min(terms.refund_review_above),
            Self::Owner(_) | Self::Operator => terms.refund_review_above,
        }
    }

    /// What an order gives back at most when this person agrees to somebody else's refund.
    fn approval_limit(self, terms: &PolicyTerms) -> Money {
        match self {
            Self::Clerk(_) => Money::ZERO,
            Self::Owner(_) => terms.refund_review_above,
            Self::Operator => Money::constant(i64::MAX),
        }
    }
}

impl RefundBy {
    /// The person, if it is one of a merchant.
    fn staff(&self) -> Option<StaffId> {
        match (self.role, &self.actor) {
            (RefundRole::Clerk(_) | RefundRole::Owner(_), Actor::Staff(id)) => Some(*id),
            (
                RefundRole::Clerk(_) | RefundRole::Owner(_),
                Actor::Customer(_) | Actor::Operator(_) | Actor::System(_),
            )
            | (RefundRole::Operator, _) => None,
        }
    }
}

/// A request to give money back.
#[derive(Debug, Clone)]
pub struct RequestRefund {
    pub tenant: TenantId,
    pub order: OrderId,
    /// Absent: all that can still be refunded.
    pub amount: Option<Money>,
    /// Shown to the customer.
    pub reason: String,
    pub by: RefundBy,
    pub claim: Claim,
}

/// Asks for a refund. The same request with the same key is the same refund. WeChat is told after
/// the commit, here or, should this process die, by a job.
///
/// Fails with [`RefundError::Stopped`] when risk does not allow it; what risk wants looked at
/// awaits a second person, whatever its amount.
pub async fn request_refund(
    payments: &Payments,
    request: RequestRefund,
) -> Result<Refund, RefundError> {
    if request.reason.trim().is_empty() || !is_one_short_line(&request.reason) {
        return Err(RefundError::BadReason);
    }
    check_merchant(payments, request.tenant, &request.by).await?;
    let policy = payments.policies.current(request.tenant).await?;
    let facts = facts_for_risk(payments, &request);
    let evaluation = evaluate(payments, &request.claim, facts).await?;
    let operation = CreateRefund {
        request,
        evaluation: evaluation.clone(),
        terms: policy.terms,
        time_scale: payments.time_scale,
    };
    let db = payments.db.clone();
    let done = async move { db.submit(operation).await };
    let run_and_conclude = evaluation
        .unwrap_or_default()
        .run_and_conclude(done, Result::is_ok);
    let asked = run_and_conclude.await??;
    Ok(super::submit_if_new(payments, *asked.refund, asked.is_new).await)
}

/// What risk is to know of a request: the activity of the merchant, about the customer of the
/// order. Where the merchant's clerk sits says nothing of the customer and is left out. None when
/// there is no such order for whoever asks.
async fn facts_for_risk(
    payments: &Payments,
    request: &RequestRefund,
) -> Result<Option<Facts>, DbError> {
    let found = list::find_order(&payments.db, request.tenant, request.order).await?;
    let order = found.map(|found| found.order);
    let Some(order) = order.filter(|order| request.concerns(order)) else {
        return Ok(None);
    };
    let own_merchant = match order.customer {
        Some(customer) => {
            let merchants = &payments.merchants;
            merchants
                .employs(order.tenant, order.merchant, customer)
                .await?
        }
        None => false,
    };
    let amount = request.amount.unwrap_or_else(|| order.refundable());
    Ok(Some(Facts {
        customer: order.customer,
        merchant: Some(order.merchant),
        amount: Some(amount.min(order.amount)),
        own_merchant,
        ..Facts::new(Stage::Refund, order.tenant, payments.db.now())
    }))
}

/// A refund, and whether it is what this request has made of it. False when the key did it before.
#[derive(Debug)]
struct RequestedRefund {
    refund: Box<Refund>,
    is_new: bool,
}

impl RequestedRefund {
    fn new(refund: Refund, is_new: bool) -> Self {
        Self {
            refund: Box::new(refund),
            is_new,
        }
    }
}

/// Nobody of a suspended merchant sends money on its way. (Rejecting moves none.)
async fn check_merchant(
    payments: &Payments,
    tenant: TenantId,
    by: &RefundBy,
) -> Result<(), RefundError> {
    let merchant = match by.role {
        RefundRole::Clerk(merchant) | RefundRole::Owner(merchant) => merchant,
        RefundRole::Operator => return Ok(()),
    };
    if merchants::is_open(&payments.db, tenant, merchant).await? {
        Ok(())
    } else {
        Err(RefundError::MerchantSuspended)
    }
}

/// Both are read by people, and one goes to WeChat and comes back in its bill.
pub(super) fn is_one_short_line(text: &str) -> bool {
    Text::parse(text, Length::Bytes(0, REASON_BYTES_MAX)).is_ok() && is_safe_in_bill(text)
}

#[derive(Debug, Clone)]
struct CreateRefund {
    request: RequestRefund,
    terms: PolicyTerms,
    time_scale: TimeScale,
    /// None when there was nothing to ask about.
    evaluation: Option<Evaluation>,
}

/// The key is the caller's own; what it was used for may be another merchant's by now.
fn key_reused(set: &WorkingSet, known: Id, role: RefundRole) -> RefundError {
    let known = set.get::<Refunds>(RefundId::new(known));
    let seen = known.filter(|refund| role.may_see(refund.merchant));
    RefundError::KeyReused(seen.map(Refund::no))
}

impl RequestRefund {
    /// Whether this is the order, and whoever asks may see it.
    fn concerns(&self, order: &Order) -> bool {
        order.tenant == self.tenant && self.by.role.may_see(order.merchant)
    }
}

impl CreateRefund {
    /// What somebody else must agree for, if anything. `asked` is what the order gives back with
    /// this refund, `refunded_alone` what this person gave back alone today. Nobody is there who
    /// could answer a challenge of risk.
    fn approval_reason(
        &self,
        amount: Money,
        asked: Money,
        refunded_alone: Money,
    ) -> Option<&'static str> {
        let ruled = self.evaluation.as_ref().map(Evaluation::action);
        let (role, terms) = (self.request.by.role, &self.terms);
        if ruled != Some(RiskAction::Allow) {
            return Some("risk");
        }
        if asked > role.own_limit(terms) {
            return Some("order_limit");
        }
        let day = refunded_alone.checked_add(amount);
        let fits = day.is_ok_and(|day| day <= terms.clerk_refund_day_max);
        (matches!(role, RefundRole::Clerk(_)) && !fits).then_some("day_limit")
    }

    /// What this person gave back alone on the day that counts.
    fn refunded_alone(&self, set: &WorkingSet, today: BusinessDay) -> (BusinessDay, Money) {
        let staff = self.request.by.staff();
        StaffRefundDay::on(
            staff.and_then(|staff| set.get::<StaffRefunds>(staff)),
            today,
        )
    }

    /// Counts a refund that this person makes alone.
    fn count_alone(
        &self,
        set: &mut WorkingSet,
        today: BusinessDay,
        amount: Money,
    ) -> Result<(), RefundError> {
        let Some(staff) = self.request.by.staff() else {
            return Ok(());
        };
        let (day, refunded_alone) = self.refunded_alone(set, today);
        let version = set.get::<StaffRefunds>(staff).map_or(0, |row| row.version);
        let counted = StaffRefundDay {
            tenant: self.request.tenant,
            day,
            alone: refunded_alone
                .checked_add(amount)
                .map_err(|_| RefundError::AboveYourLimit)?,
            version: version.saturating_add(1),
        };
        set.put::<StaffRefunds>(staff, counted);
        Ok(())
    }

    /// Whether so much may be given back, and what follows of it.
    fn check(&self, order: &Order, refunded_alone: Money) -> Result<CheckedRefund, RefundError> {
        let request = &self.request;
        let left = order.refundable();
        let amount = request.amount.unwrap_or(left);
        let Some(payment) = order.state.payment() else {
            return Err(RefundError::NotPaid);
        };
        if order.refunds.unknown {
            return Err(RefundError::RefundedElsewhere);
        }
        if amount > left || left == Money::ZERO {
            return Err(RefundError::ExceedsRefundable { left });
        }
        if amount == Money::ZERO {
            return Err(RefundError::NothingToRefund);
        }
        if order.refunds.count >= REFUNDS_MAX {
            return Err(RefundError::TooMany);
        }
        let asked = order
            .refunds
            .asked
            .checked_add(amount)
            .map_err(|_| RefundError::ExceedsRefundable { left })?;
        // Whether they are there, under review, or gone, is looked at when the refund is initiated.
        let approval_reason = self.approval_reason(amount, asked, refunded_alone);
        let due = match order.review {
            PointsReview::Voided => Points::ZERO,
            PointsReview::Open
            | PointsReview::No
            | PointsReview::Wanted
            | PointsReview::Credited => {
                points_to_give_back(payment.points, order.amount, asked, order.refunds.points)
            }
        };
        let next = order
            .request_refund(amount, due)
            .map_err(BookingError::from)?;
        let points = PointsBack {
            due,
            ..PointsBack::NONE
        };
        Ok(CheckedRefund {
            amount,
            order: next,
            points,
            approval_reason,
        })
    }
}

/// A refund that may be asked for.
#[derive(Debug)]
struct CheckedRefund {
    amount: Money,
    /// The order as it is with it.
    order: Order,
    points: PointsBack,
    /// For what somebody else must agree, if anything.
    approval_reason: Option<&'static str>,
}

impl Operation for CreateRefund {
    /// A stop is a reply and no refusal: the decision must be stored.
    type Reply = Result<RequestedRefund, Stop>;
    type Refusal = RefundError;
    const NAME: &'static str = "payments.request_refund";

    fn lane(&self) -> Lane {
        self.request.order.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        if let Some(known) = self.request.claim.want(want, set) {
            want.row::<Refunds>(RefundId::new(known));
        }
        if let Some(staff) = self.request.by.staff() {
            want.row::<StaffRefunds>(staff);
        }
        want_order_and_points(want, set, self.request.order);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Self::Reply, RefundError> {
        let request = &self.request;
        match request.claim.check(set) {
            KeyUse::New => {}
            KeyUse::Repeated(made) => {
                let refund = set.get::<Refunds>(RefundId::new(made)).cloned();
                let refund = refund.ok_or(RefundError::NotFound)?;
                return Ok(Ok(RequestedRefund::new(refund, false)));
            }
            KeyUse::Taken(known) => return Err(key_reused(set, known, request.by.role)),
        }
        let order = set
            .get::<Orders>(request.order)
            .filter(|order| request.concerns(order))
            .cloned()
            .ok_or(RefundError::OrderNotFound)?;
        if let Some(payment) = order.state.payment()
            && payment.paid_at.plus_seconds(REFUND_DAYS * 86_400) < cx.now()
        {
            return Err(RefundError::TooOld);
        }
        let today = cx.now().business_day();
        let (_, refunded_alone) = self.refunded_alone(set, today);
        let CheckedRefund {
            amount,
            mut order,
            points,
            approval_reason,
        } = self.check(&order, refunded_alone)?;
        // Nothing could be asked because the order was not there a moment ago.
        let evaluation = self.evaluation.as_ref().ok_or(RefundError::OrderNotFound)?;
        if evaluation.action() == RiskAction::Block {
            let stop = evaluation.stop(set, cx, order.id.lane());
            return stop.map(Err).ok_or(RefundError::NotFound);
        }
        let alone = approval_reason.is_none();
        let mut refund = Refund::requested(
            RefundId::new(cx.new_id(order.id.lane())),
            &order,
            amount,
            points,
            request.reason.clone(),
            request.by.actor.clone(),
            cx.now(),
        );
        if alone {
            withhold(&mut order, &mut refund)?;
            initiate(set, cx, &order, &mut refund, (&self.terms, self.time_scale))?;
            self.count_alone(set, today, amount)?;
        } else if !order.is_under_review() {
            let expired = would_have_expired(set, today, &order, points.due)?;
            let taken = points.due.saturating_sub(expired);
            shortfall(set, today, &order, taken, self.terms.points_shortfall)?;
        }
        request.claim.use_for(set, cx, refund.id.id());
        evaluation.store(set, cx, refund.id.id());
        let asked = AuditAction::RefundRequested {
            order: order.no(),
            amount,
            approval_reason,
        };
        audit::note(
            set,
            cx,
            request.tenant,
            &request.by.actor,
            asked,
            &refund.no(),
        );
        put_order(
            set,
            cx,
            order,
            ChangeReason::RefundAsked,
            Some(&request.by.actor),
        );
        put_refund(set, cx, refund.clone(), &request.by.actor, &request.reason);
        Ok(Ok(RequestedRefund::new(refund, true)))
    }
}

/// Books the refund and lets it go on its way: to WeChat, or first to the receivers of shares.
pub(super) fn initiate(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    refund: &mut Refund,
    (terms, time_scale): (&PolicyTerms, TimeScale),
) -> Result<(), RefundError> {
    book_refund(set, cx, order, refund, terms.points_shortfall)?;
    match order.sharing {
        OrderSharing::InProgress | OrderSharing::Done => {
            refund.state = RefundState::Returning;
            refund.attempts.next_at = Some(cx.now());
        }
        OrderSharing::No | OrderSharing::Wanted => {
            refund.state = RefundState::Accepted;
            // A job takes over should this process die before it has called; not while it may still
            // be calling, with its retries.
            refund.attempts.next_at = Some(time_scale.after(cx.now(), FIRST_CALL_SECONDS));
        }
    }
    Ok(())
}

/// An order whose refund is initiated after it had waited for a second person: of points under
/// review its part is withheld, and none are asked back that were voided meanwhile. Writes the
/// order's row if that changes it.
fn as_reviewed(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: Order,
    refund: &mut Refund,
    actor: &Actor,
) -> Result<Order, RefundError> {
    let mut next = match order.review {
        PointsReview::No | PointsReview::Wanted | PointsReview::Credited => return Ok(order),
        PointsReview::Open | PointsReview::Voided if refund.points.due.is_zero() => {
            return Ok(order);
        }
        PointsReview::Open | PointsReview::Voided => Order {
            version: order.version.saturating_add(1),
            ..order
        },
    };
    if next.is_under_review() {
        withhold(&mut next, refund)?;
    } else {
        next.refunds.points = next.refunds.points.saturating_sub(refund.points.due);
        refund.points.due = Points::ZERO;
    }
    put_order(set, cx, next.clone(), ChangeReason::Reviewed, Some(actor));
    Ok(next)
}

/// The second person's decision.
#[derive(Debug, Clone)]
pub struct DecideRefund {
    pub tenant: TenantId,
    pub refund: RefundId,
    pub agree: bool,
    /// Why not; or anything worth keeping.
    pub note: String,
    pub by: RefundBy,
    pub claim: Claim,
}

/// Agrees to a refund that awaits it, or rejects it.
pub async fn decide_refund(
    payments: &Payments,
    decision: DecideRefund,
) -> Result<Refund, RefundError> {
    if !is_one_short_line(&decision.note) {
        return Err(RefundError::BadReason);
    }
    if decision.agree {
        check_merchant(payments, decision.tenant, &decision.by).await?;
    }
    let policy = payments.policies.current(decision.tenant).await?;
    let operation = DecideRefundOperation {
        decision,
        terms: policy.terms,
        time_scale: payments.time_scale,
    };
    let asked = payments.db.submit(operation).await?;
    Ok(super::submit_if_new(payments, *asked.refund, asked.is_new).await)
}

#[derive(Debug, Clone)]
struct DecideRefundOperation {
    decision: DecideRefund,
    terms: PolicyTerms,
    time_scale: TimeScale,
}

impl Operation for DecideRefundOperation {
    type Reply = RequestedRefund;
    type Refusal = RefundError;
    const NAME: &'static str = "payments.decide_refund";

    fn lane(&self) -> Lane {
        self.decision.refund.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        if let Some(known) = self.decision.claim.want(want, set) {
            want.row::<Refunds>(RefundId::new(known));
        }
        want.row::<Refunds>(self.decision.refund);
        if let Some(refund) = set.get_loaded::<Refunds>(self.decision.refund) {
            want_order_and_points(want, set, refund.order);
        }
    }

    fn decide(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
    ) -> Result<RequestedRefund, RefundError> {
        let Self {
            decision,
            terms,
            time_scale,
        } = self;
        let by = &decision.by;
        let refund = set
            .get::<Refunds>(decision.refund)
            .filter(|refund| refund.tenant == decision.tenant && by.role.may_see(refund.merchant))
            .cloned()
            .ok_or(RefundError::NotFound)?;
        match decision.claim.check(set) {
            KeyUse::New => {}
            KeyUse::Repeated(_) => return Ok(RequestedRefund::new(refund, false)),
            KeyUse::Taken(known) => return Err(key_reused(set, known, by.role)),
        }
        let order = set
            .get::<Orders>(refund.order)
            .cloned()
            .ok_or_else(|| cx.inconsistent("a refund of an order that is not there"))?;
        if refund.state != RefundState::AwaitingApproval {
            return Err(RefundError::AlreadyDecided(refund.state.kind()));
        }
        // Whoever asked may think better of it; to agree takes somebody else, whose limit allows
        // it.
        if decision.agree && refund.requested_by == by.actor {
            return Err(RefundError::SamePerson);
        }
        // The order's sum has this refund in it, and what else was asked for.
        if decision.agree && order.refunds.asked > by.role.approval_limit(terms) {
            return Err(RefundError::AboveYourLimit);
        }
        let mut decided = Refund {
            version: refund.version.saturating_add(1),
            approved_by: Some(by.actor.clone()),
            ..refund
        };
        if decision.agree {
            // Somebody else refunded in the meantime, and this does not fit beside it.
            let others = order.refunds.asked.saturating_sub(decided.amount);
            let left = order.amount.saturating_sub(others);
            if decided.amount > left {
                return Err(RefundError::ExceedsRefundable { left });
            }
            let order = as_reviewed(set, cx, order, &mut decided, &by.actor)?;
            initiate(set, cx, &order, &mut decided, (terms, *time_scale))?;
        } else {
            decided.state = RefundState::Rejected;
            let mut order = order
                .cancel_refund(decided.amount, decided.points)
                .map_err(BookingError::from)?;
            // WeChat never heard of it: it is not one of the fifty.
            order.refunds.count = order.refunds.count.saturating_sub(1);
            put_order(set, cx, order, ChangeReason::RefundDropped, Some(&by.actor));
        }
        decision.claim.use_for(set, cx, decided.id.id());
        let why = match (decision.note.is_empty(), decision.agree) {
            (false, _) => decision.note.as_str(),
            (true, true) => "approved",
            (true, false) => "rejected",
        };
        let amount = decided.amount;
        let action = if decision.agree {
            AuditAction::RefundApproved { amount }
        } else {
            AuditAction::RefundRejected { amount }
        };
        audit::note(set, cx, decision.tenant, &by.actor, action, &decided.no());
        put_refund(set, cx, decided.clone(), &by.actor, why);
        Ok(RequestedRefund::new(decided, true))
    }
}

/// The operations by themselves, for tests that need no database.
#[cfg(test)]
pub(crate) mod in_memory {
    use super::{
        CreateRefund, DecideRefund, DecideRefundOperation, PolicyTerms, Refund, RefundError,
        RequestRefund,
    };
    use crate::{
        db::{Operation, batch::memory::Memory},
        payments::TimeScale,
        primitives::Timestamp,
        risk::Evaluation,
    };

    /// Asks for a refund.
    pub(crate) fn ask(
        memory: &mut Memory,
        now: Timestamp,
        request: RequestRefund,
        (evaluation, terms): (Evaluation, PolicyTerms),
    ) -> Result<Refund, RefundError> {
        let operation = CreateRefund {
            request,
            terms,
            time_scale: TimeScale::default(),
            evaluation: Some(evaluation),
        };
        Ok(*memory.decide(now, &operation)??.refund)
    }

    /// Decides on a refund that awaits it.
    pub(crate) fn decide(
        memory: &mut Memory,
        now: Timestamp,
        decision: DecideRefund,
        terms: PolicyTerms,
    ) -> Result<Refund, RefundError> {
        let operation = deciding(decision, terms);
        Ok(*memory.decide(now, &operation)?.refund)
    }

    /// What would be decided; nothing changes.
    pub(crate) fn would_decide(
        memory: &Memory,
        now: Timestamp,
        decision: DecideRefund,
        terms: PolicyTerms,
    ) -> Result<Refund, RefundError> {
        let operation = deciding(decision, terms);
        let decided = memory.dry_run(
            now,
            |want, set| operation.rows(want, set),
            |set, cx| operation.decide(set, cx),
        );
        Ok(*decided?.refund)
    }

    fn deciding(decision: DecideRefund, terms: PolicyTerms) -> DecideRefundOperation {
        DecideRefundOperation {
            decision,
            terms,
            time_scale: TimeScale::default(),
        }
    }
}
