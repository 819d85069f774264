//! `POST /api/v1/merchant/codes/{code}/disable`

use axum::{Json, extract::State};

use super::code::CollectionCodeItem;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff, parse},
        problem::{Problem, Problems},
    },
    merchants::{self, DisableCode},
};

/// Take a collection code out of use
///
/// For good; nobody can pay with it from then on. Makes nothing and needs no key: doing it again
/// changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/merchant/codes/{code}/disable",
    operation_id = "merchant_disable_code",
    tag = "merchant",
    security(("access_token" = ["codes:write"])),
    params(("code" = String, Path)),
    responses((status = 200, description = "Disabled", body = CollectionCodeItem), Problems),
)]
pub(in crate::http) async fn disable_code(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(code): Path<String>,
) -> Result<Json<CollectionCodeItem>, Problem> {
    let staff = auth.may(Permission::WriteCodes)?;
    let by = auth.principal().clone();
    let work = DisableCode {
        tenant: staff.tenant,
        merchant: staff.merchant,
        code: parse(&code)?,
        by,
    };
    let row = merchants::disable_code(app.db(), app.cache(), work).await?;
    Ok(Json(CollectionCodeItem::from(&row)))
}
