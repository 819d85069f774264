//! `GET /api/v1/customer/me`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    customers,
    http::{
        extract::{Auth, Customer},
        problem::{Problem, Problems},
    },
    primitives::{CustomerId, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CustomerProfile {
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: CustomerId,
    nickname: Option<String>,
    avatar: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// Oneself
#[utoipa::path(
    get,
    path = "/api/v1/customer/me",
    tag = "customer",
    security(("access_token" = ["own:read"])),
    responses((status = 200, description = "The profile", body = CustomerProfile), Problems),
)]
pub(in crate::http) async fn me(
    State(app): State<App>,
    auth: Auth<Customer>,
) -> Result<Json<CustomerProfile>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let customer = customers::get_active(app.db(), customer.tenant, customer.id).await?;
    Ok(Json(CustomerProfile {
        id: customer.id,
        nickname: customer.nickname,
        avatar: customer.avatar,
        created_at: customer.created_at,
    }))
}
