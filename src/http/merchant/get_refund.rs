//! `GET /api/v1/merchant/refunds/{refund_no}`

use axum::{Json, extract::State};
use serde::Serialize;

use super::refund::{MerchantRefund, for_merchants, own_refund};
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff},
        problem::{Problem, Problems},
    },
    payments::{self, RefundStep},
    primitives::{RefundNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MerchantRefundWithHistory {
    #[serde(flatten)]
    refund: MerchantRefund,
    /// The states that it was in, in order.
    history: Vec<MerchantRefundStep>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MerchantRefundStep {
    #[schema(example = "accepted")]
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// A person of the merchant, `tenant` or `wechat`.
    #[schema(example = "wechat")]
    who: String,
    /// What was said of it.
    why: String,
}

impl From<RefundStep> for MerchantRefundStep {
    fn from(step: RefundStep) -> Self {
        Self {
            state: step.state.name(),
            at: step.at,
            who: for_merchants(&step.actor.to_string()),
            why: step.why,
        }
    }
}

/// One of the merchant's refunds
#[utoipa::path(
    get,
    path = "/api/v1/merchant/refunds/{refund_no}",
    operation_id = "merchant_get_refund",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:read"])),
    params(("refund_no" = String, Path)),
    responses((status = 200, description = "The refund", body = MerchantRefundWithHistory), Problems),
)]
pub(in crate::http) async fn get_refund(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(refund_no): Path<RefundNo>,
) -> Result<Json<MerchantRefundWithHistory>, Problem> {
    let staff = auth.may(Permission::ReadMerchantPayments)?;
    let refund = own_refund(&app, staff, refund_no).await?;
    let history = payments::refund_history(app.db(), refund.tenant, refund.id).await?;
    Ok(Json(MerchantRefundWithHistory {
        refund: MerchantRefund::from(&refund),
        history: history.into_iter().map(MerchantRefundStep::from).collect(),
    }))
}
