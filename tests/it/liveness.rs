//! Each rule of invariant 16 can fail: what is stuck is planted by hand, and it is named.

use zhangfang::{
    payments::{RefundStateKind, RefundStatus},
    verify::{self, Invariant},
};

use crate::{
    harness::{ChannelReply, TestApp},
    refund_core::RefundSetup,
    verification::Copy,
};

/// A points transaction of the first order's customer, in this state: with a time until which it
/// holds, and one at which somebody ends that.
fn points_transaction(kind: u8, state: u8, (hold, due): (&str, &str)) -> String {
    let lot = if kind == 1 { "'2030-01-01'" } else { "NULL" };
    format!(
        "INSERT INTO points_transactions (id, tenant_id, customer_id, kind, state, points, captured, source, reference, reason, expired_from, hold_until, due_at, created_by, version, created_at, updated_at) \
         SELECT CONCAT(REPEAT(x'11', 15), x'00'), tenant_id, customer_id, {kind}, {state}, 5, 0, 'crm', 'planted', 'x', {lot}, {hold}, {due}, 'operator:crm', 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) \
         FROM payment_orders WHERE customer_id IS NOT NULL LIMIT 1; "
    )
}

fn review(kind: u8, due: &str) -> String {
    format!(
        "INSERT INTO risk_reviews (id, tenant_id, kind, stage, entry_id, customer_id, points, source, rules, state, due_at, version, created_at) \
         SELECT CONCAT(REPEAT(x'11', 15), x'01'), tenant_id, {kind}, 3, REPEAT(x'11', 16), customer_id, 5, 'payment', 'x', 1, {due}, 1, UTC_TIMESTAMP(6) \
         FROM payment_orders WHERE customer_id IS NOT NULL LIMIT 1; "
    )
}

fn delivery(state: &str, due: &str) -> String {
    format!(
        "INSERT INTO deliveries (id, tenant_id, kind, order_id, amount_fen, happened_at, state, attempts, next_attempt_at, created_at, updated_at) \
         SELECT REPEAT(x'11', 16), tenant_id, 'shipping_info', id, amount_fen, UTC_TIMESTAMP(6), '{state}', 1, {due}, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) \
         FROM payment_orders LIMIT 1"
    )
}

fn watch(due: &str) -> String {
    format!(
        "INSERT INTO order_watches (order_id, tenant_id, due_at, queries) SELECT id, tenant_id, {due}, 1 FROM payment_orders WHERE state IN (1, 2)"
    )
}

fn to_share(due: &str) -> String {
    format!(
        "UPDATE payment_orders SET sharing = 1 WHERE state = 3 LIMIT 1; \
         INSERT INTO sharing_dues (order_id, tenant_id, due_at) SELECT id, tenant_id, {due} FROM payment_orders WHERE sharing = 1"
    )
}

/// A sharing that began long ago, is not done, and is looked at again; and the SQL of
/// its exception.
fn long_sharing(state: u8, exception: &str) -> String {
    format!(
        "INSERT INTO sharings (id, tenant_id, order_id, merchant_id, base_fen, asked_before_fen, state, version, release_id, attempts, calls, unsure, stopped, next_attempt_at) \
         SELECT CONCAT(x'019000000000', REPEAT(x'11', 10)), tenant_id, id, merchant_id, amount_fen, 0, {state}, 1, REPEAT(x'12', 16), 0, 0, 0, 0, {SOON} \
         FROM payment_orders WHERE state = 3 ORDER BY id LIMIT 1; {exception}"
    )
}

/// Raises an exception for each of these orders; resolved then, if that is a time.
fn exception(kind: &str, (order, of): (&str, &str), resolved: &str) -> String {
    format!(
        "INSERT INTO payment_exceptions (id, tenant_id, kind, order_id, detail, resolution, resolved_by, resolved_at, created_at) \
         SELECT CONCAT(SUBSTR({order}, 1, 15), x'55'), tenant_id, '{kind}', {order}, 'x', IF(({resolved}) IS NULL, NULL, 'x'), IF(({resolved}) IS NULL, NULL, 'operator:lin'), {resolved}, {LONG_AGO} FROM {of}"
    )
}

/// Raises an exception for each refund in this state.
fn exception_of_refund(kind: &str, state: u8, at: &str) -> String {
    format!(
        "INSERT INTO payment_exceptions (id, tenant_id, kind, order_id, refund_id, detail, resolution, resolved_by, resolved_at, created_at) \
         SELECT CONCAT(SUBSTR(id, 1, 15), x'55'), tenant_id, '{kind}', order_id, id, 'x', 'x', 'operator:lin', {at}, {at} FROM refunds WHERE state = {state}"
    )
}

/// A sweep of points that was asked for then, and is under way.
fn sweep(asked: &str) -> String {
    format!(
        "INSERT INTO points_expiry_runs (id, tenant_id, day, open, lease, holder, leased_until, started_by, asked_at, started_at, accounts, lots, points, notices) \
         SELECT REPEAT(x'11', 16), tenant_id, '2026-01-01', 1, 1, REPEAT(x'12', 16), {SOON}, 'schedule', {asked}, {asked}, 0, 0, 0, 0 FROM payment_orders LIMIT 1"
    )
}

/// Orders that are reported to people: what they are called where they are read.
const OPEN: (&str, &str) = ("id", "payment_orders WHERE state IN (1, 2)");
const TO_SHARE: (&str, &str) = ("id", "payment_orders WHERE sharing = 1");
const SHARED: (&str, &str) = ("order_id", "sharings");

const LONG_AGO: &str = "UTC_TIMESTAMP(6) - INTERVAL 5 DAY";
const PAST: &str = "UTC_TIMESTAMP(6) - INTERVAL 2 HOUR";
const SOON: &str = "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE";
/// What a process says whose clock is a month ahead.
const MONTH: &str = "UTC_TIMESTAMP(6) + INTERVAL 31 DAY";

/// A payment, one that is not paid, refunds on their way, one that no bank takes.
async fn books() -> RefundSetup {
    let setup = RefundSetup::at(TestApp::without_jobs().await).await;
    setup.paid(1_000, "paid").await;
    setup
        .app
        .create(&setup.customer, &setup.code, 1_000, "open")
        .await;
    let order = setup.paid(1_000, "k1").await;
    setup.refund(order, Some(400), "r1").await;
    let abnormal = setup.refund(order, Some(300), "r2").await;
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Abnormal)]);
    assert_eq!(setup.reconcile(&abnormal).await, RefundStateKind::Abnormal);
    let done = setup.refund(order, Some(100), "r3").await;
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    assert_eq!(setup.reconcile(&done).await, RefundStateKind::Succeeded);
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_stuck_is_found_and_named() {
    let setup = books().await;
    let clean = setup.app.verify().await;
    assert!(clean.is_clean(), "{clean}");
    // Nothing of it waits too long, also when somebody watches the time.
    let running = verify::verify(&setup.app.scratch.owner, &mut ())
        .await
        .unwrap();
    assert!(running.is_clean(), "{running}");
    let damage: Vec<(String, &str)> = vec![
        // Refunds.
        ("UPDATE refunds SET next_attempt_at = NULL WHERE state = 5".into(), "is under way, and nobody looks at it again"),
        ("UPDATE refunds SET next_attempt_at = NULL WHERE state = 7".into(), "is under way, and nobody looks at it again"),
        (format!("UPDATE refunds SET next_attempt_at = {SOON} WHERE state = 6"), "is over or waits for a person, and is looked at again"),
        ("DELETE FROM payment_exceptions".into(), "was not reported"),
        ("UPDATE refunds SET stuck = 1 WHERE state = 5".into(), "counts as reported, and has no exception"),
        ("INSERT INTO payment_exceptions (id, tenant_id, kind, order_id, refund_id, detail, created_at) SELECT REPEAT(x'11', 16), tenant_id, 'refund_stuck', order_id, id, 'x', UTC_TIMESTAMP(6) FROM refunds WHERE state = 6".into(), "makes progress, and an open exception says that it is stuck"),
        (format!("UPDATE refunds SET next_attempt_at = {PAST} WHERE state = 5"), "is due for more than an hour, and nobody came"),
        (format!("UPDATE refunds SET next_attempt_at = {MONTH} WHERE state = 5"), "is due later than anybody would have said"),
        ("UPDATE refunds SET since = UTC_TIMESTAMP(6) - INTERVAL 15 DAY WHERE state = 5".into(), "is stuck for too long, and was not reported"),
        ("UPDATE refunds SET state = 4, since = UTC_TIMESTAMP(6) - INTERVAL 3 HOUR WHERE state = 5".into(), "is stuck for too long, and was not reported"),
        // Orders.
        ("REPLACE INTO scan_positions (scan, position) VALUES ('old', REPEAT(x'ff', 16))".into(), "both scans have passed it by"),
        ("UPDATE payment_orders SET id = CONCAT(x'019000000000', SUBSTR(id, 7)) WHERE state IN (1, 2)".into(), "is open for more than an hour, and nobody watches it"),
        (watch(PAST), "is to be asked about for more than an hour"),
        (watch(MONTH), "is to be asked about later than anybody would have said"),
        ("UPDATE payment_orders SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 3 DAY WHERE state IN (1, 2)".into(), "is open for days after its time, and was not reported"),
        ("UPDATE payment_orders SET refund_unknown = 1 WHERE state = 3 LIMIT 1".into(), "waits for a person to say what was refunded elsewhere, and was not reported"),
        ("UPDATE payment_orders SET sharing = 1 WHERE state = 3 LIMIT 1".into(), "is paid and to be shared, and nobody shares it"),
        (to_share(PAST), "is to be shared for more than an hour"),
        (to_share(MONTH), "is to be shared later than anybody would have said"),
        (format!("{}; UPDATE payment_orders SET paid_at = UTC_TIMESTAMP(6) - INTERVAL 3 DAY WHERE sharing = 1", to_share(SOON)), "is to be shared for days, and was not reported"),
        // Points.
        ("UPDATE payment_orders SET review = 2 WHERE state = 3 LIMIT 1".into(), "has points under a review that nobody decides"),
        (points_transaction(1, 5, ("NULL", "NULL")), "is under a review that nobody decides"),
        (review(1, SOON), "is open, and no order waits for it"),
        (review(2, SOON), "is open, and no points transaction waits for it"),
        (review(1, "NULL"), "is open without an end"),
        (format!("{}{}", points_transaction(1, 5, ("NULL", "NULL")), review(2, PAST)), "is open for more than an hour after its end"),
        (points_transaction(3, 1, (SOON, "NULL")), "holds points without an end"),
        (points_transaction(3, 1, (PAST, PAST)), "holds points for more than an hour after its end"),
        // What is told to others, and to people.
        (delivery("pending", "NULL"), "is pending and nobody delivers it"),
        (delivery("pending", PAST), "is due for more than an hour, and nobody came"),
        (delivery("parked", "NULL"), "is parked, and nobody sees why"),
        ("UPDATE payment_exceptions SET resolution = 'x'".into(), "does not say what happened, or what was done about it"),
        ("UPDATE payment_exceptions SET detail = ''".into(), "does not say what happened"),
        ("UPDATE payment_exceptions SET refund_id = REPEAT(x'07', 16)".into(), "is about a refund that does not exist"),
        ("UPDATE payment_exceptions SET order_id = REPEAT(x'07', 16)".into(), "is about an order that does not exist"),
        // The relay.
        ("UPDATE commits SET committed_at = committed_at - INTERVAL 1 HOUR; UPDATE relay_positions SET seq = seq - 1".into(), "the relay stands still"),
        ("UPDATE commits SET committed_at = committed_at - INTERVAL 1 HOUR; DELETE FROM relay_positions".into(), "the relay stands still"),
    ];
    let mut copy = Copy::of(&setup.app).await;
    // The database itself would not let these in.
    for (table, check) in [
        ("refunds", "refunds_next"),
        ("points_transactions", "points_transactions_due"),
        ("deliveries", "deliveries_pending"),
    ] {
        copy.without(table, check).await;
    }
    for (statement, says) in damage {
        copy.finds(Invariant::NothingIsStuck, &statement, says)
            .await;
    }
    copy.drop().await;
    setup.app.finish().await;
}

/// Whoever takes what is due moves its time ahead: all of this is due in a minute, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_again_and_again_and_fails_each_time_is_found_and_named() {
    let setup = books().await;
    let expired = "UPDATE payment_orders SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 3 DAY WHERE state IN (1, 2)";
    let open = "is open for days after its time, and was not reported";
    let waits =
        "UPDATE refunds SET state = 4, since = UTC_TIMESTAMP(6) - INTERVAL 3 HOUR WHERE state = 5";
    let withdrawn =
        "UPDATE refunds SET state = 10, since = UTC_TIMESTAMP(6) - INTERVAL 15 DAY WHERE state = 5";
    let refund = "is stuck for too long, and was not reported";
    let sharing = "is stuck for days, and was not reported";
    let due = format!(
        "{}; UPDATE payment_orders SET paid_at = {LONG_AGO} WHERE sharing = 1",
        to_share(SOON)
    );
    let shared = "is to be shared for days, and was not reported";
    let held = "holds points for more than an hour after its end";
    let aged = |days: u8| {
        format!("UPDATE risk_reviews SET created_at = UTC_TIMESTAMP(6) - INTERVAL {days} DAY")
    };
    let reviewed = format!(
        "{}{}",
        points_transaction(1, 5, ("NULL", "NULL")),
        review(2, SOON)
    );
    let tried = |attempts: u8| {
        format!(
            "{}; UPDATE deliveries SET attempts = {attempts}",
            delivery("pending", SOON)
        )
    };
    let timed_out = "is open for more than an hour after its end";
    let noted = "what becomes of it is not noted";
    let swept = "does not come to an end";
    let damage: Vec<(String, &str)> =
        vec![
        (points_transaction(3, 1, (PAST, SOON)), held),
        (format!("{reviewed}{}", aged(31)), timed_out),
        (tried(21), noted),
        (sweep(LONG_AGO), swept),
        (
            withdrawn.into(),
            "shares are still on their way back for it",
        ),
        // Exceptions of something else, or from long ago, or from before it came into its state.
        (
            format!("{expired}; {}", exception("late_payment", OPEN, "NULL")),
            open,
        ),
        (
            format!("{expired}; {}", exception("order_stuck", OPEN, LONG_AGO)),
            open,
        ),
        (
            format!("{waits}; {}", exception_of_refund("refund_stuck", 4, PAST)),
            refund,
        ),
        (
            format!("{waits}; {}", exception_of_refund("answer_mismatch", 4, LONG_AGO)),
            refund,
        ),
        (
            format!("{waits}; {}", exception_of_refund("refund_refused", 4, PAST)),
            refund,
        ),
        (long_sharing(3, "SELECT 1"), sharing),
        (
            long_sharing(3, &exception("sharing_contradiction", SHARED, "NULL")),
            sharing,
        ),
        (
            long_sharing(2, &exception("sharing_failed", SHARED, LONG_AGO)),
            sharing,
        ),
        (
            long_sharing(1, &exception("sharing_stuck", SHARED, LONG_AGO)),
            sharing,
        ),
        (
            format!("{due}; {}", exception("sharing_stuck", TO_SHARE, LONG_AGO)),
            shared,
        ),
        (
            "UPDATE payment_exceptions SET kind = 'refund_refused' WHERE kind = 'refund_abnormal'"
                .into(),
            "waits for a person to say where it shall go, and was not reported",
        ),
    ];
    // What waits and was reported, or not too long yet.
    let right: Vec<(String, &str)> = vec![
        (points_transaction(3, 1, (SOON, SOON)), held),
        (format!("{reviewed}{}", aged(29)), timed_out),
        (tried(10), noted),
        (sweep(PAST), swept),
        (
            format!("{expired}; {}", exception("order_stuck", OPEN, "NULL")),
            open,
        ),
        (
            format!("{expired}; {}", exception("answer_mismatch", OPEN, "NULL")),
            open,
        ),
        (
            format!(
                "{expired}; {}",
                exception("order_stuck", OPEN, "UTC_TIMESTAMP(6)")
            ),
            open,
        ),
        (
            format!(
                "{waits}; {}",
                exception_of_refund("answer_mismatch", 4, PAST)
            ),
            refund,
        ),
        (
            format!(
                "{waits}; UPDATE refunds SET stuck = 1 WHERE state = 4; {}",
                exception_of_refund("refund_stuck", 4, PAST)
            ),
            refund,
        ),
        (
            long_sharing(3, &exception("sharing_stuck", SHARED, "NULL")),
            sharing,
        ),
        (
            long_sharing(2, &exception("sharing_stuck", SHARED, PAST)),
            sharing,
        ),
        (
            format!("{due}; {}", exception("sharing_stuck", TO_SHARE, "NULL")),
            shared,
        ),
        (
            format!("{due}; UPDATE payment_orders SET refund_unknown = 1 WHERE sharing = 1"),
            shared,
        ),
    ];
    let mut copy = Copy::of(&setup.app).await;
    // The database itself would not let these in.
    copy.without("refunds", "refunds_next").await;
    for (statement, says) in damage {
        copy.finds(Invariant::NothingIsStuck, &statement, says)
            .await;
    }
    for (statement, says) in right {
        let report = copy.after(&statement).await;
        let mut named = report.findings().flat_map(|(_, finding)| finding.named);
        assert!(
            !named.any(|named| named.contains(says)),
            "{statement}\n{report}"
        );
    }
    copy.drop().await;
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_what_would_be_stuck() {
    let setup = books().await;
    for statement in [
        "UPDATE refunds SET next_attempt_at = NULL WHERE state = 5",
        "UPDATE refunds SET next_attempt_at = UTC_TIMESTAMP(6) WHERE state = 6",
        "UPDATE refunds SET state = 9 WHERE state = 5",
        "UPDATE refunds SET state = 1 WHERE state = 5",
    ] {
        let refused = sqlx::query(statement)
            .execute(&mut setup.app.sql().await)
            .await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("refunds_next"), "{statement}: {error}");
    }
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_only_behind_is_no_violation() {
    let setup = books().await;
    setup.app.verify().await;
    setup
        .app
        .execute("UPDATE relay_positions SET seq = seq - 1")
        .await;
    let report = verify::verify(&setup.app.scratch.owner, &mut ())
        .await
        .unwrap();
    assert!(report.holds(Invariant::NothingIsStuck), "{report}");
    setup
        .app
        .execute("UPDATE relay_positions SET seq = seq + 1")
        .await;
    setup.app.finish().await;
}
