//! Balances, statements, records, lists and statistics.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use zhangfang::{
    jobs,
    primitives::{AccountId, EntryKind, Id, Lane},
};

use super::{Counter, back_end, grant_expired, today_plus};
use crate::harness::Caller;

#[tokio::test(flavor = "multi_thread")]
async fn the_customer_and_the_back_end_see_what_expires_when() {
    let counter = Counter::without_jobs().await;
    grant_expired(&counter, 5).await;
    counter.award_until(30, "a", &today_plus(29)).await;
    counter.award_until(10, "b", &today_plus(6)).await;
    counter.award_until(40, "c", &today_plus(30)).await;
    counter.award_until(2, "never", "9999-12-31").await;
    let points = "/api/v1/customer/points";
    let balance = format!("/api/v1/open/points/customers/{}/balance", counter.id);
    for path in [points, &balance] {
        let expiring = |days: u32| {
            let path = format!("{path}?expiring_within_days={days}");
            let li = if path.contains("/open/") {
                &counter.crm
            } else {
                &counter.li
            };
            async move { li.get(&path).await.expect(200)["expiring"].clone() }
        };
        assert_eq!(
            expiring(30).await,
            json!({ "within_days": 30, "points": 40, "last_usable_on": today_plus(6) })
        );
        assert_eq!(expiring(6).await, json!({ "within_days": 6, "points": 0 }));
        assert_eq!(expiring(366).await["points"], 80);
    }
    let usual = counter.li.get(points).await.expect(200);
    assert_eq!(usual["expiring"]["within_days"], 30);
    assert_eq!(
        (&usual["posted"], &usual["available"]),
        (&json!(87), &json!(82))
    );
    counter
        .li
        .get(&format!("{points}?expiring_within_days=0"))
        .await
        .refused(422, "field_invalid");

    let path = "/api/v1/customer/points/expiring";
    let whole = counter.li.get(path).await.expect(200);
    let due = [(6, 10), (29, 30), (30, 40)]
        .map(|(days, points)| json!({ "last_usable_on": today_plus(days), "points": points }));
    assert_eq!(whole["items"], json!(due));
    assert_eq!(pages(&counter.li, path, 1).await, due);
    counter
        .li
        .get(&format!("{path}?cursor=soon"))
        .await
        .refused(400, "cursor_invalid");
    counter.app.finish().await;
}

/// Every item, read page by page.
async fn pages(caller: &Caller, path: &str, limit: u32) -> Vec<Value> {
    let mut items = Vec::new();
    let joint = if path.contains('?') { '&' } else { '?' };
    let mut next = format!("{path}{joint}limit={limit}");
    loop {
        let page = caller.get(&next).await.expect(200);
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else {
            return items;
        };
        next = format!("{path}{joint}limit={limit}&cursor={cursor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn points_transactions_are_found_by_whatever_is_known_of_them() {
    let counter = Counter::open().await;
    let game = back_end(&counter.app, counter.app.tenant.id, "game");
    for index in 0..5 {
        counter.award(20, &format!("a{index}")).await;
    }
    counter.ask("deductions", 10, "a1").await.expect(201);
    let hold = counter.hold(10, "a1").await;
    let theirs = game
        .post("/api/v1/open/points/awards", &counter.body(1, "a1"))
        .await;
    theirs.expect(201);
    let count = |query: &str| {
        let path = format!("/api/v1/open/points/transactions{query}");
        let game = &game;
        async move { pages(game, &path, 2).await.len() }
    };
    assert_eq!(count("").await, 8);
    assert_eq!(count("?kind=award").await, 6);
    assert_eq!(count("?kind=award&source=merchant-crm").await, 5);
    assert_eq!(count("?state=held").await, 1);
    assert_eq!(count("?reference=a1").await, 4);
    assert_eq!(
        count("?source=merchant-crm&kind=redeem&reference=a1").await,
        1
    );
    assert_eq!(count("?reference=nothing").await, 0);
    assert_eq!(
        count(&format!("?customer_id={}&state=done", counter.id)).await,
        7
    );
    let nobody = format!("cu_{}", "0".repeat(32));
    assert_eq!(count(&format!("?customer_id={nobody}")).await, 0);
    let one = counter
        .crm
        .get(&format!("/api/v1/open/points/transactions/{hold}"))
        .await
        .expect(200);
    assert_eq!(
        (&one["reference"], &one["state"]),
        (&json!("a1"), &json!("held"))
    );
    let none = format!("/api/v1/open/points/transactions/pt_{}", "0".repeat(32));
    counter
        .crm
        .get(&none)
        .await
        .refused(404, "points_transaction_not_found");
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_statistics_say_where_points_came_from_and_went_to() {
    let counter = Counter::open().await;
    let merchant = counter.app.merchant("茶里巷", "1900000176").await;
    let order_no = counter
        .app
        .pay(&counter.li, &merchant.code, 1_000, "k")
        .await;
    counter.award(100, "a").await;
    let mut body = counter.body(7, "about");
    body["order_no"] = json!(order_no);
    counter
        .crm
        .post("/api/v1/open/points/redemptions", &body)
        .await
        .expect(201);
    counter.ask("deductions", 3, "d").await.expect(201);
    let (part, back) = (
        counter.hold(20, "part").await,
        counter.hold(30, "back").await,
    );
    counter
        .capture(part, &json!({ "points": 15 }))
        .await
        .expect(200);
    counter.release(back).await.expect(200);
    let game = back_end(&counter.app, counter.app.tenant.id, "game");
    game.post("/api/v1/open/points/awards", &counter.body(40, "a"))
        .await
        .expect(201);

    let records = pages(&counter.li, "/api/v1/customer/points/records", 3).await;
    let reply: Vec<_> = records
        .iter()
        .rev()
        .map(|record| {
            let word = |name: &str| record[name].as_str().unwrap().to_owned();
            let change = record["points_change"].as_i64().unwrap();
            (word("change_type"), word("state"), word("source"), change)
        })
        .collect();
    let expected = [
        ("earn", "posted", "payment", 10),
        ("award", "posted", "merchant-crm", 100),
        ("redeem", "posted", "merchant-crm", -7),
        ("deduct", "posted", "merchant-crm", -3),
        ("hold", "pending", "merchant-crm", -20),
        ("hold", "pending", "merchant-crm", -30),
        ("release", "voided", "merchant-crm", -20),
        ("redeem", "posted", "merchant-crm", -15),
        ("release", "voided", "merchant-crm", -30),
        ("award", "posted", "game", 40),
    ]
    .map(|(word, state, source, change)| {
        (word.to_owned(), state.to_owned(), source.to_owned(), change)
    });
    assert_eq!(reply, expected);
    let about = &records[records.len() - 3];
    assert_eq!(
        (&about["order_no"], &about["merchant_name"]),
        (&json!(order_no), &json!("茶里巷"))
    );
    // People who look into the database read the same words.
    let differ = "SELECT COUNT(*) FROM points_records WHERE change_type IN ('award', 'redeem', 'deduct', 'hold', 'release', 'earn')";
    assert_eq!(counter.app.count(differ).await, 10);

    let statistics = counter
        .li
        .get("/api/v1/customer/points/statistics")
        .await
        .expect(200);
    assert_eq!(
        statistics["sources"],
        json!([
            { "source": "game", "earned": 40, "spent": 0 },
            { "source": "merchant-crm", "earned": 100, "spent": 25 },
            { "source": "payment", "earned": 10, "spent": 0 },
        ])
    );
    assert_eq!(
        statistics["events"],
        json!([
            { "what": "awarded", "points": 140, "times": 2 },
            { "what": "deducted", "points": 3, "times": 1 },
            { "what": "earned", "points": 10, "times": 1 },
            { "what": "redeemed", "points": 22, "times": 2 },
        ])
    );

    jobs::drain(counter.app.db()).await.unwrap();
    let (today, far) = (today_plus(0), today_plus(400));
    let path =
        |rest: &str| format!("/api/v1/admin/points/statistics?from={today}&to={today}{rest}");
    let admin = counter.app.admin();
    let sums = |answer: &Value| -> BTreeMap<String, (i64, i64)> {
        let items = answer["items"].as_array().unwrap().iter();
        items
            .filter(|item| item["source"] != "payment")
            .map(|item| {
                let source = item["source"].as_str().unwrap_or("all");
                let name = format!("{source} {}", item["what"].as_str().unwrap());
                (
                    name,
                    (
                        item["points"].as_i64().unwrap(),
                        item["times"].as_i64().unwrap(),
                    ),
                )
            })
            .collect()
    };
    let figures = admin.get(&path("&group=day,source,rule")).await.expect(200);
    let expected = [
        ("game awarded", (40, 1)),
        ("merchant-crm awarded", (100, 1)),
        ("merchant-crm deducted", (3, 1)),
        ("merchant-crm redeemed", (22, 2)),
    ];
    assert_eq!(
        sums(&figures),
        expected.map(|(name, sums)| (name.to_owned(), sums)).into()
    );
    let item = &figures["items"][0];
    assert_eq!(
        (&item["day"], &item["rule_version"]),
        (&json!(today), &json!(0))
    );
    let whole = admin.get(&path("&group=")).await.expect(200);
    assert_eq!(sums(&whole)["all awarded"], (140, 2));
    assert!(whole["items"][0].get("day").is_none());
    for wrong in ["&group=hour", "&group=day;source"] {
        admin.get(&path(wrong)).await.refused(422, "field_invalid");
    }
    let long = format!("/api/v1/admin/points/statistics?from={today}&to={far}");
    admin.get(&long).await.refused(422, "field_invalid");
    counter.li.get(&path("")).await.refused(403, "forbidden");
    let logs = admin.get("/api/v1/admin/audit-logs").await.expect(200);
    assert_eq!(logs["items"][0]["action"], "points.transaction");
    assert_eq!(logs["items"][0]["actor"], "operator:game");
    counter.app.finish().await;
}

/// One transfer of each kind and phase, as the owner of the database may write them: books that
/// nobody could have made, of which every word is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_entry_has_a_class_and_people_at_the_database_read_the_same() {
    let counter = Counter::open().await;
    let account = AccountId::customer_points(counter.id);
    let mut owner = counter.app.scratch.owner.clone().connect().await.unwrap();
    let mut planted = Vec::new();
    for kind in EntryKind::ALL {
        for phase in 0_u8..4 {
            let version = u32::try_from(planted.len()).unwrap() + 1;
            let cause = Id::mint(1_700_000_000_000, version.into(), Lane(7));
            let resolution = if phase > 1 { 0x80 } else { 0 };
            let mut entry = *cause.bytes();
            entry[15] = kind.code() | resolution;
            sqlx::query(
                "INSERT INTO transfers (entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, constrained_side, account_version, balance_after, created_at) \
                 VALUES (?, ?, ?, ?, REPEAT(x'11', 16), ?, 1, 2, ?, 1, NOW(6))",
            )
            .bind(entry.as_slice())
            .bind(phase)
            .bind(counter.app.tenant.id)
            .bind(phase)
            .bind(account)
            .bind(version)
            .execute(&mut owner)
            .await
            .unwrap();
            planted.push((kind, phase));
        }
    }
    let mut records = pages(&counter.li, "/api/v1/customer/points/records", 50).await;
    records.reverse();
    let seen: Vec<String> =
        sqlx::query_scalar("SELECT change_type FROM points_records ORDER BY version")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert_eq!(
        (records.len(), seen.len()),
        (planted.len(), planted.len()),
        "{records:?}"
    );
    for (((kind, phase), record), seen) in planted.iter().zip(&records).zip(&seen) {
        assert_eq!(record["change_type"], seen.as_str(), "{kind:?} {phase}");
        // What is shared is money, and no customer's.
        let moves_none = kind.name().starts_with("sharing");
        assert_eq!(seen == "other", moves_none, "{kind:?} {phase}");
    }
    let reply = counter
        .li
        .get("/api/v1/customer/points/statistics")
        .await
        .expect(200);
    let times = |list: &str, name: &str, word: &str| -> i64 {
        let items = reply[list].as_array().unwrap();
        let item = items.iter().find(|item| item[name] == word);
        let count = if list == "events" { "times" } else { "earned" };
        item.unwrap_or_else(|| panic!("{word}: {reply}"))[count]
            .as_i64()
            .unwrap()
    };
    // Posted at once and posted later: two entries of each kind. Adjustments, debts repaid and the
    // four of sharing are left.
    assert_eq!(times("events", "what", "adjusted"), 12, "{reply}");
    assert_eq!(times("events", "what", "taken_back"), 8, "{reply}");
    assert_eq!(times("events", "what", "earned"), 8, "{reply}");
    assert_eq!(times("events", "what", "returned"), 2, "{reply}");
    assert_eq!(times("sources", "source", "refund"), 8, "{reply}");
    sqlx::query("DELETE FROM transfers WHERE debit_account = REPEAT(x'11', 16)")
        .execute(&mut owner)
        .await
        .unwrap();
    counter.app.finish().await;
}
