//! `POST /api/v1/wechat/notify/{tenant}/payments`

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    app::App,
    db::DbError,
    http::extract::Path,
    payments::{self, CallbackError, HandledCallback, NoticeHeaders},
    primitives::WithCauses,
};

/// WeChat reads the status; the body is for whoever looks at its log.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct CallbackAnswer {
    #[schema(example = "FAIL")]
    code: &'static str,
    message: &'static str,
}

/// What WeChat signs with.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "for the document; what verifies reads the headers as they are"
)]
pub(super) struct SignatureHeaders {
    #[param(rename = "Wechatpay-Timestamp")]
    timestamp: String,
    #[param(rename = "Wechatpay-Nonce")]
    nonce: String,
    #[param(rename = "Wechatpay-Signature")]
    signature: String,
    #[param(rename = "Wechatpay-Serial")]
    serial: String,
    #[param(rename = "Wechatpay-Signature-Type")]
    signature_type: Option<String>,
}

/// A payment was made
///
/// Answered with 204 when it is durable, so WeChat sends it again otherwise. `tenant` is the
/// tenant's code or number.
#[utoipa::path(
    post,
    path = "/api/v1/wechat/notify/{tenant}/payments",
    tag = "wechat",
    params(("tenant" = String, Path), SignatureHeaders),
    request_body(
        content = serde_json::Value,
        content_type = "application/json",
        description = "The notification, byte for byte as signed",
        example = json!({
            "id": "EV-2018022511223320873",
            "create_time": "2026-11-21T12:34:56+08:00",
            "resource_type": "encrypt-resource",
            "event_type": "TRANSACTION.SUCCESS",
            "summary": "支付成功",
            "resource": {
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": "c2VjcmV0",
                "nonce": "fdasflkja484",
                "associated_data": "transaction",
                "original_type": "transaction"
            }
        }),
    ),
    responses(
        (status = 204, description = "Settled, now or before, or not ours to handle"),
        (status = 400, description = "Authentic but mismatched: stored with an alarm, nothing credited", body = CallbackAnswer),
        (status = 401, description = "The signature does not hold", body = CallbackAnswer),
        (status = 404, description = "No such tenant", body = CallbackAnswer),
        (status = 500, description = "Not stored, or signed by WeChat and not understood (kept with an alarm): send again", body = CallbackAnswer),
        (status = 503, description = "Too busy: send again", body = CallbackAnswer),
    ),
)]
pub(in crate::http) async fn wechat_payments(
    State(app): State<App>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    take(&app, &tenant, &headers, body).await
}

/// Whatever the callback is about: what it says decides, not the address that it came to.
pub(super) async fn take(app: &App, tenant: &str, headers: &HeaderMap, body: Bytes) -> Response {
    // Our notify addresses carry the tenant's number; a code serves people.
    let taken = match app.tenants().find(app.db(), tenant).await {
        Ok(Some(tenant)) => {
            payments::handle_callback(app.payments(), tenant, signature(headers), body).await
        }
        // Nothing of it is kept: there is nobody who could look at it.
        Ok(None) => return fail(StatusCode::NOT_FOUND, "no such tenant"),
        Err(error) => Err(error.into()),
    };
    answer(taken)
}

fn signature(headers: &HeaderMap) -> NoticeHeaders<'_> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    NoticeHeaders {
        timestamp: text("wechatpay-timestamp"),
        nonce: text("wechatpay-nonce"),
        signature: text("wechatpay-signature"),
        serial: text("wechatpay-serial"),
        signature_type: text("wechatpay-signature-type"),
    }
}

fn answer(taken: Result<HandledCallback, CallbackError>) -> Response {
    match taken {
        Ok(
            HandledCallback::Settled
            | HandledCallback::Refund
            | HandledCallback::Duplicate
            | HandledCallback::Ignored,
        ) => StatusCode::NO_CONTENT.into_response(),
        Ok(HandledCallback::Rejected(reason)) => fail(StatusCode::BAD_REQUEST, reason),
        // Authentic: WeChat sends it again, and it may be understood by then.
        Err(CallbackError::Unverified(error)) if error.is_signed() => {
            fail(StatusCode::INTERNAL_SERVER_ERROR, error.reason())
        }
        Err(CallbackError::Unverified(error)) => fail(StatusCode::UNAUTHORIZED, error.reason()),
        Err(CallbackError::Db(error)) => {
            tracing::warn!(error = %WithCauses(&error), "a callback was not stored; WeChat will send it again");
            match error {
                DbError::Overloaded
                | DbError::Contention(_)
                | DbError::Stopping
                | DbError::ClockOff => fail(StatusCode::SERVICE_UNAVAILABLE, "busy"),
                DbError::Unavailable(_)
                | DbError::ReadOnly
                | DbError::Timeout(_)
                | DbError::Inconsistent(_)
                | DbError::Unreadable(_)
                | DbError::Violation(_)
                | DbError::Sql(_)
                | DbError::Migrate(_) => fail(StatusCode::INTERNAL_SERVER_ERROR, "not stored"),
            }
        }
    }
}

fn fail(status: StatusCode, message: &'static str) -> Response {
    (
        status,
        Json(CallbackAnswer {
            code: "FAIL",
            message,
        }),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::NoticeError;

    #[test]
    fn the_status_says_whether_wechat_sends_again() {
        let status = |taken| answer(taken).status().as_u16();
        assert_eq!(status(Ok(HandledCallback::Settled)), 204);
        assert_eq!(status(Ok(HandledCallback::Duplicate)), 204);
        assert_eq!(status(Ok(HandledCallback::Rejected("wrong_amount"))), 400);
        assert_eq!(status(Err(NoticeError::BadSignature.into())), 401);
        assert_eq!(status(Err(NoticeError::Probe.into())), 401);
        assert_eq!(status(Err(NoticeError::BadContent.into())), 500);
        assert_eq!(status(Err(NoticeError::Undecryptable.into())), 500);
        assert_eq!(status(Err(DbError::Unavailable(None).into())), 500);
        assert_eq!(status(Err(DbError::Overloaded.into())), 503);
    }
}
