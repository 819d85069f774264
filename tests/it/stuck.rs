//! Orders of which WeChat says nothing, and orders that no scan has seen: somebody asks about them,
//! ever more rarely, and an exception says so.

use std::sync::Arc;

use zhangfang::{
    audit::Actor,
    jobs,
    payments::{self, CloseBy, OrderStateKind, PaymentError, Payments, RefusalKind},
    primitives::{Clock as _, MockClock, OrderId, OrderNo, SystemClock},
};

use crate::harness::{Caller, Channel, TestApp};

struct WatchSetup {
    app: TestApp,
    clock: Arc<MockClock>,
    channel: Arc<Channel>,
    payments: Payments,
    customer: Caller,
    code: String,
}

impl WatchSetup {
    async fn open() -> Self {
        let clock = Arc::new(MockClock::at(SystemClock.now()));
        let app = TestApp::on_clock(Arc::clone(&clock), None).await;
        let channel = Arc::new(Channel::default());
        let payments = app.through(&channel);
        let code = app.merchant("茶里巷", "1900000189").await.code;
        let customer = app.customer("li").await;
        Self {
            app,
            clock,
            channel,
            payments,
            customer,
            code,
        }
    }

    async fn order(&self, key: &str) -> OrderId {
        let no = self
            .app
            .create(&self.customer, &self.code, 1_000, key)
            .await;
        no.parse::<OrderNo>().unwrap().id()
    }

    /// An order of a clock that WeChat does not accept: it is made all the same.
    async fn order_off(&self, key: &str) -> OrderId {
        let orders = || async {
            let ids: Vec<OrderId> = sqlx::query_scalar("SELECT id FROM payment_orders")
                .fetch_all(self.app.db().pool())
                .await
                .unwrap();
            ids
        };
        let before = orders().await;
        let body = serde_json::json!({ "code": self.code, "amount_fen": 1_000 });
        let caller = self.customer.keyed(key);
        caller.post("/api/v1/customer/payments", &body).await;
        let mut made = orders().await;
        made.retain(|order| !before.contains(order));
        made[0]
    }

    /// The next look at what is due, whenever that is; how long it took, in seconds.
    async fn next_look(&self) -> i64 {
        let due: zhangfang::primitives::Timestamp =
            sqlx::query_scalar("SELECT MIN(due_at) FROM order_watches")
                .fetch_one(self.app.db().pool())
                .await
                .unwrap();
        let waited = (due.micros() - self.clock.now().micros()) / 1_000_000;
        self.clock.set(due.max(self.clock.now()));
        jobs::orders_round(&self.payments).await.unwrap();
        waited
    }

    async fn exceptions(&self) -> Vec<(String, Option<String>)> {
        sqlx::query_as("SELECT kind, resolved_by FROM payment_exceptions ORDER BY id")
            .fetch_all(self.app.db().pool())
            .await
            .unwrap()
    }

    /// Why nothing was learnt of an order that is watched.
    async fn problem(&self, order: OrderId) -> Option<String> {
        let (db, tenant) = (self.app.db(), self.app.tenant.id);
        let history = payments::order_history(db, tenant, order, &[])
            .await
            .unwrap();
        history.unwrap().next_query.unwrap().problem
    }

    async fn close(&self, order: OrderId) -> Result<OrderStateKind, PaymentError> {
        let by = CloseBy::Operator(Actor::operator("lin"));
        let closed = payments::close_payment(&self.payments, self.app.tenant.id, order, by);
        closed.await.map(|order| order.state.kind())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_refused_for_good_is_repeated_ever_more_rarely_and_raises_an_exception() {
    let setup = WatchSetup::open().await;
    let order = setup.order("k").await;
    setup.channel.refuses_orders(Some(RefusalKind::Rejected));
    setup.clock.advance_seconds(21);
    jobs::orders_round(&setup.payments).await.unwrap();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        // Why, is said from the first one on.
        let problem = setup.problem(order).await;
        let said = problem.as_deref();
        assert_eq!(said, Some("WeChat refuses the payment: REJECTED"));
        // People are told at the sixth refusal, once.
        let expected = usize::from(pauses.len() >= 5);
        assert_eq!(setup.exceptions().await.len(), expected, "{pauses:?}");
        pauses.push(setup.next_look().await);
    }
    assert_eq!(
        pauses,
        [30, 60, 120, 300, 600, 1_800, 3_600, 3_600, 3_600, 3_600]
    );
    assert_eq!(setup.exceptions().await, [("order_stuck".to_owned(), None)]);
    assert_eq!(setup.channel.order_queries(), 11);
    // It says something again, once: nothing stands in the way any more, until it does.
    setup.channel.refuses_orders(None);
    let answer = payments::confirm(&setup.payments, setup.app.tenant.id, order).await;
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(setup.problem(order).await, None);
    setup.channel.refuses_orders(Some(RefusalKind::Rejected));
    // Its time is over long since, and it is still open: WeChat has not closed it. A person may.
    assert_eq!(setup.close(order).await.unwrap(), OrderStateKind::Closed);
    setup.next_look().await;
    let over = ("order_stuck".to_owned(), Some("progress".to_owned()));
    assert_eq!(setup.exceptions().await, [over]);
    let watched = setup.app.count("SELECT COUNT(*) FROM order_watches").await;
    assert_eq!(watched, 0);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_closes_only_expired_orders_that_have_an_exception() {
    let setup = WatchSetup::open().await;
    let order = setup.order("k").await;
    setup.channel.refuses_orders(Some(RefusalKind::Rejected));
    let refused = |answer: &Result<OrderStateKind, PaymentError>| {
        assert!(
            matches!(answer, Err(PaymentError::ChannelRefused(_))),
            "{answer:?}"
        );
    };
    refused(&setup.close(order).await);
    setup.clock.advance_seconds(21);
    jobs::orders_round(&setup.payments).await.unwrap();
    for _ in 0..5 {
        refused(&setup.close(order).await);
        setup.next_look().await;
    }
    // People were told, and the order can still be paid: until its time is over nobody's word does.
    assert_eq!(setup.exceptions().await.len(), 1);
    let expires: zhangfang::primitives::Timestamp =
        sqlx::query_scalar("SELECT expires_at FROM payment_orders")
            .fetch_one(setup.app.db().pool())
            .await
            .unwrap();
    assert!(setup.clock.now() < expires);
    refused(&setup.close(order).await);
    let customer = payments::close_payment(
        &setup.payments,
        setup.app.tenant.id,
        order,
        CloseBy::Customer,
    );
    refused(&customer.await.map(|order| order.state.kind()));
    // WeChat says something again: it ends as orders do, and nobody need look any more.
    setup.channel.refuses_orders(None);
    setup.clock.set(expires.plus_seconds(1));
    setup.next_look().await;
    let found = payments::find_order(setup.app.db(), setup.app.tenant.id, order).await;
    let state = found.unwrap().unwrap().order.state.kind();
    assert_eq!(state, OrderStateKind::Expired);
    let over = ("order_stuck".to_owned(), Some("progress".to_owned()));
    assert_eq!(setup.exceptions().await, [over]);
    setup.app.finish().await;
}

/// Its time is over, and WeChat has only just begun to say nothing of it: it may be paid.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_order_is_closed_unconfirmed_only_after_its_exception() {
    let setup = WatchSetup::open().await;
    let order = setup.order("k").await;
    setup.channel.refuses_orders(Some(RefusalKind::Rejected));
    setup.clock.advance_seconds(21);
    jobs::orders_round(&setup.payments).await.unwrap();
    let expires: zhangfang::primitives::Timestamp =
        sqlx::query_scalar("SELECT expires_at FROM payment_orders")
            .fetch_one(setup.app.db().pool())
            .await
            .unwrap();
    setup.clock.set(expires.plus_seconds(1));
    for looks in 2..=6 {
        let closed = setup.close(order).await;
        assert!(
            matches!(closed, Err(PaymentError::ChannelRefused(_))),
            "{looks}: {closed:?}"
        );
        setup.next_look().await;
    }
    assert_eq!(setup.exceptions().await, [("order_stuck".to_owned(), None)]);
    assert_eq!(setup.close(order).await.unwrap(), OrderStateKind::Closed);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_clock_that_stepped_back_is_found_by_the_third_scan() {
    let setup = WatchSetup::open().await;
    // The scans have come past now: somebody's clock was ahead, or this one was set back by twenty
    // minutes.
    setup.order("before").await;
    setup.clock.advance_seconds(1_200);
    jobs::orders_round(&setup.payments).await.unwrap();
    setup.clock.advance_seconds(-1_200);
    let hidden = setup.order("hidden").await;
    let watched = |order: OrderId| {
        let db = setup.app.db().clone();
        async move {
            let found: Option<i64> =
                sqlx::query_scalar("SELECT 1 FROM order_watches WHERE order_id = ?")
                    .bind(order)
                    .fetch_optional(db.pool())
                    .await
                    .unwrap();
            found.is_some()
        }
    };
    jobs::orders_round(&setup.payments).await.unwrap();
    assert!(!watched(hidden).await, "it is young, and may be paid yet");
    setup.clock.advance_seconds(700);
    payments::watch_open_orders(&setup.payments).await.unwrap();
    assert!(
        watched(hidden).await,
        "neither scan comes back to it, the third does"
    );
    // One of a clock that is ahead is found too.
    setup.clock.advance_seconds(150);
    let ahead = setup.order_off("ahead").await;
    setup.clock.advance_seconds(-150);
    payments::watch_open_orders(&setup.payments).await.unwrap();
    assert!(watched(ahead).await, "not only when its time has come");
    // Who has paid by then is not asked about.
    let paid = setup.order_off("paid").await;
    let tenant = setup.app.tenant.id;
    let known = payments::find_order(setup.app.db(), tenant, paid).await;
    let known = known.unwrap().unwrap().order;
    let now = setup.clock.now();
    setup.channel.says_paid(&known, "4200", now, false);
    let settled = payments::confirm(&setup.payments, tenant, paid).await;
    assert_eq!(settled.unwrap().state.kind(), OrderStateKind::Paid);
    for _ in 0..3 {
        setup.clock.advance_seconds(1_000);
        jobs::orders_round(&setup.payments).await.unwrap();
        assert!(!watched(paid).await);
    }
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_need_look_any_more_once_wechat_speaks_again() {
    let setup = WatchSetup::open().await;
    setup.order("k").await;
    setup.channel.refuses_orders(Some(RefusalKind::Rejected));
    setup.clock.advance_seconds(21);
    jobs::orders_round(&setup.payments).await.unwrap();
    for _ in 0..5 {
        setup.next_look().await;
    }
    assert_eq!(setup.exceptions().await, [("order_stuck".to_owned(), None)]);
    setup.channel.refuses_orders(None);
    setup.next_look().await;
    let over = ("order_stuck".to_owned(), Some("progress".to_owned()));
    assert_eq!(setup.exceptions().await, [over]);
    setup.app.finish().await;
}
