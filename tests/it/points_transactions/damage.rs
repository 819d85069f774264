//! Each check of `verify-ledger` that looks at points transactions can fail.

use std::sync::Arc;

use serde_json::json;
use zhangfang::{
    facts::Facts,
    primitives::PointsTransactionId,
    risk::{Action, Risk},
    verify::Invariant,
};

use super::{Counter, reviews::decide};
use crate::{
    harness::TestApp,
    verification::{Copy, moved},
};

/// Books with points transactions of every kind in every state.
async fn books() -> Counter {
    let risk = Risk::fixed(Arc::new(|facts: &Facts| {
        match facts.points.map_or(0, zhangfang::primitives::Points::get) {
            666 => Action::Block,
            500.. => Action::Review,
            _ => Action::Allow,
        }
    }));
    let counter = Counter::at(TestApp::with_risk_without_jobs(risk).await).await;
    for index in 0..12 {
        counter.award(400, &format!("a{index}")).await;
    }
    counter.ask("deductions", 30, "d").await.expect(201);
    counter.ask("redemptions", 40, "r").await.expect(201);
    let (whole, part) = (
        counter.hold(50, "whole").await,
        counter.hold(60, "part").await,
    );
    let (back, over) = (
        counter.hold(70, "back").await,
        counter.hold(80, "over").await,
    );
    counter.hold(90, "held").await;
    counter.capture(whole, &json!({})).await.expect(200);
    counter
        .capture(part, &json!({ "points": 5 }))
        .await
        .expect(200);
    counter.release(back).await.expect(200);
    counter.age(over).await;
    zhangfang::jobs::holds_round(counter.app.db())
        .await
        .unwrap();
    for what in ["awards", "redemptions"] {
        counter
            .ask(what, 666, "blocked")
            .await
            .refused(403, "risk_blocked");
        for (reference, decision) in [("in", Some(true)), ("go", Some(false)), ("open", None)] {
            let transaction = counter.ask(what, 500, reference).await.expect(201);
            let transaction: PointsTransactionId =
                transaction["id"].as_str().unwrap().parse().unwrap();
            if let Some(approve) = decision {
                let tenant = counter.app.tenant.id;
                decide(counter.app.app.payments(), tenant, transaction, approve)
                    .await
                    .unwrap();
            }
        }
    }
    counter
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_points_transactions_is_found_and_named() {
    use Invariant::{
        AnswersAreDurable as Keys, EventsMatchChanges as Told, HistoryIsAllowed as States,
        PointsFollowTheRule as Booked,
    };
    let counter = books().await;
    let clean = counter.app.verify().await;
    assert!(clean.is_clean(), "{clean}");
    let counts: Vec<(i8, i8, i64)> = sqlx::query_as(
        "SELECT kind, state, COUNT(*) FROM points_transactions GROUP BY kind, state ORDER BY kind, state",
    )
    .fetch_all(&mut counter.app.sql().await)
    .await
    .unwrap();
    assert_eq!(
        counts,
        [
            (1, 2, 13),
            (1, 5, 1),
            (1, 6, 2),
            (2, 2, 1),
            (3, 1, 1),
            (3, 2, 4),
            (3, 3, 1),
            (3, 4, 1),
            (3, 5, 1),
            (3, 6, 2)
        ]
    );
    let entry = |kind: &str| format!("ORD(SUBSTR(entry_id, 16, 1)) = {kind}");
    let (award, deduct, reserved, captured, resolved) = (
        entry("10"),
        entry("11"),
        entry("12"),
        entry("13"),
        entry("140"),
    );
    let nobody = moved("debit_account");
    let damage: Vec<(Invariant, String, &str)> = vec![
        // The entries of a points transaction.
        (States, format!("DELETE FROM transfers WHERE {award} AND phase = 0 LIMIT 1"), "(award) is done at version 1: booked is []"),
        (States, format!("DELETE FROM transfers WHERE {deduct}"), "(deduct) is done at version 1: booked is []"),
        (States, format!("DELETE FROM transfers WHERE {reserved} AND entry_id NOT IN (SELECT e FROM (SELECT CONCAT(SUBSTR(entry_id, 1, 15), x'0c') e FROM transfers WHERE {resolved}) r) LIMIT 1"), ": booked is []"),
        (States, format!("DELETE FROM transfers WHERE {captured} AND amount = 5"), "(redeem) is done at version 2: booked is"),
        (States, format!("DELETE FROM transfers WHERE {resolved} AND phase = 2 LIMIT 1"), "(redeem) is done at version 2: booked is"),
        (States, format!("UPDATE transfers SET phase = 3 WHERE {resolved} AND phase = 2 AND amount = 50"), "(redeem) is done at version 2: booked is"),
        (States, format!("UPDATE transfers SET phase = 2 WHERE {resolved} AND phase = 3 AND amount = 70"), "(redeem) is released at version 2: booked is"),
        (States, format!("UPDATE transfers SET entry_id = CONCAT(SUBSTR(entry_id, 1, 15), x'0c') WHERE {deduct}"), "(deduct) is done at version 1: booked is"),
        (States, format!("INSERT INTO transfers (entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, constrained_side, created_at) SELECT CONCAT(SUBSTR(entry_id, 1, 14), CHAR(ORD(SUBSTR(entry_id, 15, 1)) ^ 85 USING binary), x'0b'), 0, tenant_id, phase, debit_account, credit_account, amount, 0, created_at FROM transfers WHERE {deduct}"), "is of a points transaction that does not exist"),
        (States, "DELETE FROM points_transactions WHERE kind = 2".into(), "is of a points transaction that does not exist"),
        // States.
        (States, "UPDATE points_transactions SET state = 2, captured = points, due_at = NULL WHERE state = 1".into(), "is done at version 1: booked is"),
        (States, "UPDATE points_transactions SET state = 1, due_at = hold_until WHERE state = 3".into(), "is held at version 2: booked is"),
        (States, "UPDATE points_transactions SET state = 2 WHERE kind = 1 AND state = 5".into(), "(award) is done at version 1: booked is"),
        (States, "UPDATE points_transactions SET state = 6 WHERE kind = 1 AND state = 2 LIMIT 1".into(), "(award) is refused at version"),
        (States, "UPDATE points_transactions SET state = 6 WHERE kind = 2".into(), "where None is due"),
        (States, "UPDATE points_transactions SET version = 9 WHERE kind = 2".into(), "where None is due"),
        (States, "UPDATE points_transactions SET version = 2 WHERE kind = 3 AND hold_until IS NULL AND version = 1 AND state = 2".into(), "(redeem) is done at version 2: booked is"),
        // Amounts, accounts, days.
        (Booked, "UPDATE points_transactions SET points = points + 1 WHERE kind = 1 AND state = 2 LIMIT 1".into(), "of 401 for"),
        (Booked, "UPDATE points_transactions SET captured = 6 WHERE captured = 5".into(), "of 60 for"),
        (Booked, "UPDATE points_transactions SET customer_id = REPEAT(x'07', 16) WHERE kind = 2".into(), "of 30 for"),
        (Booked, "UPDATE points_transactions SET expired_from = '2031-01-01' WHERE kind = 1 AND state = 2 LIMIT 1".into(), "expired from Some("),
        (Booked, format!("UPDATE transfers SET amount = amount + 1 WHERE {deduct}"), "of 30 for"),
        (Booked, format!("UPDATE transfers SET debit_account = {nobody} WHERE {deduct}"), "of 30 for"),
        (Booked, format!("UPDATE transfers SET tenant_id = 77 WHERE {deduct}"), "of 30 for"),
        (Booked, format!("UPDATE transfers SET lot = '2031-01-01' WHERE {award} AND phase = 0 LIMIT 1"), "expired from Some("),
        // What was told, and what became of it.
        (Told, "UPDATE points_days SET points = points + 1 WHERE what = 4".into(), "points deducted of tenant 1"),
        (Told, "UPDATE points_days SET times = times + 1 WHERE what = 5".into(), "and the days say"),
        (Told, "DELETE FROM points_days WHERE what = 7".into(), "points held of tenant 1"),
        (Told, "INSERT INTO points_days (tenant_id, day, source, rule_version, what, points, times) VALUES (1, '2026-01-01', 'payment', 1, 1, 5, 1)".into(), "what was never told"),
        (Told, "UPDATE points_transactions SET source = 'other' WHERE kind = 2".into(), "and the points transactions say"),
        (Told, "UPDATE points_transactions SET updated_at = updated_at + INTERVAL 1 DAY WHERE kind = 3 AND captured = 5".into(), "and the points transactions say"),
        // Keys.
        (Keys, "DELETE FROM points_transactions WHERE state = 6 AND version = 1 LIMIT 1".into(), "which is gone"),
        (Keys, "UPDATE points_transactions SET tenant_id = 77 WHERE kind = 2".into(), "which is gone"),
    ];
    let mut copy = Copy::of(&counter.app).await;
    for (invariant, statement, says) in damage {
        copy.finds(invariant, &statement, says).await;
    }
    copy.drop().await;
    counter.app.finish().await;
}
