//! `GET /api/v1/admin/sharings`, `GET /api/v1/admin/payments/{order_no}/sharing`,
//! `POST /api/v1/admin/payments/{order_no}/sharing/retry`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Path, Query},
        problem::{Problem, Problems},
        sharing::{SharingAnswer, SharingSummary},
    },
    primitives::{OrderNo, Page, SharingNo, TenantId},
    sharing::{self, ShareStateKind, SharingError},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct SharingFilter {
    /// Only sharings in this state.
    #[param(inline)]
    state: Option<ShareStateKind>,
}

/// The sharings, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/sharings",
    operation_id = "admin_list_sharings",
    tag = "admin",
    security(("access_token" = ["sharing:read"])),
    params(SharingFilter, PageParams),
    responses((status = 200, description = "A page", body = Page<SharingSummary>), Problems),
)]
pub(in crate::http) async fn list_sharings(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(filter): Query<SharingFilter>,
    page: PageQuery,
) -> Result<Json<Page<SharingSummary>>, Problem> {
    let operator = auth.may(Permission::ReadSharing)?;
    let before = page.before::<SharingNo>()?.map(SharingNo::id);
    let found =
        sharing::list_sharings(app.db(), operator.tenant, filter.state, before, page.limit).await?;
    let page = Page::cut(found, page.limit, |share| share.no().to_string());
    Ok(Json(page.map(|share| SharingSummary::from(&share))))
}

/// The sharing of a payment
#[utoipa::path(
    get,
    path = "/api/v1/admin/payments/{order_no}/sharing",
    operation_id = "admin_get_payment_sharing",
    tag = "admin",
    security(("access_token" = ["sharing:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The sharing", body = SharingAnswer), Problems),
)]
pub(in crate::http) async fn get_payment_sharing(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<SharingAnswer>, Problem> {
    let operator = auth.may(Permission::ReadSharing)?;
    Ok(Json(answer(&app, operator.tenant, order_no).await?))
}

/// Try again now
///
/// Makes what waits of the sharing due at once: the share, the release of the rest, the refunds
/// that wait for shares to come back.
#[utoipa::path(
    post,
    path = "/api/v1/admin/payments/{order_no}/sharing/retry",
    operation_id = "admin_retry_payment_sharing",
    tag = "admin",
    security(("access_token" = ["sharing:write"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "Due", body = SharingAnswer), Problems),
)]
pub(in crate::http) async fn retry_payment_sharing(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<SharingAnswer>, Problem> {
    let operator = auth.may(Permission::WriteSharing)?;
    let by = auth.principal().actor();
    sharing::retry_sharing(app.sharing(), operator.tenant, order_no.id(), by).await?;
    Ok(Json(answer(&app, operator.tenant, order_no).await?))
}

async fn answer(app: &App, tenant: TenantId, order: OrderNo) -> Result<SharingAnswer, Problem> {
    let view = sharing::find_sharing(app.db(), tenant, order.id()).await?;
    Ok(SharingAnswer::from(&view.ok_or(SharingError::NotFound)?))
}
