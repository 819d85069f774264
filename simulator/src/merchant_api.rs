//! `/v3/…`: what merchants call. Verified on the way in, signed on the way out.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::json;

use super::answer::{Answer, Refusal, SignatureKind};
use super::call::Call;
use super::clock::beijing;
use super::endpoint::Endpoint;
use super::keys::KeyKind;
use super::prepay::Mode;
use super::signature::{SignedRequest, authorize, header, sign_answer};
use super::state::Shared;
use super::{bill_api, order_api, refund_api, sharing};

/// No request to these endpoints is near this.
const BODY_MAX: usize = 1 << 20;

pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let named = parts
        .headers
        .get("wechatpay-serial")
        .map(|value| value.to_str().unwrap_or(""));
    let kind = named.map(|serial| shared.switching.kind_named(&shared.keys, serial));

    let answer = match to_bytes(body, BODY_MAX).await {
        Ok(body) => {
            let call = Call {
                method: &parts.method,
                path: parts.uri.path(),
                query: parts.uri.query().unwrap_or(""),
                body: &body,
                serial: kind.flatten(),
                host: parts
                    .headers
                    .get(HOST)
                    .and_then(|value| value.to_str().ok()),
            };
            match admit(&shared, &parts.headers, target, &call, kind == Some(None)) {
                Ok(()) => route(&shared, &call).await,
                Err(refusal) => Err(refusal),
            }
        }
        Err(_) => Err(Refusal::param("请求的HTTP BODY过长")),
    };
    let (answer, signature_kind) = answer.unwrap_or_else(|refusal| {
        shared.stats.requests_refused.add();
        tracing::debug!(code = refusal.code, target, "simulated WeChat refuses");
        (refusal.into(), SignatureKind::Genuine)
    });
    // The kind that the request names signs; without a name it is the certificate.
    respond(
        &shared,
        shared
            .switching
            .signer(kind.flatten().unwrap_or(KeyKind::Certificate)),
        answer,
        signature_kind,
    )
}

/// What is asked of every request, before anybody looks at what it wants.
fn admit(
    shared: &Shared,
    headers: &HeaderMap,
    target: &str,
    call: &Call<'_>,
    unknown_serial: bool,
) -> Result<(), Refusal> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let accepts = text(ACCEPT)
        .is_some_and(|accept| accept.contains("application/json") || accept.contains("*/*"));
    if !accepts {
        let status = StatusCode::NOT_ACCEPTABLE;
        return Err(Refusal::new(
            status,
            "PARAM_ERROR",
            "Http头Accept必须包含application/json",
        ));
    }
    if text(USER_AGENT).is_none_or(str::is_empty) {
        return Err(Refusal::param("Http头缺少User-Agent"));
    }
    let is_json = text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    if !call.body.is_empty() && !is_json {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Refusal::new(
            status,
            "PARAM_ERROR",
            "Content-Type必须为application/json",
        ));
    }
    let signed = SignedRequest {
        method: call.method.as_str(),
        target,
        authorization: text(AUTHORIZATION),
        body: call.body,
    };
    authorize(&shared.keys, &shared.clock, signed)
        .inspect_err(|_| shared.stats.signatures_refused.add())?;
    if unknown_serial {
        return Err(Refusal::param("平台证书序列号Wechatpay-Serial错误"));
    }
    Ok(())
}

/// Every endpoint on one page, behind what may go wrong with all of them.
async fn route(shared: &Arc<Shared>, call: &Call<'_>) -> Result<(Answer, SignatureKind), Refusal> {
    let path: Vec<&str> = call.path.split('/').skip(2).collect();
    let get = call.method == Method::GET;
    // Shared money arrives when it is due, whoever asks for what.
    shared.settle_shares();
    let act = || match path.as_slice() {
        ["certificates"] if get && shared.draws(|faults| faults.no_certificates) => {
            Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "RESOURCE_NOT_EXISTS",
                "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥",
            ))
        }
        ["certificates"] if get => Ok(certificates(shared)),
        ["pay", "partner", "transactions", rest @ ..] => {
            order_api::route(shared, call, Mode::Partner, rest)
        }
        ["pay", "transactions", rest @ ..] => order_api::route(shared, call, Mode::Direct, rest),
        ["refund", rest @ ..] => refund_api::route(shared, call, rest),
        ["profitsharing", rest @ ..] => sharing::route::route(shared, call, rest),
        ["bill", "tradebill"] if get => bill_api::trade(shared, call),
        ["bill", "fundflowbill"] if get => bill_api::fund_flow(shared, call),
        ["billdownload", "file"] if get => bill_api::download(shared, call),
        _ => Err(Refusal::not_found()),
    };
    match Endpoint::of(get, &path, call.body) {
        Some((endpoint, number)) => shared.with_call_faults(endpoint, &number, act).await,
        None => act().map(|answer| (answer, SignatureKind::Genuine)),
    }
}

fn certificates(shared: &Shared) -> Answer {
    let entry = |kind: &KeyKind| {
        let (valid, pem) = shared.keys.certificate(*kind)?;
        let nonce = shared.ids.gcm_nonce();
        let next = shared.switching.next_cipher();
        let cipher = next.as_deref().unwrap_or(shared.keys.cipher());
        Some(json!({
            "serial_no": shared.keys.serial(*kind),
            "effective_time": beijing(valid.from),
            "expire_time": beijing(valid.until),
            "encrypt_certificate": {
                "algorithm": "AEAD_AES_256_GCM",
                "nonce": nonce,
                "associated_data": "certificate",
                "ciphertext": cipher.encrypt(&nonce, "certificate", pem.as_bytes().to_vec()),
            },
        }))
    };
    let in_force = shared.switching.certificates();
    let data: Vec<_> = in_force.iter().filter_map(entry).collect();
    Answer::ok(&json!({"data": data}))
}

/// The answer over the wire. Only a proxy's 502 and a bill's file leave the signature out by
/// themselves.
fn respond(
    shared: &Shared,
    kind: KeyKind,
    answer: Answer,
    signature_kind: SignatureKind,
) -> Response {
    let json = "application/json; charset=utf-8";
    let (status, content_type, body, signed) = match answer {
        Answer::Json(status, body) => (status, Some(json), body, true),
        Answer::Done => (StatusCode::NO_CONTENT, None, Vec::new(), true),
        Answer::File(content_type, body) => (StatusCode::OK, Some(content_type), body, false),
        Answer::BadGateway => {
            let page = "<html><head><title>502 Bad Gateway</title></head>\
                        <body><center><h1>502 Bad Gateway</h1></center></body></html>";
            let status = StatusCode::BAD_GATEWAY;
            (status, Some("text/html"), page.into(), false)
        }
        Answer::Cut => return cut(),
    };
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if signed && signature_kind != SignatureKind::Absent {
        sign_answer(
            &mut headers,
            &shared.keys,
            kind,
            &shared.clock,
            &shared.ids,
            &body,
        );
        spoil(&mut headers, shared, signature_kind);
    }
    // The digits after the dash are WeChat's own error number; 0 is none.
    let outcome = if status.is_success() {
        "0"
    } else {
        "268435459"
    };
    let request_id = format!("{}-{outcome}", shared.ids.token());
    headers.insert(HeaderName::from_static("request-id"), header(&request_id));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Changes a signature that was right.
fn spoil(headers: &mut HeaderMap, shared: &Shared, signature_kind: SignatureKind) {
    let Some(signature) = headers.get_mut("wechatpay-signature") else {
        return;
    };
    match signature_kind {
        SignatureKind::Genuine | SignatureKind::Absent => {}
        // Well-formed, and over something else.
        SignatureKind::Wrong => {
            *signature = header(&shared.keys.merchant().sign(b"something else"));
        }
        SignatureKind::Probe => {
            let genuine = signature.to_str().unwrap_or_default();
            *signature = header(&format!("WECHATPAY/SIGNTEST/{genuine}"));
        }
    }
}

/// Promises a body and breaks off before it: the merchant cannot know what was done.
fn cut() -> Response {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let body = futures_util::stream::once(async { Err::<Bytes, _>(broken) });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("512"));
    response
}
