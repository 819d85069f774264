//! Callbacks that two processes are told of at one time, and those that are played again.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, MySqlConnection};
use tokio::task::JoinHandle;
use zhangfang::{
    audit::Actor,
    db::DbOptions,
    payments::{
        self, CallbackError, CallbackOutcome, HandledCallback, NoticeHeaders, OneChannel, Order,
        Payments, RefundStatus, StoredCallback,
    },
    primitives::{Clock, MockClock, Money, OrderNo, PageLimit, SystemClock, TenantId},
};

use crate::{
    harness::{Channel, TestApp, db_on, eventually, sessions},
    refund_core::{RefundSetup, SUB_MCHID},
};

const HEADERS: NoticeHeaders<'static> = NoticeHeaders {
    timestamp: Some("1"),
    nonce: Some("n"),
    signature: Some("s"),
    serial: Some("k"),
    signature_type: None,
};

type Taken = Result<HandledCallback, CallbackError>;

async fn take(setup: &RefundSetup, body: &Bytes) -> Taken {
    take_by(&setup.payments, setup, body).await
}

async fn take_by(payments: &Payments, setup: &RefundSetup, body: &Bytes) -> Taken {
    payments::handle_callback(payments, setup.app.tenant.id, HEADERS, body.clone()).await
}

async fn unpaid(setup: &RefundSetup, fen: i64, key: &str) -> Order {
    let (customer, code) = (&setup.customer, &setup.code);
    let no = setup.app.create(customer, code, fen, key).await;
    setup.order(no.parse::<OrderNo>().unwrap().id()).await
}

/// A second process. It has one committer, so that its next commit is known before it is made.
struct Beside {
    payments: Payments,
    committer: u32,
}

impl Beside {
    async fn start(setup: &RefundSetup, channel: &Arc<Channel>) -> Self {
        Self::on_clock(setup, channel, Arc::new(SystemClock)).await
    }

    async fn on_clock(setup: &RefundSetup, channel: &Arc<Channel>, clock: Arc<dyn Clock>) -> Self {
        let held: Vec<(u32, Vec<u8>)> = identities(setup).await;
        let mut options = DbOptions::new(setup.app.scratch.service.clone());
        options.committers = 1;
        let db = db_on(options, clock).await;
        let now = identities(setup).await;
        let mut taken = now.into_iter().filter(|identity| !held.contains(identity));
        let (committer, _) = taken.next().unwrap();
        let channel = Arc::<Channel>::clone(channel);
        Self {
            payments: Payments {
                db,
                channels: Arc::new(OneChannel(channel)),
                ..setup.payments.clone()
            },
            committer,
        }
    }

    /// It is told of a callback, has read what there is, and its commit waits.
    async fn takes(&self, setup: &RefundSetup, body: &Bytes) -> Waiting {
        self.takes_of(setup, setup.app.tenant.id, body).await
    }

    async fn takes_of(&self, setup: &RefundSetup, tenant: TenantId, body: &Bytes) -> Waiting {
        let mut others = setup.app.sql().await;
        // What has its key is in the way of its commit until it is undone.
        let same = format!(
            "BEGIN; INSERT INTO commits SELECT {0}, COALESCE(MAX(seq), 0) + 1, NOW(6), '', REPEAT(x'00', 32) \
             FROM commits WHERE committer = {0}",
            self.committer
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(same))
            .execute(&mut others)
            .await
            .unwrap();
        let (payments, body) = (self.payments.clone(), body.clone());
        let taking = tokio::spawn(async move {
            payments::handle_callback(&payments, tenant, HEADERS, body).await
        });
        let root = setup.app.scratch.owner.clone().connect().await.unwrap();
        let root = tokio::sync::Mutex::new(root);
        eventually("its commit waits", || async {
            let waiting = "info LIKE '%/* db.commit */%' AND user = 'zhangfang'";
            let found = sessions(&mut *root.lock().await, waiting).await;
            found.is_some_and(|found| !found.is_empty()).then_some(())
        })
        .await;
        Waiting { others, taking }
    }
}

async fn identities(setup: &RefundSetup) -> Vec<(u32, Vec<u8>)> {
    let all = sqlx::query_as("SELECT id, holder FROM committers");
    all.fetch_all(setup.app.db().pool()).await.unwrap()
}

struct Waiting {
    others: MySqlConnection,
    taking: JoinHandle<Taken>,
}

impl Waiting {
    async fn goes_on(mut self) -> Taken {
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut self.others)
            .await
            .unwrap();
        self.taking.await.unwrap()
    }
}

async fn kept(setup: &RefundSetup, outcome: CallbackOutcome) -> Vec<StoredCallback> {
    let (tenant, limit) = (setup.app.tenant.id, PageLimit::parse(None).unwrap());
    payments::list_callbacks(setup.app.db(), tenant, Some(outcome), None, limit)
        .await
        .unwrap()
}

/// Somebody plays a failed notice again here while WeChat sends it again there: both read that it
/// failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_notice_that_two_processes_reject_at_once_has_one_exception() {
    let setup = RefundSetup::open().await;
    let order = unpaid(&setup, 1_000, "k").await;
    let channel = &setup.channel;
    channel.refunds_elsewhere(&order, "TK", 1_000, RefundStatus::Success);
    channel.refunds_elsewhere(&order, "TK2", 400, RefundStatus::Success);
    let first = channel.foreign_notice(&order, "TK", "4200", "n1");
    let second = channel.foreign_notice(&order, "TK2", "4200", "n2");
    for early in [&first, &second] {
        let early = take(&setup, early).await;
        assert!(matches!(early, Err(CallbackError::Db(_))), "{early:?}");
    }
    channel.says_paid(&order, "4200", SystemClock.now(), true);
    let taken = take(&setup, &first).await.unwrap();
    assert_eq!(taken, HandledCallback::Refund);
    let before = setup.exceptions().await;

    let rejected = HandledCallback::Rejected("refund_over_paid");
    let beside = Beside::start(&setup, channel).await;
    let waiting = beside.takes(&setup, &second).await;
    assert_eq!(take(&setup, &second).await.unwrap(), rejected);
    assert_eq!(waiting.goes_on().await.unwrap(), rejected);
    let added = setup.exceptions().await.split_off(before.len());
    assert_eq!(added, ["foreign_refund"]);
    beside.payments.db.close().await;
    setup.app.finish().await;
}

/// Callbacks that nothing else is done with, and that come to two processes at once for the first
/// time: both read that there is no such callback. It is kept once, with the one alarm that its
/// kind has, and both answer alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_two_processes_keep_at_once_is_kept_once() {
    // What has no name is known by its body and the instant at which it came.
    let clock = Arc::new(MockClock::at(SystemClock.now()));
    let app = TestApp::on_clock(Arc::<MockClock>::clone(&clock), None).await;
    let setup = RefundSetup::at(app).await;
    let channel = &setup.channel;
    let order = unpaid(&setup, 1_000, "k").await;
    channel.refunds_elsewhere(&order, "TK", 1_000, RefundStatus::Success);
    let at = clock.now();
    let ours = setup.app.tenant.id;
    // A tenant of whose strangers nobody else in this process keeps anything.
    let quiet = TenantId(u32::MAX - 7);
    let malformed = "Err(Unverified(Malformed))";
    let stranger = "Err(Unverified(BadSignature))";
    let first_arrivals = [
        (
            channel.other_notice(at, "other"),
            ours,
            "ignored",
            None,
            false,
            "Ok(Ignored)",
        ),
        (
            Bytes::from_static(b"?"),
            ours,
            "failed",
            Some("malformed"),
            true,
            malformed,
        ),
        (
            channel.foreign_notice(&order, "TK", "4200", "unpaid"),
            ours,
            "failed",
            Some("refund_of_unpaid"),
            true,
            "Err(Db(Unavailable(None)))",
        ),
        (
            channel.paid_notice(&order, "4200", at, "mismatched"),
            ours,
            "rejected",
            Some("wrong_account"),
            true,
            "Ok(Rejected(\"wrong_account\"))",
        ),
        (
            Bytes::from_static(b"forged"),
            quiet,
            "unverified",
            Some("bad_signature"),
            false,
            stranger,
        ),
    ];
    let misled = Arc::new(channel.of_another_program());
    let here = setup.app.through(&misled);
    let beside = Beside::on_clock(&setup, &misled, clock.clone()).await;
    for (body, tenant, outcome, reason, has_alarm, answer) in first_arrivals {
        let waiting = beside.takes_of(&setup, tenant, &body).await;
        let first = payments::handle_callback(&here, tenant, HEADERS, body.clone()).await;
        let second = waiting.goes_on().await;
        assert_eq!(
            [first, second].map(|taken| format!("{taken:?}")),
            [answer; 2]
        );
        let kept: Vec<(i8, Option<String>, i64)> = sqlx::query_as(
            "SELECT c.outcome, c.reason, (SELECT COUNT(*) FROM callback_alarms a WHERE a.event_id = c.id AND a.reason = c.reason) \
             FROM callback_events c WHERE c.body = ? AND c.tenant_id = ?",
        )
        .bind(&body[..])
        .bind(tenant)
        .fetch_all(setup.app.db().pool())
        .await
        .unwrap();
        let outcome = CallbackOutcome::from_name(outcome).unwrap().code();
        let outcome = i8::try_from(outcome).unwrap();
        let reason = reason.map(str::to_owned);
        assert_eq!(kept, [(outcome, reason, i64::from(has_alarm))], "{answer}");
    }
    let alarms = "SELECT COUNT(*) FROM callback_alarms";
    assert_eq!(setup.app.count(alarms).await, 3);
    assert!(setup.exceptions().await.is_empty());
    beside.payments.db.close().await;
    setup.app.finish().await;
}

/// One process has been told of another mini-program and calls the notice wrong; the other settles
/// by it. Whoever is later, it is settled, and what is booked has no exception.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_settled_is_not_rejected_by_another_process() {
    let setup = RefundSetup::open().await;
    let order = unpaid(&setup, 1_000, "k").await;
    let notice = setup
        .channel
        .paid_notice(&order, "4200", SystemClock.now(), "n");
    let misled = Arc::new(setup.channel.of_another_program());
    let beside = Beside::start(&setup, &misled).await;
    let waiting = beside.takes(&setup, &notice).await;
    let taken = take(&setup, &notice).await.unwrap();
    assert_eq!(taken, HandledCallback::Settled);
    let late = waiting.goes_on().await.unwrap();
    assert_eq!(late, HandledCallback::Duplicate);
    let again = take_by(&beside.payments, &setup, &notice).await.unwrap();
    assert_eq!(again, HandledCallback::Duplicate);
    assert_eq!(kept(&setup, CallbackOutcome::Settled).await.len(), 1);
    let alarms = "SELECT COUNT(*) FROM callback_alarms";
    assert_eq!(setup.app.count(alarms).await, 0);
    beside.payments.db.close().await;
    setup.app.finish().await;
}

/// What was rejected is taken when the process that is told again knows better.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_was_rejected_settles_when_it_comes_again() {
    let setup = RefundSetup::open().await;
    let order = unpaid(&setup, 1_000, "k").await;
    let notice = setup
        .channel
        .paid_notice(&order, "4200", SystemClock.now(), "n");
    let misled = Arc::new(setup.channel.of_another_program());
    let rejected = take_by(&setup.app.through(&misled), &setup, &notice).await;
    assert_eq!(
        rejected.unwrap(),
        HandledCallback::Rejected("wrong_account")
    );
    assert_eq!(kept(&setup, CallbackOutcome::Rejected).await.len(), 1);
    let taken = take(&setup, &notice).await.unwrap();
    assert_eq!(taken, HandledCallback::Settled);
    let settled = kept(&setup, CallbackOutcome::Settled).await;
    assert_eq!((settled.len(), &settled[0].reason), (1, &None));
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_shown_with_the_last_reason_of_its_callback() {
    let setup = RefundSetup::open().await;
    let order = unpaid(&setup, 1_000, "k").await;
    let channel = &setup.channel;
    channel.refunds_elsewhere(&order, "TK", 1_000, RefundStatus::Success);
    channel.refunds_elsewhere(&order, "TK2", 400, RefundStatus::Success);
    let first = channel.foreign_notice(&order, "TK", "4200", "n1");
    let second = channel.foreign_notice(&order, "TK2", "4200", "n2");
    let admin = setup.app.admin();
    let reasons = async || {
        let whole = admin.get("/api/v1/admin/callback-alarms").await.expect(200);
        let path = format!("/api/v1/admin/payments/{}/history", order.no());
        let of_order = admin.get(&path).await.expect(200);
        [&whole["items"], &of_order["alarms"]].map(|alarms| {
            let alarms = alarms.as_array().unwrap().iter();
            let mut reasons: Vec<(String, String)> = alarms
                .map(|alarm| {
                    ["out_refund_no", "reason"].map(|field| alarm[field].as_str().unwrap().into())
                })
                .map(|[number, reason]| (number, reason))
                .collect();
            reasons.sort();
            reasons
        })
    };
    let expected = |first: &str, second: &str| {
        let alarms = [("TK", first), ("TK2", second)];
        let alarms = alarms.map(|(number, reason)| (number.to_owned(), reason.to_owned()));
        [alarms.to_vec(), alarms.to_vec()]
    };
    for early in [&first, &second] {
        let early = take(&setup, early).await;
        assert!(matches!(early, Err(CallbackError::Db(_))), "{early:?}");
    }
    let unpaid = expected("refund_of_unpaid", "refund_of_unpaid");
    assert_eq!(reasons().await, unpaid);
    channel.says_paid(&order, "4200", SystemClock.now(), true);
    // The first is taken, and keeps the reason for which there is an alarm.
    let taken = take(&setup, &first).await.unwrap();
    assert_eq!(taken, HandledCallback::Refund);
    let taken = take(&setup, &second).await.unwrap();
    assert_eq!(taken, HandledCallback::Rejected("refund_over_paid"));
    let now = expected("refund_of_unpaid", "refund_over_paid");
    assert_eq!(reasons().await, now);
    setup.app.finish().await;
}

/// A later program reads what this one did not.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_and_is_nobodys_to_handle_does_not_stay_failed() {
    let setup = RefundSetup::open().await;
    let tenant = setup.app.tenant.id;
    let body = Bytes::from_static(b"n1");
    let early = take(&setup, &body).await;
    assert!(
        matches!(early, Err(CallbackError::Unverified(_))),
        "{early:?}"
    );
    let failed = kept(&setup, CallbackOutcome::Failed).await;
    assert_eq!(failed[0].reason.as_deref(), Some("malformed"));

    setup.channel.other_notice(SystemClock.now(), "n1");
    for _ in 0..2 {
        let by = Actor::operator("lin");
        let played = payments::replay_callback(&setup.payments, tenant, failed[0].id, by).await;
        assert_eq!(played.unwrap(), HandledCallback::Ignored);
    }
    assert!(kept(&setup, CallbackOutcome::Failed).await.is_empty());
    let ignored = kept(&setup, CallbackOutcome::Ignored).await;
    assert_eq!((ignored.len(), &ignored[0].reason), (1, &None));
    assert_eq!(&ignored[0].body[..], &body[..]);
    setup.app.finish().await;
}

/// The alarm of a callback that could not be read says what about once it is read, whatever becomes
/// of the callback: it is found from the order, and the list has it once.
#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_what_could_not_be_read_names_its_order_once_it_is_read() {
    let setup = RefundSetup::open().await;
    let (tenant, admin) = (setup.app.tenant.id, setup.app.admin());
    let settled = unpaid(&setup, 1_000, "settled").await;
    let mismatched = unpaid(&setup, 1_100, "mismatched").await;
    let refunded = setup.paid(1_200, "refunded").await;
    let refund = setup.refund(refunded, Some(400), "r").await;
    let contradicted = setup.paid(1_300, "contradicted").await;
    for body in ["n1", "n2", "n3", "n4"] {
        let early = take(&setup, &Bytes::from_static(body.as_bytes())).await;
        assert!(
            matches!(early, Err(CallbackError::Unverified(_))),
            "{early:?}"
        );
    }
    let listed = async || {
        let page = admin.get("/api/v1/admin/callback-alarms").await.expect(200);
        let alarms = page["items"].as_array().unwrap().clone();
        let event = |alarm: &Value| alarm["event_id"].as_str().unwrap().to_owned();
        alarms
            .into_iter()
            .map(|alarm| (event(&alarm), alarm))
            .collect::<BTreeMap<_, _>>()
    };
    let unread = listed().await;
    assert_eq!(unread.len(), 4);
    for alarm in unread.values() {
        assert_eq!(
            (&alarm["out_trade_no"], &alarm["reason"]),
            (&json!(""), &json!("malformed"))
        );
    }

    let (channel, at) = (&setup.channel, SystemClock.now());
    channel.paid_notice(&settled, "4201", at, "n1");
    channel.paid_notice(&mismatched, "4202", at, "n2");
    let transaction = |order: &Order| {
        let payment = order.state.payment().unwrap();
        payment.wechat_transaction_id.clone()
    };
    let refunded = setup.order(refunded).await;
    let of = (SUB_MCHID, &*transaction(&refunded));
    channel.refund_notice(&refund, RefundStatus::Success, of, "n3");
    let contradicted = setup.order(contradicted).await;
    channel.refunds_elsewhere(&contradicted, "TK", 9_999, RefundStatus::Success);
    channel.foreign_notice(&contradicted, "TK", &transaction(&contradicted), "n4");
    let misled = setup.app.through(&Arc::new(channel.of_another_program()));
    let failed = kept(&setup, CallbackOutcome::Failed).await;
    for (body, order, reason, outcome) in [
        ("n1", &settled, "malformed", "settled"),
        ("n2", &mismatched, "wrong_account", "rejected"),
        ("n3", &refunded, "malformed", "refund"),
        ("n4", &contradicted, "wrong_amount", "rejected"),
    ] {
        let event = failed.iter().find(|kept| kept.body == body.as_bytes());
        let event = event.unwrap().id;
        let payments = if body == "n2" {
            &misled
        } else {
            &setup.payments
        };
        for _ in 0..2 {
            let by = Actor::operator("lin");
            let played = payments::replay_callback(payments, tenant, event, by).await;
            assert!(played.is_ok(), "{body}: {played:?}");
        }
        let alarms = listed().await;
        assert_eq!(alarms.len(), 4);
        let alarm = &alarms[&event.to_string()];
        let no = order.no().to_string();
        assert_eq!(
            (&alarm["out_trade_no"], &alarm["reason"]),
            (&json!(no), &json!(reason))
        );
        let history = admin
            .get(&format!("/api/v1/admin/payments/{no}/history"))
            .await;
        let of_order = history.expect(200)["alarms"].clone();
        assert_eq!(of_order.as_array().unwrap().len(), 1, "{of_order}");
        assert_eq!(of_order[0]["reason"], reason);
        let by_name = CallbackOutcome::from_name(outcome).unwrap();
        let now = kept(&setup, by_name).await;
        assert!(
            now.iter().any(|kept| kept.id == event),
            "{body} is not {outcome}"
        );
    }
    setup.app.finish().await;
}

/// A failed callback that fails again, for another reason, has the later reason.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_has_its_last_reason() {
    let setup = RefundSetup::open().await;
    let tenant = setup.app.tenant.id;
    let order = unpaid(&setup, 1_000, "k").await;
    let channel = &setup.channel;
    let early = take(&setup, &Bytes::from_static(b"n1")).await;
    assert!(
        matches!(early, Err(CallbackError::Unverified(_))),
        "{early:?}"
    );
    let failed = kept(&setup, CallbackOutcome::Failed).await;
    channel.refunds_elsewhere(&order, "TK", 1_000, RefundStatus::Success);
    channel.foreign_notice(&order, "TK", "4200", "n1");
    let by = Actor::operator("lin");
    let played = payments::replay_callback(&setup.payments, tenant, failed[0].id, by).await;
    assert!(played.is_err(), "{played:?}");
    let failed = kept(&setup, CallbackOutcome::Failed).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].reason.as_deref(), Some("refund_of_unpaid"));
    setup.app.finish().await;
}

/// Its alarm, raised when it failed, must not keep a person from being told now.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_and_contradicts_the_books_has_one_exception() {
    let setup = RefundSetup::open().await;
    let tenant = setup.app.tenant.id;
    let order = setup.paid(1_000, "k").await;
    let refund = setup.refund(order, Some(400), "r").await;
    let early = take(&setup, &Bytes::from_static(b"n1")).await;
    assert!(
        matches!(early, Err(CallbackError::Unverified(_))),
        "{early:?}"
    );
    let failed = kept(&setup, CallbackOutcome::Failed).await;
    let taken = setup
        .called_back(&refund, RefundStatus::Success, "n2")
        .await;
    assert_eq!(taken, HandledCallback::Refund);
    assert!(setup.exceptions().await.is_empty());

    let paid = setup.order(order).await;
    assert_eq!(paid.refunds.done, Money::constant(400));
    let transaction = &paid.state.payment().unwrap().wechat_transaction_id;
    let of = (SUB_MCHID, transaction.as_str());
    setup
        .channel
        .refund_notice(&refund, RefundStatus::Closed, of, "n1");
    for _ in 0..2 {
        let by = Actor::operator("lin");
        let played = payments::replay_callback(&setup.payments, tenant, failed[0].id, by).await;
        let contradiction = HandledCallback::Rejected("refund_contradiction");
        assert_eq!(played.unwrap(), contradiction);
        assert_eq!(setup.exceptions().await, ["refund_contradiction"]);
    }
    setup.app.finish().await;
}
