//! `POST /api/v1/wechat/notify/{tenant}/refunds`

use axum::{body::Bytes, extract::State, http::HeaderMap, response::Response};

use super::wechat_payments::{CallbackAnswer, SignatureHeaders, take};
use crate::{app::App, http::extract::Path};

/// A refund arrived, or did not
///
/// Taken as a callback about a payment is: what it says decides, not the address. Answered with 204
/// when it is durable.
#[utoipa::path(
    post,
    path = "/api/v1/wechat/notify/{tenant}/refunds",
    tag = "wechat",
    params(("tenant" = String, Path), SignatureHeaders),
    request_body(
        content = serde_json::Value,
        content_type = "application/json",
        description = "The notification, byte for byte as signed",
        example = json!({
            "id": "EV-2018022511223320874",
            "create_time": "2026-11-21T12:34:56+08:00",
            "resource_type": "encrypt-resource",
            "event_type": "REFUND.SUCCESS",
            "summary": "退款成功",
            "resource": {
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": "c2VjcmV0",
                "nonce": "fdasflkja484",
                "associated_data": "refund",
                "original_type": "refund"
            }
        }),
    ),
    responses(
        (status = 204, description = "Noted, now or before, or not ours to handle"),
        (status = 400, description = "Authentic but mismatched: stored with an alarm, nothing booked", body = CallbackAnswer),
        (status = 401, description = "The signature does not hold", body = CallbackAnswer),
        (status = 404, description = "No such tenant", body = CallbackAnswer),
        (status = 500, description = "Not stored, or signed by WeChat and not understood (kept with an alarm): send again", body = CallbackAnswer),
        (status = 503, description = "Too busy: send again", body = CallbackAnswer),
    ),
)]
pub(in crate::http) async fn wechat_refunds(
    State(app): State<App>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    take(&app, &tenant, &headers, body).await
}
