//! Points rules: for the tenant and for a merchant, now and later, known in every process, and told
//! before anybody pays.

mod dry_run;
mod history;
mod hostile;
mod late_settlements;
mod merchants;
mod planned;
mod verified;

use zhangfang::primitives::Points;

use crate::harness::{Caller, Merchant, TestApp};

const RULE: &str = "/api/v1/admin/points-rule";
const VERSIONS: &str = "/api/v1/admin/points-rule/versions";
const DRY_RUN: &str = "/api/v1/admin/points-rule/dry-run";

fn points(units: i64) -> Points {
    Points::parse(units).unwrap()
}

async fn id_of(merchant: &Merchant) -> String {
    let profile = merchant
        .owner
        .get("/api/v1/merchant/profile")
        .await
        .expect(200);
    profile["id"].as_str().unwrap().to_owned()
}

async fn id_of_customer(customer: &Caller) -> String {
    let me = customer.get("/api/v1/customer/me").await.expect(200);
    me["id"].as_str().unwrap().to_owned()
}

fn rule_of(merchant: &str) -> String {
    format!("/api/v1/admin/merchants/{merchant}/points-rule")
}

async fn earned(app: &TestApp, customer: &Caller, code: &str, amount_fen: i64, key: &str) -> i64 {
    let order_no = app.pay(customer, code, amount_fen, key).await;
    let path = format!("/api/v1/customer/payments/{order_no}");
    let order = customer.get(&path).await.expect(200);
    order["points_earned"].as_i64().unwrap()
}
