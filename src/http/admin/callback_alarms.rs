//! `GET /api/v1/admin/callback-alarms`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery},
        problem::{Problem, Problems},
    },
    payments::{self, Alarm},
    primitives::{Page, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CallbackAlarm {
    /// The stored callback.
    event_id: String,
    /// What is wrong: a stable code.
    #[schema(example = "wrong_amount")]
    reason: String,
    out_trade_no: String,
    /// Empty unless the callback is about a refund.
    out_refund_no: String,
    wechat_transaction_id: String,
    #[schema(example = 1200)]
    amount_fen: i64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Alarm> for CallbackAlarm {
    fn from(alarm: Alarm) -> Self {
        Self {
            event_id: alarm.event.to_string(),
            reason: alarm.reason,
            out_trade_no: alarm.out_trade_no,
            out_refund_no: alarm.out_refund_no,
            wechat_transaction_id: alarm.wechat_transaction_id,
            amount_fen: alarm.amount.get(),
            created_at: alarm.created_at,
        }
    }
}

/// Callbacks that were authentic but mismatched, newest first
///
/// Nothing was credited for them: someone must look.
#[utoipa::path(
    get,
    path = "/api/v1/admin/callback-alarms",
    operation_id = "admin_list_callback_alarms",
    tag = "admin",
    security(("access_token" = ["alarms:read"])),
    params(PageParams),
    responses((status = 200, description = "A page", body = Page<CallbackAlarm>), Problems),
)]
pub(in crate::http) async fn callback_alarms(
    State(app): State<App>,
    auth: Auth<Operator>,
    page: PageQuery,
) -> Result<Json<Page<CallbackAlarm>>, Problem> {
    let operator = auth.may(Permission::ReadAlarms)?;
    let before = page.before()?;
    let alarms = payments::list_alarms(app.db(), operator.tenant, before, page.limit).await?;
    let page = Page::cut(alarms, page.limit, |alarm| alarm.event.to_string());
    Ok(Json(page.map(CallbackAlarm::from)))
}
