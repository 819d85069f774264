//! `GET /api/v1/admin/merchants`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::merchant::AdminMerchant;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
    },
    merchants::{self, MerchantStateKind},
    primitives::Page,
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct MerchantFilter {
    /// Only merchants in this state.
    #[param(inline)]
    state: Option<MerchantStateKind>,
}

/// The merchants, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/merchants",
    operation_id = "admin_list_merchants",
    tag = "admin",
    security(("access_token" = ["merchants:read"])),
    params(MerchantFilter, PageParams),
    responses((status = 200, description = "A page", body = Page<AdminMerchant>), Problems),
)]
pub(in crate::http) async fn list_merchants(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(filter): Query<MerchantFilter>,
    page: PageQuery,
) -> Result<Json<Page<AdminMerchant>>, Problem> {
    let operator = auth.may(Permission::ReadMerchants)?;
    let before = page.before()?;
    let found =
        merchants::list_merchants(app.db(), operator.tenant, filter.state, before, page.limit)
            .await?;
    let page = Page::cut(found, page.limit, |merchant| merchant.id.to_string());
    Ok(Json(page.map(|merchant| AdminMerchant::from(&merchant))))
}
