//! `GET /api/v1/admin/refunds`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
        search::{RefundSearchParams, SearchParams},
    },
    payments::RefundView,
    primitives::{MerchantId, Page},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct AdminRefundFilter {
    /// Only refunds of this merchant.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
}

/// The refunds of every merchant, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/refunds",
    operation_id = "admin_list_refunds",
    tag = "admin",
    security(("access_token" = ["payments:read"])),
    params(AdminRefundFilter, SearchParams, RefundSearchParams, PageParams),
    responses((status = 200, description = "A page", body = Page<RefundView>), Problems),
)]
pub(in crate::http) async fn list_refunds(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(filter): Query<AdminRefundFilter>,
    Query(search): Query<SearchParams>,
    Query(refund): Query<RefundSearchParams>,
    page: PageQuery,
) -> Result<Json<Page<RefundView>>, Problem> {
    let operator = auth.may(Permission::ReadPayments)?;
    let of = (operator.tenant, filter.merchant_id);
    let page = refund.page(&app, of, search, &page).await?;
    Ok(Json(page.map(|refund| RefundView::from(&refund))))
}
