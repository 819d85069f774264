//! `/v3/…`: what merchants call. Verified on the way in, signed on the way out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use super::answer::{Answer, Refusal};
use super::clock::beijing;
use super::fields::Fields;
use super::keys::KeyKind;
use super::orders::{Order, OrderState, Reentry};
use super::prepay::{Mode, Prepay, mchid};
use super::server::{Shared, lock};
use super::signature::{SignedRequest, authorize, header, sign_answer};
use super::transaction::{Party, Transaction};

/// No request to these endpoints is near this.
const BODY_MAX: usize = 1 << 20;

/// A request whose signature held.
struct Call<'a> {
    method: &'a Method,
    path: &'a str,
    query: &'a str,
    body: &'a [u8],
}

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
    let kind = named.map(|serial| shared.keys.kind_named(serial));

    let answer = match to_bytes(body, BODY_MAX).await {
        Ok(body) => {
            let call = Call {
                method: &parts.method,
                path: parts.uri.path(),
                query: parts.uri.query().unwrap_or(""),
                body: &body,
            };
            let admitted = admit(&shared, &parts.headers, target, &call, kind == Some(None));
            match admitted {
                Ok(()) => route(&shared, &call).await.unwrap_or_else(|refusal| {
                    shared.stats.requests_refused.add();
                    tracing::debug!(code = refusal.code, target, "simulated WeChat refuses");
                    refusal.into()
                }),
                Err(refusal) => {
                    shared.stats.requests_refused.add();
                    tracing::debug!(code = refusal.code, target, "simulated WeChat refuses");
                    refusal.into()
                }
            }
        }
        Err(_) => Refusal::param("请求的HTTP BODY过长").into(),
    };
    // The kind that the request names signs; without a name it is the certificate.
    respond(
        &shared,
        kind.flatten().unwrap_or(KeyKind::Certificate),
        answer,
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

/// Every endpoint on one page.
async fn route(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let path: Vec<&str> = call.path.split('/').skip(2).collect();
    let get = call.method == Method::GET;
    let post = call.method == Method::POST;
    match path.as_slice() {
        ["certificates"] if get => Ok(certificates(shared)),
        ["pay", "partner", "transactions", "jsapi"] if post => {
            prepay(shared, Mode::Partner, call).await
        }
        ["pay", "transactions", "jsapi"] if post => prepay(shared, Mode::Direct, call).await,
        ["pay", "partner", "transactions", rest @ ..] => {
            transaction(shared, Mode::Partner, rest, call)
        }
        ["pay", "transactions", rest @ ..] => transaction(shared, Mode::Direct, rest, call),
        _ => Err(not_found()),
    }
}

fn transaction(
    shared: &Shared,
    mode: Mode,
    rest: &[&str],
    call: &Call<'_>,
) -> Result<Answer, Refusal> {
    match rest {
        ["out-trade-no", number] if call.method == Method::GET => {
            let orders = lock(&shared.orders);
            query(shared, mode, orders.by_number(&decoded(number)), call)
        }
        ["id", number] if call.method == Method::GET => {
            let orders = lock(&shared.orders);
            query(shared, mode, orders.by_transaction(&decoded(number)), call)
        }
        ["out-trade-no", number, "close"] if call.method == Method::POST => {
            close(shared, mode, &decoded(number), call)
        }
        _ => Err(not_found()),
    }
}

fn not_found() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "RESOURCE_NOT_EXISTS",
        "请求的URL不存在",
    )
}

async fn prepay(shared: &Shared, mode: Mode, call: &Call<'_>) -> Result<Answer, Refusal> {
    let (fate, faults) = shared.prepay_fate();
    if fate.slow {
        shared.stats.prepay_faults.add();
        shared
            .pause(Duration::from_millis(faults.prepay_slow_ms.into()))
            .await;
    }
    if fate.bad_gateway {
        shared.stats.prepay_faults.add();
        return Ok(Answer::BadGateway);
    }
    if fate.system_error {
        shared.stats.prepay_faults.add();
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Err(Refusal::new(
            status,
            "SYSTEM_ERROR",
            "系统异常，请用相同参数重新调用",
        ));
    }
    let now = shared.clock.now();
    let prepay = Prepay::parse(mode, call.body, &shared.keys, now)?;
    let issued = lock(&shared.orders).prepay(prepay, shared.ids.count(), now);
    let prepay_id = issued.map_err(|reentry| match reentry {
        Reentry::OtherParameters => Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            "请求重入时，参数与首次请求时不一致",
        ),
        Reentry::Paid => Refusal::order_paid(),
        Reentry::Closed => Refusal::new(
            StatusCode::BAD_REQUEST,
            "ORDER_CLOSED",
            "该订单已关闭，请重新下单",
        ),
    })?;
    shared.stats.prepays.add();
    if fate.commit_then_timeout {
        shared.stats.prepay_faults.add();
        shared
            .pause(Duration::from_millis(faults.prepay_hang_ms.into()))
            .await;
        return Ok(Answer::BadGateway);
    }
    Ok(Answer::ok(&json!({"prepay_id": prepay_id})))
}

fn query(
    shared: &Shared,
    mode: Mode,
    order: Option<&Order>,
    call: &Call<'_>,
) -> Result<Answer, Refusal> {
    let asked = |name: &str| {
        form_urlencoded::parse(call.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Refusal::param(format!("缺少查询参数{name}")))
    };
    let owner = match mode {
        Mode::Partner => Owner {
            mchid: asked("sp_mchid")?,
            sub_mchid: Some(asked("sub_mchid")?),
        },
        Mode::Direct => Owner {
            mchid: asked("mchid")?,
            sub_mchid: None,
        },
    };
    let order = owner.find(shared, order)?;
    let notice = order.notice();
    let state = match order.state {
        OrderState::Closed => ("CLOSED", "订单已关闭"),
        OrderState::NotPaid | OrderState::Paid { .. } => ("NOTPAY", "订单未支付"),
    };
    Ok(Answer::ok(&match &notice {
        Some(notice) => Transaction::paid(&shared.keys, notice),
        None => Transaction::unpaid(&shared.keys, &order.party, &order.out_trade_no, state),
    }))
}

fn close(
    shared: &Shared,
    mode: Mode,
    out_trade_no: &str,
    call: &Call<'_>,
) -> Result<Answer, Refusal> {
    let mut fields = Fields::of_body(call.body)?;
    let owner = match mode {
        Mode::Partner => Owner {
            mchid: mchid(&mut fields, "sp_mchid")?,
            sub_mchid: Some(mchid(&mut fields, "sub_mchid")?),
        },
        Mode::Direct => Owner {
            mchid: mchid(&mut fields, "mchid")?,
            sub_mchid: None,
        },
    };
    fields.finish()?;
    let mut orders = lock(&shared.orders);
    owner.find(shared, orders.by_number(out_trade_no))?;
    orders
        .close(out_trade_no)
        .map(|()| Answer::Done)
        .ok_or_else(Refusal::order_paid)
}

/// Whose order the caller says it is. Somebody else's order does not exist.
struct Owner {
    mchid: String,
    sub_mchid: Option<String>,
}

impl Owner {
    fn find<'a>(&self, shared: &Shared, order: Option<&'a Order>) -> Result<&'a Order, Refusal> {
        if self.mchid != shared.keys.sp_mchid() {
            return Err(Refusal::param("商户号与签名的商户号不一致"));
        }
        let order = order.ok_or_else(Refusal::order_not_exist)?;
        let sub_mchid = match &order.party {
            Party::Partner { sub_mchid, .. } => Some(sub_mchid),
            Party::Direct { .. } => None,
        };
        if sub_mchid == self.sub_mchid.as_ref() {
            Ok(order)
        } else {
            Err(Refusal::order_not_exist())
        }
    }
}

fn certificates(shared: &Shared) -> Answer {
    let valid = shared.keys.certificate_validity();
    let nonce = shared.ids.gcm_nonce();
    let pem = shared.keys.certificate_pem().as_bytes().to_vec();
    Answer::ok(&json!({"data": [{
        "serial_no": shared.keys.serial(KeyKind::Certificate),
        "effective_time": beijing(valid.from),
        "expire_time": beijing(valid.until),
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "certificate",
            "ciphertext": shared.keys.encrypt(&nonce, "certificate", pem),
        },
    }]}))
}

/// Undoes percent-encoding: a path segment is a form without `=`. (Order numbers have no `+`.)
fn decoded(segment: &str) -> String {
    form_urlencoded::parse(segment.as_bytes())
        .next()
        .map_or_else(String::new, |(text, _)| text.into())
}

/// The answer over the wire. Only a gateway leaves the signature out.
fn respond(shared: &Shared, kind: KeyKind, answer: Answer) -> Response {
    let (status, content_type, body, signed) = match answer {
        Answer::Json(status, body) => (status, Some("application/json; charset=utf-8"), body, true),
        Answer::Done => (StatusCode::NO_CONTENT, None, Vec::new(), true),
        Answer::BadGateway => {
            let page = "<html><head><title>502 Bad Gateway</title></head>\
                        <body><center><h1>502 Bad Gateway</h1></center></body></html>";
            (
                StatusCode::BAD_GATEWAY,
                Some("text/html"),
                page.into(),
                false,
            )
        }
    };
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if signed {
        sign_answer(
            &mut headers,
            &shared.keys,
            kind,
            &shared.clock,
            &shared.ids,
            &body,
        );
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
