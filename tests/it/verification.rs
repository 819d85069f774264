//! Each check of `verify-ledger` can fail: a row is corrupted by hand, and it is named. Damage to
//! sharings is in `sharing::damage`, to lots and caps in `points_damage`.

use std::fmt::Write as _;

use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, mysql::MySqlQueryResult,
};
use zhangfang::{
    jobs,
    payments::{self, LatePayment, RefundStatus, RefusalKind},
    primitives::Money,
    verify::Invariant,
};

use crate::{
    batch::{adjust, someone},
    harness::{ChannelReply, Scratch, TestApp},
    refund_core::RefundSetup,
};

/// Books with three payments in them, and a customer who was given points and spent some.
async fn books() -> TestApp {
    let app = TestApp::start().await;
    app.set_rule(|terms| {
        terms.daily_cap = Some(zhangfang::primitives::Points::parse(1_000).unwrap());
    })
    .await;
    let merchant = app.merchant("茶里巷", "1900000130").await;
    let li = app.customer("li").await;
    for (index, amount) in [1000, 2000, 3000].into_iter().enumerate() {
        app.pay(&li, &merchant.code, amount, &format!("k{index}"))
            .await;
    }
    app.create(&li, &merchant.code, 400, "unpaid").await;
    let customer = someone(app.db());
    app.db().submit(adjust(&app, customer, 10)).await.unwrap();
    app.db().submit(adjust(&app, customer, -4)).await.unwrap();
    jobs::drain(app.db()).await.unwrap();
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_found_and_named() {
    let app = books().await;
    let clean = app.verify().await;
    assert!(clean.is_clean(), "{clean}");
    for (_, finding) in clean.findings() {
        assert!(
            finding.checked > 0,
            "a check that looked at nothing:\n{clean}"
        );
    }
    let settlement = "ORD(SUBSTR(entry_id, 16, 1)) = 1";
    let damage: Vec<(Invariant, String)> = vec![
        (Invariant::EntriesAreWhole, format!("DELETE FROM transfers WHERE {settlement} AND leg = 0 LIMIT 1")),
        (Invariant::EntriesAreWhole, format!("UPDATE transfers SET credit_account = CONCAT(REPEAT(x'00', 15), x'21'), constrained_side = 0, account_version = NULL, balance_after = NULL WHERE {settlement} AND leg = 1 LIMIT 1")),
        (Invariant::SumsEqualTransfers, "UPDATE accounts SET credits_posted = credits_posted + 1 WHERE SUBSTR(id, 16, 1) = x'01' LIMIT 1".into()),
        (Invariant::SumsEqualTransfers, "UPDATE accounts SET debits_posted = debits_posted + 1 WHERE SUBSTR(id, 16, 1) = x'12'".into()),
        (Invariant::SumsEqualTransfers, format!("UPDATE transfers SET balance_after = balance_after + 1 WHERE {settlement} AND leg = 1 LIMIT 1")),
        (Invariant::SumsEqualTransfers, format!("UPDATE transfers SET account_version = account_version + 7 WHERE {settlement} AND leg = 1 LIMIT 1")),
        (Invariant::NeverBelowZero, "UPDATE transfers SET amount = 400 WHERE constrained_side = 1".into()),
        (Invariant::EntriesAreWhole, "UPDATE transfers SET entry_id = CONCAT(SUBSTR(entry_id, 1, 15), x'82'), phase = 3 WHERE constrained_side = 1".into()),
        (Invariant::CapsHold, "INSERT INTO points_budgets (tenant_id, rule_version, granted, version) VALUES (1, 2, 5, 1)".into()),
        (Invariant::DebitsEqualCredits, "UPDATE accounts SET debits_posted = debits_posted + 5 WHERE SUBSTR(id, 16, 1) = x'21'".into()),
        (Invariant::PaidOrdersAreSettledOnce, "UPDATE payment_orders SET amount_fen = amount_fen + 1 WHERE state = 3 LIMIT 1".into()),
        (Invariant::PaidOrdersAreSettledOnce, "UPDATE payment_orders SET state = 2, wechat_transaction_id = NULL, paid_at = NULL, points = NULL, rule_version = NULL WHERE state = 3 LIMIT 1".into()),
        (Invariant::PaidOrdersAreSettledOnce, format!("DELETE FROM transfers WHERE {settlement} ORDER BY entry_id LIMIT 2")),
        (Invariant::PaidOrdersAreSettledOnce, "DELETE FROM payment_orders WHERE state = 3 LIMIT 1".into()),
        (Invariant::PointsFollowTheRule, "UPDATE payment_orders SET points = points + 1 WHERE state = 3 LIMIT 1".into()),
        (Invariant::PointsFollowTheRule, "UPDATE points_rules SET ratio = 2 WHERE version = 2".into()),
        (Invariant::CapsHold, "UPDATE points_rules SET daily_cap = 59 WHERE version = 2".into()),
        (Invariant::PointsFollowTheRule, "UPDATE points_rules SET ratio = 0.5 WHERE version = 2".into()),
        (Invariant::PointsFollowTheRule, "DELETE FROM points_rules WHERE version = 2".into()),
        (Invariant::HistoryIsAllowed, "UPDATE payment_order_history SET state = 6 WHERE state = 2 LIMIT 1".into()),
        (Invariant::HistoryIsAllowed, "DELETE FROM payment_order_history WHERE state = 3 LIMIT 1".into()),
        (Invariant::EventsMatchChanges, "DELETE FROM payment_order_history WHERE state = 1 LIMIT 1".into()),
        (Invariant::EventsMatchChanges, "UPDATE payment_orders SET version = version + 1 WHERE state = 2 LIMIT 1".into()),
        (Invariant::EventsMatchChanges, "UPDATE relay_positions SET seq = seq + 1 LIMIT 1".into()),
        (Invariant::ChainIsUnbroken, format!("UPDATE transfers SET amount = amount + 1 WHERE {settlement} AND leg = 0 LIMIT 1")),
        (Invariant::ChainIsUnbroken, format!("UPDATE transfers SET created_at = created_at + INTERVAL 1 SECOND WHERE {settlement} LIMIT 1")),
        (Invariant::ChainIsUnbroken, "DELETE FROM commits WHERE seq = 1 LIMIT 1".into()),
        (Invariant::ChainIsUnbroken, "UPDATE commits SET committed_at = committed_at + INTERVAL 1 SECOND WHERE seq = 1 LIMIT 1".into()),
        (Invariant::ChainIsUnbroken, "INSERT INTO transfers (entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, constrained_side, created_at) SELECT CONCAT(SUBSTR(entry_id, 1, 14), CHAR(ORD(SUBSTR(entry_id, 15, 1)) ^ 85 USING binary), x'02'), 0, tenant_id, phase, debit_account, credit_account, amount, 0, created_at FROM transfers WHERE leg = 0 AND constrained_side = 0 LIMIT 1".into()),
        (Invariant::AnswersAreDurable, "DELETE FROM payment_orders WHERE state = 2".into()),
        (Invariant::AnswersAreDurable, "INSERT INTO callback_events (id, tenant_id, outcome, received_at, body) VALUES (REPEAT(x'01', 16), 1, 1, NOW(6), ''), (REPEAT(x'02', 16), 1, 1, NOW(6), '')".into()),
    ];
    let mut copy = Copy::of(&app).await;
    for (invariant, statement) in damage {
        copy.finds(invariant, &statement, "").await;
    }
    copy.drop().await;
    app.finish().await;
}

/// Books with refunds in every state, debts that were repaid and one that was not, and payments
/// that came too late.
async fn refund_books() -> RefundSetup {
    let setup = RefundSetup::open().await;
    setup
        .app
        .set_policy(|terms| terms.refund_review_above = Money::constant(900))
        .await;
    let small = setup.paid(1_000, "p1").await;
    let order = setup.paid(2_000, "p2").await;
    setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success)]);
    setup.refund(order, Some(500), "succeeded").await;
    setup.refund(order, Some(300), "processing").await;
    let large = setup.paid(3_000, "p3").await;
    let rejected = setup.refund(large, Some(1_000), "rejected").await;
    setup.decide(&rejected, false, "no").await;
    setup.refund(large, Some(1_000), "awaiting").await;

    let closed = setup.paid(400, "p4").await;
    setup.spend_all(closed).await;
    setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Closed)]);
    setup.refund(closed, None, "closed").await;
    let owed = setup.paid(700, "p5").await;
    setup.spend_all(owed).await;
    setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success)]);
    setup.refund(owed, None, "whole").await;
    setup.paid(300, "p6").await;
    setup.channel.answers([
        ChannelReply::No(RefusalKind::Rejected),
        ChannelReply::Nothing,
        ChannelReply::Is(RefundStatus::Abnormal),
    ]);
    setup.channel.knows([ChannelReply::No(RefusalKind::Absent)]);
    setup.refund(small, Some(100), "failed").await;
    setup.refund(small, Some(200), "accepted").await;
    setup.refund(small, Some(100), "abnormal").await;

    let late = setup.paid_late(800, "p7").await;
    let refund = payments::refunds_of(setup.app.db(), setup.app.tenant.id, late)
        .await
        .unwrap();
    setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success)]);
    setup.reconcile(&refund[0]).await;
    setup
        .app
        .set_policy(|terms| terms.late_payment = LatePayment::Reopen)
        .await;
    setup.paid_late(600, "p8").await;
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_refunds_is_found_and_named() {
    use Invariant::{
        AnswersAreDurable as Answered, EventsMatchChanges as Told, HistoryIsAllowed as History,
        LotsSumToBalance as Lots, PaidOrdersAreSettledOnce as Money_,
        PointsFollowTheRule as Points, RowsAreReadable as Readable, SumsEqualTransfers as Sums,
    };
    let setup = refund_books().await;
    let clean = setup.app.verify().await;
    assert!(clean.is_clean(), "{clean}");
    let states: Vec<(i8, i64)> =
        sqlx::query_as("SELECT state, COUNT(*) FROM refunds GROUP BY state ORDER BY state")
            .fetch_all(&mut setup.app.sql().await)
            .await
            .unwrap();
    assert_eq!(
        states,
        [
            (1, 1),
            (2, 1),
            (4, 1),
            (5, 1),
            (6, 3),
            (7, 1),
            (8, 1),
            (9, 1)
        ]
    );
    let accepted = "ORD(SUBSTR(entry_id, 16, 1)) = 3";
    let clawback = "ORD(SUBSTR(entry_id, 16, 1)) = 4";
    let outcome = "ORD(SUBSTR(entry_id, 16, 1)) = 5";
    let resolution = "ORD(SUBSTR(entry_id, 16, 1)) = 132";
    let (elsewhere, nobody) = (moved("debit_account"), moved("credit_account"));
    // What is broken, how, and what is said of it.
    let damage: Vec<(Invariant, String, &str)> = vec![
        // What orders say of their refunds.
        (Money_, "UPDATE payment_orders SET refund_asked_fen = refund_asked_fen - 1 WHERE refund_asked_fen > refund_done_fen LIMIT 1".into(), "of its refunds, which are"),
        (Money_, "UPDATE payment_orders SET refund_done_fen = refund_done_fen - 1 WHERE state = 5 LIMIT 1".into(), "of its refunds, which are"),
        (Money_, "UPDATE payment_orders SET refund_count = refund_count + 1 WHERE refund_count = 0 AND state = 3 LIMIT 1".into(), "of its refunds, which are"),
        (Money_, "UPDATE payment_orders SET state = 3 WHERE state = 5".into(), "is paid with"),
        (Money_, "UPDATE payment_orders SET state = 6 WHERE state = 5".into(), "is refunded with"),
        (Money_, "UPDATE payment_orders SET state = 5 WHERE state = 6 LIMIT 1".into(), "is partly_refunded with"),
        (Money_, "UPDATE payment_orders SET amount_fen = refund_asked_fen - 1, refund_asked_fen = refund_asked_fen - 1, refund_done_fen = refund_done_fen - 1 WHERE state = 6 LIMIT 1".into(), "is refunded RefundsOfOrder"),
        (Money_, "UPDATE refunds SET late = 1 WHERE state = 5".into(), "refunds for being late, and 0 due"),
        (Money_, "UPDATE refunds SET late = 0 WHERE late = 1".into(), "refunds for being late, and 1 due"),
        (Money_, "DELETE FROM payment_orders WHERE state = 5".into(), "refunds of"),
        (Money_, "DELETE FROM payment_orders WHERE state = 5".into(), "which does not exist"),
        (Points, "UPDATE payment_orders SET refund_points = refund_points - 1 WHERE refund_points > 0 LIMIT 1".into(), "points go back, and its refunds say"),
        (Points, "UPDATE payment_orders SET refund_points = refund_points - 1 WHERE state = 6 AND refund_points > 0".into(), "points go back for"),
        (Points, "UPDATE payment_orders SET late = 1 WHERE state = 3 AND points > 0 LIMIT 1".into(), "was late, went back at once, and earned"),
        // Refunds and their journal.
        (Money_, "UPDATE refunds SET amount_fen = amount_fen + 1 WHERE state = 5".into(), "is due"),
        (Money_, "UPDATE refunds SET merchant_id = REPEAT(x'01', 16) WHERE state = 5".into(), "of another merchant"),
        (Money_, "DELETE FROM refunds WHERE state = 5".into(), "of a refund that does not exist"),
        (Money_, "UPDATE refunds SET state = 4 WHERE state = 1".into(), "is [] where"),
        (Money_, "UPDATE refunds SET state = 1 WHERE state = 4".into(), "does not follow from"),
        (Money_, "UPDATE refunds SET state = 5, finished_at = NULL WHERE state = 6 LIMIT 1".into(), "does not follow from"),
        (Money_, "UPDATE refunds SET state = 6, finished_at = NOW(6) WHERE state = 5".into(), "is [] where"),
        (Money_, "UPDATE refunds SET state = 6, finished_at = NOW(6) WHERE state = 8".into(), "is due"),
        (Money_, format!("DELETE FROM transfers WHERE {accepted} AND leg = 0 LIMIT 1"), "is due"),
        (Money_, format!("DELETE FROM transfers WHERE {outcome} AND leg = 0 LIMIT 1"), "is due"),
        (Money_, format!("UPDATE transfers SET debit_account = {elsewhere} WHERE {accepted} AND leg = 0 LIMIT 1"), "is due"),
        (Money_, format!("UPDATE transfers SET tenant_id = 77 WHERE {accepted} AND leg = 0 LIMIT 1"), "is due"),
        (Money_, format!("UPDATE transfers SET amount = amount + 1 WHERE {outcome} AND leg = 0 LIMIT 1"), "is due"),
        (Money_, format!("UPDATE transfers SET amount = amount + 1 WHERE {outcome} AND leg = 0 LIMIT 1"), "in transit, and"),
        (Money_, format!("INSERT INTO transfers (entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, constrained_side, created_at) SELECT CONCAT(SUBSTR(entry_id, 1, 14), CHAR(ORD(SUBSTR(entry_id, 15, 1)) ^ 85 USING binary), x'02'), 0, tenant_id, phase, debit_account, credit_account, amount, 0, created_at FROM transfers WHERE {accepted} AND leg = 0 LIMIT 1"), "in transit, and"),
        (Points, "UPDATE refunds SET clawback_shortfall = clawback_shortfall - 1 WHERE clawback_shortfall > 0 LIMIT 1".into(), "moves the points"),
        (Points, "UPDATE refunds SET points_due = points_due + 1 WHERE state = 5".into(), "is due"),
        (Points, format!("DELETE FROM transfers WHERE {accepted} AND leg = 1 LIMIT 1"), "moves the points [] where"),
        (Points, format!("DELETE FROM transfers WHERE {clawback} LIMIT 1"), "is [] where"),
        (Points, format!("DELETE FROM transfers WHERE {resolution} LIMIT 1"), "is [] where"),
        (Points, format!("UPDATE transfers SET phase = 3 WHERE {resolution} AND phase = 2 LIMIT 1"), "is due"),
        (Points, format!("UPDATE transfers SET phase = 2 WHERE {resolution} AND phase = 3 LIMIT 1"), "is due"),
        (Points, format!("UPDATE transfers SET amount = amount + 1 WHERE {outcome} AND leg = 1 LIMIT 1"), "moves the points"),
        (Points, "UPDATE refunds SET points_due = 0, clawback_shortfall = 0 WHERE state = 5".into(), "does not follow from"),
        (Points, format!("UPDATE transfers SET credit_account = {nobody} WHERE ORD(SUBSTR(entry_id, 16, 1)) = 1 AND leg = 2"), "were credited"),
        // Lots and debts.
        (Lots, "UPDATE points_lots SET remaining = remaining - 1 WHERE remaining > 0 LIMIT 1".into(), "are left in its lots"),
        (Lots, "DELETE FROM points_lots WHERE remaining > 0 LIMIT 1".into(), "and 0 are left in its lots"),
        (Lots, "INSERT INTO points_lots (account_id, expired_from, tenant_id, granted, remaining, expired, granted_on) VALUES (CONCAT(REPEAT(x'07', 15), x'01'), '2030-01-01', 1, 5, 5, 0, '2029-01-01')".into(), "no account that has lots"),
        (Sums, "UPDATE accounts SET debt = debt + 1 WHERE SUBSTR(id, 16, 1) = x'01' LIMIT 1".into(), "are noted beside the points"),
        (Sums, "UPDATE accounts SET debt = 0 WHERE debt > 0".into(), "and 0 are noted beside the points"),
        (Sums, "DELETE FROM accounts WHERE SUBSTR(id, 16, 1) = x'24'".into(), "nothing is owed, and"),
        (Sums, "UPDATE accounts SET debt = 3 WHERE SUBSTR(id, 16, 1) = x'11'".into(), "are noted beside the points"),
        // Histories.
        (History, "DELETE FROM refund_history WHERE version = 1 LIMIT 1".into(), "after None"),
        (History, "UPDATE refund_history SET state = 5 WHERE version = 1 LIMIT 1".into(), "after None"),
        (History, "UPDATE refund_history SET state = 2 WHERE state = 6 LIMIT 1".into(), "is rejected after"),
        (History, "DELETE FROM refund_history WHERE state = 6 LIMIT 1".into(), "its history ends at"),
        (History, "UPDATE refund_history SET version = version + 1 WHERE state = 6 LIMIT 1".into(), "is succeeded after"),
        (History, "UPDATE refund_history SET state = 77 WHERE state = 6 LIMIT 1".into(), "unknown state"),
        (History, "UPDATE refunds SET state = 9 WHERE state = 8".into(), "its history ends at"),
        (History, "UPDATE refunds SET version = version + 1 LIMIT 1".into(), "its history ends at"),
        (History, "UPDATE refund_history SET refund_id = REPEAT(x'00', 16) WHERE version = 1 LIMIT 1".into(), "which does not exist"),
        (History, "UPDATE refund_history SET refund_id = REPEAT(x'77', 16) WHERE version = 1 LIMIT 1".into(), "which does not exist"),
        (History, "UPDATE payment_order_history SET why = 77 WHERE why = 4 LIMIT 1".into(), "unknown reason"),
        (History, "UPDATE payment_order_history SET why = 4 WHERE why = 10".into(), "of being late"),
        (History, "UPDATE payment_order_history SET why = 4 WHERE why = 11".into(), "for Some(Callback)"),
        (History, "UPDATE payment_order_history SET why = 11 WHERE why = 4 LIMIT 1".into(), "for Some(LateReopened)"),
        // What was told.
        (Told, "UPDATE refunds SET finished_at = finished_at + INTERVAL 1 SECOND WHERE state = 6 LIMIT 1".into(), "is told to have arrived as"),
        (Told, "UPDATE refunds SET amount_fen = amount_fen + 1 WHERE state = 6 LIMIT 1".into(), "is told to have arrived as"),
        (Told, "UPDATE refunds SET state = 6, finished_at = NOW(6) WHERE state = 5".into(), "has arrived and was not told"),
        (Told, "UPDATE merchant_days SET orders = orders + 1 LIMIT 1".into(), "the totals of"),
        (Told, "UPDATE merchant_days SET paid_fen = paid_fen + 1 LIMIT 1".into(), "the totals of"),
        (Told, "UPDATE merchant_days SET points = points - 1 LIMIT 1".into(), "the totals of"),
        (Told, "UPDATE merchant_days SET refunds = refunds + 1 LIMIT 1".into(), "the totals of"),
        (Told, "UPDATE merchant_days SET refunded_fen = refunded_fen + 1 LIMIT 1".into(), "the totals of"),
        (Told, "UPDATE merchant_days SET points_back = points_back + 1 LIMIT 1".into(), "the totals of"),
        (Told, "DELETE FROM merchant_days".into(), "the totals of"),
        // Keys.
        (Answered, "DELETE FROM refunds WHERE state = 1".into(), "which is gone"),
        (Answered, "UPDATE idempotency_keys SET effect_id = REPEAT(x'07', 16) WHERE answer_status IS NULL LIMIT 1".into(), "which is gone"),
        (Answered, "UPDATE idempotency_keys SET effect_id = NULL WHERE answer_status IS NULL LIMIT 1".into(), "which is gone"),
        (Answered, "UPDATE idempotency_keys SET tenant_id = 77 WHERE answer_status IS NULL LIMIT 1".into(), "which is gone"),
        // Rows that say nothing.
        (Readable, "UPDATE refunds SET requested_by = 'nobody' LIMIT 1".into(), "requested_by: nobody is called that"),
        (Readable, "UPDATE refund_history SET actor = 'nobody' LIMIT 1".into(), "actor: nothing is called that"),
        (Readable, "UPDATE audit_logs SET actor = 'nobody' LIMIT 1".into(), "actor: nothing is called that"),
        (Readable, "UPDATE callback_events SET outcome = 77 LIMIT 1".into(), "outcome: nothing is called that"),
        // Last, for it takes away what would refuse it.
        (Lots, "ALTER TABLE points_lots DROP CONSTRAINT points_lots_remaining; UPDATE points_lots SET granted = remaining - 1 WHERE remaining > 0 LIMIT 1".into(), "above what was granted"),
    ];
    let mut copy = Copy::of(&setup.app).await;
    // The database itself would not let some of it in.
    copy.without("refunds", "refunds_next").await;
    for (invariant, statement, says) in damage {
        copy.finds(invariant, &statement, says).await;
    }
    copy.drop().await;
    setup.app.finish().await;
}

/// SQL: an account of the same kind with another owner, whoever owned it. (A fixed byte instead of
/// the last of the owner's would, one time in 256, be no damage.)
pub(crate) fn moved(account: &str) -> String {
    format!(
        "CONCAT(SUBSTR({account}, 1, 14), CHAR(ORD(SUBSTR({account}, 15, 1)) ^ 85 USING binary), SUBSTR({account}, 16, 1))"
    )
}

/// A copy of books, which can be damaged and made whole again: cheaper than a database for each
/// damage.
pub(crate) struct Copy {
    scratch: Scratch,
    conn: MySqlConnection,
    /// Empties every table and fills it again.
    restore: String,
}

impl Copy {
    pub(crate) async fn of(app: &TestApp) -> Self {
        Self::of_books(&app.scratch).await
    }

    pub(crate) async fn of_books(books: &Scratch) -> Self {
        let scratch = Scratch::make().await;
        let from = books.owner.get_database().unwrap().to_owned();
        let to = scratch.owner.get_database().unwrap().to_owned();
        let mut conn = books.owner.clone().connect().await.unwrap();
        let tables: Vec<(String,)> = sqlx::query_as(
            "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations'",
        )
        .bind(&from)
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let mut restore = format!("USE {to}; START TRANSACTION; ");
        for (table,) in tables {
            let columns: Vec<(String,)> = sqlx::query_as(
                "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = ? AND table_name = ? AND extra NOT LIKE '%VIRTUAL%' ORDER BY ordinal_position",
            )
            .bind(&from)
            .bind(&table)
            .fetch_all(&mut conn)
            .await
            .unwrap();
            let columns: Vec<String> = columns.into_iter().map(|(column,)| column).collect();
            let columns = columns.join(", ");
            write!(
                restore,
                "DELETE FROM {table}; INSERT INTO {table} ({columns}) SELECT {columns} FROM {from}.{table}; "
            )
            .unwrap();
        }
        restore.push_str("COMMIT");
        Self {
            scratch,
            conn,
            restore,
        }
    }

    /// What verification says of clean books after this.
    pub(crate) async fn after(&mut self, statement: &str) -> zhangfang::verify::Report {
        self.execute(self.restore.clone()).await;
        let done = self.execute(statement.to_owned()).await;
        assert!(done.rows_affected() > 0, "no damage done by {statement}");
        zhangfang::verify::verify(&self.scratch.owner, &mut ())
            .await
            .unwrap()
    }

    /// This damage alone breaks the invariant, and the report says so in these words.
    pub(crate) async fn finds(&mut self, invariant: Invariant, statement: &str, says: &str) {
        let report = self.after(statement).await;
        assert!(!report.holds(invariant), "{statement}\n{report}");
        let (_, finding) = report
            .findings()
            .find(|(which, _)| *which == invariant)
            .unwrap();
        assert!(
            finding.named.iter().any(|named| named.contains(says)),
            "{statement}: \"{says}\" is not said\n{report}"
        );
    }

    /// From now on this check does not keep damage out.
    pub(crate) async fn without(&mut self, table: &str, check: &str) {
        let database = self.scratch.owner.get_database().unwrap().to_owned();
        let drop = format!("ALTER TABLE {database}.{table} DROP CONSTRAINT {check}");
        self.execute(drop).await;
    }

    async fn execute(&mut self, statements: String) -> MySqlQueryResult {
        let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements));
        self.conn.execute(statements).await.unwrap()
    }

    pub(crate) async fn drop(self) {
        self.conn.close().await.unwrap();
        self.scratch.give_back().await;
    }
}
