//! The order and its transitions. Pure.

use super::PointsBack;
use crate::primitives::{
    BusinessDay, CustomerId, Id, MerchantId, Money, OrderId, OrderNo, Points, Secret, TenantId,
    Timestamp, coded,
};

/// What a customer is to pay to a merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub tenant: TenantId,
    /// Who scanned, or who paid. Nobody yet for an order that the merchant shows
    /// ([`PayMethod::Native`]) until it is paid.
    pub customer: Option<CustomerId>,
    pub merchant: MerchantId,
    /// The collection code that was scanned, if one was.
    pub code: Option<String>,
    pub method: PayMethod,
    /// The merchant's number at WeChat when the order was made; in direct mode the tenant's own.
    pub sub_mchid: String,
    /// What stands in the customer's bill. WeChat wants it to be the same whenever it is asked for
    /// a prepay id.
    pub description: String,
    pub amount: Money,
    pub sharing: OrderSharing,
    pub review: PointsReview,
    pub expires_at: Timestamp,
    /// Counts the changes of the row: 1 when created.
    pub version: u32,
    pub state: OrderState,
    /// All zero until a refund is asked for.
    pub refunds: RefundSums,
}

/// What an order is about, whoever made it: the fields of [`Order`] of the same names.
#[derive(Debug, Clone)]
pub struct OrderTerms {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub sub_mchid: String,
    pub description: String,
    pub amount: Money,
    pub sharing: OrderSharing,
    pub review: PointsReview,
    pub expires_at: Timestamp,
}

coded! {
    /// How it is paid.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum PayMethod {
        /// The customer's mini-program (JSAPI 小程序支付).
        MiniProgram = 1 => "mini_program",
        /// The merchant shows a picture that any WeChat can scan (Native 扫码支付).
        Native = 2 => "native",
    }
}

coded! {
    /// Whether others than the merchant get something of it (分账).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum OrderSharing {
        No = 0 => "no",
        /// WeChat keeps the money frozen until it is shared.
        Wanted = 1 => "wanted",
        /// WeChat was asked, or will be at any moment.
        InProgress = 2 => "in_progress",
        Done = 3 => "done",
    }
}

coded! {
    /// Whether a person, or a time-out, decides on the points that the order earns. The money does
    /// not wait.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum PointsReview {
        No = 0 => "no",
        /// Risk wants them held when the order is paid.
        Wanted = 1 => "wanted",
        /// They are pending.
        Open = 2 => "open",
        /// Decided: credited.
        Credited = 3 => "credited",
        /// Decided, or a refund came first: never to be credited.
        Voided = 4 => "voided",
    }
}

/// The refunds of an order, counted on the order's row, whose version guards them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundSums {
    /// By every refund that counts against the order: awaiting approval, on its way, arrived; made
    /// here or elsewhere. For a while it may be more than was paid: see
    /// [`Order::add_foreign_refund`].
    pub asked: Money,
    /// Arrived.
    pub done: Money,
    /// Points to be given back for what was asked.
    pub points: Points,
    /// Of these, withheld from the review: see [`PointsBack`].
    pub withheld: Points,
    /// Every refund that was asked for and not rejected.
    pub count: u16,
    /// The channel says that somebody else refunded something, and not how much. Nothing more is
    /// refunded before that is known.
    pub unknown: bool,
}

coded! {
    /// Where an order stands. What belongs to a state lives in it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum OrderState as OrderStateKind: Serde {
        Created = 1 => "created",
        Prepaid(PrepayId) = 2 => "prepaid",
        Paid(Payment) = 3 => "paid",
        PartlyRefunded(Payment) = 5 => "partly_refunded",
        Refunded(Payment) = 6 => "refunded",
        /// Closed by a person, or at WeChat.
        Closed { closed_at: Timestamp } = 4 => "closed",
        /// Closed because its time was over.
        Expired { closed_at: Timestamp } = 7 => "expired",
    }
}

/// WeChat's prepay id to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepayId {
    /// `prepay_id`, or for Native the address in the picture.
    pub id: Secret<String>,
    /// It lasts two hours.
    pub at: Timestamp,
}

/// What is known of a payment that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// By WeChat's clock.
    pub paid_at: Timestamp,
    pub wechat_transaction_id: String,
    /// Earned by it. Credited at once, or later, or never, as [`Order::review`] says: see
    /// [`Order::credited_points`].
    pub points: Points,
    pub rule_version: u32,
    /// The first day on which these points have expired: a refund takes them back from this lot
    /// first.
    pub points_expired_from: BusinessDay,
    /// The callback that told; none when a query did.
    pub settled_by: Option<Id>,
    pub late: Late,
}

coded! {
    /// Whether the payment came after the order had been closed, and what the tenant's policy did.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Late {
        No = 0,
        /// Refunded at once; earns nothing.
        Refunded = 1,
        /// Taken as if nothing had been.
        Reopened = 2,
    }
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvent {
    Prepay,
    Pay,
    PayLate,
    Close,
    Expire,
    RequestRefund,
    CompleteRefund,
    CancelRefund,
    ForeignRefund,
    Review,
}

/// A transition that happened now, or had happened before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied<T> {
    Now(T),
    Before,
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} does not apply to an order that is {from:?}")]
pub struct InvalidTransition {
    pub from: OrderStateKind,
    pub event: OrderEvent,
}

/// WeChat's prepay id lasts two hours (`docs/wechat-pay.md` §3); one that has five minutes left is
/// renewed.
const PREPAY_ID_SECONDS: i64 = 115 * 60;

impl PrepayId {
    /// Whether somebody may still be sent to WeChat with it.
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.at.plus_seconds(PREPAY_ID_SECONDS) > now
    }
}

impl RefundSums {
    pub const NONE: Self = Self {
        asked: Money::ZERO,
        done: Money::ZERO,
        points: Points::ZERO,
        withheld: Points::ZERO,
        count: 0,
        unknown: false,
    };
}

impl OrderStateKind {
    /// Whether a history may go from here to there in one step.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Created | Self::Prepaid => matches!(
                next,
                Self::Prepaid | Self::Paid | Self::Closed | Self::Expired
            ),
            // The same state again: a refund was asked for or dropped, the money was shared.
            Self::Paid => matches!(next, Self::Paid | Self::PartlyRefunded | Self::Refunded),
            Self::PartlyRefunded => matches!(next, Self::PartlyRefunded | Self::Refunded),
            // What was frozen for sharing is released.
            Self::Refunded => matches!(next, Self::Refunded),
            // Late.
            Self::Closed | Self::Expired => matches!(next, Self::Paid),
        }
    }

    /// Whether money came in.
    pub const fn is_paid(self) -> bool {
        matches!(self, Self::Paid | Self::PartlyRefunded | Self::Refunded)
    }
}

impl OrderState {
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// The payment, if one was made.
    pub const fn payment(&self) -> Option<&Payment> {
        match self {
            Self::Paid(payment) | Self::PartlyRefunded(payment) | Self::Refunded(payment) => {
                Some(payment)
            }
            Self::Created | Self::Prepaid(_) | Self::Closed { .. } | Self::Expired { .. } => None,
        }
    }

    /// When it was closed, if it was.
    pub const fn closed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Closed { closed_at } | Self::Expired { closed_at } => Some(*closed_at),
            Self::Created
            | Self::Prepaid(_)
            | Self::Paid(_)
            | Self::PartlyRefunded(_)
            | Self::Refunded(_) => None,
        }
    }

    fn refuse(&self, event: OrderEvent) -> InvalidTransition {
        InvalidTransition {
            from: self.kind(),
            event,
        }
    }
}

impl Order {
    /// A customer has scanned a collection code and asks to pay.
    pub fn scanned(id: OrderId, customer: CustomerId, code: String, terms: OrderTerms) -> Self {
        Self {
            customer: Some(customer),
            code: Some(code),
            ..Self::created(id, PayMethod::MiniProgram, terms)
        }
    }

    /// A merchant shows it to whoever will pay.
    pub fn shown(id: OrderId, terms: OrderTerms) -> Self {
        Self::created(id, PayMethod::Native, terms)
    }

    fn created(id: OrderId, method: PayMethod, terms: OrderTerms) -> Self {
        let OrderTerms {
            tenant,
            merchant,
            sub_mchid,
            description,
            amount,
            sharing,
            review,
            expires_at,
        } = terms;
        Self {
            id,
            tenant,
            customer: None,
            merchant,
            code: None,
            method,
            sub_mchid,
            description,
            amount,
            sharing,
            review,
            expires_at,
            version: 1,
            state: OrderState::Created,
            refunds: RefundSums::NONE,
        }
    }

    pub fn no(&self) -> OrderNo {
        self.id.into()
    }

    /// To the millisecond: it stands in the id.
    pub fn created_at(&self) -> Timestamp {
        self.id.id().minted_at()
    }

    /// The instant by whose rule the payment earns, and on whose day it counts against a daily cap:
    /// when the customer paid, by WeChat's clock and whenever we are told; not earlier than the
    /// order, for WeChat tells whole seconds, and not later than `settled_at`, should clocks
    /// disagree.
    #[must_use]
    pub fn earned_at(id: OrderId, paid_at: Timestamp, settled_at: Timestamp) -> Timestamp {
        // The id tells a millisecond, a rule a microsecond: the order is no older than its last.
        let made_by = Timestamp::from_micros(id.id().minted_at().micros().saturating_add(999));
        paid_at.max(made_by).min(settled_at)
    }

    /// Whether it can still be paid, or closed.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, OrderState::Created | OrderState::Prepaid(_))
    }

    /// What can still be asked back. Nothing while nobody knows what others have given back.
    pub fn refundable(&self) -> Money {
        match &self.state {
            OrderState::Paid(_) | OrderState::PartlyRefunded(_) if self.refunds.unknown => {
                Money::ZERO
            }
            OrderState::Paid(_) | OrderState::PartlyRefunded(_) => {
                self.amount.saturating_sub(self.refunds.asked)
            }
            OrderState::Created
            | OrderState::Prepaid(_)
            | OrderState::Refunded(_)
            | OrderState::Closed { .. }
            | OrderState::Expired { .. } => Money::ZERO,
        }
    }

    fn become_state(&self, state: OrderState) -> Self {
        Self {
            version: self.version.saturating_add(1),
            state,
            ..self.clone()
        }
    }

    /// Notes WeChat's prepay id. The prepay id that is noted already changes nothing.
    pub fn prepay(&self, prepay_id: PrepayId) -> Result<Applied<Self>, InvalidTransition> {
        match &self.state {
            OrderState::Prepaid(known) if known.id == prepay_id.id => Ok(Applied::Before),
            OrderState::Created | OrderState::Prepaid(_) => Ok(Applied::Now(
                self.become_state(OrderState::Prepaid(prepay_id)),
            )),
            OrderState::Paid(_)
            | OrderState::PartlyRefunded(_)
            | OrderState::Refunded(_)
            | OrderState::Closed { .. }
            | OrderState::Expired { .. } => Err(self.state.refuse(OrderEvent::Prepay)),
        }
    }

    /// Accepts that WeChat states the order to be paid. Stated again it changes nothing; another
    /// transaction for a paid order is refused, and so is any for one that was closed: see
    /// [`Order::pay_late`].
    pub fn pay(&self, payment: Payment) -> Result<Applied<Self>, InvalidTransition> {
        match &self.state {
            OrderState::Created | OrderState::Prepaid(_) => {
                Ok(Applied::Now(self.become_state(OrderState::Paid(payment))))
            }
            OrderState::Paid(known)
            | OrderState::PartlyRefunded(known)
            | OrderState::Refunded(known)
                if known.wechat_transaction_id == payment.wechat_transaction_id =>
            {
                Ok(Applied::Before)
            }
            OrderState::Paid(_)
            | OrderState::PartlyRefunded(_)
            | OrderState::Refunded(_)
            | OrderState::Closed { .. }
            | OrderState::Expired { .. } => Err(self.state.refuse(OrderEvent::Pay)),
        }
    }

    /// Accepts a payment of an order that was closed: WeChat has the money, so the books must.
    pub fn pay_late(&self, payment: Payment) -> Result<Self, InvalidTransition> {
        match &self.state {
            OrderState::Closed { .. } | OrderState::Expired { .. } => {
                Ok(self.become_state(OrderState::Paid(payment)))
            }
            OrderState::Created
            | OrderState::Prepaid(_)
            | OrderState::Paid(_)
            | OrderState::PartlyRefunded(_)
            | OrderState::Refunded(_) => Err(self.state.refuse(OrderEvent::PayLate)),
        }
    }

    /// Closes the order, because somebody wants it, or WeChat did.
    pub fn close(&self, at: Timestamp) -> Result<Applied<Self>, InvalidTransition> {
        self.end(OrderState::Closed { closed_at: at }, OrderEvent::Close)
    }

    /// Closes the order, because its time is over.
    pub fn expire(&self, at: Timestamp) -> Result<Applied<Self>, InvalidTransition> {
        self.end(OrderState::Expired { closed_at: at }, OrderEvent::Expire)
    }

    fn end(
        &self,
        state: OrderState,
        event: OrderEvent,
    ) -> Result<Applied<Self>, InvalidTransition> {
        match &self.state {
            OrderState::Created | OrderState::Prepaid(_) => {
                Ok(Applied::Now(self.become_state(state)))
            }
            OrderState::Closed { .. } | OrderState::Expired { .. } => Ok(Applied::Before),
            OrderState::Paid(_) | OrderState::PartlyRefunded(_) | OrderState::Refunded(_) => {
                Err(self.state.refuse(event))
            }
        }
    }

    /// Requests a refund: counts its amount and points against the order. The amount must be
    /// refundable.
    pub fn request_refund(&self, amount: Money, points: Points) -> Result<Self, InvalidTransition> {
        let refused = self.state.refuse(OrderEvent::RequestRefund);
        if amount > self.refundable() || amount == Money::ZERO {
            return Err(refused);
        }
        let refunds = RefundSums {
            asked: self
                .refunds
                .asked
                .checked_add(amount)
                .map_err(|_| refused)?,
            points: self
                .refunds
                .points
                .checked_add(points)
                .map_err(|_| refused)?,
            count: self.refunds.count.saturating_add(1),
            ..self.refunds
        };
        Ok(Self {
            refunds,
            ..self.become_state(self.state.clone())
        })
    }

    /// Counts a foreign refund against the order. It has happened, so it is no question whether it
    /// may: only what cannot be, because more would have arrived than was paid, is refused. A
    /// refund of ours that does not fit beside it any more counts against the order until the
    /// channel has refused it.
    pub fn add_foreign_refund(
        &self,
        amount: Money,
        points: Points,
    ) -> Result<Self, InvalidTransition> {
        let refused = self.state.refuse(OrderEvent::ForeignRefund);
        let fits = |sum: Money, most: Money| sum.checked_add(amount).is_ok_and(|sum| sum <= most);
        let twice = self.amount.checked_add(self.amount).map_err(|_| refused)?;
        if !self.state.kind().is_paid()
            || amount == Money::ZERO
            || !fits(self.refunds.done, self.amount)
            || !fits(self.refunds.asked, twice)
        {
            return Err(refused);
        }
        let (asked, back) = (self.refunds.asked, self.refunds.points);
        let refunds = RefundSums {
            asked: asked.checked_add(amount).map_err(|_| refused)?,
            points: back.checked_add(points).map_err(|_| refused)?,
            count: self.refunds.count.saturating_add(1),
            unknown: false,
            ..self.refunds
        };
        Ok(Self {
            refunds,
            ..self.become_state(self.state.clone())
        })
    }

    /// The channel says that something of it was refunded, nothing here explains it, and how much
    /// it was is not said. Refunds that were asked for here explain it, unless it is known of all
    /// (`unexplained`) that the channel never took them.
    pub fn mark_unknown_refund(
        &self,
        unexplained: bool,
    ) -> Result<Applied<Self>, InvalidTransition> {
        if !self.state.kind().is_paid() {
            return Err(self.state.refuse(OrderEvent::ForeignRefund));
        }
        let explained = if unexplained {
            !self.refunds.asked.is_zero()
        } else {
            self.refunds.count > 0
        };
        if self.refunds.unknown || explained {
            return Ok(Applied::Before);
        }
        let mut unknown = self.become_state(self.state.clone());
        unknown.refunds.unknown = true;
        Ok(Applied::Now(unknown))
    }

    /// A refund that counted against the order has arrived.
    pub fn complete_refund(&self, amount: Money) -> Result<Self, InvalidTransition> {
        let refused = self.state.refuse(OrderEvent::CompleteRefund);
        let payment = match &self.state {
            OrderState::Paid(payment) | OrderState::PartlyRefunded(payment) => payment.clone(),
            OrderState::Created
            | OrderState::Prepaid(_)
            | OrderState::Refunded(_)
            | OrderState::Closed { .. }
            | OrderState::Expired { .. } => return Err(refused),
        };
        let done = self.refunds.done.checked_add(amount).map_err(|_| refused)?;
        if done > self.refunds.asked || done > self.amount {
            return Err(refused);
        }
        let state = if done == self.amount {
            OrderState::Refunded(payment)
        } else {
            OrderState::PartlyRefunded(payment)
        };
        Ok(Self {
            refunds: RefundSums {
                done,
                ..self.refunds
            },
            ..self.become_state(state)
        })
    }

    /// A refund counts no more: it was rejected, or it will not happen.
    pub fn cancel_refund(
        &self,
        amount: Money,
        back: PointsBack,
    ) -> Result<Self, InvalidTransition> {
        let refused = self.state.refuse(OrderEvent::CancelRefund);
        let asked = self
            .refunds
            .asked
            .checked_sub(amount)
            .map_err(|_| refused)?;
        if asked < self.refunds.done {
            return Err(refused);
        }
        let less = |sum: Points, back: Points| sum.checked_sub(back).map_err(|_| refused);
        Ok(Self {
            refunds: RefundSums {
                asked,
                points: less(self.refunds.points, back.due)?,
                withheld: less(self.refunds.withheld, back.withheld)?,
                ..self.refunds
            },
            ..self.become_state(self.state.clone())
        })
    }

    /// The review of its points is decided, or a refund has ended it. The state stays.
    pub fn reviewed(&self, released: bool) -> Result<Self, InvalidTransition> {
        match self.review {
            PointsReview::Open => Ok(Self {
                review: if released {
                    PointsReview::Credited
                } else {
                    PointsReview::Voided
                },
                ..self.become_state(self.state.clone())
            }),
            PointsReview::No
            | PointsReview::Wanted
            | PointsReview::Credited
            | PointsReview::Voided => Err(self.state.refuse(OrderEvent::Review)),
        }
    }

    /// Whether a review of the points is open.
    pub fn is_under_review(&self) -> bool {
        self.review == PointsReview::Open
    }

    /// Of the points that the payment earned, those that were credited: none while they are under
    /// review, none if they were voided, and not what goes back with refunds that were initiated
    /// before they were credited.
    pub fn credited_points(&self) -> Points {
        let earned = self.state.payment().map(|payment| payment.points);
        match self.review {
            PointsReview::No | PointsReview::Wanted | PointsReview::Credited => earned
                .unwrap_or(Points::ZERO)
                .saturating_sub(self.refunds.withheld),
            PointsReview::Open | PointsReview::Voided => Points::ZERO,
        }
    }

    /// Moves the sharing of its money on. The state stays.
    #[must_use]
    pub fn share(&self, sharing: OrderSharing) -> Self {
        Self {
            sharing,
            ..self.become_state(self.state.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane};

    fn order(state: OrderState) -> Order {
        let id = Id::mint(1_795_000_000_000, 7, Lane(1));
        let refunds = match state.kind() {
            OrderStateKind::PartlyRefunded => sums(40),
            OrderStateKind::Refunded => sums(100),
            OrderStateKind::Created
            | OrderStateKind::Prepaid
            | OrderStateKind::Paid
            | OrderStateKind::Closed
            | OrderStateKind::Expired => RefundSums::NONE,
        };
        Order {
            id: OrderId::new(id),
            tenant: TenantId(1),
            customer: Some(CustomerId::new(id)),
            merchant: MerchantId::new(id),
            code: Some("0123456789AB".into()),
            method: PayMethod::MiniProgram,
            sub_mchid: "1900000109".into(),
            description: "茶里巷".into(),
            amount: fen(100),
            sharing: OrderSharing::No,
            review: PointsReview::No,
            expires_at: Timestamp::from_micros(0),
            version: 1,
            state,
            refunds,
        }
    }

    fn fen(units: i64) -> Money {
        Money::parse(units).unwrap()
    }

    fn sums(done: i64) -> RefundSums {
        RefundSums {
            asked: fen(done),
            done: fen(done),
            ..RefundSums::NONE
        }
    }

    fn payment(transaction: &str) -> Payment {
        Payment {
            paid_at: Timestamp::from_micros(1),
            wechat_transaction_id: transaction.into(),
            points: Points::ZERO,
            rule_version: 1,
            points_expired_from: BusinessDay::NEVER,
            settled_by: None,
            late: Late::No,
        }
    }

    fn prepay_id(text: &str) -> PrepayId {
        PrepayId {
            id: Secret::new(text.to_owned()),
            at: Timestamp::from_micros(1),
        }
    }

    fn all_states() -> [OrderState; 7] {
        let closed_at = Timestamp::from_micros(1);
        [
            OrderState::Created,
            OrderState::Prepaid(prepay_id("a")),
            OrderState::Paid(payment("T1")),
            OrderState::PartlyRefunded(payment("T1")),
            OrderState::Refunded(payment("T1")),
            OrderState::Closed { closed_at },
            OrderState::Expired { closed_at },
        ]
    }

    /// Walks every state and event; the table is the one in the module's text.
    #[test]
    fn every_state_meets_every_event() {
        let at = Timestamp::from_micros(1);
        let now = |outcome: Result<Order, InvalidTransition>| outcome.map(Applied::Now);
        let mut table = String::new();
        for state in all_states() {
            let order = order(state);
            let outcomes = [
                order.prepay(prepay_id("b")),
                order.pay(payment("T1")),
                order.pay(payment("T2")),
                now(order.pay_late(payment("T1"))),
                order.close(at),
                order.expire(at),
            ];
            table.push_str(order.state.name());
            for outcome in outcomes {
                table.push(' ');
                table.push_str(match outcome {
                    Ok(Applied::Now(next)) => {
                        assert_eq!(next.version, 2);
                        assert!(order.state.kind().may_become(next.state.kind()));
                        next.state.name()
                    }
                    Ok(Applied::Before) => "before",
                    Err(_) => "refused",
                });
            }
            table.push('\n');
        }
        assert_eq!(
            table,
            "created prepaid paid paid refused closed expired\n\
             prepaid prepaid paid paid refused closed expired\n\
             paid refused before refused refused refused refused\n\
             partly_refunded refused before refused refused refused refused\n\
             refunded refused before refused refused refused refused\n\
             closed refused refused refused paid before before\n\
             expired refused refused refused paid before before\n"
        );
    }

    #[test]
    fn refunds_never_exceed_what_was_paid() {
        for state in all_states() {
            let order = order(state);
            let left = order.refundable();
            assert!(
                order
                    .request_refund(left.checked_add(fen(1)).unwrap(), Points::ZERO)
                    .is_err()
            );
            assert!(order.request_refund(Money::ZERO, Points::ZERO).is_err());
            let kind = order.state.kind();
            let takes = matches!(kind, OrderStateKind::Paid | OrderStateKind::PartlyRefunded);
            assert_eq!(left > Money::ZERO, takes, "{kind:?}");
        }
    }

    #[test]
    fn a_review_is_decided_once_and_only_what_it_released_is_credited() {
        let mut paid = order(OrderState::Paid(Payment {
            points: Points::constant(9),
            ..payment("T1")
        }));
        for review in [
            PointsReview::No,
            PointsReview::Wanted,
            PointsReview::Credited,
            PointsReview::Voided,
        ] {
            paid.review = review;
            assert!(paid.reviewed(true).is_err() && paid.reviewed(false).is_err());
        }
        paid.review = PointsReview::Open;
        assert_eq!(paid.credited_points(), Points::ZERO);
        let (released, voided) = (paid.reviewed(true).unwrap(), paid.reviewed(false).unwrap());
        assert_eq!((released.version, voided.version), (2, 2));
        assert_eq!(released.credited_points(), Points::constant(9));
        assert_eq!(voided.credited_points(), Points::ZERO);
    }

    #[test]
    fn what_others_refund_counts_although_a_refund_of_ours_does_not_fit_beside_it() {
        let paid = order(OrderState::Paid(payment("T1")));
        let Ok(Applied::Now(unknown)) = paid.mark_unknown_refund(false) else {
            panic!("nothing explains it")
        };
        assert_eq!(unknown.refundable(), Money::ZERO);
        assert!(unknown.request_refund(fen(1), Points::ZERO).is_err());
        assert_eq!(unknown.mark_unknown_refund(false), Ok(Applied::Before));
        let known = unknown.add_foreign_refund(fen(30), Points::ZERO).unwrap();
        assert_eq!(known.refundable(), fen(70));
        // Ours is on its way, and theirs has happened.
        let ours = known.request_refund(fen(70), Points::ZERO).unwrap();
        assert_eq!(ours.mark_unknown_refund(false), Ok(Applied::Before));
        assert_eq!(ours.mark_unknown_refund(true), Ok(Applied::Before));
        let both = ours.add_foreign_refund(fen(60), Points::ZERO).unwrap();
        assert_eq!(both.refundable(), Money::ZERO);
        let theirs = both.complete_refund(fen(60)).unwrap();
        let theirs = theirs.complete_refund(fen(30)).unwrap();
        assert!(
            theirs.complete_refund(fen(70)).is_err(),
            "more than was paid"
        );
        assert!(theirs.add_foreign_refund(fen(11), Points::ZERO).is_err());
        let dropped = theirs.cancel_refund(fen(70), PointsBack::NONE).unwrap();
        assert_eq!(dropped.refundable(), fen(10));
        let unpaid = order(OrderState::Created);
        assert!(unpaid.add_foreign_refund(fen(1), Points::ZERO).is_err());
        assert!(unpaid.mark_unknown_refund(false).is_err());
    }

    #[test]
    fn a_refund_is_asked_for_and_arrives_or_is_dropped() {
        let paid = order(OrderState::Paid(payment("T1")));
        let asked = paid.request_refund(fen(60), Points::ZERO).unwrap();
        assert_eq!(
            (asked.state.kind(), asked.refundable()),
            (OrderStateKind::Paid, fen(40))
        );
        assert!(asked.request_refund(fen(41), Points::ZERO).is_err());
        let partly = asked.complete_refund(fen(60)).unwrap();
        assert_eq!(partly.state.kind(), OrderStateKind::PartlyRefunded);
        assert!(
            partly.complete_refund(fen(1)).is_err(),
            "nothing is on the table"
        );
        let again = partly.request_refund(fen(40), Points::ZERO).unwrap();
        let dropped = again.cancel_refund(fen(40), PointsBack::NONE).unwrap();
        assert_eq!(
            dropped.refunds,
            RefundSums {
                count: 2,
                ..partly.refunds
            }
        );
        assert!(dropped.cancel_refund(fen(1), PointsBack::NONE).is_err());
        let whole = again.complete_refund(fen(40)).unwrap();
        assert_eq!(whole.state.kind(), OrderStateKind::Refunded);
        assert!(whole.add_foreign_refund(fen(1), Points::ZERO).is_err());
        assert_eq!(whole.mark_unknown_refund(false), Ok(Applied::Before));
        assert_eq!(whole.refundable(), Money::ZERO);
    }
}
