//! `GET /api/v1/admin/risk/reviews`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    auth::Permission,
    facts::Stage,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
    },
    payments::ReviewView,
    primitives::{CustomerId, MerchantId, Page},
    risk::{self, ReviewFilter, ReviewStatus},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ReviewParams {
    /// Only reviews in this state; in `open` ones nobody's claim lasts.
    #[param(inline, example = "open")]
    state: Option<ReviewStatus>,
    /// Only those that this stage wanted.
    #[param(inline, example = "points.credit")]
    stage: Option<Stage>,
    /// Only of this customer's points.
    #[param(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
    /// Only of points from this merchant.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// Only what the caller has claimed.
    #[serde(default)]
    mine: bool,
}

/// Points that wait for a person, and those that waited
///
/// The reviews of the newest payments first. What nobody decides by `due_at`, the time-out decides
/// as the risk rules say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/risk/reviews",
    operation_id = "admin_list_reviews",
    tag = "admin",
    security(("access_token" = ["risk_reviews:read"])),
    params(ReviewParams, PageParams),
    responses((status = 200, description = "A page", body = Page<ReviewView>), Problems),
)]
pub(in crate::http) async fn list_reviews(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(params): Query<ReviewParams>,
    page: PageQuery,
) -> Result<Json<Page<ReviewView>>, Problem> {
    let operator = auth.may(Permission::ReadReviews)?;
    let filter = ReviewFilter {
        state: params.state,
        stage: params.stage,
        customer: params.customer_id,
        merchant: params.merchant_id,
        claimed_by: params.mine.then(|| auth.principal().actor()),
    };
    let (db, before) = (app.db(), page.before()?);
    let found = risk::list_reviews(db, operator.tenant, &filter, before, page.limit).await?;
    let page = Page::cut(found, page.limit, |review| review.id.to_string());
    let now = app.db().now();
    Ok(Json(page.map(|review| ReviewView::at(&review, now))))
}
