//! `GET /api/v1/admin/audit-logs`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    audit::{self, AuditLog},
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery},
        problem::{Problem, Problems},
    },
    primitives::{Page, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AuditLogItem {
    #[schema(example = "au_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: String,
    /// A typed id, or `operator:<name>`.
    #[schema(example = "operator:lin")]
    actor: String,
    #[schema(example = "merchant.approved")]
    action: String,
    /// What it was done to.
    #[schema(example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    subject: String,
    #[schema(value_type = Option<Object>)]
    detail: serde_json::Value,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<AuditLog> for AuditLogItem {
    fn from(log: AuditLog) -> Self {
        Self {
            id: log.id.to_string(),
            actor: log.actor,
            action: log.action,
            subject: log.subject,
            detail: log.detail,
            at: log.at,
        }
    }
}

/// Who did what, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/audit-logs",
    operation_id = "admin_list_audit_logs",
    tag = "admin",
    security(("access_token" = ["audit_logs:read"])),
    params(PageParams),
    responses((status = 200, description = "A page", body = Page<AuditLogItem>), Problems),
)]
pub(in crate::http) async fn audit_logs(
    State(app): State<App>,
    auth: Auth<Operator>,
    page: PageQuery,
) -> Result<Json<Page<AuditLogItem>>, Problem> {
    let operator = auth.may(Permission::ReadAuditLogs)?;
    let logs = audit::list_logs(app.db(), operator.tenant, page.before()?, page.limit).await?;
    let page = Page::cut(logs, page.limit, |log| log.id.to_string());
    Ok(Json(page.map(AuditLogItem::from)))
}
