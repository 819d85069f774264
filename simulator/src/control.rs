//! `/sim/…`: the control API of a test: paying, fault switches, counts, orders. It is not part of
//! WeChat and asks nobody who they are; it listens where the simulator listens, which is this
//! machine only unless set otherwise.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::coupon::Coupon;
use super::error::PayError;
use super::faults::{Fault, Faults};
use super::html::{escape, page, yuan};
use super::lock::lock;
use super::orders::{OrderName, OrderState};
use super::payment::Payment;
use super::phone::Merchant;
use super::state::Shared;
use super::stats::Stats;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayRequest {
    out_trade_no: Option<String>,
    prepay_id: Option<String>,
    openid: Option<String>,
    faults: Option<Vec<Fault>>,
    /// A coupon that pays some of it.
    coupon: Option<Coupon>,
}

/// `POST /sim/pay`: the user pays.
pub(super) async fn pay(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<PayRequest>,
) -> Result<Response, ControlError> {
    let name = match (&request.out_trade_no, &request.prepay_id) {
        (Some(number), None) => OrderName::OutTradeNo(number),
        (None, Some(id)) => OrderName::PrepayId(id),
        (Some(_), Some(_)) | (None, None) => {
            let body =
                json!({"code": "PARAM_ERROR", "message": "out_trade_no 与 prepay_id 二选一"});
            return Ok((StatusCode::BAD_REQUEST, Json(body)).into_response());
        }
    };
    let how = Payment {
        openid: request.openid,
        faults: request.faults,
        callback_key: None,
        coupon: request.coupon,
    };
    let paid = shared.pay(name, how)?;
    let body = json!({
        "out_trade_no": paid.out_trade_no,
        "transaction_id": paid.transaction_id,
        "faults": paid.faults,
    });
    Ok(Json(body).into_response())
}

/// Why the user cannot pay, as an answer of the control API: 404 or 409 with JSON.
pub(super) struct ControlError(PayError);

impl From<PayError> for ControlError {
    fn from(error: PayError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let (code, message) = self.0.code_and_sentence();
        let status = if self.0 == PayError::UnknownOrder {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::CONFLICT
        };
        (status, Json(json!({"code": code, "message": message}))).into_response()
    }
}

pub(super) async fn get_faults(State(shared): State<Arc<Shared>>) -> Json<Faults> {
    Json(shared.faults())
}

/// `PUT /sim/faults`: all switches at once; those left out are off.
pub(super) async fn put_faults(
    State(shared): State<Arc<Shared>>,
    Json(faults): Json<Faults>,
) -> Json<Faults> {
    shared.set_faults(faults.clone());
    Json(faults)
}

pub(super) async fn stats(State(shared): State<Arc<Shared>>) -> Json<Stats> {
    Json(shared.stats.read())
}

#[derive(Deserialize)]
pub(super) struct Limit {
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct OrderList {
    orders_kept: usize,
    orders: Vec<OrderLine>,
}

#[derive(Serialize)]
struct OrderLine {
    out_trade_no: String,
    description: String,
    payer: String,
    total_fen: i64,
    trade_type: &'static str,
    trade_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<String>,
}

/// `GET /sim/orders?limit=100`: the newest first.
pub(super) async fn orders(
    State(shared): State<Arc<Shared>>,
    Query(Limit { limit }): Query<Limit>,
) -> Json<OrderList> {
    let kept = lock(&shared.orders);
    let line = |order: &super::orders::Order| {
        let transaction_id = match &order.state {
            OrderState::NotPaid | OrderState::Closed => None,
            OrderState::Paid { transaction_id, .. } => Some(transaction_id.to_string()),
        };
        OrderLine {
            out_trade_no: order.out_trade_no.to_string(),
            description: order.description.to_string(),
            payer: order.party.payer().to_owned(),
            total_fen: order.total_fen,
            trade_type: order.trade_type.word(),
            trade_state: order.trade_state().0,
            transaction_id,
        }
    };
    let orders = kept
        .newest()
        .take(limit.unwrap_or(100).min(10_000))
        .map(line)
        .collect();
    Json(OrderList {
        orders_kept: kept.len(),
        orders,
    })
}

#[derive(Deserialize)]
pub(super) struct Merchants {
    merchants: Vec<Merchant>,
}

/// `POST /sim/codes`: the merchants that the phone offers as buttons.
pub(super) async fn codes(
    State(shared): State<Arc<Shared>>,
    Json(Merchants { mut merchants }): Json<Merchants>,
) -> StatusCode {
    merchants.truncate(200);
    shared.phone.offer(merchants);
    StatusCode::NO_CONTENT
}

/// `GET /sim/cashier/{prepay_id}`: WeChat's own page, for an order that some other client made.
pub(super) async fn cashier(
    State(shared): State<Arc<Shared>>,
    Path(prepay_id): Path<String>,
) -> Html<String> {
    let now = shared.clock.now();
    let body = match lock(&shared.orders).by_name(OrderName::PrepayId(&prepay_id), now) {
        Err(error) => failed(error),
        Ok(order) => format!(
            "<div class=sheet><p class=name>{}</p><p class=amount>¥{}</p>\
             <form method=post><button class=pay>支付</button></form></div>",
            escape(&order.description),
            yuan(order.total_fen),
        ),
    };
    Html(page("微信支付", &body))
}

/// `POST /sim/cashier/{prepay_id}`: the button on that page.
pub(super) async fn cashier_pay(
    State(shared): State<Arc<Shared>>,
    Path(prepay_id): Path<String>,
) -> Html<String> {
    let body = match shared.pay(OrderName::PrepayId(&prepay_id), Payment::default()) {
        Err(error) => failed(error),
        Ok(paid) => format!(
            "<div class=sheet><p class=ok>支付成功</p><p class=hint>{}</p></div>",
            escape(&paid.transaction_id)
        ),
    };
    Html(page("微信支付", &body))
}

pub(super) fn failed(error: PayError) -> String {
    format!(
        "<div class=sheet><p class=error>{}</p></div>",
        escape(error.code_and_sentence().1)
    )
}
