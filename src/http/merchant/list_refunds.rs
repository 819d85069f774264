//! `GET /api/v1/merchant/refunds`

use axum::{Json, extract::State};

use super::refund::MerchantRefund;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, PageParams, PageQuery, Query, Staff},
        problem::{Problem, Problems},
        search::{RefundSearchParams, SearchParams},
    },
    primitives::Page,
};

/// The merchant's refunds, newest first
#[utoipa::path(
    get,
    path = "/api/v1/merchant/refunds",
    operation_id = "merchant_list_refunds",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:read"])),
    params(SearchParams, RefundSearchParams, PageParams),
    responses((status = 200, description = "A page", body = Page<MerchantRefund>), Problems),
)]
pub(in crate::http) async fn list_refunds(
    State(app): State<App>,
    auth: Auth<Staff>,
    Query(search): Query<SearchParams>,
    Query(refund): Query<RefundSearchParams>,
    page: PageQuery,
) -> Result<Json<Page<MerchantRefund>>, Problem> {
    let staff = auth.may(Permission::ReadMerchantPayments)?;
    let of = (staff.tenant, Some(staff.merchant));
    let page = refund.page(&app, of, search, &page).await?;
    Ok(Json(page.map(|refund| MerchantRefund::from(&refund))))
}
