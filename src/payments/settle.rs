//! Settling: order paid + money to the merchant + points to the customer, in one commit, exactly
//! once.

use std::sync::Arc;

use super::{
    Applied, BookingError, CallbackOutcome, ChangeReason, ExceptionKind, Late, LatePayment, Order,
    OrderState, PaidNotice, Payment, Payments, Policy, Refund, RefundError, SettleError,
    booking::{
        book_refund, book_settlement, points_account, put_exception, put_order, put_refund,
        tell_points,
    },
    channel::is_plain,
    credit::{Credit, CreditRisk, evaluate_credit, hold_points},
    find::refunds_of,
    payer::{Payer, who_paid},
    plausible::{Plausible, plausible},
    received_callback::ReceivedCallback,
    store::{AlarmRow, CallbackRow, Callbacks, Orders},
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    ledger::{self, Accounts, LedgerError},
    outbox::{self, Event},
    points::{Budget, Budgets, PointsMove, Rule, Rules},
    primitives::{AccountId, Id, Lane, OrderId, OrderNo, Points, RefundId, TenantId, Timestamp},
    risk::{Evaluation, ReviewPolicy},
};

/// What the channel says of refunds with the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReportedRefund {
    No,
    /// That there is one, perhaps ours.
    Something,
    /// That there is one, and it took none of ours.
    Unexplained,
}

/// The channel says that an order is paid, by callback or by query. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SettlePayment {
    tenant: TenantId,
    notice: Arc<PaidNotice>,
    order: Option<OrderId>,
    /// Whether the notice speaks of our own merchant number and mini-program.
    ours: bool,
    rules: Arc<Rules>,
    policy: Arc<Policy>,
    /// The channel says with the payment that something of it was refunded, and not how much: see
    /// `foreign_refund.rs`.
    refunded: ReportedRefund,
    /// The callback as received; none for a query.
    callback: Option<ReceivedCallback>,
    /// Who paid an order that had no customer.
    payer: Option<Payer>,
    /// What risk says of the points.
    credit_risk: CreditRisk,
    /// Another order here was paid by the same transaction: found when this one was to be written.
    transaction_is_taken: bool,
}

/// What became of a payment that the channel states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleOutcome {
    /// Money and points are in the books, now; the points perhaps pending.
    Now { points: Points },
    /// They were before.
    Before,
    /// Authentic but mismatched: stored with an alarm, nothing credited. The code is stable.
    Rejected(&'static str),
    /// The order has no customer yet: look up who paid and ask again. Nothing was changed.
    PayerNeeded,
}

/// Settles what the channel says, by callback or by query, under the merchant's rule and the policy
/// in force.
pub(super) async fn settle(
    payments: &Payments,
    tenant: TenantId,
    (notice, refunded): (PaidNotice, bool),
    callback: Option<(Id, bytes::Bytes)>,
) -> Result<SettleOutcome, DbError> {
    let order = notice.out_trade_no.parse::<OrderNo>().ok();
    let rules = match order {
        // Whatever can still be found out of the order: it is not earlier than this. (A time that
        // cannot be comes to the order's, or to now, either way.)
        Some(no) => {
            let earned_at = Order::earned_at(no.id(), notice.paid_at, payments.db.now());
            payments.rules.reaching_back(tenant, earned_at).await?
        }
        None => payments.rules.current(tenant).await?,
    };
    let policy = payments.policies.current(tenant).await?;
    let ours = payments.channels.of(tenant).is_ours(&notice);
    let mut operation = SettlePayment::new(tenant, notice, ours, (rules, policy), callback);
    operation.refunded = match operation.order {
        Some(order) if refunded => {
            let ours = refunds_of(&payments.db, tenant, order).await?;
            if ours
                .iter()
                .all(|refund| refund.state.kind().never_reached_channel())
            {
                ReportedRefund::Unexplained
            } else {
                ReportedRefund::Something
            }
        }
        _ => ReportedRefund::No,
    };
    for _ in 0..EVALUATIONS_MAX {
        (operation.credit_risk, operation.payer) = evaluate_credit(
            payments,
            (tenant, operation.order),
            &operation.notice,
            &operation.rules,
        )
        .await?;
        let said = operation.credit_risk.clone();
        let settled = submit_evaluated(payments, tenant, operation.clone()).await?;
        let credited = match &settled {
            Some(SettleOutcome::Now { points }) => Some(!points.is_zero()),
            // Whoever did that has told what became of it. And of an unknown payer nothing was
            // asked.
            Some(SettleOutcome::Before | SettleOutcome::PayerNeeded) => None,
            Some(SettleOutcome::Rejected(_)) | None => Some(false),
        };
        if credited == Some(false)
            && said.was_asked()
            && let Some(order) = operation.order
        {
            payments.recent.evict(order);
        }
        if let Some(credited) = credited {
            said.conclude(credited).await;
        }
        if let Some(settled) = settled {
            return Ok(settled);
        }
    }
    Err(DbError::Unavailable(None))
}

/// How often risk is asked about a payment whose caps move meanwhile, before WeChat is asked to
/// tell it again.
const EVALUATIONS_MAX: usize = 3;

/// Submits with what risk said. None when it was not asked about what is to be credited.
async fn submit_evaluated(
    payments: &Payments,
    tenant: TenantId,
    operation: SettlePayment,
) -> Result<Option<SettleOutcome>, DbError> {
    // Only an order that the merchant showed lacks a customer: its operation is needed a second
    // time.
    let again = operation.clone();
    match submit(payments, operation).await? {
        Some(SettleOutcome::PayerNeeded) => {
            let payer = Some(who_paid(payments, tenant, &again.notice).await?);
            submit(payments, SettlePayment { payer, ..again }).await
        }
        settled => Ok(settled),
    }
}

/// The unique key on WeChat's number of a payment.
const TRANSACTION_KEY: &str = "payment_orders_transaction";

/// None when risk was not asked about what is to be credited.
async fn submit(
    payments: &Payments,
    operation: SettlePayment,
) -> Result<Option<SettleOutcome>, DbError> {
    let mut rejected = operation.clone();
    let outcome = match payments.db.submit(operation).await {
        // One payment for two orders: whichever comes second is wrong, and stays so.
        Err(SubmitError::Db(error)) if error.unique_key().as_deref() == Some(TRANSACTION_KEY) => {
            rejected.transaction_is_taken = true;
            payments.db.submit(rejected).await
        }
        outcome => outcome,
    };
    match outcome {
        Ok(settled) => Ok(Some(settled)),
        Err(SubmitError::Refused(SettleError::NotEvaluated)) => Ok(None),
        Err(SubmitError::Db(error)) => Err(error),
        Err(SubmitError::Refused(SettleError::Booking(refusal))) => {
            tracing::error!(reason = %refusal, "the books refused a settlement");
            Err(DbError::Inconsistent("the books refused a settlement"))
        }
    }
}

impl SettlePayment {
    /// Without risk.
    pub fn new(
        tenant: TenantId,
        notice: PaidNotice,
        ours: bool,
        (rules, policy): (Arc<Rules>, Arc<Policy>),
        callback: Option<(Id, bytes::Bytes)>,
    ) -> Self {
        let order = notice.out_trade_no.parse::<OrderNo>().ok();
        Self {
            tenant,
            notice: Arc::new(notice),
            order: order.map(OrderNo::id),
            ours,
            rules,
            policy,
            refunded: ReportedRefund::No,
            callback: callback.map(|(id, body)| ReceivedCallback { tenant, id, body }),
            payer: None,
            credit_risk: CreditRisk::Off,
            transaction_is_taken: false,
        }
    }

    /// With what risk says of its points, where nobody's review was wanted before.
    #[must_use]
    pub fn evaluated(self, evaluation: Evaluation) -> Self {
        let credit_risk = CreditRisk::Evaluated {
            evaluation,
            review_rules: String::new(),
            terms: ReviewPolicy::default(),
        };
        Self {
            credit_risk,
            ..self
        }
    }

    /// With what risk says, and whether the channel says that something was refunded.
    #[cfg(test)]
    pub(super) fn with(self, credit_risk: CreditRisk, refunded: bool) -> Self {
        let refunded = if refunded {
            ReportedRefund::Something
        } else {
            ReportedRefund::No
        };
        Self {
            refunded,
            credit_risk,
            ..self
        }
    }

    /// Everything of WeChat's list of checks (`docs/wechat-pay.md` §12.7) that the order can tell.
    fn mismatch(&self, order: Option<&Order>) -> Option<&'static str> {
        let Some(order) = order.filter(|order| order.tenant == self.tenant) else {
            return Some("unknown_order");
        };
        if !self.ours {
            return Some("wrong_account");
        }
        if order.sub_mchid != self.notice.sub_mchid {
            return Some("wrong_merchant");
        }
        if !is_plain(&self.notice.wechat_transaction_id, 32) {
            return Some("strange_transaction_id");
        }
        if self.notice.currency != "CNY" {
            return Some("wrong_currency");
        }
        if order.amount != self.notice.amount {
            return Some("wrong_amount");
        }
        let paid = order.state.payment();
        if paid.is_some_and(|paid| paid.wechat_transaction_id != self.notice.wechat_transaction_id)
        {
            return Some("paid_twice");
        }
        if paid.is_none() && self.transaction_is_taken {
            return Some("transaction_of_another_order");
        }
        None
    }

    /// The order with the customer who paid it, which may be known only now.
    fn with_payer(&self, mut order: Order) -> Order {
        if order.customer.is_none()
            && let Some(Payer::Known(customer)) = self.payer
        {
            order.customer = Some(customer);
        }
        order
    }

    /// The instant by whose rule the payment earns, see [`Order::earned_at`].
    fn earned_at(&self, order: &Order, cx: &Cx<'_>) -> Timestamp {
        Order::earned_at(order.id, self.paid_at(order, cx.now()).at, cx.now())
    }

    /// What credits this order: its merchant's rule, or the tenant's, as it was when the customer
    /// paid.
    fn rule_of(&self, order: &Order, cx: &Cx<'_>) -> Rule {
        let at = self.earned_at(order, cx);
        self.rules.in_force(Some(order.merchant), at).rule
    }

    /// What such a rule has handed out, if that matters.
    fn budget(&self, rule: &Rule) -> Option<(TenantId, u32)> {
        let capped = rule.terms.total_cap.is_some();
        capped.then_some((self.tenant, rule.version))
    }

    fn why(&self) -> ChangeReason {
        if self.callback.is_some() {
            ChangeReason::Callback
        } else {
            ChangeReason::Query
        }
    }

    /// What the payment earns, after risk and caps; counts it on the account and the budget. What
    /// is held for a review counts like what is credited: it was earned on this day, and whatever
    /// the review comes to, the caps of the day stay as they are.
    fn earn(
        &self,
        set: &mut WorkingSet,
        cx: &Cx<'_>,
        order: &Order,
    ) -> Result<Points, SettleError> {
        let Some(customer) = order.customer else {
            return Ok(Points::ZERO);
        };
        let overflow = |_| LedgerError::Overflow;
        let rule = self.rule_of(order, cx);
        let terms = &rule.terms;
        if terms.earn(order.amount).is_zero() {
            return Ok(Points::ZERO);
        }
        let account = points_account(set, order);
        let (today, earned_today) = account.earned_by(self.earned_at(order, cx).business_day());
        let none = Budget {
            granted: Points::ZERO,
            version: 0,
        };
        let budget = self
            .budget(&rule)
            .map(|key| (key, set.get::<Budgets>(key).copied().unwrap_or(none)));
        let granted = budget.map_or(Points::ZERO, |(_, budget)| budget.granted);
        let credited = terms.capped(terms.earn(order.amount), earned_today, granted);
        if credited.is_zero() {
            return Ok(credited);
        }
        match self.credit_risk.credit(order, credited)? {
            Credit::Refused => return Ok(Points::ZERO),
            Credit::AtOnce | Credit::Held => {}
        }
        let earned_points = earned_today.checked_add(credited).map_err(overflow)?;
        let counted = account.with_earned(today, earned_points);
        set.put::<Accounts>(AccountId::customer_points(customer), counted);
        if let Some((key, budget)) = budget {
            let counted = Budget {
                granted: budget.granted.checked_add(credited).map_err(overflow)?,
                version: budget.version.saturating_add(1),
            };
            set.put::<Budgets>(key, counted);
        }
        Ok(credited)
    }

    fn payment(&self, cx: &Cx<'_>, order: &Order, points: Points, late: Late) -> Payment {
        let rule = self.rule_of(order, cx);
        Payment {
            paid_at: self.paid_at(order, cx.now()).at,
            wechat_transaction_id: self.notice.wechat_transaction_id.clone(),
            points,
            rule_version: rule.version,
            // Counted from the credit, not from the payment, so that points are not expired when
            // they are credited.
            points_expired_from: rule.terms.expired_from(cx.now().business_day()),
            settled_by: self.callback.as_ref().map(|callback| callback.id),
            late,
        }
    }

    /// When it was paid: as the channel says, if that can be.
    fn paid_at(&self, order: &Order, now: Timestamp) -> Plausible {
        plausible(self.notice.paid_at, order.created_at(), now)
    }

    /// Why the points wait for a person whatever risk says: how much is gone of the money is not
    /// known, or not when it was paid.
    fn hold_reason(&self, order: &Order, now: Timestamp) -> Option<&'static str> {
        if self.refunded == ReportedRefund::No {
            self.paid_at(order, now).odd.map(|_| "implausible_time")
        } else {
            Some("refunded_elsewhere")
        }
    }

    /// What a person must look at of a payment that was just settled.
    fn raise(&self, set: &mut WorkingSet, cx: &Cx<'_>, order: &Order) {
        let about = (Some(order), None);
        if let Some(odd) = self.paid_at(order, cx.now()).odd {
            let detail = format!("WeChat dates the payment {odd}");
            let kind = ExceptionKind::ImplausibleTime;
            put_exception(set, cx, self.tenant, kind, about, detail, None);
        }
        if self.refunded != ReportedRefund::No {
            let detail = "WeChat says that something of it was refunded, and not how much".into();
            let kind = ExceptionKind::ForeignRefund;
            put_exception(set, cx, self.tenant, kind, about, detail, None);
        }
    }

    /// The order is paid here already, and the channel says that something was refunded. Unless a
    /// refund of ours explains it, or it is known, it is noted.
    fn note_refunded(&self, set: &mut WorkingSet, cx: &mut Cx<'_>, order: &Order) {
        if self.refunded != ReportedRefund::No
            && let Ok(Applied::Now(unknown)) =
                order.mark_unknown_refund(self.refunded == ReportedRefund::Unexplained)
        {
            self.raise(set, cx, &unknown);
            put_order(set, cx, unknown, ChangeReason::RefundedElsewhere, None);
        }
    }

    fn settle(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
    ) -> Result<SettleOutcome, SettleError> {
        let points = self.earn(set, cx, order)?;
        let paid = order.pay(self.payment(cx, order, points, Late::No));
        let paid = match paid.map_err(BookingError::from)? {
            Applied::Now(paid) => paid,
            Applied::Before => return Ok(SettleOutcome::Before),
        };
        self.book(set, cx, paid, self.why())?;
        Ok(SettleOutcome::Now { points })
    }

    /// Writes a paid order, its entries, its events, risk's decision and the callback. Returns the
    /// order as it was written.
    fn book(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        mut paid: Order,
        why: ChangeReason,
    ) -> Result<Order, SettleError> {
        let Some(payment) = paid.state.payment().cloned() else {
            let inconsistent = cx.inconsistent("an order is paid without a payment");
            return Err(BookingError::from(inconsistent).into());
        };
        let points = payment.points;
        paid.refunds.unknown = self.refunded != ReportedRefund::No;
        let hold_reason = self.hold_reason(&paid, cx.now());
        let held = !points.is_zero()
            && (self.credit_risk.credit(&paid, points)? == Credit::Held || hold_reason.is_some());
        let at_once = if held { Points::ZERO } else { payment.points };
        let lot = payment.points_expired_from;
        book_settlement(set, cx, &paid, at_once, lot)?;
        if held {
            paid.review = hold_points(set, cx, &paid, &payment, (&self.credit_risk, hold_reason))?;
        } else {
            tell_points(cx, &paid, PointsMove::Earned, payment.points);
        }
        self.credit_risk.note(set, cx, &paid, points);
        self.raise(set, cx, &paid);
        let event = Event::PaymentSettled {
            order: paid.id,
            tenant: paid.tenant,
            version: paid.version,
            merchant: paid.merchant,
            amount: paid.amount,
            points: payment.points,
            paid_at: payment.paid_at,
            why: why.code(),
        };
        outbox::tell(cx, &event);
        set.put::<Orders>(paid.id, paid.clone());
        if let Some(callback) = &self.callback {
            callback.keep(set, cx, CallbackOutcome::Settled, None);
        }
        Ok(paid)
    }

    /// The order had been closed, and WeChat has the money: by policy it counts after all, or it
    /// goes back at once.
    fn settle_late(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
    ) -> Result<SettleOutcome, SettleError> {
        let (late, why, resolution) = match self.policy.terms.late_payment {
            // Somebody was faster, and how much is left to give back is not known: a person gives
            // back the rest.
            LatePayment::Refund if self.refunded != ReportedRefund::No => {
                (Late::Reopened, ChangeReason::LateReopened, None)
            }
            LatePayment::Refund => (Late::Refunded, ChangeReason::LateRefunded, Some("refunded")),
            LatePayment::Reopen => (Late::Reopened, ChangeReason::LateReopened, Some("reopened")),
        };
        let points = match late {
            Late::Reopened => self.earn(set, cx, order)?,
            Late::Refunded | Late::No => Points::ZERO,
        };
        let detail = format!("{} was {} when it was paid", order.no(), order.state.name());
        let paid = order.pay_late(self.payment(cx, order, points, late));
        let paid = paid.map_err(BookingError::from)?;
        let paid = self.book(set, cx, paid, why)?;
        let kind = ExceptionKind::LatePayment;
        if late == Late::Reopened {
            let about = (Some(&paid), None);
            put_exception(set, cx, self.tenant, kind, about, detail, resolution);
            return Ok(SettleOutcome::Now { points });
        }
        let asked = paid
            .request_refund(paid.amount, Points::ZERO)
            .map_err(BookingError::from)?;
        let id = RefundId::new(cx.new_id(paid.id.lane()));
        let mut refund = Refund::of_late_payment(id, &paid, cx.now());
        let shortfall = self.policy.terms.points_shortfall;
        // It takes no points, so that only the books can refuse it.
        book_refund(set, cx, &asked, &mut refund, shortfall).map_err(|refused| {
            if let RefundError::Booking(error) = refused {
                error
            } else {
                cx.inconsistent("a late payment that may not be given back")
                    .into()
            }
        })?;
        let about = (Some(&asked), Some(&refund));
        put_exception(set, cx, self.tenant, kind, about, detail, resolution);
        put_order(set, cx, asked, ChangeReason::RefundAsked, None);
        let by_policy = refund.requested_by.clone();
        let why = "paid after the order was closed";
        put_refund(set, cx, refund, &by_policy, why);
        Ok(SettleOutcome::Now { points })
    }

    /// Keeps a callback that changed nothing, unless it is the one that settled the payment or is
    /// kept as a duplicate already. One that failed before, or was rejected, is a duplicate now.
    fn keep_duplicate(&self, set: &mut WorkingSet, cx: &Cx<'_>, payment: &Payment) {
        let Some(callback) = &self.callback else {
            return;
        };
        if payment.settled_by == Some(callback.id) {
            return;
        }
        // Where the payment was settled in this batch, nobody has looked for the callback. It is
        // taken for new; if it is not, its key refuses the batch, and alone it asks for it.
        let known = callback.kept(set);
        if known.is_none_or(|row| row.outcome != CallbackOutcome::Duplicate) {
            callback.keep(set, cx, CallbackOutcome::Duplicate, None);
        }
    }

    /// Keeps the callback with its reason and an alarm, and tells a person where money may have come
    /// that is in no books.
    fn reject(
        &self,
        set: &mut WorkingSet,
        cx: &Cx<'_>,
        order: Option<&Order>,
        reason: &'static str,
    ) {
        // A query that is asked again and again says it once.
        let Some(callback) = &self.callback else {
            return;
        };
        let alarm = || AlarmRow::of_payment(self.tenant, reason, &self.notice, cx.now());
        if !callback.reject(set, cx, reason, alarm) {
            return;
        }
        let transaction = &self.notice.wechat_transaction_id;
        let (kind, detail) = match reason {
            "paid_twice" => (
                ExceptionKind::PaidTwice,
                format!("a second payment {transaction}"),
            ),
            "transaction_of_another_order" => (
                ExceptionKind::AnswerMismatch,
                format!("WeChat's payment {transaction} paid another order"),
            ),
            _ => return,
        };
        put_exception(set, cx, self.tenant, kind, (order, None), detail, None);
    }
}

impl Operation for SettlePayment {
    type Reply = SettleOutcome;
    type Refusal = SettleError;
    const NAME: &'static str = "payments.settle";
    const URGENT: bool = true;

    fn lane(&self) -> Lane {
        self.order.map_or(Lane(0), |order| order.lane())
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        if let Some(id) = self.order {
            want.row::<Orders>(id);
            let known = set
                .has_loaded::<Orders>(id)
                .then(|| set.get::<Orders>(id))
                .flatten();
            let payer = match self.payer {
                Some(Payer::Known(customer)) => Some(customer),
                Some(Payer::Unknown) | None => None,
            };
            if let Some(customer) = known.and_then(|order| order.customer).or(payer) {
                // Who owes points repays them out of those that this payment earns.
                ledger::want_crediting(want, set, AccountId::customer_points(customer));
            }
            if let Some(order) = known {
                // Which rule it will be, the decision says.
                let candidates = self.rules.candidates(order.merchant);
                for budget in candidates.filter_map(|rule| self.budget(&rule)) {
                    want.row::<Budgets>(budget);
                }
            }
        }
        // What is told of a payment that is settled already is kept once, and an alarm is raised
        // once, however often WeChat repeats itself. Rare, but known only after the order is.
        if let Some(callback) = &self.callback
            && self
                .order
                .is_none_or(|order| set.has_loaded::<Orders>(order))
        {
            let order = self.order.and_then(|order| set.get_loaded::<Orders>(order));
            if self.mismatch(order).is_some() {
                callback.want(want);
            } else if order
                .and_then(|order| order.state.payment())
                .is_some_and(|payment| payment.settled_by != Some(callback.id))
            {
                want.row::<Callbacks>(callback.id);
            }
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<SettleOutcome, SettleError> {
        let order = self.order.and_then(|id| set.get::<Orders>(id)).cloned();
        if let Some(reason) = self.mismatch(order.as_ref()) {
            // What it said is in the books, and does not fit what this process is told of its
            // account: no callback that was taken is rejected afterwards.
            let kept = self.callback.as_ref();
            let kept = kept.and_then(|callback| callback.kept(set));
            if kept.is_some_and(CallbackRow::was_taken) {
                return Ok(SettleOutcome::Before);
            }
            self.reject(set, cx, order.as_ref(), reason);
            return Ok(SettleOutcome::Rejected(reason));
        }
        let Some(order) = order else {
            return Ok(SettleOutcome::Rejected("unknown_order"));
        };
        if let Some(payment) = order.state.payment() {
            self.note_refunded(set, cx, &order);
            self.keep_duplicate(set, cx, payment);
            return Ok(SettleOutcome::Before);
        }
        if order.customer.is_none() && self.payer.is_none() {
            return Ok(SettleOutcome::PayerNeeded);
        }
        let order = self.with_payer(order);
        match &order.state {
            OrderState::Created | OrderState::Prepaid(_) => self.settle(set, cx, &order),
            OrderState::Closed { .. } | OrderState::Expired { .. } => {
                self.settle_late(set, cx, &order)
            }
            OrderState::Paid(_) | OrderState::PartlyRefunded(_) | OrderState::Refunded(_) => {
                Ok(SettleOutcome::Before)
            }
        }
    }
}
