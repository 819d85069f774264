//! `POST /api/v1/admin/risk/reviews/{id}/approve` and `/reject`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Operator, Path, needs},
        problem::{Problem, Problems},
    },
    payments::{self, DecideReview, ReviewCommand, ReviewView},
    primitives::ReviewId,
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ApproveReviewRequest {
    /// Anything worth keeping, at most 200 characters. No personal data.
    #[schema(example = "已核对小票", max_length = 200)]
    #[serde(default)]
    note: String,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RejectReviewRequest {
    /// Why not, at most 200 characters. No personal data.
    #[schema(example = "同一设备反复下单", min_length = 1, max_length = 200)]
    note: String,
}

/// Release the points
///
/// They are credited, and repay first what the customer owes. Above a limit it takes two people:
/// after the first the review is open still, with `first_approver`.
#[utoipa::path(
    post,
    path = "/api/v1/admin/risk/reviews/{id}/approve",
    operation_id = "admin_approve_review",
    tag = "admin",
    security(("access_token" = ["risk_reviews:decide"])),
    params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = ApproveReviewRequest,
    responses((status = 200, description = "Approved, now or before with this key", body = ReviewView), Problems),
)]
pub(in crate::http) async fn approve(
    State(app): State<App>,
    auth: Auth<Operator, needs::DecideReviews>,
    Path(id): Path<ReviewId>,
    request: Keyed<ApproveReviewRequest>,
) -> Result<Json<ReviewView>, Problem> {
    let command = ReviewCommand::Approve(request.body.note.clone());
    decide(&app, &auth, id, &request, command).await
}

/// Void the points
///
/// The customer is not credited. The money stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/admin/risk/reviews/{id}/reject",
    operation_id = "admin_reject_review",
    tag = "admin",
    security(("access_token" = ["risk_reviews:decide"])),
    params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = RejectReviewRequest,
    responses((status = 200, description = "Rejected, now or before with this key", body = ReviewView), Problems),
)]
pub(in crate::http) async fn reject(
    State(app): State<App>,
    auth: Auth<Operator, needs::DecideReviews>,
    Path(id): Path<ReviewId>,
    request: Keyed<RejectReviewRequest>,
) -> Result<Json<ReviewView>, Problem> {
    let command = ReviewCommand::Reject(request.body.note.clone());
    decide(&app, &auth, id, &request, command).await
}

async fn decide<T>(
    app: &App,
    auth: &Auth<Operator, needs::DecideReviews>,
    id: ReviewId,
    request: &Keyed<T>,
    command: ReviewCommand,
) -> Result<Json<ReviewView>, Problem> {
    let operator = auth.caller();
    let decision = DecideReview {
        tenant: operator.tenant,
        id,
        command,
        by: auth.principal().actor(),
        claim: Some(request.claim(auth.principal())),
    };
    let review = payments::decide_review(app.payments(), decision).await?;
    Ok(Json(ReviewView::at(&review, app.db().now())))
}
