//! `GET /api/v1/admin/callbacks`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::callback::CallbackItem;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
    },
    payments::{self, CallbackOutcome},
    primitives::Page,
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct CallbackFilter {
    /// Only callbacks of which this became.
    #[param(inline, example = "failed")]
    outcome: Option<CallbackOutcome>,
}

/// WeChat's callbacks as they are kept, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/callbacks",
    operation_id = "admin_list_callbacks",
    tag = "admin",
    security(("access_token" = ["callbacks:read"])),
    params(CallbackFilter, PageParams),
    responses((status = 200, description = "A page", body = Page<CallbackItem>), Problems),
)]
pub(in crate::http) async fn list_callbacks(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(filter): Query<CallbackFilter>,
    page: PageQuery,
) -> Result<Json<Page<CallbackItem>>, Problem> {
    let operator = auth.may(Permission::ReadCallbacks)?;
    let (outcome, before) = (filter.outcome, page.before()?);
    let found =
        payments::list_callbacks(app.db(), operator.tenant, outcome, before, page.limit).await?;
    let page = Page::cut(found, page.limit, |callback| callback.id.to_string());
    Ok(Json(page.map(|callback| CallbackItem::from(&callback))))
}
