//! Each check of lots, caps and decisions can fail: a row is corrupted by hand, and it is named.

use std::convert::Infallible;

use zhangfang::{
    db::{Cx, Operation, Wanted, WorkingSet},
    facts::{Facts, Stage},
    ledger::{AccountKind, Draft},
    primitives::{AccountId, BusinessDay, CustomerId, EntryKind, Id, Lane},
    risk::{Action, CounterValues, Decision, Evaluation},
    verify::Invariant,
};

use crate::{
    model::{book::Terms, house::House},
    verification::Copy,
};

/// Without caps, for two whole days.
const PLAIN: Terms = Terms {
    ratio: 1,
    daily_cap: None,
    total_cap: None,
    days: Some(2),
    refuse: false,
};

async fn earns(house: &House, who: CustomerId, fen: i64, key: &str) -> i64 {
    let paid = house.pay(who, fen, key).await;
    house.deliver_callback(&paid.notice).await;
    house.earned(&paid).await
}

async fn expire(house: &House, who: CustomerId, lot: BusinessDay, points: i64) {
    let expired = AccountId::of_tenant(house.tenant, AccountKind::PointsExpired);
    let draft = Draft::posted(AccountId::customer_points(who), expired, points);
    house
        .book(who, EntryKind::PointsExpired, draft.from_lot(Some(lot)))
        .await
        .unwrap();
}

/// Books in which caps were met exactly, lots were spent, held beyond their day, captured and
/// expired.
async fn books() -> House {
    let house = House::open(7).await;
    let (li, wang) = (house.customer("li").await, house.customer("wang").await);
    let first = house.today().plus_days(3);
    house
        .set_terms(Terms {
            daily_cap: Some(25),
            ..PLAIN
        })
        .await;
    assert_eq!(earns(&house, li, 1_000, "a").await, 10);
    assert_eq!(earns(&house, li, 1_000, "b").await, 10);
    assert_eq!(earns(&house, li, 1_000, "c").await, 5, "cut by the day");
    assert_eq!(earns(&house, wang, 2_000, "d").await, 20);
    house.clock.advance_seconds(86_400);
    house
        .set_terms(Terms {
            total_cap: Some(30),
            ..PLAIN
        })
        .await;
    assert_eq!(earns(&house, li, 1_500, "e").await, 15);
    assert_eq!(
        earns(&house, wang, 2_000, "f").await,
        15,
        "cut by the total"
    );
    assert_eq!(earns(&house, wang, 500, "g").await, 0);
    let hold = house.hold(li, 8, 43_200).await.unwrap();
    house.clock.advance_seconds(2 * 86_400);
    house.capture(hold, 8).await.unwrap();
    expire(&house, li, first, 17).await;
    expire(&house, wang, first, 20).await;
    house.deduct(li, 5).await.unwrap();
    house.award(li, 30, house.today().plus_days(30)).await;
    house.set_terms(PLAIN).await;
    assert_eq!(earns(&house, li, 100, "h").await, 1);
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_lots_and_caps_is_found_and_named() {
    use Invariant::{CapsHold as Caps, LotsSumToBalance as Lots};
    let house = books().await;
    let clean = house.verify().await;
    assert!(clean.is_clean(), "{clean}");
    let expiry = "ORD(SUBSTR(entry_id, 16, 1)) = 14";
    let settlement = "ORD(SUBSTR(entry_id, 16, 1)) = 1 AND leg = 1";
    let awarded = "ORD(SUBSTR(entry_id, 16, 1)) = 10";
    let deducted = "ORD(SUBSTR(entry_id, 16, 1)) = 11";
    // What is broken, how, and what is said of it.
    let damage: Vec<(Invariant, String, &str)> = vec![
        // What transfers say of lots.
        (Lots, format!("UPDATE transfers SET lot = lot + INTERVAL 1 DAY WHERE {expiry} LIMIT 1"), "when it has not expired"),
        (Lots, format!("UPDATE transfers SET lot = lot - INTERVAL 1 DAY WHERE {expiry} LIMIT 1"), "points of the lot of"),
        (Lots, format!("UPDATE transfers SET lot = NULL WHERE {expiry} LIMIT 1"), "names no lot"),
        (Lots, format!("UPDATE transfers SET amount = amount + 1 WHERE {expiry} LIMIT 1"), "which has 1 less"),
        (Lots, format!("UPDATE transfers SET created_at = created_at - INTERVAL 1 DAY WHERE {expiry} LIMIT 1"), "when it has not expired"),
        (Lots, format!("UPDATE transfers SET credit_account = CONCAT(SUBSTR(credit_account, 1, 15), x'22') WHERE {expiry} LIMIT 1"), "but not by both"),
        (Lots, format!("UPDATE transfers SET lot = lot + INTERVAL 1 DAY WHERE {settlement} ORDER BY entry_id DESC LIMIT 1"), "the lot of"),
        (Lots, format!("UPDATE transfers SET lot = NULL WHERE {awarded}"), "grants points to no lot"),
        (Lots, format!("UPDATE transfers SET created_at = created_at + INTERVAL 60 DAY WHERE {deducted}"), "more than the lots that have not expired"),
        (Lots, "UPDATE transfers SET created_at = created_at + INTERVAL 9 DAY WHERE phase = 1".into(), "points less in lots that have not expired"),
        (Lots, "UPDATE transfers SET lot = lot + INTERVAL 1 DAY WHERE phase = 2; UPDATE transfers SET phase = 0, entry_id = CONCAT(SUBSTR(entry_id, 1, 15), x'0d') WHERE phase = 2".into(), "the lot of"),
        // What lots say.
        (Lots, "UPDATE points_lots l JOIN (SELECT account_id, MAX(expired_from) AS last FROM points_lots WHERE remaining > 0 GROUP BY account_id HAVING COUNT(*) > 2) li ON li.account_id = l.account_id \
          SET l.remaining = l.remaining + IF(l.expired_from = li.last, -2, 1) WHERE l.remaining IN (10, 30) OR l.expired_from = li.last".into(), "the lot of"),
        (Lots, "UPDATE points_lots SET granted = granted + 1 WHERE remaining > 0 LIMIT 1".into(), "the lot of"),
        (Lots, "DELETE FROM points_lots WHERE remaining = 0 LIMIT 1".into(), "has no row"),
        (Lots, "DELETE FROM points_lots WHERE remaining > 0 LIMIT 1".into(), "has no row"),
        (Lots, "INSERT INTO points_lots (account_id, expired_from, tenant_id, granted, remaining, expired, granted_on) SELECT account_id, '2031-01-01', tenant_id, 5, 0, 0, granted_on FROM points_lots LIMIT 1".into(), "its transfers say 0 of 0"),
        (Lots, "UPDATE points_lots SET expired = expired - 1 WHERE expired > 0 LIMIT 1".into(), "expired, and its transfers say"),
        (Invariant::PointsFollowTheRule, "UPDATE points_lots SET given_back = 1 WHERE expired > 0 LIMIT 1".into(), "as given back of what expired"),
        // Caps of days.
        (Caps, "UPDATE points_rules SET daily_cap = 24 WHERE version = 2".into(), "5 points make 25 on that day, of 24 allowed"),
        (Caps, "UPDATE points_rules SET daily_cap = 26 WHERE version = 2".into(), "though only 25 of 26 were given"),
        (Caps, "UPDATE points_rules SET daily_cap = NULL WHERE version = 2".into(), "though only 25 of unlimited were given"),
        (Caps, "UPDATE points_rules SET daily_cap = 14 WHERE version = 3".into(), "15 points make 15 on that day, of 14 allowed"),
        (Caps, "UPDATE accounts SET earned_points = earned_points + 1 WHERE earned_on IS NOT NULL LIMIT 1".into(), "and its payments say"),
        (Caps, "UPDATE accounts SET earned_on = earned_on - INTERVAL 1 DAY WHERE earned_on IS NOT NULL LIMIT 1".into(), "and its payments say"),
        (Caps, "UPDATE accounts SET earned_on = NULL, earned_from = NULL, earned_points = 0 WHERE earned_on IS NOT NULL LIMIT 1".into(), "and its payments say"),
        (Caps, format!("UPDATE transfers SET created_at = created_at + INTERVAL 1 DAY WHERE {settlement} ORDER BY entry_id DESC LIMIT 1; \
            UPDATE payment_orders SET paid_at = paid_at + INTERVAL 1 DAY WHERE points > 0 ORDER BY id DESC LIMIT 1"), "and its payments say"),
        (Caps, "UPDATE accounts SET earned_from = earned_from - INTERVAL 1 DAY WHERE earned_from IS NOT NULL LIMIT 1".into(), "of the days before, and its payments say"),
        (Caps, "UPDATE accounts SET earned_before = earned_before - 1 WHERE earned_before > 0 LIMIT 1".into(), "of the days before, and its payments say"),
        // Totals.
        (Caps, "UPDATE points_rules SET total_cap = 29 WHERE version = 3".into(), "30 credited, 30 counted, 29 allowed"),
        (Caps, "UPDATE points_budgets SET granted = granted + 1".into(), "30 credited, 31 counted"),
        (Caps, "UPDATE payment_orders SET points = points - 1 WHERE rule_version = 3 AND points > 0 LIMIT 1".into(), "29 credited, 30 counted"),
        (Caps, "DELETE FROM points_budgets".into(), "30 credited, 0 counted"),
        (Caps, "UPDATE points_budgets SET rule_version = 2".into(), "no such version with a total cap"),
        (Caps, "INSERT INTO points_budgets (tenant_id, rule_version, granted, version) VALUES (1, 77, 0, 1)".into(), "no such version with a total cap"),
    ];
    let mut copy = Copy::of_books(&house.scratch).await;
    for (invariant, statement, says) in damage {
        copy.finds(invariant, &statement, says).await;
    }
    copy.drop().await;
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_hold_outlives_its_lot_only_as_what_it_is() {
    let house = House::open(8).await;
    let li = house.customer("li").await;
    house.award(li, 6, house.today().plus_days(1)).await;
    let hold = house.hold(li, 6, 43_200).await.unwrap();
    house.clock.advance_seconds(2 * 86_400);
    house.capture(hold, 4).await.unwrap();
    assert_eq!(house.sweep(li).await, 2);
    let clean = house.verify().await;
    assert!(clean.is_clean(), "{clean}");
    let captured = "ORD(SUBSTR(entry_id, 16, 1)) = 13";
    let too_late = "more than the lots that have not expired";
    let damage: Vec<(String, &str)> = vec![
        (
            "UPDATE transfers SET created_at = created_at + INTERVAL 1 DAY WHERE phase = 1".into(),
            "points less in lots that have not expired",
        ),
        (
            format!("UPDATE transfers SET amount = 7 WHERE {captured}"),
            too_late,
        ),
        (
            format!(
                "UPDATE transfers SET created_at = created_at + INTERVAL 1 SECOND WHERE {captured}"
            ),
            too_late,
        ),
        (
            format!(
                "UPDATE transfers SET entry_id = CONCAT(SUBSTR(entry_id, 1, 15), x'0b') WHERE {captured}"
            ),
            too_late,
        ),
        (
            format!(
                "UPDATE transfers SET entry_id = CONCAT(SUBSTR(entry_id, 1, 14), CHAR(ORD(SUBSTR(entry_id, 15, 1)) ^ 85 USING binary), x'0d') WHERE {captured}"
            ),
            too_late,
        ),
    ];
    let mut copy = Copy::of_books(&house.scratch).await;
    for (statement, says) in damage {
        copy.finds(Invariant::LotsSumToBalance, &statement, says)
            .await;
    }
    copy.drop().await;
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_holds_and_debts_is_found_and_named() {
    use Invariant::{LotsSumToBalance as Lots, PointsFollowTheRule as Points};
    let house = House::open(10).await;
    house.set_terms(PLAIN).await;
    let (li, wang) = (house.customer("li").await, house.customer("wang").await);
    // One with a hold and a refund on its way, and one whose hold repaid a debt when it was
    // released.
    let paid = house.pay(li, 1_000, "a").await;
    house.deliver_callback(&paid.notice).await;
    house.hold(li, 4, 43_200).await.unwrap();
    house.ask_refund(&paid, 600, "r").await.unwrap();
    let paid = house.pay(wang, 1_000, "b").await;
    house.deliver_callback(&paid.notice).await;
    house.award(wang, 8, BusinessDay::NEVER).await;
    let lasting = house.hold(wang, 18, 43_200).await.unwrap();
    house.ask_refund(&paid, 1_000, "s").await.unwrap();
    house.release(lasting).await;
    let (_, posted, held) = house.purse(wang).await;
    assert_eq!((posted, held), (18, 10), "ten of them repaid the shortfall");
    let clean = house.verify().await;
    assert!(clean.is_clean(), "{clean}");
    let kind = |kind: u8| format!("ORD(SUBSTR(entry_id, 16, 1)) = {kind}");
    let (earned, reserved, clawback, repaid) = (kind(1), kind(12), kind(4), kind(15));
    let uncovered = "points less in lots that have not expired on";
    let damage: Vec<(Invariant, String, &str)> = vec![
        // Holds that could not be posted any more.
        (Lots, format!("UPDATE transfers SET lot = DATE(created_at + INTERVAL 8 HOUR) WHERE {earned} AND leg = 1"), uncovered),
        (Lots, format!("UPDATE transfers SET created_at = created_at + INTERVAL 9 DAY WHERE {reserved} AND phase = 1"), uncovered),
        (Lots, format!("UPDATE transfers SET created_at = created_at + INTERVAL 9 DAY WHERE {clawback}"), uncovered),
        (Lots, format!("UPDATE transfers SET amount = amount - 1 WHERE {earned} AND leg = 1"), uncovered),
        // What is noted of them.
        (Lots, "UPDATE points_holds SET held = held + 1 LIMIT 1".into(), "points are noted as held since"),
        (Lots, "UPDATE points_holds SET held_on = held_on + INTERVAL 1 DAY LIMIT 1".into(), "points are noted as held since"),
        (Lots, "DELETE FROM points_holds LIMIT 1".into(), "and none are noted"),
        (Lots, "INSERT INTO points_holds (account_id, held_on, tenant_id, held) VALUES (CONCAT(REPEAT(x'07', 15), x'01'), '2030-01-01', 1, 5)".into(), "no account that has lots"),
        (Lots, "INSERT INTO points_holds (account_id, held_on, tenant_id, held) SELECT account_id, held_on - INTERVAL 1 DAY, tenant_id, 5 FROM points_holds LIMIT 1".into(), "5 points are noted as held since"),
        // Free beside a debt.
        (Points, format!("DELETE FROM transfers WHERE {repaid}"), "owes 10 points after"),
        (Points, format!("UPDATE transfers SET amount = amount - 1 WHERE {repaid}"), "owes 1 points after"),
        (Points, format!("UPDATE transfers SET created_at = created_at + INTERVAL 1 SECOND WHERE {repaid}"), "and 18 are free"),
    ];
    let mut copy = Copy::of_books(&house.scratch).await;
    for (invariant, statement, says) in damage {
        copy.finds(invariant, &statement, says).await;
    }
    copy.drop().await;
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_lots_that_are_long_over_and_spent_may_be_gone_and_others_may_not() {
    let house = books().await;
    let report = |statement: &'static str| {
        let house = &house;
        async move {
            house.execute(statement).await;
            house.verify().await
        }
    };
    house.clock.advance_seconds(371 * 86_400);
    let li = house.customer("li").await;
    earns(&house, li, 100, "much later").await;
    let gone = report("DELETE FROM points_lots WHERE remaining = 0").await;
    assert!(gone.is_clean(), "{gone}");
    // Made again, it knows only of what was granted since.
    let again = report("INSERT INTO points_lots (account_id, expired_from, tenant_id, granted, remaining, expired, granted_on) SELECT account_id, MIN(expired_from) - INTERVAL 1 DAY, tenant_id, 0, 0, 0, MIN(granted_on) FROM points_lots GROUP BY account_id, tenant_id").await;
    assert!(again.is_clean(), "{again}");
    house.finish().await;
}

/// Stores what risk decided on an activity, as whoever does it would.
#[derive(Debug)]
struct Note {
    cause: Id,
    evaluation: Evaluation,
}

impl Operation for Note {
    type Reply = ();
    type Refusal = Infallible;
    const NAME: &'static str = "test.note";

    fn lane(&self) -> Lane {
        self.cause.lane()
    }

    fn rows(&self, _want: &mut Wanted, _set: &WorkingSet) {}

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), Infallible> {
        self.evaluation.store(set, cx, self.cause);
        Ok(())
    }
}

async fn note(house: &House, cause: Id, stage: Stage, action: Action, customer: CustomerId) {
    let decision = Decision {
        rule_set: 0,
        action,
        facts: Facts {
            customer: Some(customer),
            ..Facts::new(stage, house.tenant, house.db.now())
        },
        measured: CounterValues::default(),
        fired: Vec::new(),
        answered: None,
    };
    let evaluation = Evaluation::new(decision);
    house.db.submit(Note { cause, evaluation }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_decisions_is_found_and_named() {
    let house = House::open(9).await;
    let li = house.customer("li").await;
    let paid = house.pay(li, 1_000, "a").await;
    house.deliver_callback(&paid.notice).await;
    let order = paid.order.id.id();
    note(&house, order, Stage::PaymentCreate, Action::Allow, li).await;
    note(&house, order, Stage::PointsCredit, Action::Allow, li).await;
    let refund = house.ask_refund(&paid, 400, "r").await.unwrap();
    note(&house, refund.id.id(), Stage::Refund, Action::Review, li).await;
    // Stopped, each under an id of its own.
    for stage in [Stage::PaymentCreate, Stage::PointsCredit, Stage::Refund] {
        let stopped = house.db.new_id(li.lane());
        note(&house, stopped, stage, Action::Block, li).await;
    }
    let clean = house.verify().await;
    assert!(clean.is_clean(), "{clean}");
    // What was stopped is put in the place of what was allowed.
    let instead = |stage: Stage| {
        let code = stage.code();
        format!(
            "SET @id = (SELECT id FROM risk_decisions WHERE stage = {code} AND action <> 3); DELETE FROM risk_decisions WHERE id = @id; UPDATE risk_decisions SET id = @id WHERE stage = {code}"
        )
    };
    let damage: Vec<(String, &str)> = vec![
        ("UPDATE risk_decisions SET decision = x'00' LIMIT 1".into(), "cannot be read"),
        ("UPDATE risk_decisions SET id = CONCAT(SUBSTR(id, 1, 15), x'04') WHERE stage = 3 LIMIT 1".into(), "under the id of another stage"),
        ("UPDATE risk_decisions SET action = 1 LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET shadow = 1 LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET stage = 4 LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET rule_set = 2 LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET tenant_id = 77 LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET customer_id = NULL LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET merchant_id = customer_id LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET amount_fen = 1 LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET points = 1 LIMIT 1".into(), "its columns say"),
        ("UPDATE risk_decisions SET decided_at = decided_at + INTERVAL 1 SECOND LIMIT 1".into(), "its columns say"),
        (instead(Stage::PaymentCreate), "is booked, and risk said"),
        (instead(Stage::PointsCredit), "is booked, and risk said"),
        (instead(Stage::Refund), "is booked, and risk said"),
    ];
    let mut copy = Copy::of_books(&house.scratch).await;
    for (statement, says) in damage {
        copy.finds(Invariant::DecisionsAreReproducible, &statement, says)
            .await;
    }
    copy.drop().await;
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_clock_that_is_a_month_ahead_neither_freezes_a_cap_nor_gives_it_twice() {
    let house = House::open(9).await;
    let li = house.customer("li").await;
    let terms = Terms {
        daily_cap: Some(25),
        days: None,
        ..PLAIN
    };
    house.set_terms(terms).await;
    let days = |days: i64| house.clock.advance_seconds(days * 86_400);
    assert_eq!(earns(&house, li, 2_000, "a").await, 20);
    days(30);
    assert_eq!(earns(&house, li, 2_000, "b").await, 20, "somebody is ahead");
    days(-30);
    assert_eq!(
        earns(&house, li, 2_000, "c").await,
        5,
        "what was left of today"
    );
    assert_eq!(earns(&house, li, 2_000, "d").await, 0);
    days(30);
    assert_eq!(earns(&house, li, 2_000, "e").await, 5);
    days(-29);
    assert_eq!(
        earns(&house, li, 3_000, "f").await,
        25,
        "tomorrow is another day"
    );
    days(29);
    assert_eq!(
        earns(&house, li, 2_000, "g").await,
        0,
        "and that one is used up when it comes"
    );
    house.finish().await;
}
