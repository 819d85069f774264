//! Back ends give back what they had spent or taken: into the days from which it came, in parts,
//! once, and never more than it was.

use serde_json::{Value, json};
use zhangfang::{
    audit::Actor,
    points::{self, PointsError, PointsService, Reference, ReturnCommand, Source},
    primitives::{Points, PointsTransactionId},
    verify::Invariant,
};

use super::{Counter, back_end, expects, today_plus};
use crate::{harness::ApiAnswer, verification::Copy};

const PATH: &str = "/api/v1/open/points/returns";

fn id(transaction: &Value) -> PointsTransactionId {
    transaction["id"].as_str().unwrap().parse().unwrap()
}

impl Counter {
    async fn give_back(&self, of: PointsTransactionId, points: i64, reference: &str) -> ApiAnswer {
        self.crm.post(PATH, &body_of(of, points, reference)).await
    }

    async fn redeem(&self, points: i64, reference: &str) -> PointsTransactionId {
        id(&self.ask("redemptions", points, reference).await.expect(201))
    }

    /// What is left in each day's lot, as the customer reads it.
    async fn days(&self) -> Vec<(String, i64)> {
        let path = "/api/v1/customer/points/expiring";
        let page = self.li.get(path).await.expect(200);
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| {
                let day = item["last_usable_on"].as_str().unwrap().to_owned();
                (day, item["points"].as_i64().unwrap())
            })
            .collect()
    }
}

fn body_of(of: PointsTransactionId, points: i64, reference: &str) -> Value {
    json!({ "points_transaction_id": of, "points": points, "reference": reference, "reason": "取消兑换" })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_redeemed_goes_back_to_the_days_from_which_it_came() {
    let counter = Counter::open().await;
    let (soon, late) = (today_plus(5), today_plus(20));
    counter.award_until(10, "soon", &soon).await;
    counter.award_until(10, "late", &late).await;
    let all = counter.days().await;
    let spent = counter.redeem(15, "r").await;
    assert_eq!(counter.days().await, [(late.clone(), 5)]);
    // A part: as if less had been redeemed, which would have been of the day that comes first.
    let first = counter.give_back(spent, 7, "b1").await.expect(201);
    assert_eq!(
        (&first["kind"], &first["state"], &first["points"]),
        (&json!("return"), &json!("done"), &json!(7))
    );
    assert_eq!(first["returns_points_transaction_id"], json!(spent));
    assert_eq!(counter.days().await, [(soon.clone(), 2), (late, 10)]);
    // Repeated, it gives the same answer; another request under its reference is refused.
    let again = counter.give_back(spent, 7, "b1").await.expect(200);
    assert_eq!(again, first);
    let reused = counter.give_back(spent, 8, "b1").await;
    reused.refused(422, "reference_reused");
    assert_eq!(reused.expect(422)["points_transaction_id"], first["id"]);
    let more = counter.give_back(spent, 9, "b2").await;
    expects(&more, 409, "return_exceeds_taken", "at most 8");
    counter.give_back(spent, 8, "b2").await.expect(201);
    assert_eq!(counter.days().await, all);
    let more = counter.give_back(spent, 1, "b3").await;
    expects(&more, 409, "return_exceeds_taken", "at most 0");
    let path = format!("/api/v1/open/points/transactions/{spent}");
    let transaction = counter.crm.get(&path).await.expect(200);
    assert_eq!(
        (&transaction["captured"], &transaction["returned"]),
        (&json!(15), &json!(15))
    );
    assert_eq!(counter.balance().await, [20, 0, 0, 20, 0]);
    // To the customer it is a record like others.
    let records = counter.li.get("/api/v1/customer/points/records").await;
    let records = records.expect(200);
    let last = &records["items"][0];
    assert_eq!(
        (&last["change_type"], &last["source"]),
        (&json!("return"), &json!("merchant-crm"))
    );
    let found = counter
        .crm
        .get("/api/v1/open/points/transactions?kind=return")
        .await;
    assert_eq!(found.expect(200)["items"].as_array().unwrap().len(), 2);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deductions_and_captured_holds_are_returned_and_nothing_else_is() {
    let counter = Counter::open().await;
    let award = id(&counter.award(50, "a").await);
    let deducted = id(&counter.ask("deductions", 10, "d").await.expect(201));
    counter.give_back(deducted, 10, "b1").await.expect(201);
    assert_eq!(counter.balance().await, [50, 0, 0, 50, 0]);
    let hold = counter.hold(20, "h").await;
    let early = counter.give_back(hold, 1, "b2").await;
    expects(
        &early,
        409,
        "points_transaction_state_conflict",
        "done; it is held",
    );
    counter
        .capture(hold, &json!({ "points": 12 }))
        .await
        .expect(200);
    let more = counter.give_back(hold, 13, "b2").await;
    expects(&more, 409, "return_exceeds_taken", "at most 12");
    let back = counter.give_back(hold, 12, "b2").await.expect(201);
    assert_eq!(counter.balance().await, [50, 0, 0, 50, 0]);
    // It stands as it stood: to capture it again with the same points is the same.
    counter
        .capture(hold, &json!({ "points": 12 }))
        .await
        .expect(200);
    for of in [award, id(&back)] {
        let refused = counter.give_back(of, 1, "b3").await;
        refused.refused(422, "points_transaction_not_returnable");
    }
    let released = counter.hold(5, "h2").await;
    counter.release(released).await.expect(200);
    let refused = counter.give_back(released, 5, "b3").await;
    expects(
        &refused,
        409,
        "points_transaction_state_conflict",
        "done; it is released",
    );
    for (points, field) in [(0, "points"), (-1, "points"), (1_000_000_001, "points")] {
        let refused = counter.give_back(deducted, points, "b4").await;
        refused.refused(422, "field_invalid");
        assert_eq!(refused.expect(422)["field"]["name"], field);
    }
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_returns_what_another_back_end_or_another_tenant_took() {
    let counter = Counter::open().await;
    counter.award(50, "a").await;
    let spent = counter.redeem(20, "r").await;
    let body = body_of(spent, 20, "b");
    let game = back_end(&counter.app, counter.app.tenant.id, "game");
    game.post(PATH, &body)
        .await
        .refused(404, "points_transaction_not_found");
    let elsewhere = zhangfang::points::create_tenant(counter.app.db(), "other", "别处")
        .await
        .unwrap();
    let stranger = back_end(&counter.app, elsewhere.id, "merchant-crm");
    stranger
        .post(PATH, &body)
        .await
        .refused(404, "points_transaction_not_found");
    // Who is blocked gets back what is theirs.
    counter
        .app
        .execute("UPDATE customers SET status = 'blocked'")
        .await;
    counter.crm.post(PATH, &body).await.expect(201);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debt_that_arose_since_is_repaid_first() {
    let counter = Counter::open().await;
    let merchant = counter.app.merchant("茶里巷", "1900000176").await;
    let order_no = counter
        .app
        .pay(&counter.li, &merchant.code, 1_000, "k")
        .await;
    let spent = counter.redeem(10, "r").await;
    let refunds = format!("/api/v1/merchant/payments/{order_no}/refunds");
    let refund = merchant
        .owner
        .keyed("f")
        .post(&refunds, &json!({ "amount_fen": 700, "reason": "缺货" }))
        .await;
    refund.expect(201);
    let [.., debt] = counter.balance().await;
    assert_eq!(debt, 7);
    counter.give_back(spent, 4, "b1").await.expect(201);
    let [.., debt] = counter.balance().await;
    assert_eq!(debt, 3);
    counter.give_back(spent, 6, "b2").await.expect(201);
    let [.., available, debt] = counter.balance().await;
    assert_eq!((available, debt), (3, 0));
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_return_at_once_never_return_more_than_was_taken() {
    let counter = Counter::open().await;
    counter.award_until(20, "a", &today_plus(5)).await;
    counter.award_until(20, "b", &today_plus(9)).await;
    let spent = counter.redeem(30, "r").await;
    let other = counter.app.another_db().await;
    let asking: Vec<_> = (0..14)
        .map(|index| {
            let here = counter.app.app.points_service();
            let service = if index % 2 == 0 {
                here
            } else {
                PointsService {
                    db: other.clone(),
                    ..here
                }
            };
            // Every second one of a process repeats the one before it.
            let reference = format!("b{}", index / 4 * 2 + index % 2);
            let command = ReturnCommand {
                tenant: counter.app.tenant.id,
                of: spent,
                points: Points::parse(5).unwrap(),
                source: Source::parse("merchant-crm").unwrap(),
                reference: Reference::parse(&reference).unwrap(),
                reason: "取消".to_owned(),
                by: Actor::operator("test"),
            };
            tokio::spawn(async move { points::return_points(&service, command).await })
        })
        .collect();
    let (mut made, mut left) = (0, 0);
    for asked in asking {
        match asked.await.unwrap() {
            Ok(asked) => made += i64::from(!asked.repeated),
            Err(PointsError::ReturnTooMuch { .. }) => left += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(made, 6, "{left} too many");
    assert_eq!(counter.balance().await, [40, 0, 0, 40, 0]);
    assert_eq!(
        counter.days().await,
        [(today_plus(5), 20), (today_plus(9), 20)]
    );
    other.close().await;
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_returns_is_found_and_named() {
    use Invariant::{
        EventsMatchChanges as Told, HistoryIsAllowed as States, LotsSumToBalance as Lots,
        PointsFollowTheRule as Points,
    };
    let counter = Counter::open().await;
    counter.award_until(10, "soon", &today_plus(5)).await;
    counter.award_until(10, "late", &today_plus(20)).await;
    let spent = counter.redeem(15, "r").await;
    counter.give_back(spent, 7, "b1").await.expect(201);
    counter.give_back(spent, 2, "b2").await.expect(201);
    let report = counter.app.verify().await;
    assert!(report.is_clean(), "{report}");
    let back = "ORD(SUBSTR(entry_id, 16, 1)) = 18";
    let damage: Vec<(Invariant, String, &str)> = vec![
        (Points, "UPDATE points_transaction_lots SET returned = returned - 1 WHERE returned > 0 LIMIT 1".into(), "do not add up"),
        (Points, "UPDATE points_transaction_lots SET taken = taken + 1 LIMIT 1".into(), "do not add up"),
        (Points, "DELETE FROM points_transaction_lots LIMIT 1".into(), "do not add up"),
        (Points, "UPDATE points_transactions SET returned = returned + 1 WHERE returned > 0".into(), "do not add up"),
        (Points, "UPDATE points_transaction_lots SET returned = returned + IF(expired_from > CURRENT_DATE + INTERVAL 12 DAY, -1, 1)".into(), "were returned than its returns booked"),
        (Points, "UPDATE points_transactions SET points = points + 1 WHERE kind = 4 LIMIT 1".into(), "are booked of which"),
        (Points, format!("UPDATE transfers SET amount = amount + 1 WHERE {back} LIMIT 1"), "are booked of which"),
        (States, format!("UPDATE transfers SET phase = 1 WHERE {back} LIMIT 1"), "(return) is done"),
        (States, "UPDATE points_transactions SET version = version + 1 WHERE kind = 3".into(), "booked is"),
        (States, "UPDATE points_transactions SET returns = 1 WHERE kind = 3".into(), "booked is"),
        (States, "DELETE FROM points_transactions WHERE kind = 4 LIMIT 1".into(), "is of a points transaction that does not exist"),
        (Told, "UPDATE points_transactions SET source = 'other' WHERE kind = 4 LIMIT 1".into(), "the points transactions say"),
        (Lots, format!("UPDATE transfers SET lot = lot + INTERVAL 1 DAY WHERE {back} LIMIT 1"), "did not take so many"),
        (Lots, "UPDATE points_transactions SET returns_of = REPEAT(x'07', 16) WHERE kind = 4 LIMIT 1".into(), "did not take so many"),
    ];
    let mut copy = Copy::of(&counter.app).await;
    for (invariant, statement, says) in damage {
        copy.finds(invariant, &statement, says).await;
    }
    copy.drop().await;
    counter.app.finish().await;
}
