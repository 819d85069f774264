//! `verify-ledger` knows which rule an order should name.

use serde_json::json;
use zhangfang::verify::Invariant;

use super::{id_of, rule_of};
use crate::harness::TestApp;

/// Every version began a day before it did.
const YESTERDAY: &str =
    "UPDATE points_rules SET effective_from = created_at - INTERVAL 1 DAY, withdrawn = 0";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_credited_by_a_rule_not_its_own_is_found() {
    let app = TestApp::start().await;
    let (own, plain) = (
        app.merchant("茶里巷", "1900000506").await,
        app.merchant("面馆", "1900000507").await,
    );
    let id = id_of(&own).await;
    // Two rules that say the same: nothing but whose they are, and from when, tells them apart.
    let same = json!({ "ratio": "1", "expiry_days": 365 });
    app.admin().put(&rule_of(&id), &same).await.expect(200);
    let li = app.customer("li").await;
    let at_own = app.pay(&li, &own.code, 1_000, "a").await;
    let elsewhere = app.pay(&li, &plain.code, 1_000, "b").await;
    // As if it had been so since yesterday: what a process may have known a moment ago is no excuse
    // then.
    app.execute(YESTERDAY).await;
    let clean = app.verify().await;
    assert!(clean.is_clean(), "{clean}");
    let named = |order_no: &str, version: i64| {
        let id = order_no
            .parse::<zhangfang::primitives::OrderNo>()
            .unwrap()
            .id();
        (id, version)
    };
    let wrong: [(&str, Option<_>); 4] = [
        ("", Some(named(&at_own, 1))),
        ("", Some(named(&elsewhere, 2))),
        (
            "UPDATE points_rules SET effective_from = effective_from + INTERVAL 2 DAY WHERE version = 2",
            None,
        ),
        (
            "UPDATE points_rules SET withdrawn = 1 WHERE version = 2",
            None,
        ),
    ];
    for (statement, order) in wrong {
        let mut conn = app.sql().await;
        if let Some((order, version)) = order {
            let before: u32 =
                sqlx::query_scalar("SELECT rule_version FROM payment_orders WHERE id = ?")
                    .bind(order)
                    .fetch_one(&mut conn)
                    .await
                    .unwrap();
            let name = async |version: i64, conn: &mut sqlx::MySqlConnection| {
                sqlx::query("UPDATE payment_orders SET rule_version = ? WHERE id = ?")
                    .bind(version)
                    .bind(order)
                    .execute(conn)
                    .await
                    .unwrap();
            };
            name(version, &mut conn).await;
            let report = app.verify().await;
            assert!(
                finds(&report, "was not in force"),
                "{order} by version {version}:\n{report}"
            );
            name(before.into(), &mut conn).await;
        } else {
            app.execute(statement).await;
            let report = app.verify().await;
            assert!(
                finds(&report, "was not in force") || finds(&report, "does not exist"),
                "{statement}:\n{report}"
            );
            app.execute(YESTERDAY).await;
        }
    }
    app.finish().await;
}

fn finds(report: &zhangfang::verify::Report, words: &str) -> bool {
    let finding = report
        .findings()
        .find(|(invariant, _)| *invariant == Invariant::PointsFollowTheRule);
    finding.is_some_and(|(_, finding)| finding.named.iter().any(|name| name.contains(words)))
}
