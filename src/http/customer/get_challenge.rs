//! `GET /api/v1/customer/challenges/{id}`

use axum::{Json, extract::State};

use super::challenge::CustomerChallenge;
use crate::{
    app::App,
    auth::Permission,
    customers::AnswerError,
    http::{
        extract::{self, Auth, Path, parse},
        problem::{Problem, Problems},
    },
    risk,
};

/// Where a challenge stands
#[utoipa::path(
    get,
    path = "/api/v1/customer/challenges/{id}",
    operation_id = "customer_get_challenge",
    tag = "customer",
    security(("access_token" = ["own:read"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The challenge", body = CustomerChallenge), Problems),
)]
pub(in crate::http) async fn get_challenge(
    State(app): State<App>,
    auth: Auth<extract::Customer>,
    Path(id): Path<String>,
) -> Result<Json<CustomerChallenge>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let id = parse(&id)?;
    let found = risk::find_challenge(app.db(), customer.tenant, customer.id, id).await?;
    let challenge = found.ok_or(AnswerError::NotFound)?;
    Ok(Json(CustomerChallenge::of(&challenge, app.now())))
}
