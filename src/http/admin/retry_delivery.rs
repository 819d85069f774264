//! `POST /api/v1/admin/deliveries/{id}/retry`

use axum::{Json, extract::State};

use super::delivery::DeliveryItem;
use crate::{
    app::App,
    auth::Permission,
    deliveries::Retry,
    http::{
        extract::{Auth, Operator, Path, parse},
        problem::{Problem, Problems},
    },
};

/// Try a delivery again
///
/// A parked or dropped one falls due at once, with all its attempts. A pending one is tried anyway
/// and stays as it is, so this needs no key. A delivered one is refused with `delivery_delivered`.
#[utoipa::path(
    post,
    path = "/api/v1/admin/deliveries/{id}/retry",
    operation_id = "admin_retry_delivery",
    tag = "admin",
    security(("access_token" = ["deliveries:write"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "Pending", body = DeliveryItem), Problems),
)]
pub(in crate::http) async fn retry_delivery(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<String>,
) -> Result<Json<DeliveryItem>, Problem> {
    let operator = auth.may(Permission::WriteDeliveries)?;
    let work = Retry {
        tenant: operator.tenant,
        delivery: parse(&id)?,
        by: auth.principal().actor(),
    };
    Ok(Json(app.db().run(work).await?.into()))
}
