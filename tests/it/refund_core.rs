//! Refunds, and payments that come too late: whatever WeChat says and in which order, the books are
//! right.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::ConnectOptions as _;
use wechat_pay_simulator::Payment;
use zhangfang::{
    audit::Actor,
    idempotency::{Claim, IdempotencyKey},
    payments::{
        self, CloseBy, DecideRefund, HandledCallback, LatePayment, NoticeHeaders, Order,
        OrderStateKind, Payments, PointsShortfall, Refund, RefundBy, RefundError, RefundRole,
        RefundStateKind, RefundStatus, RefusalKind, RequestRefund,
    },
    points,
    primitives::{Clock as _, MockClock, Money, OrderId, OrderNo, SystemClock},
};

use crate::{
    batch::adjust,
    harness::{Channel, ChannelReply, TestApp, eventually},
};

/// What a customer has: posted, held and owed points.
pub(crate) type Has = (i64, i64, i64);

/// A merchant with refunds of its payments, through a channel that follows a script.
pub(crate) struct RefundSetup {
    pub(crate) app: TestApp,
    pub(crate) channel: Arc<Channel>,
    pub(crate) payments: Payments,
    pub(crate) customer: crate::harness::Caller,
    /// Of the merchant.
    pub(crate) owner: crate::harness::Caller,
    pub(crate) code: String,
}

pub(crate) const SUB_MCHID: &str = "1900000140";

impl RefundSetup {
    pub(crate) async fn open() -> Self {
        Self::at(TestApp::without_jobs().await).await
    }

    pub(crate) async fn at(app: TestApp) -> Self {
        let channel = Arc::new(Channel::default());
        let payments = app.through(&channel);
        let merchant = app.merchant("茶里巷", SUB_MCHID).await;
        let customer = app.customer("li").await;
        Self {
            app,
            channel,
            payments,
            customer,
            owner: merchant.owner,
            code: merchant.code,
        }
    }

    /// Another process on the same database, and on the same clock.
    pub(crate) async fn elsewhere(&self, clock: Arc<zhangfang::primitives::MockClock>) -> Payments {
        let options = zhangfang::db::DbOptions::new(self.app.scratch.service.clone());
        Payments {
            db: crate::harness::db_on(options, clock).await,
            ..self.payments.clone()
        }
    }

    /// A payment that has settled.
    pub(crate) async fn paid(&self, amount_fen: i64, key: &str) -> OrderId {
        let no = self
            .app
            .pay(&self.customer, &self.code, amount_fen, key)
            .await;
        no.parse::<OrderNo>().unwrap().id()
    }

    /// A payment of an order that had been closed.
    pub(crate) async fn paid_late(&self, amount_fen: i64, key: &str) -> OrderId {
        let no = self
            .app
            .create(&self.customer, &self.code, amount_fen, key)
            .await;
        let order = no.parse::<OrderNo>().unwrap().id();
        let tenant = self.app.tenant.id;
        let closed = payments::close_payment(&self.payments, tenant, order, CloseBy::Customer);
        let closed = closed.await.unwrap();
        assert_eq!(closed.state.kind(), OrderStateKind::Closed);
        self.app.simulator.pay(&no, Payment::clean()).await.unwrap();
        self.app.settled(&self.customer, &no).await;
        order
    }

    pub(crate) fn request(&self, order: OrderId, fen: Option<i64>, key: &str) -> RequestRefund {
        self.request_by("ops", order, fen, key)
    }

    fn request_by(&self, who: &str, order: OrderId, fen: Option<i64>, key: &str) -> RequestRefund {
        RequestRefund {
            tenant: self.app.tenant.id,
            order,
            amount: fen.map(|fen| Money::parse(fen).unwrap()),
            reason: "不想要了".into(),
            by: by(who),
            claim: self.claim(who, "/refunds", key, &format!("{order} {fen:?}")),
        }
    }

    pub(crate) fn claim(&self, who: &str, route: &str, key: &str, input: &str) -> Claim {
        let key = IdempotencyKey::parse(key).unwrap();
        Claim::new(self.app.tenant.id, who, route, &key, &[input.as_bytes()])
    }

    pub(crate) async fn refund(&self, order: OrderId, fen: Option<i64>, key: &str) -> Refund {
        payments::request_refund(&self.payments, self.request(order, fen, key))
            .await
            .unwrap()
    }

    pub(crate) async fn decide(&self, refund: &Refund, agree: bool, key: &str) -> Refund {
        self.try_decide(refund, agree, key).await.unwrap()
    }

    pub(crate) async fn try_decide(
        &self,
        refund: &Refund,
        agree: bool,
        key: &str,
    ) -> Result<Refund, RefundError> {
        let decision = DecideRefund {
            tenant: self.app.tenant.id,
            refund: refund.id,
            agree,
            note: String::new(),
            by: by("second"),
            claim: self.claim("second", "/decisions", key, &refund.id.to_string()),
        };
        payments::decide_refund(&self.payments, decision).await
    }

    /// A job looks at the refund.
    pub(crate) async fn reconcile(&self, refund: &Refund) -> RefundStateKind {
        self.is_due(refund).await;
        let refund = payments::retry_refund(&self.payments, refund.tenant, refund.id).await;
        refund.unwrap().state.kind()
    }

    /// Its time has come, and nobody is at it any more.
    pub(crate) async fn is_due(&self, refund: &Refund) {
        let due = "UPDATE refunds SET next_attempt_at = '2020-01-01', calling_until = NULL \
                   WHERE id = ? AND next_attempt_at IS NOT NULL";
        let mut owner = self.app.scratch.owner.clone().connect().await.unwrap();
        let due = sqlx::query(due).bind(refund.id).execute(&mut owner).await;
        due.unwrap();
    }

    /// WeChat calls back about the refund.
    pub(crate) async fn called_back(
        &self,
        refund: &Refund,
        status: RefundStatus,
        notice: &str,
    ) -> HandledCallback {
        let order = self.order(refund.order).await;
        let transaction = &order.state.payment().unwrap().wechat_transaction_id;
        self.channel
            .calls_back(refund, status, (SUB_MCHID, transaction), notice);
        let headers = NoticeHeaders {
            timestamp: None,
            nonce: None,
            signature: None,
            serial: None,
            signature_type: None,
        };
        payments::handle_callback(
            &self.payments,
            self.app.tenant.id,
            headers,
            Bytes::from_static(b"{}"),
        )
        .await
        .unwrap()
    }

    pub(crate) async fn order(&self, order: OrderId) -> Order {
        let found = payments::find_order(self.app.db(), self.app.tenant.id, order).await;
        found.unwrap().unwrap().order
    }

    pub(crate) async fn state(&self, order: OrderId) -> OrderStateKind {
        self.order(order).await.state.kind()
    }

    pub(crate) async fn has(&self, order: OrderId) -> Has {
        let customer = self.order(order).await.customer.unwrap();
        let balance = points::balance(self.app.db(), self.app.tenant.id, customer)
            .await
            .unwrap();
        (balance.posted.get(), balance.held.get(), balance.debt.get())
    }

    /// The customer of this order spends points.
    pub(crate) async fn spend(&self, order: OrderId, points: i64) {
        let customer = self.order(order).await.customer.unwrap();
        self.app
            .db()
            .submit(adjust(&self.app, customer, -points))
            .await
            .unwrap();
    }

    /// Everything that can be spent.
    pub(crate) async fn spend_all(&self, order: OrderId) {
        let (posted, held, _) = self.has(order).await;
        self.spend(order, posted - held).await;
    }

    pub(crate) async fn exceptions(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT kind FROM payment_exceptions ORDER BY id")
            .fetch_all(self.app.db().pool())
            .await
            .unwrap()
    }
}

fn by(who: &str) -> RefundBy {
    RefundBy {
        actor: Actor::operator(who),
        role: RefundRole::Operator,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_asked_for_at_once_by_two_processes_never_exceed_what_was_paid() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let other = Payments {
        db: setup.app.another_db().await,
        ..setup.payments.clone()
    };
    let askers: Vec<_> = (0..12)
        .map(|index| {
            let payments = if index % 2 == 0 {
                &setup.payments
            } else {
                &other
            };
            let (payments, request) = (
                payments.clone(),
                setup.request(order, Some(150), &format!("r{index}")),
            );
            tokio::spawn(async move { payments::request_refund(&payments, request).await })
        })
        .collect();
    let mut made = Vec::new();
    for asker in askers {
        match asker.await.unwrap() {
            Ok(refund) => made.push(refund),
            Err(RefundError::ExceedsRefundable { left }) => assert!(left.get() < 150),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(made.len(), 6);
    let again = setup.refund(order, None, "rest").await;
    assert_eq!(again.amount, Money::constant(100));
    // One key is one refund, however often it is used.
    assert_eq!(setup.refund(order, None, "rest").await.id, again.id);
    made.push(again);
    for refund in &made {
        setup
            .channel
            .knows([ChannelReply::Is(RefundStatus::Success)]);
        assert_eq!(setup.reconcile(refund).await, RefundStateKind::Succeeded);
    }
    assert_eq!(setup.state(order).await, OrderStateKind::Refunded);
    assert_eq!(setup.has(order).await, (0, 0, 0));
    let days = "SELECT CAST(SUM(refunded_fen) AS SIGNED) FROM merchant_days WHERE refunds = 7 AND points_back = 10";
    setup.app.verify().await;
    assert_eq!(setup.app.count(days).await, 1_000);
    other.db.close().await;
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_without_an_answer_is_submitted_again_under_its_number_until_it_arrives() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    setup.channel.answers([
        ChannelReply::Nothing,
        ChannelReply::No(RefusalKind::NotEnough),
        ChannelReply::Is(RefundStatus::Processing),
    ]);
    let refund = setup.refund(order, Some(600), "r").await;
    assert_eq!(refund.state.kind(), RefundStateKind::Accepted);
    assert!(refund.attempts.unsure);
    assert_eq!(setup.has(order).await, (10, 6, 0));
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Accepted);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Processing);
    setup.channel.knows([
        ChannelReply::Nothing,
        ChannelReply::Is(RefundStatus::Abnormal),
        ChannelReply::Is(RefundStatus::Processing),
        ChannelReply::Is(RefundStatus::Success),
    ]);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Processing);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Abnormal);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Processing);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Succeeded);
    assert_eq!(setup.state(order).await, OrderStateKind::PartlyRefunded);
    assert_eq!(setup.has(order).await, (4, 0, 0));
    assert_eq!(setup.exceptions().await, ["refund_abnormal"]);
    setup.app.finish().await;
}

/// What one call learns proves nothing while another may still arrive: whoever calls has the refund
/// for longer than that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_not_submitted_while_another_call_may_be_under_way() {
    let clock = Arc::new(MockClock::at(SystemClock.now()));
    let setup = RefundSetup::at(TestApp::on_clock(Arc::clone(&clock), None).await).await;
    let order = setup.paid(1_000, "k").await;
    setup.channel.answers([ChannelReply::Hangs]);
    let (payments, request) = (setup.payments.clone(), setup.request(order, Some(600), "r"));
    let first = tokio::spawn(async move { payments::request_refund(&payments, request).await });
    eventually("the first calls", || async {
        (setup.channel.refund_calls() == 1).then_some(())
    })
    .await;
    // Two deadlines of twelve seconds: the call, and the query after a refusal.
    clock.advance_seconds(30);
    let claimed = payments::claim_refunds(&setup.payments).await.unwrap();
    assert!(claimed.is_empty(), "{claimed:?}");
    let refund: zhangfang::primitives::RefundId = sqlx::query_scalar("SELECT id FROM refunds")
        .fetch_one(setup.app.db().pool())
        .await
        .unwrap();
    let tenant = setup.app.tenant.id;
    // A person who wants it done at once is shown it as it stands.
    let shown = payments::retry_refund(&setup.payments, tenant, refund).await;
    assert_eq!(shown.unwrap().state.kind(), RefundStateKind::Accepted);
    assert_eq!(setup.channel.refund_calls(), 1);
    // It died in the middle. A job takes it over, and has it as long.
    first.abort();
    clock.advance_seconds(31);
    let claimed = payments::claim_refunds(&setup.payments).await.unwrap();
    let claimed: Vec<_> = claimed.iter().map(|claimed| claimed.id).collect();
    assert_eq!(claimed, [refund]);
    clock.advance_seconds(30);
    payments::retry_refund(&setup.payments, tenant, refund)
        .await
        .unwrap();
    assert!(
        payments::claim_refunds(&setup.payments)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(setup.channel.refund_calls(), 1);
    // That one died, too. Now the person's word does.
    clock.advance_seconds(31);
    let answer = payments::retry_refund(&setup.payments, tenant, refund).await;
    assert_eq!(answer.unwrap().state.kind(), RefundStateKind::Processing);
    assert_eq!(setup.channel.refund_calls(), 2);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_wechat_refuses_and_does_not_know_gives_back_money_and_points() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    setup.channel.answers([
        ChannelReply::Nothing,
        ChannelReply::No(RefusalKind::Rejected),
        ChannelReply::No(RefusalKind::Rejected),
    ]);
    setup.channel.knows([
        ChannelReply::No(RefusalKind::Absent),
        ChannelReply::No(RefusalKind::Absent),
    ]);
    let refund = setup.refund(order, None, "r").await;
    // The first attempt got no answer and may still arrive: that WeChat does not have it yet proves
    // nothing.
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Accepted);
    let known = payments::find_refund(setup.app.db(), refund.tenant, refund.id).await;
    let attempts = known.unwrap().unwrap().attempts;
    assert_eq!(attempts.problem.as_deref(), Some("absent_once"));
    let pause = attempts.next_at.unwrap().seconds() - setup.app.app.now().seconds();
    assert!((580..=600).contains(&pause), "{pause}");
    // A person cannot hurry what may still arrive.
    let asked = payments::retry_refund(&setup.payments, refund.tenant, refund.id).await;
    assert_eq!(asked.unwrap().state.kind(), RefundStateKind::Accepted);
    assert_eq!(setup.channel.refund_calls(), 2);
    assert_eq!(setup.order(order).await.refundable(), Money::ZERO);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Failed);
    assert_eq!(setup.has(order).await, (10, 0, 0));
    assert_eq!(
        setup.order(order).await.refundable(),
        Money::constant(1_000)
    );
    assert_eq!(setup.exceptions().await, ["refund_refused"]);
    // Refused, but an earlier attempt was taken: the query says so.
    setup.channel.answers([
        ChannelReply::Nothing,
        ChannelReply::No(RefusalKind::Conflict),
    ]);
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    let refund = setup.refund(order, None, "r2").await;
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Succeeded);
    setup.app.finish().await;
}

/// Two that ask at one moment learn the same: it is the second look that proves something, not the
/// second to look.
#[tokio::test(flavor = "multi_thread")]
async fn what_two_attempts_hear_at_one_moment_counts_once() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let (rejected, absent) = (
        ChannelReply::No(RefusalKind::Rejected),
        ChannelReply::No(RefusalKind::Absent),
    );
    setup
        .channel
        .answers([ChannelReply::Nothing, rejected, rejected, rejected]);
    setup.channel.knows([absent, absent, absent]);
    let refund = setup.refund(order, None, "r").await;
    assert!(refund.attempts.unsure);
    setup.channel.shut();
    let mut attempts = Vec::new();
    for index in 1..=2 {
        // The second takes over from the first, which was slow.
        setup.is_due(&refund).await;
        let (payments, tenant, id) = (setup.payments.clone(), refund.tenant, refund.id);
        let attempt =
            tokio::spawn(async move { payments::retry_refund(&payments, tenant, id).await });
        attempts.push(attempt);
        eventually("it asks what became of it", || async {
            (setup.channel.queries() == index).then_some(())
        })
        .await;
    }
    setup.channel.open();
    for attempt in attempts {
        let answer = attempt.await.unwrap().unwrap();
        assert_eq!(answer.state.kind(), RefundStateKind::Accepted);
    }
    let known = payments::find_refund(setup.app.db(), refund.tenant, refund.id).await;
    let attempts = known.unwrap().unwrap().attempts;
    assert_eq!(attempts.problem.as_deref(), Some("absent_once"));
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Failed);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_another_attempt_has_superseded_undoes_nothing() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    setup.channel.answers([
        ChannelReply::Nothing,
        ChannelReply::No(RefusalKind::Rejected),
    ]);
    let refund = setup.refund(order, None, "r").await;
    setup.channel.shut();
    let (payments, tenant, id) = (setup.payments.clone(), refund.tenant, refund.id);
    setup.is_due(&refund).await;
    let slow = tokio::spawn(async move { payments::retry_refund(&payments, tenant, id).await });
    eventually("the slow one asks", || async {
        (setup.channel.queries() == 1).then_some(())
    })
    .await;
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Processing);
    setup.channel.knows([ChannelReply::No(RefusalKind::Absent)]);
    setup.channel.open();
    slow.await.unwrap().unwrap();
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Succeeded);
    assert!(setup.exceptions().await.is_empty());
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_process_died_may_arrive_whichever_call_it_was() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let rejected = ChannelReply::No(RefusalKind::Rejected);
    setup
        .channel
        .answers([ChannelReply::No(RefusalKind::NotEnough), rejected, rejected]);
    let absent = ChannelReply::No(RefusalKind::Absent);
    setup.channel.knows([absent, absent]);
    let refund = setup.refund(order, None, "r").await;
    // The second call began, and its process came to no end.
    setup
        .app
        .execute("UPDATE refunds SET calls = calls + 1")
        .await;
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Accepted);
    assert_eq!(setup.order(order).await.refundable(), Money::ZERO);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Failed);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_to_a_refund_after_his_claim_does_not_call() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    setup.channel.answers([ChannelReply::Nothing]);
    let refund = setup.refund(order, None, "r").await;
    setup.is_due(&refund).await;
    let slow = payments::claim_refunds(&setup.payments).await.unwrap();
    setup.is_due(&refund).await;
    let next = payments::claim_refunds(&setup.payments).await.unwrap();
    assert_ne!(slow, next);
    let late = payments::reconcile_refund(&setup.payments, slow[0]).await;
    assert_eq!(late.unwrap().state.kind(), RefundStateKind::Accepted);
    assert_eq!(setup.channel.refund_calls(), 1);
    // Nor while the call of another is on its way, however long that one had waited for its turn.
    setup
        .channel
        .answers([ChannelReply::No(RefusalKind::Rejected)]);
    setup.channel.shut();
    let payments = setup.payments.clone();
    let calling = tokio::spawn(async move { payments::reconcile_refund(&payments, next[0]).await });
    eventually("the call is on its way", || async {
        (setup.channel.queries() == 1).then_some(())
    })
    .await;
    let asked = payments::retry_refund(&setup.payments, refund.tenant, refund.id).await;
    assert_eq!(asked.unwrap().state.kind(), RefundStateKind::Accepted);
    assert!(
        payments::claim_refunds(&setup.payments)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(setup.channel.refund_calls(), 2);
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    setup.channel.open();
    let done = calling.await.unwrap().unwrap();
    assert_eq!(done.state.kind(), RefundStateKind::Succeeded);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_before_does_not_undo_what_a_callback_has_said_since() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let refund = setup.refund(order, None, "r").await;
    assert_eq!(refund.state.kind(), RefundStateKind::Processing);
    setup.is_due(&refund).await;
    setup.channel.shut();
    let (payments, tenant, id) = (setup.payments.clone(), refund.tenant, refund.id);
    let slow = tokio::spawn(async move { payments::retry_refund(&payments, tenant, id).await });
    eventually("the slow one asks", || async {
        (setup.channel.queries() == 1).then_some(())
    })
    .await;
    let taken = setup
        .called_back(&refund, RefundStatus::Abnormal, "n1")
        .await;
    assert_eq!(taken, HandledCallback::Refund);
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Processing)]);
    setup.channel.open();
    let asked = slow.await.unwrap().unwrap();
    assert_eq!(asked.state.kind(), RefundStateKind::Abnormal);
    assert_eq!(setup.exceptions().await, ["refund_abnormal"]);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wechat_may_repeat_itself_but_what_cannot_follow_is_for_a_person() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let refund = setup.refund(order, Some(400), "r1").await;
    let success = RefundStatus::Success;
    assert_eq!(
        setup.called_back(&refund, success, "n1").await,
        HandledCallback::Refund
    );
    let posted = setup.has(order).await;
    assert_eq!(posted, (6, 0, 0));
    for notice in ["n1", "n2"] {
        let taken = setup.called_back(&refund, success, notice).await;
        assert_eq!(taken, HandledCallback::Duplicate);
    }
    let late = setup.called_back(&refund, RefundStatus::Processing, "n3");
    assert_eq!(late.await, HandledCallback::Duplicate);

    // What was said on the way may come after the end: it is kept, and nothing else.
    let stale = setup.called_back(&refund, RefundStatus::Abnormal, "n3a");
    assert_eq!(stale.await, HandledCallback::Duplicate);
    assert!(setup.exceptions().await.is_empty());

    let closed = setup.refund(order, Some(200), "r2").await;
    let taken = setup.called_back(&closed, RefundStatus::Closed, "n4").await;
    assert_eq!(taken, HandledCallback::Refund);
    for (status, notice) in [
        (RefundStatus::Abnormal, "n4a"),
        (RefundStatus::Processing, "n4b"),
    ] {
        let stale = setup.called_back(&closed, status, notice);
        assert_eq!(stale.await, HandledCallback::Duplicate);
    }
    let contradiction = HandledCallback::Rejected("refund_contradiction");
    // It was paid after all: from now on that much less is left to refund, and the points are gone
    // with it.
    let taken = setup.called_back(&closed, success, "n5").await;
    assert_eq!(taken, HandledCallback::Refund);
    assert_eq!(setup.order(order).await.refundable(), Money::constant(400));
    let posted = setup.has(order).await;
    assert_eq!(posted, (4, 0, 0));
    let again = setup.called_back(&closed, success, "n5a").await;
    assert_eq!(again, HandledCallback::Duplicate);
    for _ in 0..2 {
        let taken = setup.called_back(&refund, RefundStatus::Closed, "n6").await;
        assert_eq!(taken, contradiction);
    }
    assert_eq!(setup.has(order).await, posted);
    assert_eq!(setup.exceptions().await, ["refund_contradiction"; 2]);
    let alarms = "SELECT COUNT(*) FROM callback_alarms WHERE reason = 'refund_contradiction'";
    assert_eq!(setup.app.count(alarms).await, 2);

    // WeChat takes a refund that was called failed here: nobody may overlook that.
    setup
        .channel
        .answers([ChannelReply::No(RefusalKind::Rejected)]);
    setup.channel.knows([ChannelReply::No(RefusalKind::Absent)]);
    let failed = setup.refund(order, Some(400), "r3").await;
    assert_eq!(failed.state.kind(), RefundStateKind::Failed);
    let taken = setup
        .called_back(&failed, RefundStatus::Processing, "n7")
        .await;
    assert_eq!(taken, HandledCallback::Refund);
    assert_eq!(setup.order(order).await.refundable(), Money::ZERO);
    assert_eq!(setup.has(order).await, posted, "it has not arrived");
    let taken = setup.called_back(&failed, RefundStatus::Closed, "n8").await;
    assert_eq!(taken, HandledCallback::Duplicate, "that is what it is here");
    let taken = setup.called_back(&failed, success, "n9").await;
    assert_eq!(taken, HandledCallback::Refund);
    assert_eq!(setup.state(order).await, OrderStateKind::Refunded);
    assert_eq!(setup.has(order).await, (0, 0, 0));
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_fit_raises_one_exception_and_is_queried_ever_more_rarely() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    setup.channel.answers([
        ChannelReply::Wrong,
        ChannelReply::Wrong,
        ChannelReply::Wrong,
        ChannelReply::Is(RefundStatus::Success),
    ]);
    let refund = setup.refund(order, None, "r").await;
    let mut due = Vec::new();
    for _ in 0..3 {
        let known = payments::find_refund(setup.app.db(), refund.tenant, refund.id).await;
        let known = known.unwrap().unwrap();
        assert_eq!(known.attempts.problem.as_deref(), Some("wrong_amount"));
        due.push(known.attempts.next_at.unwrap().seconds() - setup.app.app.now().seconds());
        setup.reconcile(&refund).await;
    }
    assert!(due[0] < due[1] && due[1] < due[2], "{due:?}");
    assert_eq!(setup.exceptions().await, ["answer_mismatch"]);
    assert_eq!(setup.state(order).await, OrderStateKind::Refunded);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_were_spent_become_a_debt_that_the_next_payment_repays() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k1").await;
    setup.spend(order, 7).await;
    setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success)]);
    let refund = setup.refund(order, None, "r1").await;
    assert_eq!(
        (refund.points.due.get(), refund.points.shortfall.get()),
        (10, 7)
    );
    assert_eq!(setup.has(order).await, (0, 0, 7));
    let next = setup.paid(500, "k2").await;
    assert_eq!(setup.has(next).await, (0, 0, 2));
    let last = setup.paid(500, "k3").await;
    assert_eq!(setup.has(last).await, (3, 0, 0));
    // The shortfall of a refund that does not happen is taken back, unless it was repaid meanwhile.
    setup.spend(last, 3).await;
    let undone = setup.refund(last, None, "r2").await;
    assert_eq!(setup.has(last).await, (5, 5, 5));
    setup.paid(200, "k4").await;
    assert_eq!(setup.has(last).await, (5, 5, 3));
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Closed)]);
    assert_eq!(setup.reconcile(&undone).await, RefundStateKind::Closed);
    assert_eq!(setup.has(last).await, (2, 0, 0));
    setup.app.finish().await;
}

/// The batch that books a shortfall may be the batch in which the next payment settles; whether it
/// is, is luck, so `ledger.rs` has that case alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_settles_beside_a_refund_with_a_shortfall_is_credited() {
    let setup = RefundSetup::open().await;
    for round in 0..8 {
        let order = setup.paid(1_000, &format!("a{round}")).await;
        let (has, _, owed) = setup.has(order).await;
        setup.spend(order, has - owed.min(has)).await;
        let key = format!("r{round}");
        let next = format!("b{round}");
        let pay = setup.paid(300, &next);
        let (refund, _) = tokio::join!(setup.refund(order, None, &key), pay);
        setup
            .channel
            .knows([ChannelReply::Is(RefundStatus::Success)]);
        setup.reconcile(&refund).await;
    }
    let failed = "SELECT COUNT(*) FROM callback_events WHERE outcome = 5";
    assert_eq!(setup.app.count(failed).await, 0);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_policy_a_shortfall_of_points_is_owed_or_the_refund_is_refused() {
    let setup = RefundSetup::open().await;
    setup
        .app
        .set_policy(|terms| terms.points_shortfall = PointsShortfall::Refuse)
        .await;
    let order = setup.paid(1_000, "k").await;
    setup.spend(order, 4).await;
    let refused = payments::request_refund(&setup.payments, setup.request(order, None, "r1")).await;
    assert!(
        matches!(refused, Err(RefundError::PointsSpent { .. })),
        "{refused:?}"
    );
    assert_eq!(
        setup.order(order).await.refundable(),
        Money::constant(1_000)
    );
    setup.refund(order, Some(600), "r2").await;
    setup
        .app
        .set_policy(|terms| terms.points_shortfall = PointsShortfall::Negative)
        .await;
    let refund = setup.refund(order, None, "r3").await;
    assert_eq!(
        (refund.points.due.get(), refund.points.shortfall.get()),
        (4, 4)
    );
    assert_eq!(setup.has(order).await, (10, 10, 4));
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_refund_waits_for_a_second_person() {
    let setup = RefundSetup::open().await;
    setup
        .app
        .set_policy(|terms| terms.refund_review_above = Money::constant(500))
        .await;
    let order = setup.paid(1_000, "k").await;
    let rejected = setup.refund(order, Some(600), "r1").await;
    assert_eq!(rejected.state.kind(), RefundStateKind::AwaitingApproval);
    assert_eq!(setup.order(order).await.refundable(), Money::constant(400));
    let rejected = setup.decide(&rejected, false, "d1").await;
    assert_eq!(rejected.state.kind(), RefundStateKind::Rejected);
    let agreed = setup.refund(order, None, "r2").await;
    let own = DecideRefund {
        tenant: setup.app.tenant.id,
        refund: agreed.id,
        agree: true,
        note: String::new(),
        by: by("ops"),
        claim: setup.claim("ops", "/decisions", "d2", ""),
    };
    let own = payments::decide_refund(&setup.payments, own).await;
    assert!(matches!(own, Err(RefundError::SamePerson)), "{own:?}");
    let agreed = setup.decide(&agreed, true, "d2").await;
    assert_eq!(agreed.state.kind(), RefundStateKind::Processing);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_payment_goes_back_at_once_or_counts_after_all() {
    let setup = RefundSetup::open().await;
    let order = setup.paid_late(1_000, "k1").await;
    assert_eq!(setup.has(order).await, (0, 0, 0));
    let due = payments::claim_refunds(setup.app.app.payments())
        .await
        .unwrap();
    assert_eq!(due.len(), 1);
    let again = payments::claim_refunds(setup.app.app.payments()).await;
    assert!(again.unwrap().is_empty(), "what is claimed is left alone");
    setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success)]);
    let refund = payments::reconcile_refund(&setup.payments, due[0]).await;
    let refund = refund.unwrap();
    assert!(refund.late);
    assert_eq!(refund.state.kind(), RefundStateKind::Succeeded);
    assert_eq!(setup.state(order).await, OrderStateKind::Refunded);

    setup
        .app
        .set_policy(|terms| terms.late_payment = LatePayment::Reopen)
        .await;
    let order = setup.paid_late(2_000, "k2").await;
    assert_eq!(setup.state(order).await, OrderStateKind::Paid);
    assert_eq!(setup.has(order).await, (20, 0, 0));
    assert_eq!(setup.exceptions().await, ["late_payment"; 2]);
    setup.app.finish().await;
}
