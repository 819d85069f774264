//! `POST /api/v1/admin/payments/{order_no}/foreign-refunds`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::payment::get_order;
use crate::{
    app::App,
    http::{
        extract::{self, Auth, Operator, Path, needs},
        problem::{Problem, Problems},
    },
    payments::{self, NoteForeignRefund, RefundView},
    primitives::OrderNo,
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ForeignRefundRequest {
    /// The number under which it was made, as the merchant platform and the bill show it
    /// (商户退款单号).
    #[schema(
        example = "TK20261128000017",
        min_length = 1,
        max_length = 64,
        pattern = r"^[0-9A-Za-z_|*@-]{1,64}$"
    )]
    out_refund_no: String,
}

/// State a refund that was made elsewhere
///
/// Somebody refunded this payment on WeChat's merchant platform or in another system, and no notice
/// came. WeChat is asked under that number; what it answers is booked, amount and all. Stated again
/// it changes nothing, and needs no key. 404 `refund_not_found`: WeChat knows no such refund of
/// this payment. 502 `wechat_answer_mismatch`: what it answers does not fit the payment, and is not
/// booked.
#[utoipa::path(
    post,
    path = "/api/v1/admin/payments/{order_no}/foreign-refunds",
    operation_id = "admin_note_foreign_refund",
    tag = "admin",
    security(("access_token" = ["payments:refund"])),
    params(("order_no" = String, Path)),
    request_body = ForeignRefundRequest,
    responses((status = 200, description = "The refund as WeChat knows it", body = RefundView), Problems),
)]
pub(in crate::http) async fn note_foreign_refund(
    State(app): State<App>,
    auth: Auth<Operator, needs::RefundPayments>,
    Path(order_no): Path<OrderNo>,
    extract::Json(request): extract::Json<ForeignRefundRequest>,
) -> Result<Json<RefundView>, Problem> {
    let operator = auth.caller();
    let known = get_order(&app, operator, order_no).await?;
    let statement = NoteForeignRefund {
        tenant: operator.tenant,
        order: known.order.id,
        out_refund_no: request.out_refund_no,
        by: auth.principal().actor(),
    };
    let refund = payments::note_foreign_refund(app.payments(), statement).await?;
    Ok(Json(RefundView::from(&refund)))
}
