//! `GET /api/v1/merchant/codes`

use axum::{Json, extract::State};

use super::code::CollectionCodeItem;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, PageParams, PageQuery, Staff},
        problem::{Problem, Problems},
    },
    merchants::{self, CodeCursor},
    primitives::Page,
};

/// The merchant's collection codes, newest first
#[utoipa::path(
    get,
    path = "/api/v1/merchant/codes",
    operation_id = "merchant_list_codes",
    tag = "merchant",
    security(("access_token" = ["own_merchant:read"])),
    params(PageParams),
    responses((status = 200, description = "A page", body = Page<CollectionCodeItem>), Problems),
)]
pub(in crate::http) async fn list_codes(
    State(app): State<App>,
    auth: Auth<Staff>,
    page: PageQuery,
) -> Result<Json<Page<CollectionCodeItem>>, Problem> {
    let staff = auth.may(Permission::ReadOwnMerchant)?;
    let before = page.before()?;
    let rows =
        merchants::list_codes(app.db(), staff.tenant, staff.merchant, before, page.limit).await?;
    let page = Page::cut(rows, page.limit, |row| CodeCursor::from(row).to_string());
    Ok(Json(page.map(|row| CollectionCodeItem::from(&row))))
}
