//! `GET /api/v1/merchant/payments`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::payment::MerchantPayment;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, PageParams, PageQuery, Query, Staff},
        problem::{Problem, Problems},
        search::SearchParams,
    },
    payments::{self, OrderScope, OrderStateKind},
    primitives::{OrderNo, Page},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PaymentFilter {
    /// Only payments in this state.
    #[param(inline, example = "paid")]
    state: Option<OrderStateKind>,
}

/// The merchant's payments, newest first
#[utoipa::path(
    get,
    path = "/api/v1/merchant/payments",
    operation_id = "merchant_list_payments",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:read"])),
    params(PaymentFilter, SearchParams, PageParams),
    responses((status = 200, description = "A page", body = Page<MerchantPayment>), Problems),
)]
pub(in crate::http) async fn list_payments(
    State(app): State<App>,
    auth: Auth<Staff>,
    Query(filter): Query<PaymentFilter>,
    Query(search): Query<SearchParams>,
    page: PageQuery,
) -> Result<Json<Page<MerchantPayment>>, Problem> {
    let staff = auth.may(Permission::ReadMerchantPayments)?;
    let (state, before) = (filter.state, page.before()?.map(OrderNo::id));
    let by = OrderScope::Merchant(staff.merchant);
    let (tenant, search) = (staff.tenant, search.search(app.now())?);
    let views =
        payments::list_orders(app.db(), tenant, by, state, &search, before, page.limit).await?;
    let page = Page::cut(views, page.limit, |view| view.order.no().to_string());
    Ok(Json(page.map(MerchantPayment::from)))
}
