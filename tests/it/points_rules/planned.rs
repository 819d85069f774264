//! Changes that other processes make, and changes that begin later.

use std::sync::Arc;

use serde_json::json;
use zhangfang::{
    audit::Actor,
    db::{Db, DbOptions},
    payments::{PaidNotice, SettleOutcome, SettlePayment},
    points::{RuleTerms, Rules, RulesCache, SetRule, Validity},
    primitives::{Clock as _, MerchantId, MockClock, Money, RandomIds, Timestamp},
};

use super::{RULE, id_of, points};
use crate::harness::{TestApp, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn another_process_learns_of_a_change_and_reads_only_what_is_new() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000503").await;
    let merchant_id: MerchantId = id_of(&merchant).await.parse().unwrap();
    let other = app.another_db().await;
    let rules = RulesCache::start(other.clone());
    let tenant = app.tenant.id;
    let version = async || {
        let current = rules.current(tenant).await.unwrap();
        current
            .in_force(Some(merchant_id), other.now())
            .rule
            .version
    };
    assert_eq!(version().await, 1);
    let known = rules.current(tenant).await.unwrap();

    // Nothing new: nothing is read or made again, also after the second is over.
    rules.forget(tenant);
    assert!(Arc::ptr_eq(&known, &rules.current(tenant).await.unwrap()));

    set(&app, Some(merchant_id), None, |terms| {
        terms.ratio = 7.into();
    })
    .await;
    eventually("the other process knows", || async {
        (version().await == 2).then_some(())
    })
    .await;
    other.close().await;
    app.finish().await;
}

async fn set(
    app: &TestApp,
    merchant: Option<MerchantId>,
    effective_from: Option<Timestamp>,
    change: impl FnOnce(&mut RuleTerms),
) -> u32 {
    let mut terms = RuleTerms::default();
    change(&mut terms);
    let tenant = app.tenant.id;
    let by = Actor::operator("test");
    let set = SetRule {
        tenant,
        merchant,
        terms,
        effective_from,
        by,
    };
    app.db().run(set).await.unwrap().version
}

/// Another process, whose clock the test moves. Its orders are settled by it alone.
struct Ahead<'a> {
    app: &'a TestApp,
    db: Db,
    clock: Arc<MockClock>,
    rules: Arc<Rules>,
}

impl<'a> Ahead<'a> {
    async fn start(app: &'a TestApp) -> Self {
        let clock = Arc::new(MockClock::at(app.app.now()));
        let time: Arc<dyn zhangfang::primitives::Clock> = clock.clone();
        let options = DbOptions::new(app.scratch.service.clone());
        let db = Db::connect(options, time, Arc::new(RandomIds))
            .await
            .unwrap();
        eventually("the committers are ready", || async {
            db.is_ready().await.then_some(())
        })
        .await;
        let rules = RulesCache::start(db.clone())
            .current(app.tenant.id)
            .await
            .unwrap();
        Self {
            app,
            db,
            clock,
            rules,
        }
    }

    /// Settles an order as the channel's word would, by the rules as they were known at the start.
    async fn settle(&self, order_no: &str, sub_mchid: &str, amount_fen: i64) -> i64 {
        let notice = PaidNotice {
            out_trade_no: order_no.to_owned(),
            wechat_transaction_id: format!("42{order_no}"),
            sp_mchid: String::new(),
            sub_mchid: sub_mchid.to_owned(),
            payer_openid: None,
            app_id: String::new(),
            amount: Money::parse(amount_fen).unwrap(),
            currency: "CNY".into(),
            payer_amount: None,
            paid_at: self.clock.now(),
        };
        let policies = &self.app.app.payments().policies;
        let policy = policies.current(self.app.tenant.id).await.unwrap();
        let with = (Arc::clone(&self.rules), policy);
        let settle = SettlePayment::new(self.app.tenant.id, notice, true, with, None);
        match self.db.submit(settle).await.unwrap() {
            SettleOutcome::Now { points } => points.get(),
            odd @ (SettleOutcome::Before
            | SettleOutcome::Rejected(_)
            | SettleOutcome::PayerNeeded) => panic!("{odd:?}"),
        }
    }
}

/// The rules are read once, before anything begins: that a planned change takes effect to the
/// microsecond needs no look at the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_change_takes_effect_at_its_instant() {
    let app = TestApp::without_jobs().await;
    let (own, plain) = (
        app.merchant("茶里巷", "1900000504").await,
        app.merchant("面馆", "1900000505").await,
    );
    let merchant_id: MerchantId = id_of(&own).await.parse().unwrap();
    let li = app.customer("li").await;
    let start = app.app.now();
    let (soon, later) = (start.plus_seconds(3_600), start.plus_seconds(7_200));
    set(&app, Some(merchant_id), Some(soon), |terms| {
        terms.ratio = 5.into();
        terms.total_cap = Some(points(70));
    })
    .await;
    set(&app, None, Some(later), |terms| {
        terms.ratio = 2.into();
        terms.validity = Validity::EndOfMonth { count: 0 };
    })
    .await;
    let seen = app.admin().get(RULE).await.expect(200);
    assert_eq!(
        (&seen["version"], &seen["scheduled"][0]["version"]),
        (&json!(1), &json!(3))
    );
    let seen = own
        .owner
        .get("/api/v1/merchant/points-rule")
        .await
        .expect(200);
    let planned: Vec<_> = seen["scheduled"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["of"].as_str().unwrap(),
                item["version"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(planned, [("merchant", 2), ("tenant", 3)]);

    let ahead = Ahead::start(&app).await;
    let mut orders = Vec::new();
    for index in 0..4 {
        for (merchant, mchid) in [(&own, "1900000504"), (&plain, "1900000505")] {
            let order_no = app
                .create(&li, &merchant.code, 1_000, &format!("{mchid}-{index}"))
                .await;
            orders.push((order_no, mchid));
        }
    }
    let mut credited = Vec::new();
    let microsecond = Timestamp::from_micros(soon.micros() - 1);
    for (pair, at) in orders.chunks(2).zip([microsecond, soon, later, later]) {
        ahead.clock.set(at);
        for (order_no, mchid) in pair {
            credited.push(ahead.settle(order_no, mchid, 1_000).await);
        }
    }
    // The merchant's version is used up after 70.
    assert_eq!(credited, [10, 10, 50, 10, 20, 20, 0, 20]);
    assert_eq!(
        app.count("SELECT granted FROM points_budgets WHERE rule_version = 2")
            .await,
        70
    );
    ahead.db.close().await;
    app.finish().await;
}
