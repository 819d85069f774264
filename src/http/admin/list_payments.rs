//! `GET /api/v1/admin/payments`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
        search::SearchParams,
    },
    payments::{self, OrderScope, OrderStateKind, PaymentView},
    primitives::{CustomerId, MerchantId, OrderNo, Page},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct AdminPaymentFilter {
    /// Only payments in this state.
    #[param(inline, example = "paid")]
    state: Option<OrderStateKind>,
    /// Only what was paid to this merchant.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// Only what this customer paid.
    #[param(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
}

impl AdminPaymentFilter {
    const fn by(&self) -> OrderScope {
        match (self.customer_id, self.merchant_id) {
            (Some(customer), Some(merchant)) => OrderScope::CustomerAt(customer, merchant),
            (Some(customer), None) => OrderScope::Customer(customer),
            (None, Some(merchant)) => OrderScope::Merchant(merchant),
            (None, None) => OrderScope::Tenant,
        }
    }
}

/// The payments of every merchant, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/payments",
    operation_id = "admin_list_payments",
    tag = "admin",
    security(("access_token" = ["payments:read"])),
    params(AdminPaymentFilter, SearchParams, PageParams),
    responses((status = 200, description = "A page", body = Page<PaymentView>), Problems),
)]
pub(in crate::http) async fn list_payments(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(filter): Query<AdminPaymentFilter>,
    Query(search): Query<SearchParams>,
    page: PageQuery,
) -> Result<Json<Page<PaymentView>>, Problem> {
    let operator = auth.may(Permission::ReadPayments)?;
    let (tenant, by, state) = (operator.tenant, filter.by(), filter.state);
    let before = page.before()?.map(OrderNo::id);
    let search = search.search(app.now())?;
    let views =
        payments::list_orders(app.db(), tenant, by, state, &search, before, page.limit).await?;
    let page = Page::cut(views, page.limit, |view| view.order.no().to_string());
    Ok(Json(page.map(|view| PaymentView::from(&view))))
}
