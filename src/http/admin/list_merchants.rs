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
    merchants::{self, MerchantError, MerchantFilter, MerchantStateKind, SubMchid},
    primitives::Page,
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct MerchantQuery {
    /// Only merchants in this state.
    #[param(inline)]
    state: Option<MerchantStateKind>,
    /// Only who has this number at WeChat (特约商户号), as it stands in WeChat's bills.
    #[param(example = "1900000109", pattern = "^[0-9]{1,32}$")]
    sub_mchid: Option<String>,
}

/// The merchants, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/merchants",
    operation_id = "admin_list_merchants",
    tag = "admin",
    security(("access_token" = ["merchants:read"])),
    params(MerchantQuery, PageParams),
    responses((status = 200, description = "A page", body = Page<AdminMerchant>), Problems),
)]
pub(in crate::http) async fn list_merchants(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(query): Query<MerchantQuery>,
    page: PageQuery,
) -> Result<Json<Page<AdminMerchant>>, Problem> {
    let operator = auth.may(Permission::ReadMerchants)?;
    let before = page.before()?;
    let number = query.sub_mchid.as_deref().map(SubMchid::parse);
    let filter = MerchantFilter {
        state: query.state,
        sub_mchid: number.transpose().map_err(MerchantError::from)?,
    };
    let found =
        merchants::list_merchants(app.db(), operator.tenant, &filter, before, page.limit).await?;
    let page = Page::cut(found, page.limit, |merchant| merchant.id.to_string());
    Ok(Json(page.map(|merchant| AdminMerchant::from(&merchant))))
}
