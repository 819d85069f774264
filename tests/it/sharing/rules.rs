//! Who may get shares, how much, and who may see it.

use serde_json::json;
use zhangfang::{
    audit::Actor,
    jobs,
    payments::{OrderSharing, RefundStateKind},
    primitives::OrderNo,
    sharing::{ReceiverKind, SharingError, remove_receiver},
};

use super::{PERSON, Stage, Trouble};

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_gone_shares_nothing_and_releases() {
    let stage = Stage::set().await;
    let order = stage.pay("k1").await;
    stage.rule(false, &[]).await.unwrap();
    stage.round().await;
    let view = stage.view(order).await;
    assert!(view.parts.is_empty() && view.share.rule_version.is_none());
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.books().await, (10_000, 0, 0, 0));
    // Orders that are made from now on are not frozen.
    let order = stage.pay("k2").await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::No);
    stage.round().await;
    let refund = stage.refund(order, 10_000, "r1").await;
    assert_eq!(refund.state.kind(), RefundStateKind::Accepted);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_receivers_stay_within_what_wechat_allows() {
    let stage = Stage::set().await;
    stage.channel.state().ratio_max = Some(1_000);
    let refused = stage.rule(true, &[(stage.provider, 100_001)]).await;
    assert!(matches!(
        refused,
        Err(SharingError::TooMuch {
            ratio_max_ppm: 100_000
        })
    ));
    stage
        .rule(true, &[(stage.provider, 100_000)])
        .await
        .unwrap();
    let tenant = stage.app.tenant.id;
    let by = || Actor::operator("test");
    let refused = remove_receiver(&stage.sharing, tenant, stage.provider, by()).await;
    assert!(matches!(refused, Err(SharingError::ReceiverInUse)));
    remove_receiver(&stage.sharing, tenant, stage.person, by())
        .await
        .unwrap();
    let refused = stage.rule(true, &[(stage.person, 1)]).await;
    assert!(matches!(refused, Err(SharingError::ReceiverNotActive)));
    // Added again it is the same receiver.
    let again = stage
        .receiver((ReceiverKind::Person, PERSON, "STAFF"))
        .await;
    assert_eq!(again, stage.person);
    stage.rule(true, &[(stage.person, 1)]).await.unwrap();
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_set_sharing_up_and_merchants_see_it() {
    let stage = Stage::set().await;
    let admin = stage.app.admin();
    let path = format!("/api/v1/admin/merchants/{}", stage.merchant_id);
    let receivers = format!("{path}/sharing-receivers");
    let body = json!({
        "kind": "person", "account": "oPerson-22345", "name": "张三丰", "relation": "PARTNER",
    });
    let made = admin.keyed("a1").post(&receivers, &body).await.expect(201);
    assert_eq!(
        (&made["state"], &made["account"], &made["name"]),
        (&json!("active"), &json!("****2345"), &json!("张**"))
    );
    let again = admin.keyed("a1").post(&receivers, &body).await.expect(201);
    assert_eq!(made, again);
    let wrong = json!({ "kind": "merchant", "account": "19", "relation": "PARTNER" });
    admin
        .keyed("a2")
        .post(&receivers, &wrong)
        .await
        .refused(422, "field_invalid");
    let listed = admin.get(&receivers).await.expect(200);
    assert_eq!(listed.as_array().unwrap().len(), 3);

    let rule = stage
        .merchant
        .owner
        .get("/api/v1/merchant/sharing-rule")
        .await
        .expect(200);
    assert_eq!(rule["active"], true);
    assert_eq!(rule["parts"][0]["ratio_ppm"], 100_000);
    let order = stage.pay("k1").await;
    let order_no = OrderNo::from(order);
    let own = format!("/api/v1/merchant/payments/{order_no}/sharing");
    stage
        .merchant
        .owner
        .get(&own)
        .await
        .refused(404, "sharing_not_found");
    stage.channel.trouble([Trouble::CallLost]);
    stage.round().await;
    let seen = stage.merchant.owner.get(&own).await.expect(200);
    assert_eq!(seen["state"], "asked");
    assert_eq!(seen["problem"], "no_answer");
    stage.customer.get(&own).await.refused(403, "forbidden");
    let other = stage.app.merchant("老张面馆", "1900000110").await;
    other
        .owner
        .get(&own)
        .await
        .refused(404, "sharing_not_found");

    let open = admin
        .get("/api/v1/admin/sharings?state=asked")
        .await
        .expect(200);
    assert_eq!(open["items"][0]["order_no"], order_no.to_string());
    let retry = format!("/api/v1/admin/payments/{order_no}/sharing/retry");
    admin.post(&retry, &json!({})).await.expect(200);
    // Due by the retry alone.
    jobs::sharings_round(&stage.sharing, 0).await.unwrap();
    let done = admin
        .get(&format!("/api/v1/admin/payments/{order_no}/sharing"))
        .await
        .expect(200);
    assert_eq!(done["state"], "done");
    assert_eq!(done["parts"].as_array().unwrap().len(), 2);
    assert!(!done.to_string().contains(PERSON), "an openid is shown");
    admin
        .post(&retry, &json!({}))
        .await
        .refused(409, "sharing_nothing_to_retry");
    let remove = format!("/api/v1/admin/sharing-receivers/{}/remove", stage.provider);
    admin
        .post(&remove, &json!({}))
        .await
        .refused(409, "sharing_receiver_in_use");
    stage.app.finish().await;
}
