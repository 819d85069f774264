//! `GET /api/v1/admin/risk/reviews/{id}`

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    payments::ReviewView,
    primitives::ReviewId,
    risk::{self, ReviewError},
};

/// One review
#[utoipa::path(
    get,
    path = "/api/v1/admin/risk/reviews/{id}",
    operation_id = "admin_get_review",
    tag = "admin",
    security(("access_token" = ["risk_reviews:read"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The review", body = ReviewView), Problems),
)]
pub(in crate::http) async fn get_review(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<ReviewId>,
) -> Result<Json<ReviewView>, Problem> {
    let operator = auth.may(Permission::ReadReviews)?;
    let review = risk::find_review(app.db(), operator.tenant, id).await?;
    let review = review.ok_or(ReviewError::NotFound)?;
    Ok(Json(ReviewView::at(&review, app.db().now())))
}
