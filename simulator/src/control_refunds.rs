//! `/sim/refunds`, `/sim/balances` and single calls: as `control`, for what comes after paying.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::call_faults::CallFault;
use super::control::ControlError;
use super::endpoint::Endpoint;
use super::lock::lock;
use super::refund_plan::{PlanRequest, RefundError};
use super::refunds::{Refund, RefundFate, RefundState};
use super::state::Shared;

#[derive(Serialize)]
pub(super) struct RefundLine {
    out_refund_no: String,
    refund_id: String,
    out_trade_no: String,
    transaction_id: String,
    sub_mchid: Option<String>,
    refund_fen: i64,
    total_fen: i64,
    status: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    accepted_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    success_at: Option<OffsetDateTime>,
}

impl From<Refund> for RefundLine {
    fn from(refund: Refund) -> Self {
        Self {
            out_refund_no: refund.out_refund_no,
            refund_id: refund.refund_id,
            out_trade_no: refund.out_trade_no,
            transaction_id: refund.transaction_id,
            sub_mchid: refund.sub_mchid,
            refund_fen: refund.refund_fen,
            total_fen: refund.total_fen,
            status: refund.state.word(),
            accepted_at: refund.accepted_at,
            success_at: match refund.state {
                RefundState::Success { at } => Some(at),
                RefundState::Processing | RefundState::Closed | RefundState::Abnormal => None,
            },
        }
    }
}

/// `GET /sim/refunds`: the newest first, a thousand of them.
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Vec<RefundLine>> {
    let refunds = lock(&shared.refunds);
    let newest = refunds.all().rev().take(1_000);
    Json(newest.cloned().map(RefundLine::from).collect())
}

/// `POST /sim/refunds/plan`: what is to become of a refund that may not have been asked for yet.
pub(super) async fn plan(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<PlanRequest>,
) -> StatusCode {
    let (out_refund_no, plan) = request.plan();
    shared.plan_refund(&out_refund_no, plan);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settle {
    fate: RefundFate,
}

/// `POST /sim/refunds/{out_refund_no}/settle`: ends it now, or decides an abnormal one.
pub(super) async fn settle(
    State(shared): State<Arc<Shared>>,
    Path(out_refund_no): Path<String>,
    Json(Settle { fate }): Json<Settle>,
) -> Response {
    match shared.end_refund(&out_refund_no, fate, true) {
        Ok(refund) => Json(RefundLine::from(refund)).into_response(),
        Err(error) => {
            let (status, code) = match error {
                RefundError::Unknown => (StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS"),
                RefundError::Processing | RefundError::Ended => {
                    (StatusCode::CONFLICT, "INVALID_REQUEST")
                }
            };
            let body = json!({"code": code, "message": error.to_string()});
            (status, Json(body)).into_response()
        }
    }
}

/// `GET /sim/balances`: fen by merchant.
pub(super) async fn balances(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.settle_shares();
    let all = lock(&shared.funds).all();
    Json(
        all.into_iter()
            .map(|(mchid, fen)| (mchid, json!(fen)))
            .collect(),
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Move {
    /// Sets the balance.
    BalanceFen(i64),
    /// Takes money out, all or nothing.
    WithdrawFen(i64),
}

/// `PUT /sim/balances/{mchid}`: `{"balance_fen": n}` or `{"withdraw_fen": n}`.
pub(super) async fn put_balance(
    State(shared): State<Arc<Shared>>,
    Path(mchid): Path<String>,
    Json(asked): Json<Move>,
) -> Response {
    shared.settle_shares();
    let mut funds = lock(&shared.funds);
    let done = match asked {
        Move::BalanceFen(fen) => {
            funds.set(&mchid, fen);
            true
        }
        Move::WithdrawFen(fen) => fen > 0 && funds.take(&mchid, fen),
    };
    let status = if done {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    let body = json!({"balance_fen": funds.balance_fen(&mchid)});
    (status, Json(body)).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forced {
    call: Endpoint,
    #[serde(default)]
    number: String,
    fault: CallFault,
}

/// `POST /sim/calls`: the next call about this number goes wrong so.
pub(super) async fn force_call(
    State(shared): State<Arc<Shared>>,
    Json(forced): Json<Forced>,
) -> StatusCode {
    lock(&shared.call_fates).force(forced.call, &forced.number, forced.fault);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Password {
    out_trade_no: String,
    entering: bool,
}

/// `POST /sim/password`: the user is at the sheet and enters the password, or has left it.
pub(super) async fn password(
    State(shared): State<Arc<Shared>>,
    Json(asked): Json<Password>,
) -> Result<StatusCode, ControlError> {
    lock(&shared.orders).set_paying(&asked.out_trade_no, asked.entering)?;
    Ok(StatusCode::NO_CONTENT)
}
