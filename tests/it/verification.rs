//! Each check of `verify-ledger` can fail: a row is corrupted by hand, and it is named.

use sqlx::{Connection as _, Executor as _};
use zhangfang::{jobs, verify::Invariant};

use crate::{
    batch::{adjust, someone},
    harness::TestApp,
};

/// Books with three payments in them, and a customer who was given points and spent some.
async fn books() -> TestApp {
    let app = TestApp::start().await;
    app.set_rule(|terms| {
        terms.daily_cap = Some(zhangfang::primitives::Points::parse(1_000).unwrap());
    })
    .await;
    let shop = app.shop("茶里巷", "1900000130").await;
    let li = app.customer("li").await;
    for (place, amount) in [1000, 2000, 3000].into_iter().enumerate() {
        app.pay(&li, &shop.code, amount, &format!("k{place}")).await;
    }
    app.create(&li, &shop.code, 400, "unpaid").await;
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
        (Invariant::EntriesAreWhole, format!("UPDATE transfers SET credit_account = CONCAT(REPEAT(x'00', 15), x'21'), checked_side = 0, account_version = NULL, balance_after = NULL WHERE {settlement} AND leg = 1 LIMIT 1")),
        (Invariant::SumsEqualTransfers, "UPDATE accounts SET credits_posted = credits_posted + 1 WHERE SUBSTR(id, 16, 1) = x'01' LIMIT 1".into()),
        (Invariant::SumsEqualTransfers, "UPDATE accounts SET debits_posted = debits_posted + 1 WHERE SUBSTR(id, 16, 1) = x'12'".into()),
        (Invariant::SumsEqualTransfers, format!("UPDATE transfers SET balance_after = balance_after + 1 WHERE {settlement} AND leg = 1 LIMIT 1")),
        (Invariant::SumsEqualTransfers, format!("UPDATE transfers SET account_version = account_version + 7 WHERE {settlement} AND leg = 1 LIMIT 1")),
        (Invariant::NeverBelowZero, "UPDATE transfers SET amount = 400 WHERE checked_side = 1".into()),
        (Invariant::EntriesAreWhole, "UPDATE transfers SET entry_id = CONCAT(SUBSTR(entry_id, 1, 15), x'82'), phase = 3 WHERE checked_side = 1".into()),
        (Invariant::PointsFollowTheRule, "INSERT INTO point_budgets (tenant_id, rule_version, granted, version) VALUES (1, 2, 5, 1)".into()),
        (Invariant::DebitsEqualCredits, "UPDATE accounts SET debits_posted = debits_posted + 5 WHERE SUBSTR(id, 16, 1) = x'21'".into()),
        (Invariant::PaidOrdersAreSettledOnce, "UPDATE payment_orders SET amount_fen = amount_fen + 1 WHERE state = 3 LIMIT 1".into()),
        (Invariant::PaidOrdersAreSettledOnce, "UPDATE payment_orders SET state = 2, wechat_transaction_id = NULL, paid_at = NULL, points = NULL, rule_version = NULL WHERE state = 3 LIMIT 1".into()),
        (Invariant::PaidOrdersAreSettledOnce, format!("DELETE FROM transfers WHERE {settlement} ORDER BY entry_id LIMIT 2")),
        (Invariant::PaidOrdersAreSettledOnce, "DELETE FROM payment_orders WHERE state = 3 LIMIT 1".into()),
        (Invariant::PointsFollowTheRule, "UPDATE payment_orders SET points = points + 1 WHERE state = 3 LIMIT 1".into()),
        (Invariant::PointsFollowTheRule, "UPDATE points_rules SET ratio = 2 WHERE version = 2".into()),
        (Invariant::PointsFollowTheRule, "UPDATE points_rules SET daily_cap = 59 WHERE version = 2".into()),
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
        (Invariant::ChainIsUnbroken, "INSERT INTO transfers (entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, checked_side, created_at) SELECT CONCAT(SUBSTR(entry_id, 1, 14), x'7702'), 0, tenant_id, phase, debit_account, credit_account, amount, 0, created_at FROM transfers WHERE leg = 0 AND checked_side = 0 LIMIT 1".into()),
        (Invariant::NothingAnsweredIsLost, "DELETE FROM payment_orders WHERE state = 2".into()),
        (Invariant::NothingAnsweredIsLost, "INSERT INTO callback_events (id, tenant_id, outcome, received_at, body) VALUES (REPEAT(x'01', 16), 1, 1, NOW(6), ''), (REPEAT(x'02', 16), 1, 1, NOW(6), '')".into()),
    ];
    for (invariant, statement) in damage {
        // On a copy of the books: each damage alone.
        let report = app.damaged(&statement).await;
        assert!(!report.holds(invariant), "{statement}\n{report}");
        let (_, finding) = report
            .findings()
            .find(|(which, _)| *which == invariant)
            .unwrap();
        assert!(!finding.named.is_empty(), "{statement}: nothing is named");
    }
    app.finish().await;
}

impl TestApp {
    /// The report on a copy of the books after `statement`.
    async fn damaged(&self, statement: &str) -> zhangfang::verify::Report {
        let copy = crate::harness::Scratch::make().await;
        let from = self.scratch.owner.get_database().unwrap().to_owned();
        let mut conn = self.sql().await;
        let to = copy.owner.get_database().unwrap().to_owned();
        let tables: Vec<(String,)> = sqlx::query_as(
            "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE' AND table_name <> '_sqlx_migrations'",
        )
        .bind(&from)
        .fetch_all(&mut conn)
        .await
        .unwrap();
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
            let copying = format!(
                "INSERT INTO {to}.{table} ({columns}) SELECT {columns} FROM {from}.{table}"
            );
            conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(copying)))
                .await
                .unwrap();
        }
        conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("USE {to}"))))
            .await
            .unwrap();
        let done = conn
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())))
            .await
            .unwrap();
        assert!(done.rows_affected() > 0, "no damage done by {statement}");
        conn.close().await.unwrap();
        let report = zhangfang::verify::verify(&copy.owner, &mut ())
            .await
            .unwrap();
        copy.drop().await;
        report
    }
}
