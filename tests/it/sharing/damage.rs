//! Each check of `verify-ledger` that looks at sharings can fail.

use zhangfang::{
    payments::RefusalKind,
    sharing::{PartResult, ReturnResult},
    verify::Invariant,
};

use super::{PERSON, PROVIDER, Stage, Trouble};
use crate::verification::{Copy, moved};

/// Books with sharings in every state, parts that arrived, failed and are under way, and returns
/// that succeeded, failed and are under way.
async fn sharing_books() -> Stage {
    let stage = Stage::set().await;
    stage.channel.result(PERSON, PartResult::Closed);
    stage.pay("failed").await;
    stage.round().await;
    stage.channel.result(PERSON, PartResult::Success);
    let (back, lost, coming) = (
        stage.pay("back").await,
        stage.pay("lost").await,
        stage.pay("coming").await,
    );
    let whole = stage.pay("whole").await;
    stage.refund(whole, 10_000, "r0").await;
    stage.round().await;
    stage.refund(back, 5_000, "r1").await;
    stage.round().await;
    stage.channel.state().return_result = Some(ReturnResult::Failed);
    stage.refund(lost, 5_000, "r2").await;
    stage.round().await;
    stage.channel.state().return_result = Some(ReturnResult::Processing);
    stage.refund(coming, 5_000, "r3").await;
    stage.round().await;

    stage.channel.result(PERSON, PartResult::Pending);
    stage.channel.result(PROVIDER, PartResult::Pending);
    stage.pay("processing").await;
    stage.round().await;
    let refused = Trouble::Refused(RefusalKind::Rejected);
    stage.channel.trouble([refused, Trouble::CallLost]);
    stage.pay("releasing").await;
    stage.round().await;
    stage
        .channel
        .trouble([Trouble::CallLost, Trouble::CallLost]);
    stage.pay("asked").await;
    stage.round().await;
    let wanted = stage.pay("wanted").await;
    stage.refund(wanted, 2_000, "r4").await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_sharings_is_found_and_named() {
    use Invariant::{
        ChannelReportsAreRecorded as Said, HistoryIsAllowed as States,
        PaidOrdersAreSettledOnce as Booked,
    };
    let stage = Box::pin(sharing_books()).await;
    let clean = stage.app.verify().await;
    assert!(clean.is_clean(), "{clean}");
    for (table, states) in [
        ("sharings", "1: 1, 2: 1, 3: 1, 4: 5"),
        ("sharing_parts", "1: 4, 2: 7, 3: 3"),
        ("sharing_returns", "2: 1, 3: 1, 4: 1"),
    ] {
        let statement =
            format!("SELECT state, COUNT(*) FROM {table} GROUP BY state ORDER BY state");
        let counts: Vec<(i8, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .fetch_all(&mut stage.app.sql().await)
            .await
            .unwrap();
        let counts: Vec<_> = counts
            .iter()
            .map(|(state, count)| format!("{state}: {count}"))
            .collect();
        assert_eq!(counts.join(", "), states, "{table}");
    }
    let sent = "ORD(SUBSTR(entry_id, 16, 1)) = 6";
    let outcome = "ORD(SUBSTR(entry_id, 16, 1)) = 7";
    let returned = "ORD(SUBSTR(entry_id, 16, 1)) = 8";
    let (elsewhere, nobody) = (moved("debit_account"), moved("credit_account"));
    // What is broken, how, and what is said of it.
    let damage: Vec<(Invariant, String, &str)> = vec![
        // What was sent.
        (Booked, format!("DELETE FROM transfers WHERE {sent} AND leg = 1 LIMIT 1"), "was sent: booked is"),
        (Booked, format!("DELETE FROM transfers WHERE {sent}"), "was sent: booked is []"),
        (Booked, format!("UPDATE transfers SET amount = amount + 1 WHERE {sent} AND leg = 0 LIMIT 1"), "was sent: booked is"),
        (Booked, format!("UPDATE transfers SET debit_account = {elsewhere} WHERE {sent} AND leg = 0 LIMIT 1"), "was sent: booked is"),
        (Booked, format!("UPDATE transfers SET tenant_id = 77 WHERE {sent} AND leg = 0 LIMIT 1"), "was sent: booked is"),
        (Booked, "UPDATE sharing_parts SET amount_fen = amount_fen + 1 LIMIT 1".into(), "was sent: booked is"),
        (Booked, "DELETE FROM sharing_parts WHERE sharing_id = (SELECT id FROM sharings WHERE state = 2)".into(), "where [] is due"),
        (Booked, "DELETE FROM sharings WHERE state = 2".into(), "is of a sharing, part or return that does not exist"),
        (Booked, "DELETE FROM sharings WHERE state = 2".into(), ", which does not exist"),
        // What became of the parts.
        (Booked, format!("DELETE FROM transfers WHERE {outcome} LIMIT 1"), "booked is []"),
        (Booked, format!("UPDATE transfers SET credit_account = {nobody} WHERE {outcome} LIMIT 1"), "is Some("),
        (Booked, "UPDATE sharing_parts SET state = 1 WHERE state = 3 LIMIT 1".into(), "is Some(Pending): booked is [Leg"),
        (Booked, "UPDATE sharing_parts SET state = 3 WHERE state = 2 AND returned_fen = 0 LIMIT 1".into(), "is Some(Failed): booked is"),
        (Booked, "UPDATE sharing_parts SET state = 2 WHERE state = 3 LIMIT 1".into(), "is Some(Succeeded): booked is"),
        (Booked, "UPDATE sharing_parts SET state = 2 WHERE state = 1 LIMIT 1".into(), "is Some(Succeeded): booked is []"),
        (Booked, "UPDATE sharing_parts SET state = 2 WHERE state = 1 LIMIT 1".into(), "in transit, and"),
        (Booked, "UPDATE sharing_parts SET state = 9 WHERE state = 2 AND returned_fen = 0 LIMIT 1".into(), "is None: booked is [Leg"),
        (Booked, "UPDATE sharing_parts SET id = REPEAT(x'77', 16) WHERE state = 3 LIMIT 1".into(), "is of a sharing, part or return that does not exist"),
        (Booked, "UPDATE sharing_parts SET receiver_id = REPEAT(x'07', 16) LIMIT 1".into(), "no receiver of its merchant"),
        (Booked, "UPDATE sharing_receivers SET merchant_id = REPEAT(x'07', 16) LIMIT 1".into(), "no receiver of its merchant"),
        (Booked, format!("INSERT INTO transfers (entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, constrained_side, created_at) SELECT CONCAT(SUBSTR(entry_id, 1, 14), CHAR(ORD(SUBSTR(entry_id, 15, 1)) ^ 85 USING binary), x'02'), 0, tenant_id, phase, debit_account, credit_account, amount, 0, created_at FROM transfers WHERE {sent} AND leg = 0 LIMIT 1"), "in transit, and"),
        // What came back.
        (Booked, format!("DELETE FROM transfers WHERE {returned}"), "is Some(Succeeded): booked is []"),
        (Booked, format!("UPDATE transfers SET amount = amount + 1 WHERE {returned}"), "is Some(Succeeded): booked is [Leg"),
        (Booked, format!("UPDATE transfers SET debit_account = {elsewhere} WHERE {returned}"), "is Some(Succeeded): booked is [Leg"),
        (Booked, "UPDATE sharing_returns SET state = 3 WHERE state = 4".into(), "is Some(Succeeded): booked is []"),
        (Booked, "UPDATE sharing_returns SET state = 4 WHERE state = 3".into(), "is Some(Failed): booked is [Leg"),
        (Booked, "DELETE FROM sharing_returns WHERE state = 3".into(), "is of a sharing, part or return that does not exist"),
        (Booked, "UPDATE sharing_returns SET part_id = REPEAT(x'07', 16) WHERE state = 3".into(), "one of which does not exist"),
        (Booked, "UPDATE sharing_returns SET sharing_id = REPEAT(x'07', 16) WHERE state = 3".into(), "one of which does not exist"),
        (Booked, "UPDATE sharing_returns SET part_id = (SELECT MIN(id) FROM sharing_parts) WHERE state = 3".into(), "is of a part or for a refund that is not of"),
        (Booked, "UPDATE sharing_returns SET refund_id = (SELECT MIN(id) FROM refunds) WHERE state = 3".into(), "is of a part or for a refund that is not of"),
        // How much.
        (Booked, "UPDATE sharing_returns SET amount_fen = amount_fen + 1 WHERE state = 3".into(), "and its returns say"),
        (Booked, "UPDATE sharing_returns SET amount_fen = 5000 WHERE state = 3".into(), "5000 fen are asked back of"),
        (Booked, "UPDATE sharing_parts SET state = 3, returned_fen = 0 WHERE returned_fen > 0 LIMIT 1".into(), "which has 0"),
        (Booked, "UPDATE sharing_receivers SET kind = 'person' WHERE kind = 'merchant'".into(), "is a person's, and is asked back"),
        (Booked, "UPDATE sharing_returns SET amount_fen = amount_fen - 1 WHERE state = 4".into(), "where refunds of 5000 of 10000 need 497"),
        (Booked, "UPDATE refunds SET state = 4 WHERE state = 3; UPDATE sharing_returns SET amount_fen = amount_fen - 1 WHERE state = 2".into(), "where refunds of 5000 of 10000 need 497"),
        (Booked, "UPDATE sharings SET base_fen = 1490 WHERE state = 2".into(), "shares 1491 fen of 1490"),
        (Booked, "UPDATE sharings SET base_fen = base_fen - 1 WHERE state = 2".into(), "were asked back before: that is not"),
        (Booked, "UPDATE sharings SET asked_before_fen = 0 WHERE asked_before_fen > 0".into(), "were asked back before: that is not"),
        // Orders.
        (Booked, "UPDATE sharings SET merchant_id = REPEAT(x'07', 16) WHERE state = 2".into(), "is of another merchant than"),
        (Booked, "UPDATE sharings SET tenant_id = 77 WHERE state = 2".into(), "is of another merchant than"),
        (Booked, "UPDATE payment_orders SET state = 2, wechat_transaction_id = NULL, paid_at = NULL, points = NULL, rule_version = NULL WHERE sharing = 2 LIMIT 1".into(), "or shares what nobody paid"),
        (Booked, "UPDATE sharings SET order_id = REPEAT(x'00', 16) WHERE state = 2".into(), "which does not exist"),
        (Booked, "UPDATE sharings SET order_id = REPEAT(x'77', 16) WHERE state = 2".into(), "which does not exist"),
        (States, "UPDATE payment_orders SET sharing = 3 WHERE sharing = 2 LIMIT 1".into(), "is Done of being shared"),
        (States, "UPDATE payment_orders SET sharing = 2 WHERE sharing = 3 LIMIT 1".into(), "is InProgress of being shared"),
        (States, "UPDATE payment_orders SET sharing = 0 WHERE sharing = 3 LIMIT 1".into(), "is No of being shared"),
        (States, "UPDATE payment_orders SET sharing = 2 WHERE sharing = 1".into(), "and its sharing is None"),
        (States, "UPDATE payment_orders SET sharing = 1 WHERE id = (SELECT order_id FROM refunds WHERE state = 3)".into(), "wait for shares, and nothing was shared"),
        // States.
        (States, "UPDATE sharings SET state = 1 WHERE state = 4 LIMIT 1".into(), "is Some(Asked) with the parts"),
        (States, "UPDATE sharings SET state = 3 WHERE state = 4 AND release_id IS NULL LIMIT 1".into(), "is Some(Releasing) with the parts"),
        (States, "UPDATE sharings SET state = 4, next_attempt_at = NULL WHERE state = 2".into(), "is Some(Done) with the parts [Some(Pending)"),
        (States, "UPDATE sharings SET state = 9 WHERE state = 2".into(), "is None with the parts"),
        (States, "UPDATE sharings SET release_id = NULL WHERE state = 4 AND release_id IS NOT NULL".into(), "is Some(Done) with the parts []"),
        (States, "UPDATE sharings SET release_id = REPEAT(x'07', 16) WHERE state = 2".into(), "and a release"),
        (States, "UPDATE sharing_parts SET state = 1 WHERE state = 3 LIMIT 1".into(), "with the parts [Some("),
        // What WeChat said, and calls that it may still take.
        (Said, "UPDATE sharing_parts SET late = 1 WHERE state = 2 LIMIT 1".into(), "arrived after it had been called failed, and was not reported"),
        (Said, "UPDATE sharings SET stopped = 1 WHERE state = 4 LIMIT 1".into(), "is stopped by what WeChat said, and was not reported"),
        (Said, "UPDATE sharings SET may_arrive_until = UTC_TIMESTAMP(6) WHERE state = 2".into(), "was answered, and a call of which nothing is known may still be taken"),
        (Said, "UPDATE sharing_returns SET may_arrive_until = UTC_TIMESTAMP(6) WHERE state = 3".into(), "was answered, and a call of which nothing is known may still be taken"),
        // Rounds.
        (States, "UPDATE sharings SET refund_id = NULL WHERE refund_id IS NOT NULL".into(), "has a round for None"),
        (States, "UPDATE sharings SET refund_id = REPEAT(x'07', 16) WHERE state = 4 AND refund_id IS NULL LIMIT 1".into(), "has a round for Some"),
        (States, "UPDATE sharing_returns SET state = 4 WHERE state = 2".into(), "has a round for Some"),
        (States, "UPDATE refunds SET state = 4 WHERE state = 3".into(), "has a round for Some"),
        (States, "UPDATE refunds SET state = 3 WHERE id = (SELECT refund_id FROM sharing_returns WHERE state = 3)".into(), "all of which are final"),
    ];
    let mut copy = Copy::of(&stage.app).await;
    // The database itself would not let some of it in.
    copy.without("sharings", "sharings_next").await;
    for (invariant, statement, says) in damage {
        copy.finds(invariant, &statement, says).await;
    }
    copy.drop().await;
    stage.app.finish().await;
}

/// Not final, and nobody would ever look.
#[tokio::test(flavor = "multi_thread")]
async fn a_sharing_that_is_stuck_is_found_and_named() {
    use Invariant::NothingIsStuck as Moves;
    let stage = Box::pin(sharing_books()).await;
    let clean = stage.app.verify().await;
    assert!(clean.is_clean(), "{clean}");
    let running = zhangfang::verify::verify(&stage.app.scratch.owner, &mut ()).await;
    let running = running.unwrap();
    assert!(running.is_clean(), "{running}");
    let refused = sqlx::query("UPDATE sharings SET next_attempt_at = NULL WHERE state = 2")
        .execute(&mut stage.app.sql().await)
        .await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("sharings_next"), "{error}");
    let damage: Vec<(&str, &str)> = vec![
        (
            "UPDATE sharings SET next_attempt_at = NULL WHERE state = 2",
            "is under way, and nobody looks at it again",
        ),
        (
            "UPDATE sharings SET next_attempt_at = NULL WHERE state = 3",
            "is under way, and nobody looks at it again",
        ),
        (
            "UPDATE sharings SET next_attempt_at = UTC_TIMESTAMP(6) WHERE state = 4",
            "is done, and is looked at again",
        ),
        (
            "UPDATE sharings SET next_attempt_at = NULL WHERE state = 1",
            "is pending, and nobody asks what became of its sharing",
        ),
        (
            "UPDATE sharing_parts SET state = 1 WHERE state = 3 LIMIT 1",
            "is pending, and nobody asks what became of its sharing",
        ),
        (
            "UPDATE refunds SET next_attempt_at = NULL WHERE state = 3",
            "is under way, and nobody asks what became of it",
        ),
        (
            "UPDATE refunds SET state = 4 WHERE state = 3",
            "is under way, and nobody asks what became of it",
        ),
        (
            "UPDATE refunds SET state = 10, next_attempt_at = NULL WHERE state = 3",
            "was withdrawn, and nobody asks for the shares",
        ),
        (
            "DELETE FROM sharing_dues",
            "is paid and to be shared, and nobody shares it",
        ),
        (
            "UPDATE sharings SET next_attempt_at = UTC_TIMESTAMP(6) - INTERVAL 2 HOUR WHERE state = 2",
            "is due for more than an hour, and nobody came",
        ),
        (
            "UPDATE sharings SET next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL 31 DAY WHERE state = 2",
            "is due later than anybody would have said",
        ),
        (
            "DELETE FROM payment_exceptions; UPDATE sharings SET id = CONCAT(x'019000000000', SUBSTR(id, 7)) WHERE state = 2",
            "is stuck for days, and was not reported",
        ),
    ];
    let mut copy = Copy::of(&stage.app).await;
    copy.without("sharings", "sharings_next").await;
    copy.without("refunds", "refunds_next").await;
    for (statement, says) in damage {
        copy.finds(Moves, statement, says).await;
    }
    copy.drop().await;
    stage.app.finish().await;
}
