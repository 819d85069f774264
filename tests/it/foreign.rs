//! What WeChat did and nobody here asked for: refunds made elsewhere, however they are learnt; and
//! what it says that nobody understands.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use wechat_pay_simulator::RefundElsewhere;
use zhangfang::{
    audit::Actor,
    payments::{
        self, CallbackError, CloseBy, DecideReview, HandledCallback, NoteForeignRefund,
        NoticeHeaders, Order, OrderStateKind, Payments, PointsReview, PointsShortfall, Refund,
        RefundBy, RefundError, RefundOriginKind, RefundRole, RefundStateKind, RefundStatus,
        RefusalKind, RequestRefund, ReviewCommand,
    },
    primitives::{
        Clock as _, MockClock, Money, OrderId, OrderNo, ReviewId, StaffId, SystemClock, Timestamp,
    },
    verify::Invariant,
};

use crate::{
    harness::{Caller, ChannelReply, TestApp, eventually},
    refund_core::RefundSetup,
    verification::Copy,
};

const HEADERS: NoticeHeaders<'static> = NoticeHeaders {
    timestamp: Some("1"),
    nonce: Some("n"),
    signature: Some("s"),
    serial: Some("k"),
    signature_type: None,
};

async fn take(
    payments: &Payments,
    setup: &RefundSetup,
    body: Bytes,
) -> Result<HandledCallback, CallbackError> {
    payments::handle_callback(payments, setup.app.tenant.id, HEADERS, body).await
}

async fn handled(setup: &RefundSetup, body: Bytes) -> HandledCallback {
    take(&setup.payments, setup, body).await.unwrap()
}

fn transaction(order: &Order) -> String {
    order.state.payment().unwrap().wechat_transaction_id.clone()
}

async fn unpaid(setup: &RefundSetup, fen: i64, key: &str) -> Order {
    let no = setup
        .app
        .create(&setup.customer, &setup.code, fen, key)
        .await;
    setup.order(no.parse::<OrderNo>().unwrap().id()).await
}

/// Somebody else's refund comes to this, and WeChat calls back.
pub(crate) async fn elsewhere(
    setup: &RefundSetup,
    order: OrderId,
    (number, fen): (&str, i64),
    status: RefundStatus,
    notice: &str,
) -> HandledCallback {
    let order = setup.order(order).await;
    setup.channel.refunds_elsewhere(&order, number, fen, status);
    let body = setup
        .channel
        .foreign_notice(&order, number, &transaction(&order), notice);
    handled(setup, body).await
}

async fn state(
    setup: &RefundSetup,
    order: OrderId,
    number: &str,
    by: &str,
) -> Result<Refund, RefundError> {
    let statement = NoteForeignRefund {
        tenant: setup.app.tenant.id,
        order,
        out_refund_no: number.to_owned(),
        by: Actor::operator(by),
    };
    payments::note_foreign_refund(&setup.payments, statement).await
}

/// Who stated which number of which order, as the audit log says, by name.
async fn statements(setup: &RefundSetup) -> Vec<(String, String, String)> {
    let statement = "SELECT actor, subject, CAST(JSON_UNQUOTE(JSON_EXTRACT(detail, '$.out_refund_no')) AS CHAR) FROM audit_logs \
                     WHERE action = 'refund.foreign_reported' ORDER BY actor, id";
    sqlx::query_as(statement)
        .fetch_all(setup.app.db().pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_made_elsewhere_is_booked_shown_and_leaves_less_to_refund() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let success = RefundStatus::Success;
    let taken = elsewhere(&setup, order, ("TK-1", 300), success, "n1").await;
    assert_eq!(taken, HandledCallback::Refund);
    for notice in ["n1", "n2"] {
        let again = elsewhere(&setup, order, ("TK-1", 300), success, notice).await;
        assert_eq!(again, HandledCallback::Duplicate);
    }
    assert_eq!(setup.state(order).await, OrderStateKind::PartlyRefunded);
    assert_eq!(setup.order(order).await.refundable(), Money::constant(700));
    assert_eq!(setup.has(order).await, (7, 0, 0));
    let too_much =
        payments::request_refund(&setup.payments, setup.request(order, Some(701), "r")).await;
    assert!(matches!(too_much, Err(RefundError::ExceedsRefundable { left }) if left.get() == 700));

    // What WeChat said before its end may come after it.
    let stale = elsewhere(&setup, order, ("TK-1", 300), RefundStatus::Abnormal, "n3").await;
    assert_eq!(stale, HandledCallback::Duplicate);

    setup.app.verify().await;
    let no = OrderNo::from(order);
    let admin = setup.app.admin();
    let history = admin
        .get(&format!("/api/v1/admin/payments/{no}/history"))
        .await
        .expect(200);
    assert_eq!(history["payment"]["refunded_fen"], 300, "{history}");
    assert_eq!(history["refunds"][0]["origin"], "elsewhere");
    assert_eq!(history["refunds"][0]["out_refund_no"], "TK-1");
    let exceptions = history["exceptions"].as_array().unwrap();
    assert_eq!(exceptions.len(), 1, "{history}");
    assert_eq!(exceptions[0]["kind"], "foreign_refund");
    assert_eq!(exceptions[0]["order_no"], no.to_string());
    assert_eq!(
        exceptions[0]["refund_no"],
        history["refunds"][0]["refund_no"]
    );
    let mut entries = history["entries"].as_array().unwrap().iter();
    let entry = entries.find(|entry| entry["kind"] == "refunded_elsewhere");
    let legs = &entry.unwrap()["transfers"];
    assert_eq!(legs[0]["debit"], "merchant_payable", "{legs}");
    assert_eq!(legs[0]["credit"], "channel_receivable");
    assert_eq!(legs[1]["amount"], 3);
    let mut steps = history["timeline"].as_array().unwrap().iter();
    assert!(steps.any(|step| step["why"] == "refunded_elsewhere"));
    let seen = setup
        .customer
        .get(&format!("/api/v1/customer/payments/{no}/refunds"))
        .await
        .expect(200);
    assert_eq!(seen["items"][0]["amount_fen"], 300, "{seen}");
    let totals = "SELECT CAST(SUM(refunded_fen) AS SIGNED) FROM merchant_days WHERE refunds = 1 AND points_back = 3";
    assert_eq!(setup.app.count(totals).await, 300);

    // Another, and the rest by us: all of the money and all of the points are gone, each once.
    let taken = elsewhere(&setup, order, ("TK-2", 333), success, "n4").await;
    assert_eq!(taken, HandledCallback::Refund);
    setup.channel.answers([ChannelReply::Is(success)]);
    let rest = setup.refund(order, None, "r2").await;
    assert_eq!(rest.amount, Money::constant(367));
    assert_eq!(setup.state(order).await, OrderStateKind::Refunded);
    assert_eq!(setup.has(order).await, (0, 0, 0));
    // More than was paid cannot have come back.
    let taken = elsewhere(&setup, order, ("TK-3", 1), success, "n5").await;
    assert_eq!(taken, HandledCallback::Rejected("refund_over_paid"));
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_were_spent_are_owed_whatever_the_policy_says_of_refusing() {
    let setup = RefundSetup::open().await;
    setup
        .app
        .set_policy(|terms| terms.points_shortfall = PointsShortfall::Refuse)
        .await;
    let order = setup.paid(1_000, "k").await;
    setup.spend(order, 8).await;
    let taken = elsewhere(&setup, order, ("TK", 500), RefundStatus::Success, "n").await;
    assert_eq!(taken, HandledCallback::Refund);
    assert_eq!(setup.has(order).await, (0, 0, 3));
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_order_moves_nothing_and_names_it() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let known = setup.order(order).await;
    let said = |number: &str, fen| {
        setup
            .channel
            .refunds_elsewhere(&known, number, fen, RefundStatus::Success);
    };
    said("A", 100);
    let strange = setup
        .channel
        .foreign_notice(&known, "A", "T-of-nobody", "n1");
    assert_eq!(
        handled(&setup, strange).await,
        HandledCallback::Rejected("wrong_transaction")
    );
    said("B", 1_001);
    let much = setup
        .channel
        .foreign_notice(&known, "B", &transaction(&known), "n2");
    assert_eq!(
        handled(&setup, much).await,
        HandledCallback::Rejected("wrong_amount")
    );
    assert_eq!(
        setup.order(order).await.refundable(),
        Money::constant(1_000)
    );
    let named = "SELECT COUNT(*) FROM payment_exceptions WHERE kind = 'foreign_refund' AND order_id IS NOT NULL";
    assert_eq!(setup.app.count(named).await, 2);
    // By whoever states it too it is not said that WeChat refused anything.
    let wrong = state(&setup, order, "B", "lin").await;
    assert!(
        matches!(wrong, Err(RefundError::AnswerMismatch("wrong_amount"))),
        "{wrong:?}"
    );
    assert_eq!(
        setup.order(order).await.refundable(),
        Money::constant(1_000)
    );
    assert_eq!(statements(&setup).await.len(), 1);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_says_refund_settles_and_blocks_until_somebody_knows_how_much() {
    let setup = RefundSetup::open().await;
    let order = unpaid(&setup, 1_000, "k").await;
    let at = setup.app.app.now();
    setup.channel.says_paid(&order, "4200", at, true);
    let tenant = setup.app.tenant.id;
    let paid = payments::confirm(&setup.payments, tenant, order.id)
        .await
        .unwrap();
    assert_eq!(paid.state.kind(), OrderStateKind::Paid);
    assert!(paid.refunds.unknown);
    assert_eq!(paid.review, PointsReview::Open);
    assert_eq!(paid.refundable(), Money::ZERO);
    let blocked =
        payments::request_refund(&setup.payments, setup.request(order.id, Some(1), "r")).await;
    assert!(
        matches!(blocked, Err(RefundError::RefundedElsewhere)),
        "{blocked:?}"
    );
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    let open = "SELECT COUNT(*) FROM payment_exceptions WHERE kind = 'foreign_refund' AND resolved_at IS NULL";
    assert_eq!(setup.app.count(open).await, 1);

    // A person states the number; the amount is WeChat's.
    for wrong in ["TK-9", "", "退"] {
        assert!(state(&setup, order.id, wrong, "lin").await.is_err());
    }
    assert!(statements(&setup).await.is_empty());
    setup
        .channel
        .refunds_elsewhere(&order, "TK-1", 400, RefundStatus::Success);
    let refund = state(&setup, order.id, "TK-1", "lin").await.unwrap();
    assert_eq!(refund.state.kind(), RefundStateKind::Succeeded);
    assert_eq!(refund.amount, Money::constant(400));
    let again = state(&setup, order.id, "TK-1", "wei").await.unwrap();
    assert_eq!(again.id, refund.id);
    // Who stated it stands there, also of what was known.
    let no = order.no().to_string();
    let line = |who: &str| (who.to_owned(), no.clone(), "TK-1".to_owned());
    assert_eq!(
        statements(&setup).await,
        [line("operator:lin"), line("operator:wei")]
    );
    let known = setup.order(order.id).await;
    assert!(!known.refunds.unknown);
    assert_eq!(known.refundable(), Money::constant(600));
    assert_eq!(known.state.kind(), OrderStateKind::PartlyRefunded);
    setup.app.finish().await;
}

/// It was paid after it had been closed, and somebody else was faster to give it back: how much
/// is
/// left to give back is not known then, and a person does.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_payment_that_others_refund_does_not_go_back_a_second_time() {
    let setup = RefundSetup::open().await;
    let order = unpaid(&setup, 1_000, "k").await;
    let tenant = setup.app.tenant.id;
    let closed =
        payments::close_payment(&setup.payments, tenant, order.id, CloseBy::Customer).await;
    assert_eq!(closed.unwrap().state.kind(), OrderStateKind::Closed);
    let at = setup.app.app.now();
    setup
        .channel
        .refunds_elsewhere(&order, "TK", 400, RefundStatus::Success);
    setup.channel.says_paid(&order, "4200", at, true);
    let notice = setup.channel.foreign_notice(&order, "TK", "4200", "n");
    assert_eq!(handled(&setup, notice).await, HandledCallback::Refund);
    let paid = setup.order(order.id).await;
    assert_eq!(paid.state.kind(), OrderStateKind::PartlyRefunded);
    assert_eq!(paid.refunds.asked, Money::constant(400));
    assert_eq!(paid.refundable(), Money::constant(600));
    let refunds = "SELECT COUNT(*) FROM refunds";
    assert_eq!(setup.app.count(refunds).await, 1);
    let exceptions = setup.exceptions().await;
    assert!(
        exceptions.contains(&"late_payment".to_owned()),
        "{exceptions:?}"
    );
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_notice_before_ours_asks_about_the_order_first() {
    let setup = RefundSetup::open().await;
    let order = unpaid(&setup, 1_000, "k").await;
    setup
        .channel
        .refunds_elsewhere(&order, "TK", 1_000, RefundStatus::Success);
    let notice = setup.channel.foreign_notice(&order, "TK", "4200", "n1");
    // WeChat does not say that it is paid: it is kept with an alarm, and it comes again.
    let early = take(&setup.payments, &setup, notice.clone()).await;
    assert!(matches!(early, Err(CallbackError::Db(_))), "{early:?}");
    let kept = "SELECT COUNT(*) FROM callback_events e JOIN callback_alarms a ON a.event_id = e.id WHERE e.outcome = 5 AND a.reason = 'refund_of_unpaid'";
    assert_eq!(setup.app.count(kept).await, 1);
    let at = setup.app.app.now();
    setup.channel.says_paid(&order, "4200", at, true);
    assert_eq!(handled(&setup, notice).await, HandledCallback::Refund);
    let whole = setup.order(order.id).await;
    assert_eq!(whole.state.kind(), OrderStateKind::Refunded);
    assert!(!whole.refunds.unknown);
    assert_eq!(setup.has(order.id).await, (0, 0, 0));
    let late = setup.channel.paid_notice(&order, "4200", at, "n2");
    assert_eq!(handled(&setup, late).await, HandledCallback::Duplicate);
    setup.app.finish().await;
}

/// A callback that failed is judged anew when it comes again. That its alarm was raised then must
/// not keep it from being told now.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_failed_and_is_rejected_later_raises_one_alarm() {
    let setup = RefundSetup::open().await;
    let order = unpaid(&setup, 1_000, "k").await;
    let channel = &setup.channel;
    channel.refunds_elsewhere(&order, "TK", 1_000, RefundStatus::Success);
    channel.refunds_elsewhere(&order, "TK2", 400, RefundStatus::Success);
    let first = channel.foreign_notice(&order, "TK", "4200", "n1");
    let second = channel.foreign_notice(&order, "TK2", "4200", "n2");
    for early in [&first, &second] {
        let early = take(&setup.payments, &setup, early.clone()).await;
        assert!(matches!(early, Err(CallbackError::Db(_))), "{early:?}");
    }
    channel.says_paid(&order, "4200", setup.app.app.now(), true);
    assert_eq!(handled(&setup, first).await, HandledCallback::Refund);
    let before = setup.exceptions().await;
    for _ in 0..2 {
        let again = handled(&setup, second.clone()).await;
        assert_eq!(again, HandledCallback::Rejected("refund_over_paid"));
        let added = setup.exceptions().await.split_off(before.len());
        assert_eq!(added, ["foreign_refund"]);
    }
    let rejected =
        "SELECT COUNT(*) FROM callback_events WHERE outcome = 3 AND reason = 'refund_over_paid'";
    assert_eq!(setup.app.count(rejected).await, 1);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_ours_that_does_not_fit_beside_a_foreign_one_fails_and_the_rest_is_right() {
    let setup = RefundSetup::open().await;
    setup
        .app
        .set_policy(|terms| terms.refund_review_above = Money::constant(700))
        .await;
    let order = setup.paid(1_000, "k").await;
    // WeChat says no, and does not have it: but an attempt before had no answer.
    setup.channel.answers([
        ChannelReply::Nothing,
        ChannelReply::No(RefusalKind::Rejected),
        ChannelReply::No(RefusalKind::Rejected),
    ]);
    setup.channel.knows([
        ChannelReply::No(RefusalKind::Absent),
        ChannelReply::No(RefusalKind::Absent),
    ]);
    let ours = setup.refund(order, Some(700), "r1").await;
    assert_eq!(ours.state.kind(), RefundStateKind::Accepted);
    let taken = elsewhere(&setup, order, ("TK", 600), RefundStatus::Success, "n").await;
    assert_eq!(taken, HandledCallback::Refund);
    let both = setup.order(order).await;
    assert_eq!(both.refundable(), Money::ZERO);
    assert_eq!(both.refunds.asked, Money::constant(1_300));
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    setup.reconcile(&ours).await;
    assert_eq!(setup.reconcile(&ours).await, RefundStateKind::Failed);
    let left = setup.order(order).await;
    assert_eq!(left.refundable(), Money::constant(400));
    // While ours held its points, what theirs took was a shortfall: of what is there now the
    // customer owes some.
    let (posted, held, owed) = setup.has(order).await;
    assert_eq!((posted - owed, held), (4, 0));

    // One that waits for a second person while theirs happens cannot be agreed to any more.
    let order = setup.paid(1_000, "k2").await;
    let waits = setup.refund(order, Some(800), "r2").await;
    assert_eq!(waits.state.kind(), RefundStateKind::AwaitingApproval);
    let taken = elsewhere(&setup, order, ("TK2", 600), RefundStatus::Success, "m").await;
    assert_eq!(taken, HandledCallback::Refund);
    let agreed = setup.try_decide(&waits, true, "d1").await;
    assert!(
        matches!(agreed, Err(RefundError::ExceedsRefundable { left }) if left.get() == 400),
        "{agreed:?}"
    );
    setup.try_decide(&waits, false, "d2").await.unwrap();
    assert_eq!(setup.order(order).await.refundable(), Money::constant(400));
    setup.app.finish().await;
}

/// WeChat lets no more go back than was paid. Who says so all the same moves nothing, and a person
/// hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_arrives_than_was_paid_whoever_says_so() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let ours = setup.refund(order, Some(700), "r").await;
    let taken = elsewhere(&setup, order, ("TK", 600), RefundStatus::Success, "n").await;
    assert_eq!(taken, HandledCallback::Refund);
    let before = setup.has(order).await;
    let reply = setup.called_back(&ours, RefundStatus::Success, "m").await;
    assert_eq!(reply, HandledCallback::Rejected("refund_over_paid"));
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    assert_eq!(setup.reconcile(&ours).await, RefundStateKind::Processing);
    assert_eq!(setup.order(order).await.refunds.done, Money::constant(600));
    assert_eq!(setup.has(order).await, before);
    assert_eq!(
        setup.exceptions().await,
        ["foreign_refund", "refund_contradiction", "answer_mismatch"]
    );
    let alarms = "SELECT COUNT(*) FROM callback_alarms WHERE reason = 'refund_over_paid'";
    assert_eq!(setup.app.count(alarms).await, 1);
    let closed = setup.called_back(&ours, RefundStatus::Closed, "o").await;
    assert_eq!(closed, HandledCallback::Refund);
    assert_eq!(setup.order(order).await.refundable(), Money::constant(400));
    setup.app.finish().await;
}

/// WeChat makes after all what it had closed: a second row in the name of whoever asked, who asked
/// once and is counted once.
#[tokio::test(flavor = "multi_thread")]
async fn what_staff_asked_for_once_is_counted_once_though_wechat_makes_it_after_all() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let db = setup.app.db();
    let by = RefundBy {
        actor: Actor::Staff(StaffId::new(db.new_id(db.new_lane()))),
        role: RefundRole::Owner(setup.order(order).await.merchant),
    };
    let request = RequestRefund {
        by,
        ..setup.request(order, Some(300), "r")
    };
    let refund = payments::request_refund(&setup.payments, request).await;
    let refund = refund.unwrap();
    for (status, notice) in [(RefundStatus::Closed, "a"), (RefundStatus::Success, "b")] {
        let taken = setup.called_back(&refund, status, notice).await;
        assert_eq!(taken, HandledCallback::Refund);
    }
    let refunds = payments::refunds_of(setup.app.db(), refund.tenant, order).await;
    let origins: Vec<_> = refunds.unwrap().iter().map(|r| r.origin.kind()).collect();
    assert_eq!(
        origins,
        [RefundOriginKind::Here, RefundOriginKind::AfterAll]
    );
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn theirs_may_be_abnormal_before_it_arrives_or_is_closed() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let taken = elsewhere(&setup, order, ("A", 200), RefundStatus::Abnormal, "n1").await;
    assert_eq!(taken, HandledCallback::Refund);
    let taken = elsewhere(&setup, order, ("B", 300), RefundStatus::Abnormal, "n2").await;
    assert_eq!(taken, HandledCallback::Refund);
    // It is on its way at WeChat: counted, and not in the books.
    assert_eq!(setup.order(order).await.refundable(), Money::constant(500));
    assert_eq!(setup.has(order).await, (10, 0, 0));
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    // The job asks about it as about any.
    let known = setup.order(order).await;
    setup
        .channel
        .refunds_elsewhere(&known, "A", 200, RefundStatus::Success);
    let refunds = payments::refunds_of(setup.app.db(), setup.app.tenant.id, order)
        .await
        .unwrap();
    assert!(
        refunds
            .iter()
            .all(|refund| refund.attempts.next_at.is_some())
    );
    assert_eq!(
        setup.reconcile(&refunds[0]).await,
        RefundStateKind::Succeeded
    );
    let taken = elsewhere(&setup, order, ("B", 300), RefundStatus::Closed, "n3").await;
    assert_eq!(taken, HandledCallback::Refund);
    assert_eq!(setup.order(order).await.refundable(), Money::constant(800));
    assert_eq!(setup.has(order).await, (8, 0, 0));
    // Closed before its first callback.
    let taken = elsewhere(&setup, order, ("C", 300), RefundStatus::Closed, "n4").await;
    assert_eq!(taken, HandledCallback::Refund);
    assert_eq!(setup.order(order).await.refundable(), Money::constant(800));
    setup.app.finish().await;
}

/// WeChat closes a refund of theirs and they make another: of the second we hear first, since the
/// notice of the first goes to whoever made it.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_theirs_may_be_more_than_was_paid_until_one_is_known_to_be_closed() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    for (number, status, notice) in [
        ("A", RefundStatus::Abnormal, "n1"),
        ("B", RefundStatus::Success, "n2"),
    ] {
        let taken = elsewhere(&setup, order, (number, 1_000), status, notice).await;
        assert_eq!(taken, HandledCallback::Refund);
    }
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    let known = setup.order(order).await;
    assert_eq!(known.state.kind(), OrderStateKind::Refunded);
    setup
        .channel
        .refunds_elsewhere(&known, "A", 1_000, RefundStatus::Closed);
    let refunds = payments::refunds_of(setup.app.db(), setup.app.tenant.id, order).await;
    let first = &refunds.unwrap()[0];
    assert_eq!(setup.reconcile(first).await, RefundStateKind::Closed);
    assert_eq!(
        setup.order(order).await.refunds.asked,
        Money::constant(1_000)
    );
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_callback_in_two_processes_at_once_is_one_refund() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let known = setup.order(order).await;
    let other = Payments {
        db: setup.app.another_db().await,
        ..setup.payments.clone()
    };
    setup
        .channel
        .refunds_elsewhere(&known, "TK", 400, RefundStatus::Success);
    let mut handlers = Vec::new();
    for index in 0..12 {
        let payments = if index % 2 == 0 {
            setup.payments.clone()
        } else {
            other.clone()
        };
        let notice = format!("n{index}");
        let body = setup
            .channel
            .foreign_notice(&known, "TK", &transaction(&known), &notice);
        let tenant = setup.app.tenant.id;
        handlers.push(tokio::spawn(async move {
            payments::handle_callback(&payments, tenant, HEADERS, body)
                .await
                .unwrap()
        }));
    }
    let mut booked = 0;
    for handler in handlers {
        booked += u32::from(handler.await.unwrap() == HandledCallback::Refund);
    }
    assert_eq!(booked, 1);
    assert_eq!(setup.has(order).await, (6, 0, 0));
    assert_eq!(setup.order(order).await.refundable(), Money::constant(600));
    other.db.close().await;
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_cannot_be_are_an_alarm_and_stop_nobody() {
    let setup = RefundSetup::open().await;
    let never = Timestamp::parse_rfc3339("9999-12-31T23:59:59Z").unwrap();
    let long_ago = Timestamp::parse_rfc3339("2001-01-01T00:00:00Z").unwrap();
    let mut orders = Vec::new();
    for (at, key) in [(never, "a"), (long_ago, "b")] {
        let order = unpaid(&setup, 1_000, key).await;
        let body = setup
            .channel
            .paid_notice(&order, &format!("42{key}"), at, key);
        assert_eq!(handled(&setup, body).await, HandledCallback::Settled);
        let paid = setup.order(order.id).await;
        let paid_at = paid.state.payment().unwrap().paid_at;
        let off = paid_at.seconds() - setup.app.app.now().seconds();
        assert!((-120..=1).contains(&off), "{paid_at}");
        // The money is real; the points wait for whoever looks.
        assert_eq!(paid.review, PointsReview::Open);
        orders.push(order.id);
    }
    // Refunds are dated by WeChat as well.
    let order = setup.paid(500, "c").await;
    let refund = setup.refund(order, Some(200), "r").await;
    let known = setup.order(order).await;
    let paid = (known.sub_mchid.as_str(), transaction(&known));
    let body = setup
        .channel
        .refund_notice(&refund, RefundStatus::Success, (paid.0, &paid.1), "n");
    setup.channel.dated(&body, never);
    assert_eq!(handled(&setup, body).await, HandledCallback::Refund);
    let kinds = "SELECT COUNT(*) FROM payment_exceptions WHERE kind = 'implausible_time'";
    assert_eq!(setup.app.count(kinds).await, 3);
    // The relay goes on.
    setup.app.verify().await;
    let days = "SELECT CAST(SUM(orders) AS SIGNED) FROM merchant_days WHERE day BETWEEN CURDATE() - INTERVAL 2 DAY AND CURDATE() + INTERVAL 2 DAY";
    assert_eq!(setup.app.count(days).await, 3);
    setup.app.finish().await;
}

/// Points under review, of which refunds of ours and theirs together withhold more than there are:
/// 7 and 6 of 10.
async fn withheld_twice(setup: &RefundSetup, key: &str) -> (OrderId, Refund) {
    let long_ago = Timestamp::parse_rfc3339("2001-01-01T00:00:00Z").unwrap();
    let order = unpaid(setup, 1_000, key).await;
    let body = setup
        .channel
        .paid_notice(&order, &format!("42{key}"), long_ago, key);
    assert_eq!(handled(setup, body).await, HandledCallback::Settled);
    let ours = setup.refund(order.id, Some(700), &format!("r{key}")).await;
    assert_eq!(ours.state.kind(), RefundStateKind::Processing);
    let theirs = (&*format!("TK{key}"), 600);
    let taken = elsewhere(
        setup,
        order.id,
        theirs,
        RefundStatus::Processing,
        &format!("p{key}"),
    )
    .await;
    assert_eq!(taken, HandledCallback::Refund);
    let both = setup.order(order.id).await;
    assert_eq!(both.review, PointsReview::Open);
    assert_eq!(both.refunds.withheld.get(), 13);
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    (order.id, ours)
}

async fn review(setup: &RefundSetup, order: OrderId, command: ReviewCommand, key: &str) {
    let decision = DecideReview {
        tenant: setup.app.tenant.id,
        id: ReviewId::of(order.id()),
        command,
        by: Actor::operator("lin"),
        claim: Some(setup.claim("lin", "/reviews", key, "decided")),
    };
    payments::decide_review(&setup.payments, decision)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_points_under_review_theirs_withholds_its_part_beside_ours() {
    let setup = RefundSetup::open().await;
    let (arrived, closed) = (RefundStatus::Success, RefundStatus::Closed);

    // Theirs arrives, the review credits the rest, ours is closed: what is left is the customer's.
    let (order, ours) = withheld_twice(&setup, "a").await;
    elsewhere(&setup, order, ("TKa", 600), arrived, "n1").await;
    assert_eq!(setup.order(order).await.review, PointsReview::Open);
    review(&setup, order, ReviewCommand::Approve(String::new()), "a").await;
    assert_eq!(setup.has(order).await, (0, 0, 0));
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    setup.called_back(&ours, closed, "n2").await;
    assert_eq!(setup.has(order).await, (4, 0, 0));
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");

    // Credited before either is heard of again: theirs is closed, ours arrives.
    let (order, ours) = withheld_twice(&setup, "b").await;
    review(&setup, order, ReviewCommand::Approve(String::new()), "b").await;
    elsewhere(&setup, order, ("TKb", 600), closed, "n3").await;
    assert_eq!(setup.has(order).await, (4 + 3, 0, 0));
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    setup.called_back(&ours, arrived, "n4").await;
    assert_eq!(setup.has(order).await, (4 + 3, 0, 0));

    // Voided, and both are closed.
    let (order, ours) = withheld_twice(&setup, "c").await;
    let command = ReviewCommand::Reject("no".to_owned());
    review(&setup, order, command, "c").await;
    elsewhere(&setup, order, ("TKc", 600), closed, "n5").await;
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    setup.called_back(&ours, closed, "n6").await;
    assert_eq!(setup.has(order).await, (4 + 3, 0, 0));
    assert_eq!(
        setup.order(order).await.refundable(),
        Money::constant(1_000)
    );
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wechat_signed_and_nobody_understands_is_kept_apart_and_comes_again() {
    let setup = RefundSetup::open().await;
    // The channel of this test calls malformed what it does not know, after its signature held.
    let body = Bytes::from_static(b"{\"what\":null}");
    for _ in 0..70 {
        let taken = take(&setup.payments, &setup, body.clone()).await;
        let Err(CallbackError::Unverified(error)) = taken else {
            panic!("{taken:?}")
        };
        assert!(error.is_signed());
    }
    let kept = "SELECT COUNT(*) FROM callback_events e JOIN callback_alarms a ON a.event_id = e.id WHERE e.outcome = 5 AND e.reason = 'malformed'";
    // What has no name is known by its body and the millisecond in which it came: of some all are
    // one.
    assert!((1..=70).contains(&setup.app.count(kept).await));
    let all = "SELECT (SELECT COUNT(*) FROM callback_events) - (SELECT COUNT(*) FROM callback_alarms WHERE reason = 'malformed')";
    assert_eq!(
        setup.app.count(all).await,
        0,
        "one is kept without its alarm"
    );
    let strangers = "SELECT COUNT(*) FROM callback_events WHERE outcome = 6";
    assert_eq!(setup.app.count(strangers).await, 0);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_does_not_take_is_kept_as_failed_with_an_alarm() {
    let setup = RefundSetup::open().await;
    let merchant = setup.app.merchant("柜台", "1900000141").await;
    let shown = merchant
        .owner
        .keyed("s")
        .post("/api/v1/merchant/payments", &json!({ "amount_fen": 500 }))
        .await
        .expect(201);
    let no: OrderNo = shown["order_no"].as_str().unwrap().parse().unwrap();
    let order = setup.order(no.id()).await;
    for (transaction, openid) in [("42a", "o".repeat(100)), ("42b", "付".repeat(100))] {
        let at = setup.app.app.now();
        let body = setup
            .channel
            .paid_notice_by(&order, transaction, at, &openid);
        let taken = take(&setup.payments, &setup, body).await;
        assert!(matches!(taken, Err(CallbackError::Db(_))), "{taken:?}");
    }
    let kept = "SELECT COUNT(*) FROM callback_events e JOIN callback_alarms a ON a.event_id = e.id WHERE e.outcome = 5";
    assert_eq!(setup.app.count(kept).await, 2);
    assert!(!setup.state(no.id()).await.is_paid());
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_refunds_made_elsewhere_is_found_and_named() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let success = RefundStatus::Success;
    elsewhere(&setup, order, ("TK-1", 300), success, "n1").await;
    elsewhere(&setup, order, ("TK-2", 200), RefundStatus::Abnormal, "n2").await;
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    for (harm, repair, breaks) in [
        (
            "UPDATE refunds SET origin = 0, foreign_no = NULL WHERE foreign_no = 'TK-1'",
            "UPDATE refunds SET origin = 1, foreign_no = 'TK-1' WHERE amount_fen = 300",
            Invariant::PaidOrdersAreSettledOnce,
        ),
        (
            "UPDATE foreign_refunds SET tenant_id = tenant_id + 1",
            "UPDATE foreign_refunds SET tenant_id = tenant_id - 1",
            Invariant::ChannelReportsAreRecorded,
        ),
        (
            "UPDATE payment_orders SET refund_unknown = 1",
            "UPDATE payment_orders SET refund_unknown = 0",
            Invariant::PaidOrdersAreSettledOnce,
        ),
        (
            "UPDATE refunds SET points_due = points_due + 1 WHERE foreign_no = 'TK-1'",
            "UPDATE refunds SET points_due = points_due - 1 WHERE foreign_no = 'TK-1'",
            Invariant::PointsFollowTheRule,
        ),
        (
            "UPDATE payment_orders SET refund_asked_fen = refund_asked_fen - 200",
            "UPDATE payment_orders SET refund_asked_fen = refund_asked_fen + 200",
            Invariant::PaidOrdersAreSettledOnce,
        ),
    ] {
        setup.app.execute(harm).await;
        let report = setup.app.verify().await;
        assert!(!report.holds(breaks), "{harm}: {report}");
        setup.app.execute(repair).await;
    }
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unrecorded_channel_reports_are_found_and_named() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let success = RefundStatus::Success;
    elsewhere(&setup, order, ("TK-1", 300), success, "n1").await;
    let too_much = elsewhere(&setup, order, ("TK-2", 900), success, "n2").await;
    assert_eq!(too_much, HandledCallback::Rejected("refund_over_paid"));
    setup.paid_late(500, "late").await;
    setup.channel.answers([ChannelReply::Is(success)]);
    setup.refund(order, Some(100), "ours").await;
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    let mut copy = Copy::of(&setup.app).await;
    for (statement, says) in [
        (
            "DELETE FROM payment_exceptions WHERE kind = 'foreign_refund' AND refund_id IS NOT NULL",
            "was made elsewhere, and was not reported",
        ),
        (
            "DELETE FROM foreign_refunds",
            "its number is not known as its own",
        ),
        (
            "UPDATE foreign_refunds SET tenant_id = tenant_id + 1",
            "its number is not known as its own",
        ),
        (
            "UPDATE foreign_refunds SET refund_id = (SELECT id FROM refunds WHERE amount_fen = 100)",
            "has the number of a refund that was made elsewhere, and is none",
        ),
        (
            "DELETE FROM payment_exceptions WHERE kind = 'late_payment'",
            "was paid after it had been closed, and was not reported",
        ),
        (
            "DELETE FROM callback_alarms",
            "is authentic, was not acted on and has no alarm",
        ),
        (
            "UPDATE callback_events SET outcome = 5 WHERE outcome IN (1, 2) LIMIT 1",
            "is authentic, was not acted on and has no alarm",
        ),
        (
            "DELETE FROM callback_events WHERE outcome = 3",
            "has an alarm, and was not stored",
        ),
        (
            "UPDATE refunds SET calling_until = UTC_TIMESTAMP(6) WHERE amount_fen = 100",
            "has ended, and a call to WeChat may be under way",
        ),
    ] {
        copy.finds(Invariant::ChannelReportsAreRecorded, statement, says)
            .await;
    }
    copy.drop().await;
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_without_a_signature_or_a_tenant_leave_nothing() {
    let setup = RefundSetup::open().await;
    let body = json!({ "id": "x" });
    let post = async |tenant: &str| {
        let path = format!("/api/v1/wechat/notify/{tenant}/payments");
        setup.app.anyone().post(&path, &body).await
    };
    for nobody in ["4711", "nobody", "01"] {
        post(nobody).await.expect(404);
    }
    for _ in 0..3 {
        post("demo").await.expect(401);
        post(&setup.app.tenant.id.to_string()).await.expect(401);
    }
    let kept = "SELECT COUNT(*) FROM callback_events";
    assert_eq!(setup.app.count(kept).await, 0);
    setup.app.finish().await;
}

/// Strangers who make names up cost the database a question for each name, and not for each
/// request.
#[tokio::test]
async fn a_tenant_that_is_not_there_is_not_asked_for_again_and_again() {
    let clock = Arc::new(MockClock::at(SystemClock.now()));
    let app = TestApp::on_clock(Arc::clone(&clock), None).await;
    let body = json!({ "id": "x" });
    let post = || async {
        let path = "/api/v1/wechat/notify/later/payments";
        app.anyone().post(path, &body).await.status
    };
    assert_eq!(post().await, 404);
    zhangfang::points::create_tenant(app.db(), "later", "后来的平台")
        .await
        .unwrap();
    // What was heard a moment ago is kept for ten seconds.
    clock.advance_seconds(9);
    assert_eq!(post().await, 404);
    clock.advance_seconds(1);
    assert_eq!(post().await, 401);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_made_in_wechats_console_is_found_through_http() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let no = OrderNo::from(order);
    let path = format!("/api/v1/admin/payments/{no}/foreign-refunds");
    let state = json!({ "out_refund_no": "TK-77" });
    let admin = setup.app.admin();
    admin
        .post(&path, &state)
        .await
        .refused(404, "refund_not_found");
    setup
        .app
        .simulator
        .refund_elsewhere(RefundElsewhere {
            out_trade_no: no.to_string(),
            refund_fen: Some(250),
            out_refund_no: Some("TK-77".to_owned()),
            ..RefundElsewhere::default()
        })
        .unwrap();
    let made = eventually("WeChat has refunded it", || async {
        let answer = admin.post(&path, &state).await.expect(200);
        (answer["state"] == "succeeded").then_some(answer)
    })
    .await;
    assert_eq!(made["amount_fen"], 250, "{made}");
    assert_eq!(made["origin"], "elsewhere");
    assert_eq!(setup.order(order).await.refundable(), Money::constant(750));

    // It is found by the number under which the other system knows it, and ours by ours.
    let ours = setup
        .refund(order, Some(100), "ours")
        .await
        .no()
        .to_string();
    let found = async |caller: &Caller, path: &str, number: &str| -> Value {
        let path = format!("{path}?out_refund_no={number}");
        let page = caller.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["refund_no"].clone()).collect()
    };
    let refunds = "/api/v1/admin/refunds";
    let theirs = json!([made["refund_no"]]);
    assert_eq!(found(&admin, refunds, "TK-77").await, theirs);
    assert_eq!(found(&admin, refunds, &ours).await, json!([ours]));
    let merchants = "/api/v1/merchant/refunds";
    assert_eq!(found(&setup.owner, merchants, "TK-77").await, theirs);
    let other = setup.app.merchant("老张面馆", "1900000198").await.owner;
    assert_eq!(found(&other, merchants, "TK-77").await, json!([]));
    assert_eq!(found(&admin, refunds, "tk-77").await, json!([]));
    let both = "TK-77&wechat_refund_id=50300";
    assert_eq!(found(&admin, refunds, both).await, json!([]));
    let wrong = admin.get(&format!("{refunds}?out_refund_no=T%20K")).await;
    wrong.refused(422, "field_invalid");
    assert_eq!(wrong.expect(422)["field"]["name"], "out_refund_no");
    let stated = statements(&setup).await;
    assert!(!stated.is_empty());
    for (who, subject, number) in stated {
        assert!(who.starts_with("operator:"), "{who}");
        assert_eq!((subject, number), (no.to_string(), "TK-77".to_owned()));
    }
    setup.app.finish().await;
}

/// WeChat refuses what is more than is left beside others' refund of which nobody told us: then it
/// is asked why.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_ours_brings_to_light_what_others_refunded() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let paid = setup.order(order).await;
    let paid_at = paid.state.payment().unwrap().paid_at;
    setup
        .channel
        .says_paid(&paid, &transaction(&paid), paid_at, true);
    setup
        .channel
        .answers([ChannelReply::No(RefusalKind::Rejected)]);
    setup.channel.knows([ChannelReply::No(RefusalKind::Absent)]);
    let refused = setup.refund(order, None, "r").await;
    assert_eq!(refused.state.kind(), RefundStateKind::Failed);
    let known = setup.order(order).await;
    assert!(known.refunds.unknown);
    assert_eq!(known.refundable(), Money::ZERO);
    assert_eq!(
        setup.exceptions().await,
        ["refund_refused", "foreign_refund"]
    );
    // That may take days, and the books are right meanwhile.
    let report = setup.app.verify().await;
    assert!(report.is_clean(), "{report}");
    let success = RefundStatus::Success;
    let taken = elsewhere(&setup, order, ("TK-1", 300), success, "n1").await;
    assert_eq!(taken, HandledCallback::Refund);
    assert_eq!(setup.order(order).await.refundable(), Money::constant(700));
    let open = "SELECT CAST(GROUP_CONCAT(CONCAT(kind, ' ', refund_id IS NULL)) AS CHAR) \
                FROM payment_exceptions WHERE resolved_at IS NULL AND kind = 'foreign_refund'";
    let open: String = sqlx::query_scalar(open)
        .fetch_one(setup.app.db().pool())
        .await
        .unwrap();
    assert_eq!(open, "foreign_refund 0", "a number is known now");
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_about_a_paid_order() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_000, "k").await;
    let no = OrderNo::from(order);
    let elsewhere = RefundElsewhere {
        out_trade_no: no.to_string(),
        ..RefundElsewhere::default()
    };
    setup.app.simulator.refund_elsewhere(elsewhere).unwrap();
    let path = format!("/api/v1/admin/payments/{no}/confirm");
    let reply = eventually("WeChat says so", || async {
        let reply = setup.app.admin().post(&path, &json!({})).await.expect(200);
        (reply["refund_unknown"] == true).then_some(reply)
    })
    .await;
    assert_eq!(reply["refundable_fen"], 0, "{reply}");
    assert_eq!(setup.exceptions().await, ["foreign_refund"]);
    setup.app.finish().await;
}
