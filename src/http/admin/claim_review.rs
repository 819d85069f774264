//! `POST /api/v1/admin/risk/reviews/{id}/claim` and `/unclaim`

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    payments::{self, DecideReview, ReviewCommand, ReviewView},
    primitives::ReviewId,
};

/// Claim a review
///
/// For half an hour nobody else decides it, nor claims it. One's own claim begins anew.
#[utoipa::path(
    post,
    path = "/api/v1/admin/risk/reviews/{id}/claim",
    operation_id = "admin_claim_review",
    tag = "admin",
    security(("access_token" = ["risk_reviews:decide"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "Claimed", body = ReviewView), Problems),
)]
pub(in crate::http) async fn claim(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<ReviewId>,
) -> Result<Json<ReviewView>, Problem> {
    say(&app, &auth, id, ReviewCommand::Claim).await
}

/// Give a claimed review back
///
/// It is anybody's again.
#[utoipa::path(
    post,
    path = "/api/v1/admin/risk/reviews/{id}/unclaim",
    operation_id = "admin_release_review",
    tag = "admin",
    security(("access_token" = ["risk_reviews:decide"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "Given back", body = ReviewView), Problems),
)]
pub(in crate::http) async fn unclaim(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<ReviewId>,
) -> Result<Json<ReviewView>, Problem> {
    say(&app, &auth, id, ReviewCommand::Unclaim).await
}

async fn say(
    app: &App,
    auth: &Auth<Operator>,
    id: ReviewId,
    command: ReviewCommand,
) -> Result<Json<ReviewView>, Problem> {
    let operator = auth.may(Permission::DecideReviews)?;
    let decision = DecideReview {
        tenant: operator.tenant,
        id,
        command,
        by: auth.principal().actor(),
        claim: None,
    };
    let review = payments::decide_review(app.payments(), decision).await?;
    Ok(Json(ReviewView::at(&review, app.db().now())))
}
