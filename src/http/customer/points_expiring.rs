//! `GET /api/v1/customer/points/expiring`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer, PageParams, PageQuery},
        last_usable::last_usable_on,
        problem::{Problem, Problems},
    },
    points::{self, ExpiringDay},
    primitives::{BusinessDay, Page},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ExpiringDayItem {
    /// The last day (at UTC+8) on which they can be used.
    #[schema(format = Date, example = "2026-11-30")]
    last_usable_on: String,
    #[schema(example = 80)]
    points: i64,
}

impl From<ExpiringDay> for ExpiringDayItem {
    fn from(expiring: ExpiringDay) -> Self {
        Self {
            last_usable_on: last_usable_on(expiring.day).to_string(),
            points: expiring.points,
        }
    }
}

/// Which of the customer's points expire when, soonest first
///
/// Points that last for ever are not among them.
#[utoipa::path(
    get,
    path = "/api/v1/customer/points/expiring",
    operation_id = "customer_points_expiring",
    tag = "customer",
    security(("access_token" = ["own:read"])),
    params(PageParams),
    responses((status = 200, description = "A page", body = Page<ExpiringDayItem>), Problems),
)]
pub(in crate::http) async fn points_expiring(
    State(app): State<App>,
    auth: Auth<Customer>,
    page: PageQuery,
) -> Result<Json<Page<ExpiringDayItem>>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let after = page.before::<BusinessDay>()?;
    let days =
        points::list_expiring(app.db(), customer.tenant, customer.id, after, page.limit).await?;
    let page = Page::cut(days, page.limit, |expiring| expiring.day.to_string());
    Ok(Json(page.map(ExpiringDayItem::from)))
}
