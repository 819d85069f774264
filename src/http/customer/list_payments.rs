//! `GET /api/v1/customer/payments`

use axum::{Json, extract::State};

use super::payment::CustomerPayment;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer, PageParams, PageQuery},
        problem::{Problem, Problems},
    },
    payments::{self, OrderScope, Search},
    primitives::{OrderNo, Page},
};

/// One's own payments, newest first
#[utoipa::path(
    get,
    path = "/api/v1/customer/payments",
    operation_id = "customer_list_payments",
    tag = "customer",
    security(("access_token" = ["own:read"])),
    params(PageParams),
    responses((status = 200, description = "A page", body = Page<CustomerPayment>), Problems),
)]
pub(in crate::http) async fn list_payments(
    State(app): State<App>,
    auth: Auth<Customer>,
    page: PageQuery,
) -> Result<Json<Page<CustomerPayment>>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let before = page.before()?.map(OrderNo::id);
    let by = OrderScope::Customer(customer.id);
    let views = payments::list_orders(
        app.db(),
        customer.tenant,
        by,
        None,
        &Search::default(),
        before,
        page.limit,
    )
    .await?;
    let page = Page::cut(views, page.limit, |view| view.order.no().to_string());
    Ok(Json(page.map(CustomerPayment::from)))
}
