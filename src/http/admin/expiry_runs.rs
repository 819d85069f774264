//! `GET` and `POST /api/v1/admin/points/expiry-runs`

use axum::{Json, extract::State, http::StatusCode};

use super::expiry_run::ExpiryRunItem;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery},
        problem::{Problem, Problems},
    },
    points::expiry::{self, AskRun},
    primitives::Page,
};

/// The sweeps of expired points
///
/// One of every night and those that somebody asked for, the newest first, with what they have done
/// so far.
#[utoipa::path(
    get,
    path = "/api/v1/admin/points/expiry-runs",
    operation_id = "admin_list_expiry_runs",
    tag = "admin",
    security(("access_token" = ["points:read"])),
    params(PageParams),
    responses((status = 200, description = "A page", body = Page<ExpiryRunItem>), Problems),
)]
pub(in crate::http) async fn list_expiry_runs(
    State(app): State<App>,
    auth: Auth<Operator>,
    page: PageQuery,
) -> Result<Json<Page<ExpiryRunItem>>, Problem> {
    let operator = auth.may(Permission::ReadPoints)?;
    let runs = expiry::list_runs(app.db(), operator.tenant, page.before()?, page.limit).await?;
    let page = Page::cut(runs, page.limit, |run| run.id.to_string());
    Ok(Json(page.map(ExpiryRunItem::from)))
}

/// Expire points now
///
/// Asks for a sweep for today, without waiting for the night; it begins within seconds, or when the
/// sweep that is under way is finished. While a sweep of the tenant is not finished, that one is
/// the answer: asking again changes nothing, so this needs no key.
#[utoipa::path(
    post,
    path = "/api/v1/admin/points/expiry-runs",
    operation_id = "admin_start_expiry_run",
    tag = "admin",
    security(("access_token" = ["points:expire"])),
    responses((status = 202, description = "Will be done", body = ExpiryRunItem), Problems),
)]
pub(in crate::http) async fn start_expiry_run(
    State(app): State<App>,
    auth: Auth<Operator>,
) -> Result<(StatusCode, Json<ExpiryRunItem>), Problem> {
    let operator = auth.may(Permission::ExpirePoints)?;
    let ask = AskRun {
        tenant: operator.tenant,
        by: auth.principal().actor(),
    };
    let run = app.db().run(ask).await?;
    Ok((StatusCode::ACCEPTED, Json(run.into())))
}
