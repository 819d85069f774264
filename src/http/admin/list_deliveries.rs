//! `GET /api/v1/admin/deliveries`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::delivery::DeliveryItem;
use crate::{
    app::App,
    auth::Permission,
    deliveries::{self, DeliveryFilter, DeliveryId, DeliveryKind, DeliveryState},
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
    },
    primitives::Page,
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct DeliveryQuery {
    /// Only those in this state; `parked` ones want looking at.
    #[param(inline)]
    state: Option<DeliveryState>,
    /// Only those of this kind.
    #[param(inline)]
    kind: Option<DeliveryKind>,
}

/// What is told to others
///
/// Those about the newest orders and refunds first.
#[utoipa::path(
    get,
    path = "/api/v1/admin/deliveries",
    operation_id = "admin_list_deliveries",
    tag = "admin",
    security(("access_token" = ["deliveries:read"])),
    params(DeliveryQuery, PageParams),
    responses((status = 200, description = "A page", body = Page<DeliveryItem>), Problems),
)]
pub(in crate::http) async fn list_deliveries(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(query): Query<DeliveryQuery>,
    page: PageQuery,
) -> Result<Json<Page<DeliveryItem>>, Problem> {
    let operator = auth.may(Permission::ReadDeliveries)?;
    let filter = DeliveryFilter {
        state: query.state,
        kind: query.kind,
    };
    let before = page.before::<DeliveryId>()?;
    let found =
        deliveries::list_deliveries(app.db(), operator.tenant, filter, before, page.limit).await?;
    let page = Page::cut(found, page.limit, |delivery| delivery.id.to_string());
    Ok(Json(page.map(DeliveryItem::from)))
}
