//! A process whose clock goes wrong commits nothing, says so, and goes on when it is right again.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use serde_json::json;
use zhangfang::{
    db::{Db, DbError, DbOptions, Tx, Work},
    primitives::{Clock, RandomIds, SystemClock, Timestamp},
};

use crate::harness::{Scratch, TestApp};

/// The machine's clock, so many seconds off.
#[derive(Debug, Default)]
struct Skewed(AtomicI64);

impl Skewed {
    fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        SystemClock
            .now()
            .plus_seconds(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct Nothing;

impl Work for Nothing {
    const NAME: &'static str = "test.nothing";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, _tx: &mut Tx) -> Result<(), DbError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_by_a_clock_that_is_a_minute_off_either_way() {
    let clock = Arc::new(Skewed::default());
    let app = TestApp::with_clock(clock.clone()).await;
    let merchant = app.merchant("茶里巷", "1900000190").await;
    let li = app.customer("li").await;
    let paid = app.pay(&li, &merchant.code, 1_000, "k0").await;
    let body = json!({ "code": merchant.code, "amount_fen": 500 });
    let orders = "SELECT COUNT(*) FROM payment_orders";
    for off in [65, -65, 31 * 86_400, -600] {
        clock.set(off);
        // The next request already: the step is seen without asking the database again.
        assert!(!app.db().is_ready().await, "{off}");
        let ready = app.anyone().get("/readyz").await;
        assert_eq!(ready.expect(503)["database"], false, "{off}");
        assert!(matches!(
            app.db().run(Nothing).await,
            Err(DbError::ClockOff)
        ));
        let adjusted = crate::batch::adjust(&app, customer_of(&app, &paid).await, 1);
        let submitted = app.db().submit(adjusted).await;
        let refused = matches!(
            submitted,
            Err(zhangfang::db::SubmitError::Db(DbError::ClockOff))
        );
        assert!(refused, "{off}: {submitted:?}");
        clock.set(0);
        assert!(app.db().is_ready().await);
    }
    assert_eq!(app.count(orders).await, 1);
    // Half a minute is said, and endured.
    for off in [30, -30] {
        clock.set(off);
        assert!(app.db().is_ready().await, "{off}");
        let key = format!("k{off}");
        let made = li
            .keyed(&key)
            .post("/api/v1/customer/payments", &body)
            .await;
        made.expect(201);
    }
    clock.set(0);
    assert_eq!(app.count(orders).await, 3);
    app.finish().await;
}

async fn customer_of(app: &TestApp, order_no: &str) -> zhangfang::primitives::CustomerId {
    let order: zhangfang::primitives::OrderNo = order_no.parse().unwrap();
    let found = zhangfang::payments::find_order(app.db(), app.tenant.id, order.id()).await;
    found.unwrap().unwrap().order.customer.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_with_a_wrong_clock_is_not_ready_until_it_is_right() {
    let scratch = Scratch::make().await;
    let clock = Arc::new(Skewed::default());
    clock.set(90);
    let options = DbOptions::new(scratch.service.clone());
    let db = Db::connect(options, clock.clone(), Arc::new(RandomIds))
        .await
        .unwrap();
    assert!(matches!(db.run(Nothing).await, Err(DbError::ClockOff)));
    assert!(!db.is_ready().await);
    clock.set(0);
    db.run(Nothing).await.unwrap();
    crate::harness::eventually("it is ready", || async {
        db.is_ready().await.then_some(())
    })
    .await;
    db.close().await;
    scratch.drop().await;
}
