//! What is told to others after a payment: planned by the relay, claimed, told, and looked after by
//! operators.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use zhangfang::{
    audit::Actor,
    db::{Db, DbError, DbOptions, Tx, Work},
    deliveries::{
        self, ATTEMPTS_MAX, Attempt, ClaimDue, CustomerMessage, DeliveryCause, DeliveryFilter,
        DeliveryKind, DeliverySettings, DeliveryState, Handover, LEASE_SECONDS, MessageOutcome,
        Notifier, RecordAttempt, SetDeliverySettings, SettingsCache, ShippingReport,
    },
    merchants::{
        self, CodeDrawing, CollectionCode, DrawingFailure, MiniProgramCodes, PictureKind,
        ProgramVersion,
    },
    payments::{ChannelOutcome, Refusal, RefusalKind},
    primitives::{MockClock, Money, OrderId, PageLimit, RefundId, SeededIds, TenantId, Timestamp},
};

use crate::harness::{Scratch, TestApp, eventually};

/// Remembers what it was told, and answers to messages as the script says; after it, with yes.
#[derive(Debug, Default)]
struct Notes {
    reports: Mutex<Vec<ShippingReport>>,
    messages: Mutex<Vec<CustomerMessage>>,
    script: Mutex<VecDeque<ChannelOutcome<MessageOutcome>>>,
}

impl Notifier for Notes {
    fn report_shipping(&self, report: ShippingReport) -> BoxFuture<'_, ChannelOutcome<()>> {
        self.reports.lock().unwrap().push(report);
        Box::pin(async { ChannelOutcome::Done(()) })
    }

    fn send_message(
        &self,
        message: CustomerMessage,
    ) -> BoxFuture<'_, ChannelOutcome<MessageOutcome>> {
        self.messages.lock().unwrap().push(message);
        let answer = self.script.lock().unwrap().pop_front();
        Box::pin(async { answer.unwrap_or(ChannelOutcome::Done(MessageOutcome::Taken)) })
    }
}

fn everything() -> Value {
    json!({
        "shipping": "self_pickup",
        "payment_message": {
            "template_id": "TPL",
            "fields": { "merchant": "thing1", "amount": "amount2", "order_no": "character_string3", "points": "number4" },
        },
        "message_page": "pages/order/index",
    })
}

async fn listed(app: &TestApp, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/admin/deliveries?{query}");
    let page = app.admin().get(&path).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_reported_once_and_has_one_message() {
    let notes = Arc::new(Notes::default());
    let app = TestApp::with_notifier(notes.clone()).await;
    let settings = "/api/v1/admin/delivery-settings";
    let set = app.admin().put(settings, &everything()).await.expect(200);
    assert_eq!(app.admin().get(settings).await.expect(200), set);
    let merchant = app.merchant("老王面馆", "1900000109").await;
    let customer = app.customer("told").await;
    let order_no = app.pay(&customer, &merchant.code, 1_280, "told-1").await;

    let delivered = eventually("both are delivered", || async {
        let delivered = listed(&app, "state=delivered").await;
        (delivered.len() == 2).then_some(delivered)
    })
    .await;
    for delivery in &delivered {
        assert_eq!(delivery["order_no"], order_no.as_str());
        assert_eq!(delivery["amount_fen"], 1_280);
        assert_eq!(delivery["attempts"], 1);
    }
    let reports = notes.reports.lock().unwrap().clone();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].handover, Handover::SelfPickup);
    assert_eq!(reports[0].item, "老王面馆 到店消费");
    let messages = notes.messages.lock().unwrap().clone();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].openid, reports[0].openid);
    assert_eq!(
        messages[0].page,
        Some(format!("pages/order/index?order_no={order_no}"))
    );
    let value = |field: &str| {
        let found = messages[0].data.iter().find(|(name, _)| name == field);
        found.unwrap().1.clone()
    };
    assert_eq!(value("thing1"), "老王面馆");
    assert_eq!(value("amount2"), "¥12.80");
    assert_eq!(value("character_string3"), order_no);
    assert_eq!(value("number4"), "12");
    // WeChat's number is the one of the books.
    let paid = "SELECT COUNT(*) FROM payment_orders WHERE wechat_transaction_id IS NOT NULL";
    assert_eq!(app.count(paid).await, 1);
    assert!(!reports[0].wechat_transaction_id.is_empty());

    // Who set it stands in the record.
    let logs = app
        .admin()
        .get("/api/v1/admin/audit-logs")
        .await
        .expect(200);
    assert!(logs.to_string().contains("delivery_settings.set"), "{logs}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_deliveries_has_nothing_planned() {
    let notes = Arc::new(Notes::default());
    let app = TestApp::with_notifier(notes.clone()).await;
    let merchant = app.merchant("茶里", "1900000109").await;
    let customer = app.customer("quiet").await;
    app.pay(&customer, &merchant.code, 500, "quiet-1").await;
    app.verify().await;
    assert_eq!(app.count("SELECT COUNT(*) FROM deliveries").await, 0);
    assert!(notes.reports.lock().unwrap().is_empty());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_parked_until_an_operator_has_it_tried_again() {
    let notes = Arc::new(Notes::default());
    let no = Refusal {
        kind: RefusalKind::Rejected,
        code: "47003".to_owned(),
        message: "argument invalid! data.thing1.value invalid".to_owned(),
    };
    let script = [
        ChannelOutcome::Refused(no),
        ChannelOutcome::Done(MessageOutcome::NotSubscribed),
    ];
    *notes.script.lock().unwrap() = VecDeque::from(script);
    let app = TestApp::with_notifier(notes.clone()).await;
    let mut settings = everything();
    settings["shipping"] = "off".into();
    let path = "/api/v1/admin/delivery-settings";
    app.admin().put(path, &settings).await.expect(200);
    let merchant = app.merchant("茶里", "1900000109").await;
    let customer = app.customer("parked").await;
    app.pay(&customer, &merchant.code, 500, "parked-1").await;

    let reach = async |state: &str| {
        let query = format!("kind=payment_message&state={state}");
        eventually("the message is there", || async {
            listed(&app, &query).await.pop()
        })
        .await
    };
    let parked = reach("parked").await;
    assert_eq!(
        parked["last_error"],
        "47003 argument invalid! data.thing1.value invalid"
    );
    assert!(parked.get("next_attempt_at").is_none());
    let retry = format!(
        "/api/v1/admin/deliveries/{}/retry",
        parked["id"].as_str().unwrap()
    );
    let retry = async || app.admin().post(&retry, &json!({})).await;

    let pending = retry().await.expect(200);
    assert_eq!(
        (&pending["state"], &pending["attempts"]),
        (&json!("pending"), &json!(0))
    );
    // Nobody to tell: not an error, and it may be tried again too.
    assert_eq!(reach("dropped").await["attempts"], 1);
    retry().await.expect(200);
    reach("delivered").await;
    retry().await.refused(409, "delivery_delivered");
    let unknown = "/api/v1/admin/deliveries/dl_00000000000000000000000000000000/retry";
    app.admin()
        .post(unknown, &json!({}))
        .await
        .refused(404, "delivery_not_found");
    assert_eq!(notes.messages.lock().unwrap().len(), 3);
    // A customer is no operator.
    customer
        .get("/api/v1/admin/deliveries")
        .await
        .refused(403, "forbidden");
    app.finish().await;
}

// --- the slice by itself, on a clock that stands still

struct Bench {
    scratch: Scratch,
    db: Db,
    clock: Arc<MockClock>,
    tenant: TenantId,
}

struct PlanNow {
    settings: SettingsCache,
    due: Vec<DeliveryCause>,
}

impl Work for PlanNow {
    const NAME: &'static str = "test.plan";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        deliveries::plan(tx, &self.settings, &self.due).await
    }
}

impl Bench {
    async fn start() -> Self {
        let scratch = Scratch::make().await;
        let start = Timestamp::parse_rfc3339("2026-11-21T12:00:00+08:00").unwrap();
        let clock = Arc::new(MockClock::at(start));
        let mut options = DbOptions::new(scratch.service.clone());
        options.committers = 0;
        let db = Db::connect(options, clock.clone(), Arc::new(SeededIds::new(7)))
            .await
            .unwrap();
        let tenant = TenantId(7);
        db.run(SetDeliverySettings {
            tenant,
            settings: DeliverySettings {
                shipping: Some(Handover::Virtual),
                ..DeliverySettings::default()
            },
            by: Actor::operator("test"),
        })
        .await
        .unwrap();
        Self {
            scratch,
            db,
            clock,
            tenant,
        }
    }

    fn payment(&self) -> DeliveryCause {
        DeliveryCause::Payment {
            tenant: self.tenant,
            order: OrderId::new(self.db.new_id(self.db.new_lane())),
            amount: Money::parse(100).unwrap(),
            paid_at: self.db.now(),
        }
    }

    async fn plan(&self, due: &[DeliveryCause]) {
        let settings = SettingsCache::start(self.db.clone());
        let due = due.to_vec();
        self.db.run(PlanNow { settings, due }).await.unwrap();
    }

    async fn claim(&self, limit: u32) -> Vec<deliveries::Delivery> {
        self.db.run(ClaimDue { limit }).await.unwrap()
    }

    async fn record(
        &self,
        delivery: &deliveries::Delivery,
        attempt: Attempt,
    ) -> Option<DeliveryState> {
        let delivery = delivery.clone();
        let work = RecordAttempt { delivery, attempt };
        self.db.run(work).await.unwrap()
    }

    async fn all(&self) -> Vec<deliveries::Delivery> {
        let (filter, limit) = (DeliveryFilter::default(), PageLimit::parse(None).unwrap());
        deliveries::list_deliveries(&self.db, self.tenant, filter, None, limit)
            .await
            .unwrap()
    }

    async fn end(self) {
        self.db.close().await;
        self.scratch.give_back().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planned_twice_is_one_delivery_and_what_is_off_is_none() {
    let bench = Bench::start().await;
    let payment = bench.payment();
    bench.plan(&[payment, bench.payment(), payment]).await;
    bench.plan(&[payment]).await;
    let refund = DeliveryCause::Refund {
        tenant: bench.tenant,
        order: OrderId::new(bench.db.new_id(bench.db.new_lane())),
        refund: RefundId::new(bench.db.new_id(bench.db.new_lane())),
        amount: Money::parse(50).unwrap(),
        refunded_at: bench.db.now(),
    };
    let DeliveryCause::Payment { order, .. } = payment else {
        panic!("a payment")
    };
    let stranger = DeliveryCause::Payment {
        tenant: TenantId(8),
        order,
        amount: Money::parse(1).unwrap(),
        paid_at: bench.db.now(),
    };
    bench.plan(&[refund, stranger]).await;
    let all = bench.all().await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(
        all.iter()
            .all(|delivery| delivery.kind == DeliveryKind::ShippingInfo)
    );
    // What is delivered is not planned again either.
    let claimed = bench.claim(10).await;
    for delivery in &claimed {
        let state = bench.record(delivery, Attempt::Delivered).await;
        assert_eq!(state, Some(DeliveryState::Delivered));
    }
    bench.plan(&[payment]).await;
    assert!(bench.claim(10).await.is_empty());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_delivery_is_nobody_elses_until_its_lease_ends() {
    let bench = Bench::start().await;
    bench
        .plan(&[bench.payment(), bench.payment(), bench.payment()])
        .await;
    let first = bench.claim(1).await;
    let rest = bench.claim(10).await;
    assert_eq!((first.len(), rest.len()), (1, 2));
    assert!(bench.claim(10).await.is_empty());
    assert_eq!(
        bench.record(&rest[0], Attempt::Delivered).await,
        Some(DeliveryState::Delivered)
    );
    let again = Attempt::Retry("HTTP 502".to_owned());
    assert_eq!(
        bench.record(&rest[1], again.clone()).await,
        Some(DeliveryState::Pending)
    );

    // The one that is tried again falls due first; then the one that was never heard of again.
    bench.clock.advance_seconds(10);
    let repeated = bench.claim(10).await;
    assert_eq!(repeated.len(), 1);
    assert_eq!((repeated[0].id, repeated[0].attempts), (rest[1].id, 2));
    assert_eq!(repeated[0].last_error.as_deref(), Some("HTTP 502"));
    bench.clock.advance_seconds(LEASE_SECONDS - 10);
    let taken_over = bench.claim(10).await;
    assert_eq!(taken_over.len(), 1);
    assert_eq!((taken_over[0].id, taken_over[0].attempts), (first[0].id, 2));

    // The first holder wakes up: a failure is no longer its to tell, but what was told is told.
    assert_eq!(bench.record(&first[0], again).await, None);
    assert_eq!(
        bench.record(&first[0], Attempt::Delivered).await,
        Some(DeliveryState::Delivered)
    );
    let late = Attempt::Failed("40003".to_owned());
    assert_eq!(bench.record(&taken_over[0], late).await, None);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_kills_its_process_each_time_is_parked_in_the_end() {
    let bench = Bench::start().await;
    bench.plan(&[bench.payment()]).await;
    for attempt in 1..=ATTEMPTS_MAX {
        let claimed = bench.claim(10).await;
        assert_eq!(claimed[0].attempts, attempt);
        bench.clock.advance_seconds(LEASE_SECONDS);
    }
    assert!(bench.claim(10).await.is_empty());
    let all = bench.all().await;
    assert_eq!(all[0].state, DeliveryState::Parked);
    assert!(all[0].last_error.is_some() && all[0].next_attempt_at.is_none());
    bench.end().await;
}

// --- mini-program codes

#[derive(Debug, Default)]
struct Artist(Mutex<Vec<CodeDrawing>>);

impl MiniProgramCodes for Artist {
    fn draw(&self, drawing: CodeDrawing) -> BoxFuture<'_, Result<Vec<u8>, DrawingFailure>> {
        let mut drawn = self.0.lock().unwrap();
        drawn.push(drawing);
        let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
        picture.push(u8::try_from(drawn.len()).unwrap());
        Box::pin(async { Ok(picture) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_drawn_once_for_each_page_and_only_for_its_merchant() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里", "1900000109").await;
    let profile = merchant
        .owner
        .get("/api/v1/merchant/profile")
        .await
        .expect(200);
    let merchant_id = profile["id"].as_str().unwrap().parse().unwrap();
    let artist = Artist::default();
    let code: CollectionCode = merchant.code.parse().unwrap();
    let drawing = |page: Option<&str>| CodeDrawing {
        code,
        page: page.map(str::to_owned),
        program: ProgramVersion::Formal,
    };
    let draw = async |drawing: CodeDrawing| {
        merchants::mini_program_code(app.db(), &artist, app.tenant.id, merchant_id, drawing).await
    };
    let (kind, first) = draw(drawing(None)).await.unwrap();
    assert_eq!(kind, PictureKind::Png);
    assert_eq!(draw(drawing(None)).await.unwrap().1, first);
    assert_eq!(artist.0.lock().unwrap().len(), 1);
    // Another page is another picture, which takes the place of the first.
    let (_, second) = draw(drawing(Some("pages/pay/index"))).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(
        draw(drawing(Some("pages/pay/index"))).await.unwrap().1,
        second
    );
    assert_eq!(artist.0.lock().unwrap().len(), 2);
    let unknown = CodeDrawing {
        code: CollectionCode::mint(1),
        ..drawing(None)
    };
    assert!(draw(unknown).await.is_err());
    let path = "/api/v1/merchant/codes/000000000000/wxacode.png";
    merchant
        .owner
        .get(path)
        .await
        .refused(404, "collection_code_not_found");
    app.finish().await;
}
