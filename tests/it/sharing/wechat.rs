//! Sharing from outside: through HTTP and the real client, with a WeChat that behaves as it does.
//! The jobs do their part themselves.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wechat_pay_simulator::{
    CallFault, CallFaults, Endpoint, Faults, ForcedReceiver, PerMille, RefundElsewhere, RefundFate,
    ShareFailure, ShareResult,
};
use zhangfang::{
    ledger::AccountKind,
    payments::ChannelOutcome,
    primitives::{AccountId, MerchantId, OrderNo, ReceiverId, SharingNo},
    sharing::{ChannelShare, PartResult},
};

use crate::{
    harness::{Caller, Merchant, TestApp, eventually},
    refunds::{ask, text},
};

/// A fifth of what WeChat's fee leaves of ¥100.
const PART: i64 = 1_988;

/// A merchant of whose payments the service provider gets a fifth, as operators set it up.
struct Street {
    app: TestApp,
    merchant: Merchant,
    customer: Caller,
    merchant_id: MerchantId,
    receiver: ReceiverId,
    /// The `mchid` of the service provider.
    account: String,
}

impl Street {
    async fn open() -> Self {
        let app = TestApp::start().await;
        let merchant = app.merchant("茶里巷", "1900000150").await;
        let customer = app.customer("li").await;
        let profile = merchant
            .owner
            .get("/api/v1/merchant/profile")
            .await
            .expect(200);
        let merchant_id = text(&profile, "id");
        let account = app.simulator.credentials().sp_mchid.clone();
        let receivers = format!("/api/v1/admin/merchants/{merchant_id}/sharing-receivers");
        let form = json!({
            "kind": "merchant", "account": account, "name": "账房科技有限公司", "relation": "SERVICE_PROVIDER",
        });
        let nameless = json!({
            "kind": "merchant", "account": account, "relation": "SERVICE_PROVIDER",
        });
        let admin = app.admin();
        let refused = admin.keyed("n").post(&receivers, &nameless).await;
        assert_eq!(refused.status, 422, "{:?}", refused.expect(refused.status));
        let added = admin.keyed("r").post(&receivers, &form).await.expect(201);
        assert_eq!(added["state"], "active", "{added}");
        let receiver = text(&added, "id");
        let rule = format!("/api/v1/admin/merchants/{merchant_id}/sharing-rule");
        let part =
            json!({ "receiver_id": receiver, "ratio_ppm": 200_000, "description": "平台服务费" });
        let set = admin
            .put(&rule, &json!({ "active": true, "parts": [part] }))
            .await
            .expect(200);
        assert_eq!(set["ratio_max_ppm"], 300_000, "{set}");
        Self {
            merchant_id: merchant_id.parse().unwrap(),
            receiver: receiver.parse().unwrap(),
            app,
            merchant,
            customer,
            account,
        }
    }

    async fn pay(&self, key: &str) -> String {
        self.app
            .pay(&self.customer, &self.merchant.code, 10_000, key)
            .await
    }

    /// The sharing as the merchant sees it, once `ready` says so.
    async fn shared(&self, order_no: &str, what: &str, ready: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/merchant/payments/{order_no}/sharing");
        eventually(what, || async {
            let seen = self.merchant.owner.get(&path).await;
            let seen = (seen.status == 200).then(|| seen.expect(200));
            seen.filter(|seen| ready(seen))
        })
        .await
    }

    async fn done(&self, order_no: &str) -> Value {
        self.shared(order_no, "the payment is shared", |seen| {
            seen["state"] == "done"
        })
        .await
    }

    /// The refund as the merchant sees it when the money has arrived.
    async fn refunded(&self, refund: &Value) -> Value {
        let path = format!("/api/v1/merchant/refunds/{}", text(refund, "refund_no"));
        eventually("the refund arrives", || async {
            let refund = self.merchant.owner.get(&path).await.expect(200);
            (refund["state"] == "succeeded").then_some(refund)
        })
        .await
    }

    /// What was booked for a payment, kind by kind in the order of time.
    async fn booked(&self, order_no: &str) -> Vec<(String, i64)> {
        let path = format!("/api/v1/admin/payments/{order_no}/history");
        let history = self.app.admin().get(&path).await.expect(200);
        let entries = history["entries"].as_array().unwrap().iter();
        let money = entries.filter_map(|entry| {
            let transfers = entry["transfers"].as_array().unwrap();
            let first = transfers
                .iter()
                .find(|transfer| transfer["asset"] == "cny_fen")?;
            Some((text(entry, "kind"), first["amount"].as_i64().unwrap()))
        });
        money.collect()
    }

    /// What the merchant's timeline says of the sharing, once the relay has got there.
    async fn sharing_states(&self, order_no: &str) -> Vec<String> {
        let path = format!("/api/v1/merchant/payments/{order_no}/history");
        eventually("the history knows of the end", || async {
            let history = self.merchant.owner.get(&path).await.expect(200);
            let steps = history["timeline"].as_array().unwrap().iter();
            let sharing = steps.filter(|step| step["what"] == "sharing");
            let states: Vec<_> = sharing.map(|step| text(step, "state")).collect();
            (states.len() >= 2).then_some(states)
        })
        .await
    }

    /// Credits less debits of the merchant, the receiver and the way between them, in fen.
    async fn books(&self) -> [i64; 3] {
        let mut held = [0; 3];
        let accounts = [
            AccountId::merchant_payable(self.merchant_id),
            AccountId::receiver_payable(self.receiver),
            AccountId::of_tenant(self.app.tenant.id, AccountKind::SharingInTransit),
        ];
        for (held, account) in held.iter_mut().zip(accounts) {
            *held = sqlx::query_scalar("SELECT COALESCE(CAST(SUM(credits_posted - debits_posted) AS SIGNED), 0) FROM accounts WHERE id = ?")
                .bind(account)
                .fetch_one(self.app.db().pool())
                .await
                .unwrap();
        }
        held
    }

    /// What WeChat knows under the number of a sharing.
    async fn at_wechat(&self, seen: &Value) -> ChannelShare {
        let order_no: OrderNo = text(seen, "order_no").parse().unwrap();
        let transaction: String =
            sqlx::query_scalar("SELECT wechat_transaction_id FROM payment_orders WHERE id = ?")
                .bind(order_no.id())
                .fetch_one(self.app.db().pool())
                .await
                .unwrap();
        let number: SharingNo = text(seen, "sharing_no").parse().unwrap();
        let channel = self.app.app.sharing().channels.of(self.app.tenant.id);
        let said = channel.query_share(number, &transaction, "1900000150");
        match said.await {
            ChannelOutcome::Done(said) => said,
            other @ (ChannelOutcome::Refused(_) | ChannelOutcome::Unknown(_)) => {
                panic!("{other:?}")
            }
        }
    }

    async fn exceptions(&self) -> Vec<Value> {
        let page = self.app.admin().get("/api/v1/admin/exceptions").await;
        page.expect(200)["items"].as_array().unwrap().clone()
    }

    fn always(&self, endpoint: Endpoint, odds: CallFaults) {
        let calls = BTreeMap::from([(endpoint, odds)]);
        self.app.simulator.set_faults(Faults {
            calls,
            ..Faults::default()
        });
    }

    fn quiet(&self) {
        self.app.simulator.set_faults(Faults::default());
    }
}

fn busy() -> CallFaults {
    CallFaults {
        system_error: PerMille::ALWAYS,
        ..CallFaults::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_shared_by_itself_and_a_refund_brings_back_its_part_first() {
    let street = Street::open().await;
    let order_no = street.pay("k").await;
    let seen = street.done(&order_no).await;
    let parts = seen["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 1, "{seen}");
    assert_eq!(parts[0]["amount_fen"], PART);
    assert_eq!(parts[0]["state"], "succeeded");
    assert_eq!(parts[0]["account"], street.account);
    assert_eq!(street.books().await, [10_000 - PART, PART, 0]);

    let half = ask(&street.merchant.owner, &order_no, "merchant", 5_000, "half").await;
    street.refunded(&half).await;
    let seen = street.done(&order_no).await;
    let back = &seen["returns"][0];
    assert_eq!(back["amount_fen"], PART / 2, "{seen}");
    assert_eq!(back["state"], "succeeded", "{seen}");
    assert_eq!(back["refund_no"], half["refund_no"]);
    assert_eq!(seen["parts"][0]["returned_fen"], PART / 2);
    assert_eq!(street.books().await, [5_000 - PART / 2, PART / 2, 0]);
    let kinds: Vec<_> = street.booked(&order_no).await;
    let expected = [
        ("settlement", 10_000),
        ("sharing_sent", PART),
        ("sharing_outcome", PART),
        ("refund_accepted", 5_000),
        ("sharing_returned", PART / 2),
        ("refund_outcome", 5_000),
    ]
    .map(|(kind, fen)| (kind.to_owned(), fen));
    assert_eq!(kinds, expected);
    assert_eq!(
        street.sharing_states(&order_no).await,
        ["in_progress", "done"]
    );

    // The rest, and the answer to the return is lost.
    let odds = CallFaults {
        commit_then_cut: PerMille::ALWAYS,
        ..CallFaults::default()
    };
    let before = street.app.simulator.stats().call_faults;
    street.always(Endpoint::SharingReturn, odds);
    let rest = ask(&street.merchant.owner, &order_no, "merchant", 5_000, "rest").await;
    eventually("the answer to the return is lost", || async {
        (street.app.simulator.stats().call_faults > before).then_some(())
    })
    .await;
    street.quiet();
    street.refunded(&rest).await;
    assert_eq!(street.books().await, [0, 0, 0]);
    assert!(street.exceptions().await.is_empty());
    street.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_refunded_before_it_is_shared_is_only_released() {
    let street = Street::open().await;
    // WeChat does not say what is left to share until the refund is on its way.
    street.always(Endpoint::SharingQuery, busy());
    let order_no = street.pay("k").await;
    let whole = ask(
        &street.merchant.owner,
        &order_no,
        "merchant",
        10_000,
        "whole",
    )
    .await;
    street.quiet();
    street.refunded(&whole).await;
    let seen = street.done(&order_no).await;
    assert_eq!(seen["parts"], json!([]), "{seen}");
    assert_eq!(seen["returns"], json!([]), "{seen}");
    assert_eq!(seen["base_fen"], 0, "{seen}");
    assert_eq!(street.books().await, [0, 0, 0]);
    let open = street.exceptions().await;
    assert!(open.is_empty(), "{open:?}");
    street.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_wechat_closes_is_the_merchants_again_and_raises_an_exception() {
    let street = Street::open().await;
    let forced = ForcedReceiver {
        share: Some(ShareResult::Closed(ShareFailure::AccountAbnormal)),
        ..ForcedReceiver::default()
    };
    street.app.simulator.force_receiver(&street.account, forced);
    let order_no = street.pay("k").await;
    let seen = street.done(&order_no).await;
    assert_eq!(seen["parts"][0]["state"], "failed", "{seen}");
    assert_eq!(seen["parts"][0]["fail_reason"], "ACCOUNT_ABNORMAL");
    assert_eq!(street.books().await, [10_000, 0, 0]);
    let open = street.exceptions().await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["kind"], "sharing_failed");
    assert_eq!(open[0]["order_no"], order_no);

    // Nothing has to come back for a refund then.
    let whole = ask(
        &street.merchant.owner,
        &order_no,
        "merchant",
        10_000,
        "whole",
    )
    .await;
    street.refunded(&whole).await;
    assert_eq!(street.done(&order_no).await["returns"], json!([]));
    assert_eq!(street.books().await, [0, 0, 0]);
    street.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_whose_answer_is_lost_happens_once() {
    let street = Street::open().await;
    // Until its number can be seen, WeChat does nothing.
    street.always(Endpoint::Sharing, busy());
    let order_no = street.pay("k").await;
    let asked = street
        .shared(&order_no, "the sharing has a number", |seen| {
            seen["state"] == "asked"
        })
        .await;
    assert_eq!(street.books().await, [10_000 - PART, 0, PART]);
    let number = text(&asked, "sharing_no");
    street
        .app
        .simulator
        .force_call(Endpoint::Sharing, &number, CallFault::CommitThenCut);
    street.quiet();
    let seen = street.done(&order_no).await;
    assert_eq!(seen["sharing_no"], number, "the same number");
    let said = street.at_wechat(&seen).await;
    let ours: Vec<_> = said
        .parts
        .iter()
        .filter(|part| *part.account.expose() == street.account)
        .map(|part| (part.amount.get(), part.result))
        .collect();
    assert_eq!(ours, [(PART, PartResult::Success)]);
    assert_eq!(street.books().await, [10_000 - PART, PART, 0]);
    assert!(street.exceptions().await.is_empty());
    street.app.finish().await;
}

/// Who refunds on the merchant platform sees there what was shared.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_refund_of_a_shared_payment_brings_no_share_back() {
    let street = Street::open().await;
    for (key, fen) in [("part", Some(4_000)), ("whole", None)] {
        let order_no = street.pay(key).await;
        street.done(&order_no).await;
        let number = format!("TK-{key}");
        let elsewhere = RefundElsewhere {
            out_trade_no: order_no.clone(),
            refund_fen: fen,
            out_refund_no: Some(number.clone()),
            fate: Some(RefundFate::Success),
            ..RefundElsewhere::default()
        };
        street.app.simulator.refund_elsewhere(elsewhere).unwrap();
        let path = format!("/api/v1/admin/payments/{order_no}/foreign-refunds");
        let stated = json!({ "out_refund_no": number });
        eventually("it has arrived", || async {
            let answer = street.app.admin().post(&path, &stated).await.expect(200);
            (answer["state"] == "succeeded").then_some(())
        })
        .await;
        let seen = street.done(&order_no).await;
        assert_eq!(seen["returns"].as_array().unwrap().len(), 0, "{seen}");
        let exceptions = street.exceptions().await;
        let detail = text(&exceptions[0], "detail");
        assert!(detail.contains("does not come back by itself"), "{detail}");
        let report = street.app.verify().await;
        assert!(report.is_clean(), "{report}");
    }
    street.app.finish().await;
}
