//! `/sim/scan`: somebody scans the code of a native order, by program or on a page.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::json;

use super::control::{ControlError, failed};
use super::faults::Fault;
use super::html::{escape, page, yuan};
use super::lock::lock;
use super::login_codes::openid_for;
use super::orders::OrderName;
use super::payment::Payment;
use super::state::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScanRequest {
    code_url: String,
    openid: String,
    faults: Option<Vec<Fault>>,
}

/// `POST /sim/scan`: a user scans and pays.
pub(super) async fn scan(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<ScanRequest>,
) -> Result<Response, ControlError> {
    let how = Payment {
        openid: Some(request.openid),
        faults: request.faults,
        callback_key: None,
        coupon: None,
    };
    let paid = shared.pay(OrderName::CodeUrl(&request.code_url), how)?;
    let body = json!({
        "out_trade_no": paid.out_trade_no,
        "transaction_id": paid.transaction_id,
        "faults": paid.faults,
    });
    Ok(Json(body).into_response())
}

#[derive(Deserialize)]
pub(super) struct Scanned {
    #[serde(default)]
    code_url: String,
}

/// `GET /sim/scan?code_url=…`: the sheet that the scan opens.
pub(super) async fn sheet(
    State(shared): State<Arc<Shared>>,
    Query(Scanned { code_url }): Query<Scanned>,
) -> Html<String> {
    let now = shared.clock.now();
    let body = match lock(&shared.orders).by_name(OrderName::CodeUrl(&code_url), now) {
        Err(error) => failed(error),
        Ok(order) => format!(
            "<form class=sheet method=post action=/sim/scan/pay><p class=name>{}</p>\
             <p class=amount>¥{}</p><input type=hidden name=code_url value=\"{}\">\
             <label for=customer>顾客</label>\
             <input type=text id=customer name=customer value=demo-customer-1 maxlength=64>\
             <button class=pay>支付</button></form>",
            escape(&order.description),
            yuan(order.total_fen),
            escape(&code_url),
        ),
    };
    Html(page("微信支付", &body))
}

#[derive(Deserialize)]
pub(super) struct SheetForm {
    code_url: String,
    customer: String,
}

/// The button on that sheet.
pub(super) async fn sheet_pay(
    State(shared): State<Arc<Shared>>,
    Form(form): Form<SheetForm>,
) -> Html<String> {
    let how = Payment {
        openid: Some(openid_for(&form.customer)),
        ..Payment::default()
    };
    let body = match shared.pay(OrderName::CodeUrl(&form.code_url), how) {
        Err(error) => failed(error),
        Ok(paid) => format!(
            "<div class=sheet><p class=ok>支付成功</p><p class=hint>{}</p></div>",
            escape(&paid.transaction_id)
        ),
    };
    Html(page("微信支付", &body))
}
