//! `POST /api/v1/open/points/returns`

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::Deserialize;

use super::points_transaction::{BackEnd, PointsTransactionView, answer};
use crate::{
    app::App,
    http::{
        extract::{Auth, Json, Operator, needs},
        problem::{Problem, Problems},
    },
    points::{self, Reference, ReturnCommand},
    primitives::{Points, PointsTransactionId},
};

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReturnRequest {
    /// The deduction or redemption whose points go back; one of your own.
    #[schema(value_type = String, example = "pt_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    points_transaction_id: PointsTransactionId,
    /// At most what it took and was not returned yet.
    #[schema(example = 20, minimum = 1, maximum = 1_000_000_000)]
    points: i64,
    /// Your own name for this return: 1 to 64 visible ASCII characters, once, for ever.
    #[schema(example = "cancel-2026-11-21-0001", min_length = 1, max_length = 64)]
    reference: String,
    /// 1 to 200 characters in one line.
    #[schema(example = "取消兑换", min_length = 1, max_length = 200)]
    reason: String,
}

/// Return points
///
/// All of it or a part, in as many parts as you like; 409 `return_exceeds_taken` says how many are
/// left. The points go back into the days from which they came, of a part those that expire last
/// first. Points that have expired meanwhile are taken by the next nightly run, as they would have
/// been. What the customer owes is repaid first. A repeat with the same reference and body returns
/// the same return (200), for ever; with another body 422 `reference_reused`. No `Idempotency-Key`
/// is needed.
#[utoipa::path(
    post,
    path = "/api/v1/open/points/returns",
    operation_id = "open_return_points",
    tag = "open",
    security(("access_token" = ["points:deduct"])),
    request_body = ReturnRequest,
    responses(
        (status = 201, description = "Given back", body = PointsTransactionView),
        (status = 200, description = "Given back before", body = PointsTransactionView),
        Problems,
    ),
)]
pub(in crate::http) async fn return_points(
    State(app): State<App>,
    auth: Auth<Operator, needs::DeductPoints>,
    Json(request): Json<ReturnRequest>,
) -> Result<(StatusCode, Answer<PointsTransactionView>), Problem> {
    let caller = BackEnd::of(&auth)?;
    let points =
        Points::parse(request.points).map_err(|_| Problem::field("points", "1 to 1000000000"))?;
    let reference = Reference::parse(&request.reference)
        .map_err(|invalid| Problem::field("reference", invalid.0))?;
    let command = ReturnCommand {
        tenant: caller.tenant,
        of: request.points_transaction_id,
        points,
        source: caller.source,
        reference,
        reason: request.reason.trim().to_owned(),
        by: caller.by,
    };
    Ok(answer(
        points::return_points(&app.points_service(), command).await?,
    ))
}
