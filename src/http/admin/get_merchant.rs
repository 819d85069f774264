//! `GET /api/v1/admin/merchants/{id}`

use axum::{Json, extract::State};

use super::merchant::AdminMerchant;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Path},
        problem::{Problem, Problems},
    },
    merchants,
    primitives::MerchantId,
};

/// A merchant
#[utoipa::path(
    get,
    path = "/api/v1/admin/merchants/{id}",
    operation_id = "admin_get_merchant",
    tag = "admin",
    security(("access_token" = ["merchants:read"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The merchant", body = AdminMerchant), Problems),
)]
pub(in crate::http) async fn get_merchant(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<MerchantId>,
) -> Result<Json<AdminMerchant>, Problem> {
    let operator = auth.may(Permission::ReadMerchants)?;
    let merchant = merchants::get_merchant(app.db(), operator.tenant, id).await?;
    Ok(Json(AdminMerchant::from(&merchant)))
}
