//! Notice of points that will expire.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde_json::json;
use zhangfang::{
    auth::OperatorRole,
    deliveries::{
        self, ClaimDue, CustomerMessage, Deliveries, MessageOutcome, Notifier, SettingsCache,
        ShippingReport,
    },
    payments::ChannelOutcome,
    primitives::{BusinessDay, CustomerId},
};

use super::{Calendar, at, day, rounds};

/// Remembers what it was told to say.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<CustomerMessage>>);

impl Notifier for Notes {
    fn report_shipping(&self, _report: ShippingReport) -> BoxFuture<'_, ChannelOutcome<()>> {
        Box::pin(async { ChannelOutcome::Unknown("not here".to_owned()) })
    }

    fn send_message(
        &self,
        message: CustomerMessage,
    ) -> BoxFuture<'_, ChannelOutcome<MessageOutcome>> {
        self.0.lock().unwrap().push(message);
        Box::pin(async { ChannelOutcome::Done(MessageOutcome::Taken) })
    }
}

impl Notes {
    /// What was said since the last time: the values by the names of their fields, sorted.
    fn said(&self) -> Vec<String> {
        let messages = std::mem::take(&mut *self.0.lock().unwrap());
        let line = |message: CustomerMessage| {
            let data = message.data.into_iter();
            let fields: Vec<String> = data
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            fields.join(" ")
        };
        let mut said: Vec<String> = messages.into_iter().map(line).collect();
        said.sort_unstable();
        said
    }
}

async fn known(calendar: &Calendar, name: &str) -> CustomerId {
    let customer = calendar.app.customer(name).await;
    let me = customer.get("/api/v1/customer/me").await.expect(200);
    me["id"].as_str().unwrap().parse().unwrap()
}

/// Everything that is due is told.
async fn deliver(calendar: &Calendar, notes: &Arc<Notes>) -> Vec<String> {
    let tools = Deliveries {
        notifier: notes.clone(),
        settings: SettingsCache::start(calendar.db().clone()),
    };
    loop {
        let claimed = calendar.db().run(ClaimDue { limit: 16 }).await.unwrap();
        if claimed.is_empty() {
            return notes.said();
        }
        for delivery in claimed {
            deliveries::deliver(calendar.db(), &tools, delivery)
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_customer_gets_one_message_for_each_day_some_days_before_it() {
    let notes = Arc::new(Notes::default());
    let calendar =
        Calendar::with_notifications(at("2026-11-20T12:00:00"), Some(notes.clone())).await;
    let (li, wang, zhao) = (
        known(&calendar, "li").await,
        known(&calendar, "wang").await,
        known(&calendar, "zhao").await,
    );
    calendar.grant(li, 10, day("2026-11-24")).await;
    calendar.grant(li, 20, day("2026-11-26")).await;
    calendar.grant(wang, 30, day("2026-11-24")).await;
    calendar.grant(zhao, 40, day("2026-11-24")).await;
    calendar.grant(zhao, 50, BusinessDay::NEVER).await;
    // Off: nothing is planned.
    calendar.clock.set(at("2026-11-21T00:10:00"));
    assert_eq!(rounds(calendar.db()).await, 1);
    assert_eq!(
        calendar.app.count("SELECT COUNT(*) FROM deliveries").await,
        0
    );

    let admin = calendar.operator(OperatorRole::Admin);
    let settings = "/api/v1/admin/delivery-settings";
    let half = json!({ "expiry_notice_days": 3 });
    admin
        .put(settings, &half)
        .await
        .refused(422, "field_invalid");
    let on = json!({
        "expiry_message": { "template_id": "TPL", "fields": { "points": "number1", "at": "date2" } },
        "expiry_notice_days": 3,
    });
    let set = admin.put(settings, &on).await.expect(200);
    assert_eq!(admin.get(settings).await.expect(200), set);

    // By the run of the night and by one that an operator asks for: planned once, and not said at
    // midnight.
    calendar.clock.set(at("2026-11-22T00:10:00"));
    assert_eq!(rounds(calendar.db()).await, 1);
    let admin = calendar.operator(OperatorRole::Admin);
    admin
        .post("/api/v1/admin/points/expiry-runs", &json!({}))
        .await
        .expect(202);
    assert_eq!(rounds(calendar.db()).await, 1);
    assert_eq!(
        calendar.app.count("SELECT COUNT(*) FROM deliveries").await,
        3
    );
    let planned = "SELECT CAST(SUM(notices) AS SIGNED) FROM points_expiry_runs";
    assert_eq!(calendar.app.count(planned).await, 3);
    assert_eq!(deliver(&calendar, &notes).await, [""; 0]);
    // Zhao spends them before, Wang some of them.
    assert!(calendar.spend(zhao, 40).await);
    assert!(calendar.spend(wang, 5).await);
    calendar.clock.set(at("2026-11-22T20:00:00"));
    let said = [
        "date2=2026年11月24日 00:00 number1=10",
        "date2=2026年11月24日 00:00 number1=25",
    ];
    assert_eq!(deliver(&calendar, &notes).await, said);
    let admin = calendar.operator(OperatorRole::Admin);
    let list = "/api/v1/admin/deliveries?kind=expiry_message&state=dropped";
    let dropped = admin.get(list).await.expect(200);
    assert_eq!(dropped["items"][0]["expiring"]["points"], 40);
    assert_eq!(
        dropped["items"][0]["expiring"]["customer_id"],
        zhao.to_string()
    );
    assert!(dropped["items"][0].get("order_no").is_none());

    // The next night has news of the 26th only, though its first day is three days off since
    // yesterday; a later one has none.
    for (today, news) in [("2026-11-23", 1), ("2026-11-25", 0)] {
        calendar.clock.set(at(&format!("{today}T00:10:00")));
        assert_eq!(rounds(calendar.db()).await, 1);
        calendar.clock.set(at(&format!("{today}T20:00:00")));
        assert_eq!(deliver(&calendar, &notes).await.len(), news, "{today}");
    }
    assert_eq!(
        calendar.app.count("SELECT COUNT(*) FROM deliveries").await,
        4
    );
    calendar.app.finish().await;
}
