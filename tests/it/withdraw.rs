//! Refunds that WeChat does not take, and people who take them back: never one that WeChat may
//! have.

use std::sync::Arc;

use serde_json::json;
use zhangfang::{
    audit::Actor,
    payments::{
        self, Payments, Refund, RefundError, RefundStateKind, RefundStatus, RefusalKind,
        WithdrawRefund,
    },
    primitives::{Clock as _, MockClock, Money, SystemClock},
};

use crate::{
    harness::{ChannelReply, TestApp, eventually},
    refund_core::RefundSetup,
};

/// A setup on a clock that the test turns.
struct Counter {
    setup: RefundSetup,
    clock: Arc<MockClock>,
}

const NOT_ENOUGH: ChannelReply = ChannelReply::No(RefusalKind::NotEnough);
const ABSENT: ChannelReply = ChannelReply::No(RefusalKind::Absent);

impl Counter {
    async fn open() -> Self {
        let clock = Arc::new(MockClock::at(SystemClock.now()));
        let app = TestApp::on_clock(Arc::clone(&clock), None).await;
        let setup = RefundSetup::at(app).await;
        Self { setup, clock }
    }

    /// A refund that WeChat refuses for want of money.
    async fn refused(&self, fen: i64, key: &str) -> Refund {
        let order = self.setup.paid(1_000, key).await;
        self.setup.channel.answers([NOT_ENOUGH]);
        let refund = self.setup.refund(order, Some(fen), key).await;
        assert_eq!(refund.state.kind(), RefundStateKind::Accepted);
        refund
    }

    fn request(&self, who: &str, refund: &Refund, key: &str) -> WithdrawRefund {
        WithdrawRefund {
            tenant: self.setup.app.tenant.id,
            refund: refund.id,
            reason: "余额不足，线下退款".into(),
            by: Actor::operator(who),
            claim: self
                .setup
                .claim(who, "/withdrawals", key, &refund.id.to_string()),
        }
    }

    async fn withdraw(&self, who: &str, refund: &Refund, key: &str) -> Result<Refund, RefundError> {
        payments::withdraw_refund(&self.setup.payments, self.request(who, refund, key)).await
    }

    /// As long as a call can live, and more.
    fn wait(&self) {
        self.clock.advance_seconds(61);
    }

    async fn exceptions(&self) -> Vec<(String, Option<String>)> {
        sqlx::query_as("SELECT kind, resolution FROM payment_exceptions ORDER BY id")
            .fetch_all(self.setup.app.db().pool())
            .await
            .unwrap()
    }

    async fn audited(&self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT action FROM audit_logs WHERE action LIKE 'refund.withdraw%' ORDER BY id",
        )
        .fetch_all(self.setup.app.db().pool())
        .await
        .unwrap()
    }
}

fn kind_of(answer: &Result<Refund, RefundError>) -> RefundStateKind {
    match answer {
        Ok(refund) => refund.state.kind(),
        Err(RefundError::NotWithdrawable(kind)) => *kind,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_refused_repeatedly_raises_one_exception_and_can_be_withdrawn() {
    let counter = Counter::open().await;
    let refund = counter.refused(600, "k").await;
    let setup = &counter.setup;
    for attempt in 2..=10 {
        let expected = u32::from(attempt > 8);
        let open = counter.exceptions().await;
        assert_eq!(
            u32::try_from(open.len()).unwrap(),
            expected,
            "attempt {attempt}"
        );
        setup.channel.answers([NOT_ENOUGH]);
        counter.clock.advance_seconds(30);
        assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Accepted);
    }
    assert_eq!(
        counter.exceptions().await,
        [("refund_stuck".to_owned(), None)]
    );
    // The last attempt was a moment ago: WeChat may still take it.
    let early = counter.withdraw("lin", &refund, "w0").await;
    assert!(
        matches!(early, Err(RefundError::CallInProgress)),
        "{early:?}"
    );
    assert_eq!(setup.channel.queries(), 0);
    counter.wait();
    // A query without an answer, or one that is refused, proves nothing.
    setup.channel.knows([
        ChannelReply::Nothing,
        ChannelReply::No(RefusalKind::Rejected),
        ABSENT,
    ]);
    let unknown = counter.withdraw("lin", &refund, "w1").await;
    assert!(matches!(unknown, Err(RefundError::ChannelUnknown)));
    let refused = counter.withdraw("lin", &refund, "w1").await;
    assert!(matches!(refused, Err(RefundError::ChannelRefused(_))));
    let done = counter.withdraw("lin", &refund, "w1").await.unwrap();
    assert_eq!(done.state.kind(), RefundStateKind::Withdrawn);
    assert_eq!(done.attempts.next_at, None);
    assert_eq!(setup.has(refund.order).await, (10, 0, 0));
    let left = setup.order(refund.order).await.refundable();
    assert_eq!(left, Money::constant(1_000));
    assert_eq!(
        counter.exceptions().await,
        [("refund_stuck".to_owned(), Some("withdrawn".to_owned()))]
    );
    // The key gives what it gave, another key finds nothing to withdraw, and no job does anything
    // more.
    let again = counter.withdraw("lin", &refund, "w1").await;
    assert_eq!(again.unwrap().state.kind(), RefundStateKind::Withdrawn);
    let other = counter.withdraw("wang", &refund, "w2").await;
    assert_eq!(kind_of(&other), RefundStateKind::Withdrawn);
    let calls = setup.channel.refund_calls();
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Withdrawn);
    counter.clock.advance_seconds(7_200);
    assert!(
        payments::claim_refunds(&setup.payments)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(setup.channel.refund_calls(), calls);
    assert_eq!(counter.audited().await, ["refund.withdrawn"]);
    counter.setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_call_may_arrive_for_ten_minutes() {
    let counter = Counter::open().await;
    let setup = &counter.setup;
    let order = setup.paid(1_000, "k").await;
    setup.channel.answers([ChannelReply::Nothing]);
    let lost = setup.refund(order, Some(600), "r1").await;
    // A process that dies in the middle of a call counts no attempt.
    setup.channel.answers([NOT_ENOUGH]);
    let killed = setup.refund(order, Some(400), "r2").await;
    let begun = "UPDATE refunds SET calls = calls + 1 WHERE amount_fen = 400";
    setup.app.execute(begun).await;
    counter.wait();
    for refund in [&lost, &killed] {
        let early = counter
            .withdraw("lin", refund, &format!("early-{}", refund.no()))
            .await;
        assert!(
            matches!(early, Err(RefundError::CallInProgress)),
            "{early:?}"
        );
    }
    assert_eq!(setup.channel.queries(), 0);
    counter.clock.advance_seconds(540);
    setup.channel.knows([ABSENT, ABSENT]);
    for refund in [&lost, &killed] {
        let done = counter
            .withdraw("lin", refund, &format!("later-{}", refund.no()))
            .await;
        assert_eq!(kind_of(&done), RefundStateKind::Withdrawn);
    }
    counter.setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shortfall_of_a_withdrawn_refund_is_repaid() {
    let counter = Counter::open().await;
    let setup = &counter.setup;
    let order = setup.paid(1_000, "k").await;
    setup.spend_all(order).await;
    setup.channel.answers([NOT_ENOUGH]);
    let refund = setup.refund(order, None, "r").await;
    assert_eq!(setup.has(order).await, (10, 10, 10));
    counter.wait();
    setup.channel.knows([ABSENT]);
    let done = counter.withdraw("lin", &refund, "w").await.unwrap();
    assert_eq!(done.state.kind(), RefundStateKind::Withdrawn);
    assert_eq!(setup.has(order).await, (0, 0, 0));
    counter.setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_refund_is_withdrawn_by_two() {
    let counter = Counter::open().await;
    let setup = &counter.setup;
    setup
        .app
        .set_policy(|terms| terms.refund_review_above = Money::constant(500))
        .await;
    let order = setup.paid(1_000, "k").await;
    let refund = setup.refund(order, Some(600), "r").await;
    setup.channel.answers([NOT_ENOUGH]);
    let refund = setup.decide(&refund, true, "d").await;
    assert_eq!(refund.state.kind(), RefundStateKind::Accepted);
    counter.wait();
    let asked = counter.withdraw("lin", &refund, "w1").await.unwrap();
    assert_eq!(asked.state.kind(), RefundStateKind::Accepted);
    let request = asked.progress.withdrawal.clone().unwrap();
    assert_eq!(request.by, Actor::operator("lin"));
    assert_eq!(setup.channel.queries(), 0, "nobody was asked yet");
    // Repeated, and from the same person by another key: still one person.
    let again = counter.withdraw("lin", &refund, "w1").await.unwrap();
    assert_eq!(again.state.kind(), RefundStateKind::Accepted);
    let same = counter.withdraw("lin", &refund, "w2").await;
    assert!(matches!(same, Err(RefundError::SamePerson)), "{same:?}");
    // It is tried on meanwhile, which does not change the request.
    setup.channel.answers([NOT_ENOUGH]);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Accepted);
    counter.wait();
    setup.channel.knows([ABSENT]);
    let done = counter.withdraw("wang", &refund, "w3").await.unwrap();
    assert_eq!(done.state.kind(), RefundStateKind::Withdrawn);
    assert_eq!(done.progress.withdrawal, None);
    assert_eq!(
        counter.audited().await,
        ["refund.withdrawal_requested", "refund.withdrawn"]
    );
    // One that WeChat takes after all has nobody who wants it withdrawn.
    let order = setup.paid(1_000, "k2").await;
    let refund = setup.refund(order, Some(600), "r2").await;
    setup.channel.answers([NOT_ENOUGH]);
    let refund = setup.decide(&refund, true, "d2").await;
    counter.withdraw("lin", &refund, "w4").await.unwrap();
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Processing);
    let now = payments::find_refund(setup.app.db(), refund.tenant, refund.id).await;
    assert_eq!(now.unwrap().unwrap().progress.withdrawal, None);
    let late = counter.withdraw("wang", &refund, "w5").await;
    assert_eq!(kind_of(&late), RefundStateKind::Processing);
    counter.setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wechat_has_is_not_withdrawn_and_is_noted() {
    let counter = Counter::open().await;
    let refund = counter.refused(600, "k").await;
    counter.wait();
    counter
        .setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Processing)]);
    let answer = counter.withdraw("lin", &refund, "w").await;
    assert_eq!(kind_of(&answer), RefundStateKind::Processing);
    counter
        .setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    assert_eq!(
        counter.setup.reconcile(&refund).await,
        RefundStateKind::Succeeded
    );
    assert!(counter.audited().await.is_empty());
    counter.setup.app.finish().await;
}

/// Starts a withdrawal whose query waits.
async fn begun(
    counter: &Counter,
    payments: &Payments,
    refund: &Refund,
    key: &str,
) -> tokio::task::JoinHandle<Result<Refund, RefundError>> {
    let before = counter.setup.channel.queries();
    let (payments, request) = (payments.clone(), counter.request("lin", refund, key));
    let task = tokio::spawn(async move { payments::withdraw_refund(&payments, request).await });
    eventually("the query waits", || async {
        (counter.setup.channel.queries() > before).then_some(())
    })
    .await;
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_begins_after_the_query_stops_a_withdrawal() {
    let counter = Counter::open().await;
    let refund = counter.refused(600, "k").await;
    let setup = &counter.setup;
    counter.wait();
    setup.channel.shut();
    let task = begun(&counter, &setup.payments, &refund, "w").await;
    // Refused again; but nobody knew that when it was sent.
    setup.channel.answers([NOT_ENOUGH]);
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Accepted);
    setup.channel.knows([ABSENT]);
    setup.channel.open();
    let answer = task.await.unwrap();
    assert!(
        matches!(answer, Err(RefundError::CallInProgress)),
        "{answer:?}"
    );
    assert_eq!(setup.reconcile(&refund).await, RefundStateKind::Processing);
    counter.setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_comes_while_the_query_is_asked_wins() {
    let counter = Counter::open().await;
    let refund = counter.refused(600, "k").await;
    let setup = &counter.setup;
    counter.wait();
    setup.channel.shut();
    let task = begun(&counter, &setup.payments, &refund, "w").await;
    setup
        .called_back(&refund, RefundStatus::Success, "n1")
        .await;
    setup.channel.knows([ABSENT]);
    setup.channel.open();
    assert_eq!(kind_of(&task.await.unwrap()), RefundStateKind::Succeeded);
    counter.setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_withdrawals_at_once_by_two_processes_are_one_and_a_killed_one_is_none() {
    let counter = Counter::open().await;
    let refund = counter.refused(600, "k").await;
    let setup = &counter.setup;
    counter.wait();
    // Killed while the query is under way: nothing has happened.
    setup.channel.shut();
    let killed = begun(&counter, &setup.payments, &refund, "w0").await;
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    assert_eq!(
        payments::find_refund(setup.app.db(), refund.tenant, refund.id)
            .await
            .unwrap()
            .unwrap()
            .state
            .kind(),
        RefundStateKind::Accepted
    );
    let other = Payments {
        db: crate::harness::db_on(
            zhangfang::db::DbOptions::new(setup.app.scratch.service.clone()),
            counter.clock.clone(),
        )
        .await,
        ..setup.payments.clone()
    };
    let first = begun(&counter, &setup.payments, &refund, "w1").await;
    let second = begun(&counter, &other, &refund, "w2").await;
    setup.channel.knows([ABSENT, ABSENT, ABSENT]);
    setup.channel.open();
    let answers = [first.await.unwrap(), second.await.unwrap()];
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(done, 1, "{answers:?}");
    for answer in &answers {
        assert_eq!(kind_of(answer), RefundStateKind::Withdrawn);
    }
    assert_eq!(counter.audited().await, ["refund.withdrawn"]);
    other.db.close().await;
    counter.setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wechat_had_after_all_is_booked_as_a_refund_made_elsewhere_and_is_for_people() {
    let counter = Counter::open().await;
    let refund = counter.refused(600, "k").await;
    let setup = &counter.setup;
    counter.wait();
    setup.channel.knows([ABSENT]);
    counter.withdraw("lin", &refund, "w").await.unwrap();
    assert_eq!(setup.has(refund.order).await, (10, 0, 0));
    for notice in ["n1", "n2"] {
        setup
            .called_back(&refund, RefundStatus::Success, notice)
            .await;
    }
    // What was withdrawn stays so; what WeChat made is another refund, once, and less is left.
    let refunds = payments::refunds_of(setup.app.db(), refund.tenant, refund.order)
        .await
        .unwrap();
    let [own, after_all] = &refunds[..] else {
        panic!("{refunds:?}");
    };
    assert_eq!(own.state.kind(), RefundStateKind::Withdrawn);
    assert_eq!(after_all.state.kind(), RefundStateKind::Succeeded);
    assert_eq!(after_all.origin.kind().name(), "after_all");
    let left = setup.order(refund.order).await.refundable();
    assert_eq!(left, Money::constant(400));
    assert_eq!(setup.has(refund.order).await, (4, 0, 0));
    let exceptions = setup.exceptions().await;
    assert!(
        exceptions.contains(&"refund_contradiction".to_owned()),
        "{exceptions:?}"
    );
    let open: i64 = setup
        .app
        .count("SELECT COUNT(*) FROM payment_exceptions WHERE kind = 'refund_contradiction' AND resolved_at IS NULL AND refund_id IS NOT NULL")
        .await;
    assert_eq!(open, 1);
    counter.setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_withdraw_over_http_and_see_who_wants_it() {
    let app = TestApp::start().await;
    app.set_policy(|terms| terms.refund_review_above = Money::constant(500))
        .await;
    let merchant = app.merchant("茶里巷", "1900000188").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1_000, "k").await;
    // Somebody takes the money out of the merchant's account.
    let emptied = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .put(format!(
            "{}sim/balances/1900000188",
            app.simulator.base_url()
        ))
        .json(&json!({ "balance_fen": 0 }))
        .send()
        .await
        .unwrap();
    assert!(emptied.status().is_success(), "{emptied:?}");
    let body = json!({ "amount_fen": 600, "reason": "缺货" });
    let path = format!("/api/v1/admin/payments/{order_no}/refunds");
    let asked = app.operator("lin").keyed("r").post(&path, &body).await;
    let refund_no = asked.expect(201)["refund_no"].as_str().unwrap().to_owned();
    let path = |what: &str| format!("/api/v1/admin/refunds/{refund_no}/{what}");
    app.operator("wang")
        .keyed("a")
        .post(&path("approve"), &json!({}))
        .await
        .expect(200);
    let why = json!({ "reason": "余额不足，线下退款" });
    let noted = app
        .operator("lin")
        .keyed("w1")
        .post(&path("withdraw"), &why)
        .await;
    assert_eq!(noted.expect(200)["withdrawal_requested_by"], "operator:lin");
    let list = app
        .admin()
        .get("/api/v1/admin/refunds?state=accepted")
        .await;
    let listed = &list.expect(200)["items"][0];
    assert_eq!(
        listed["withdrawal_requested_by"], "operator:lin",
        "{listed}"
    );
    assert_eq!(listed["problem"], "not_enough");
    let same = app
        .operator("lin")
        .keyed("w2")
        .post(&path("withdraw"), &why)
        .await;
    assert_eq!(same.expect(403)["code"], "refund_needs_second_person");
    // Jobs go on telling WeChat of it, so that there is not always a time when no call can be under
    // way: the request is repeated.
    let done = eventually("no call is under way", || async {
        let answer = app
            .operator("wang")
            .keyed("w3")
            .post(&path("withdraw"), &why)
            .await;
        if answer.status == 409 {
            assert_eq!(answer.expect(409)["code"], "refund_call_in_progress");
            return None;
        }
        Some(answer.expect(200))
    })
    .await;
    assert_eq!(done["state"], "withdrawn", "{done}");
    let shown = app
        .admin()
        .get(&format!("/api/v1/admin/refunds/{refund_no}"))
        .await;
    let history = shown.expect(200)["history"].clone();
    let final_step = history.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&final_step["state"], &final_step["who"]),
        (&json!("withdrawn"), &json!("operator:wang"))
    );
    let seen = merchant
        .owner
        .get("/api/v1/merchant/refunds?state=withdrawn")
        .await;
    assert_eq!(seen.expect(200)["items"][0]["refund_no"], refund_no);
    // What it is instead is told.
    let over = app
        .operator("lin")
        .keyed("w7")
        .post(&path("withdraw"), &why)
        .await;
    over.refused(409, "refund_not_withdrawable");
    assert_eq!(
        over.expect(409)["field"],
        json!({ "name": "state", "expected": "accepted or returning; it is withdrawn" })
    );
    // Not without a reason, not by whoever may only look, and not what does not exist.
    let without = app
        .operator("lin")
        .keyed("w4")
        .post(&path("withdraw"), &json!({ "reason": " " }))
        .await;
    assert_eq!(without.status, 422);
    let auditor = app.role("hu", zhangfang::auth::OperatorRole::Auditor);
    assert_eq!(
        auditor
            .keyed("w5")
            .post(&path("withdraw"), &why)
            .await
            .status,
        403
    );
    let nowhere = "/api/v1/admin/refunds/06D8R5MKTS7J0T4V3C9Q2W00/withdraw";
    assert_eq!(
        app.operator("lin")
            .keyed("w6")
            .post(nowhere, &why)
            .await
            .status,
        404
    );
    app.finish().await;
}
