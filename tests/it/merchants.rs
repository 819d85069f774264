//! Merchants as they come to be: names that show, numbers that are one merchant's, codes that are
//! meant literally.

use serde_json::{Value, json};

use crate::harness::{ApiAnswer, TestApp};

/// Registers a merchant of this name, and approves it with this number.
async fn approved(app: &TestApp, who: &str, number: &str) -> (String, ApiAnswer) {
    let person = app.customer(who).await;
    let made = person
        .keyed("register")
        .post("/api/v1/merchant/registrations", &form("老王面馆"))
        .await
        .expect(201);
    let id = made["merchant"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/admin/merchants/{id}/approve");
    let body = json!({ "sub_mchid": number });
    let answer = app
        .admin()
        .keyed(&format!("{who}-{number}"))
        .post(&path, &body)
        .await;
    (id, answer)
}

fn form(name: &str) -> Value {
    json!({
        "name": name, "contact_name": "王小二", "contact_phone": "13800001234",
        "business_license": "91310000MA1K00000X", "address": "茶里巷 1 号",
    })
}

#[tokio::test]
async fn a_number_is_one_merchants_under_one_account() {
    let app = TestApp::start().await;
    let (first, answer) = approved(&app, "first", "1900000180").await;
    answer.expect(200);
    let (second, answer) = approved(&app, "second", "1900000180").await;
    answer.refused(409, "sub_mchid_taken");
    let problem = answer.expect(409);
    assert_eq!(problem["field"]["name"], "sub_mchid");
    let expected = problem["field"]["expected"].as_str().unwrap();
    assert!(expected.contains(&first), "{expected}");
    // Nothing happened: it waits still, and has another number then.
    let path = format!("/api/v1/admin/merchants/{second}/approve");
    let other = json!({ "sub_mchid": "1900000181" });
    let answer = app
        .admin()
        .keyed("other")
        .post(&path, &other)
        .await
        .expect(200);
    assert_eq!(answer["sub_mchid"], "1900000181");
    // What stands in a bill leads to the merchant, and its id to all that is known of it.
    let list = "/api/v1/admin/merchants?sub_mchid=1900000180";
    let found = app.admin().get(list).await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let path = format!("/api/v1/admin/merchants/{first}");
    let merchant = app.admin().get(&path).await.expect(200);
    assert_eq!(merchant, found["items"][0]);
    assert_eq!(merchant["sub_mchid"], "1900000180");
    let none = "/api/v1/admin/merchants?sub_mchid=1900000182";
    let none = app.admin().get(none).await.expect(200);
    assert_eq!(none["items"], json!([]));
    let wrong = app.admin().get("/api/v1/admin/merchants?sub_mchid=x").await;
    wrong.refused(422, "field_invalid");
    // Nobody but operators may, and what is not this tenant's does not exist.
    let stranger = app.customer("third").await.get(&path).await;
    stranger.refused(403, "forbidden");
    let absent = format!("/api/v1/admin/merchants/me_{}", "0".repeat(32));
    let absent = app.admin().get(&absent).await;
    absent.refused(404, "merchant_not_found");
    // A merchant is approved once; the refusal says how it stands.
    let path = format!("/api/v1/admin/merchants/{first}/reject");
    let reason = json!({ "reason": "资料不全" });
    let refused = app.admin().keyed("late").post(&path, &reason).await;
    refused.refused(409, "merchant_state_conflict");
    let expected = "pending; it is approved";
    assert_eq!(refused.expect(409)["field"]["expected"], expected);
    // A suspended merchant keeps its number.
    let path = format!("/api/v1/admin/merchants/{first}/suspend");
    let reason = json!({ "reason": "整顿" });
    app.admin()
        .keyed("suspend")
        .post(&path, &reason)
        .await
        .expect(200);
    let (_, answer) = approved(&app, "third", "1900000180").await;
    answer.refused(409, "sub_mchid_taken");
    app.finish().await;
}

/// A tenant that collects for itself has one number for all its merchants.
#[tokio::test]
async fn ones_own_number_is_all_ones_merchants() {
    let app = TestApp::direct().await;
    let own = app.simulator.credentials().sp_mchid.clone();
    approved(&app, "first", &own).await.1.expect(200);
    approved(&app, "second", &own).await.1.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn a_tenants_code_is_meant_literally() {
    let app = TestApp::start().await;
    for (code, status) in [
        ("demo", 200),
        ("demo ", 404),
        ("demo  ", 404),
        ("DEMO", 404),
        (" demo", 404),
    ] {
        let body = json!({ "tenant": code, "code": "sim-li", "as": "customer" });
        let answer = app.anyone().post("/api/v1/auth/wechat/login", &body).await;
        assert_eq!(answer.status, status, "{code:?}");
    }
    let callback = app
        .anyone()
        .post("/api/v1/wechat/notify/demo%20/payments", &json!({}))
        .await;
    assert_eq!(callback.status, 404);
    app.finish().await;
}

/// One of each kind, wherever people read what others wrote.
#[tokio::test]
async fn names_and_reasons_show_as_what_they_are() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000182").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1000, "k").await;
    let person = app.customer("applicant").await;
    let refunds = format!("/api/v1/merchant/payments/{order_no}/refunds");
    for hidden in [
        "\u{3164}",
        "\u{2800}",
        "\u{ad}",
        "\u{61c}",
        "\u{e0041}",
        "\u{202e}",
        "\n",
    ] {
        let text = format!("面{hidden}馆");
        let key = format!("{:x}", rand::random::<u64>());
        for (caller, path, body, field) in [
            (
                &person,
                "/api/v1/merchant/registrations",
                form(&text),
                "name",
            ),
            (
                &merchant.owner,
                "/api/v1/merchant/codes",
                json!({ "label": text }),
                "label",
            ),
            (
                &merchant.owner,
                refunds.as_str(),
                json!({ "amount_fen": 1, "reason": text }),
                "reason",
            ),
            (
                &app.admin(),
                "/api/v1/admin/merchants/me_00000000000000000000000000000000/reject",
                json!({ "reason": text }),
                "reason",
            ),
        ] {
            let answer = caller.keyed(&key).post(path, &body).await;
            answer.refused(422, "field_invalid");
            assert_eq!(
                answer.expect(422)["field"]["name"],
                field,
                "{path} {text:?}"
            );
        }
    }
    // A backtick would be a column of WeChat's bill that is not there.
    for (caller, path, body, field) in [
        (
            &person,
            "/api/v1/merchant/registrations",
            form("面,`0.00馆"),
            "name",
        ),
        (
            &merchant.owner,
            refunds.as_str(),
            json!({ "amount_fen": 1, "reason": "面,`0.00馆" }),
            "reason",
        ),
    ] {
        let answer = caller.keyed("backtick").post(path, &body).await;
        answer.refused(422, "field_invalid");
        assert_eq!(answer.expect(422)["field"]["name"], field, "{path}");
    }
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦 家庭餐厅";
    let made = person
        .keyed("family")
        .post("/api/v1/merchant/registrations", &form(family))
        .await
        .expect(201);
    assert_eq!(made["merchant"]["name"], family);
    app.finish().await;
}
