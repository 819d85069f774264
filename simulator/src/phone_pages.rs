//! `/phone`: the customer's phone.
//!
//! A person picks a customer and a merchant, enters an amount, sees WeChat's pay sheet and pays.
//! The phone drives the real service through its public API, from the server's side, as the
//! mini-program would; WeChat's part (checking paySign, taking the money, sending the callback) is
//! the simulator's own. Pages are plain HTML and need no script.

use std::fmt::Write;
use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use secrecy::SecretString;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::error::PayError;
use super::html::{escape, fen, page, yuan};
use super::lock::lock;
use super::login_codes::openid_for;
use super::orders::OrderName;
use super::payment::Payment;
use super::phone::Visit;
use super::phone_service::{Created, PhoneError};
use super::state::Shared;

const CUSTOMERS: [&str; 5] = [
    "demo-customer-1",
    "demo-customer-2",
    "demo-customer-3",
    "demo-customer-4",
    "demo-customer-5",
];
pub(super) type PageResult = Result<Response, PhoneError>;

impl IntoResponse for PhoneError {
    fn into_response(self) -> Response {
        let body = format!(
            "<div class=sheet><p class=error>{}</p><a class=button href=/phone>返回</a></div>",
            escape(&self.0)
        );
        page_response(page("出错了", &body))
    }
}

/// Returns a page with headers that forbid scripts and whatever the page does not hold itself.
pub(super) fn page_response(page: String) -> Response {
    let mut response = Html(page).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
        ),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Who holds the phone, and what they scan.
#[derive(Deserialize)]
pub(super) struct PhoneQuery {
    #[serde(default)]
    customer: String,
    #[serde(default)]
    other: String,
    #[serde(default)]
    code: String,
}

impl PhoneQuery {
    /// The name typed in, or else the one chosen.
    fn customer(&self) -> &str {
        let typed = self.other.trim();
        let name = if typed.is_empty() {
            self.customer.trim()
        } else {
            typed
        };
        // The codes are `sim-demo-customer-1`; whoever types the whole of it means the same.
        let name = name.strip_prefix("sim-").unwrap_or(name);
        if name.is_empty() { CUSTOMERS[0] } else { name }
    }
}

/// `GET /phone?code=…`: who am I, and what do I scan?
pub(super) async fn home(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<PhoneQuery>,
) -> Response {
    let chosen = asked.customer();
    let mut body = String::from(
        "<form action=/phone/merchant><div class=card><h2>我是</h2><div class=choice>",
    );
    for (n, name) in CUSTOMERS.iter().enumerate() {
        let checked = if *name == chosen { " checked" } else { "" };
        put(
            &mut body,
            format_args!(
                "<label><input type=radio name=customer value=\"{name}\"{checked}>顾客 {}</label>",
                n + 1
            ),
        );
    }
    let typed = if CUSTOMERS.contains(&chosen) {
        ""
    } else {
        chosen
    };
    put(
        &mut body,
        format_args!(
            "</div><label for=other>或其他名字</label>\
         <input type=text id=other name=other maxlength=64 autocomplete=off value=\"{}\"></div>\
         <div class=card><h2>扫一扫</h2><label for=code>收款码（码或链接）</label>\
         <input type=text id=code name=code maxlength=512 autocomplete=off value=\"{}\">\
         <button class=pay>打开</button></div>",
            escape(typed),
            escape(&asked.code),
        ),
    );
    let merchants = lock(&shared.phone.merchants).clone();
    if !merchants.is_empty() {
        body.push_str("<div class=card><h2>附近的店</h2>");
        for merchant in merchants {
            // The button's value comes before the text field in no browser, so it has its own name.
            put(
                &mut body,
                format_args!(
                    "<button name=merchant value=\"{}\">{}</button>",
                    escape(&merchant.code),
                    escape(&merchant.name)
                ),
            );
        }
        body.push_str("</div>");
    }
    body.push_str("</form>");
    page_response(page("模拟手机", &body))
}

#[derive(Deserialize)]
pub(super) struct Scanned {
    #[serde(flatten)]
    asked: PhoneQuery,
    #[serde(default)]
    merchant: String,
    #[serde(default)]
    said: String,
}

/// `GET /phone/merchant`: the merchant behind the code, and how much.
pub(super) async fn merchant(
    State(shared): State<Arc<Shared>>,
    Query(Scanned {
        asked,
        merchant,
        said,
    }): Query<Scanned>,
) -> PageResult {
    let scanned = if merchant.is_empty() {
        code_of(&asked.code)
    } else {
        merchant
    };
    if scanned.is_empty() {
        return Err(PhoneError("请输入收款码或选择一家店".to_owned()));
    }
    let code = shared.phone.service()?.code(&scanned).await?;
    let customer = asked.customer();
    let label = code.label.as_deref().unwrap_or_default();
    let mut body = String::new();
    if !said.is_empty() {
        put(
            &mut body,
            format_args!("<div class=card><p class=hint>{}</p></div>", escape(&said)),
        );
    }
    let amount = match code.amount_fen {
        Some(fixed) => format!(
            "<p class=amount>¥{0}</p><input type=hidden name=amount value=\"{0}\">",
            yuan(fixed)
        ),
        None => "<label for=amount>金额（元）</label><input class=yuan type=text id=amount \
                 name=amount inputmode=decimal pattern=\"[0-9]+([.][0-9]{0,2})?\" \
                 placeholder=0.00 required autofocus autocomplete=off>"
            .to_owned(),
    };
    put(
        &mut body,
        format_args!(
            "<form method=post action=/phone/order><div class=card><p class=name>{}</p>\
         <p class=hint>{}</p>{amount}\
         <input type=hidden name=customer value=\"{}\"><input type=hidden name=code value=\"{}\">\
         <input type=hidden name=key value=\"{}\"><button class=pay>付款</button>\
         <a class=button href=\"/phone?{}\">返回</a></div></form>",
            escape(&code.merchant_name),
            escape(label),
            escape(customer),
            escape(&code.code),
            // One form, one intention: pressing twice makes one order.
            shared.ids.notification_id(),
            escape(&query(&[("customer", customer)])),
        ),
    );
    Ok(page_response(page(&code.merchant_name, &body)))
}

#[derive(Deserialize)]
pub(super) struct OrderForm {
    customer: String,
    code: String,
    amount: String,
    key: String,
}

/// `POST /phone/order`: the mini-program asks the service for an order and calls WeChat with it.
pub(super) async fn order(
    State(shared): State<Arc<Shared>>,
    Form(form): Form<OrderForm>,
) -> PageResult {
    let amount_fen = fen(&form.amount)
        .ok_or_else(|| PhoneError("金额不正确，请输入如 12.80 的金额".to_owned()))?;
    let service = shared.phone.service()?;
    let merchant = service.code(&form.code).await?;
    let token = service.login(&form.customer).await?;
    let created = service
        .create_payment(&token, &form.key, &form.code, amount_fen)
        .await?;
    let prepay_id = request_payment(&shared, &created)?.to_owned();
    let visit = Visit {
        customer: form.customer,
        merchant,
        order_no: created.order_no,
        amount_fen: created.amount_fen,
        token: SecretString::from(token),
    };
    shared.phone.remember(prepay_id.clone(), visit);
    Ok(Redirect::to(&format!("/phone/pay/{prepay_id}")).into_response())
}

/// What WeChat's client does with the parameters: the signature must be the merchant's over the
/// mini-program's own app id, and the token must be one that WeChat gave out.
fn request_payment<'a>(shared: &Shared, created: &'a Created) -> Result<&'a str, PhoneError> {
    let pay = &created.wechat_pay;
    let message = format!(
        "{}\n{}\n{}\n{}\n",
        shared.keys.app_id(),
        pay.time_stamp,
        pay.nonce_str,
        pay.package
    );
    if pay.sign_type != "RSA"
        || !shared
            .keys
            .merchant()
            .verify(message.as_bytes(), &pay.pay_sign)
    {
        return Err(PhoneError(
            "requestPayment:fail 支付验证签名失败".to_owned(),
        ));
    }
    let prepay_id = pay.package.strip_prefix("prepay_id=");
    let prepay_id =
        prepay_id.ok_or_else(|| PhoneError("requestPayment:fail 缺少参数 prepay_id".to_owned()))?;
    let orders = lock(&shared.orders);
    orders
        .by_name(OrderName::PrepayId(prepay_id), shared.clock.now())
        .map_err(|error| {
            PhoneError(format!(
                "requestPayment:fail {}",
                error.code_and_sentence().1
            ))
        })?;
    Ok(prepay_id)
}

/// `GET /phone/pay/{prepay_id}`: WeChat's pay sheet. The amount is WeChat's, not the service's.
pub(super) async fn sheet(
    State(shared): State<Arc<Shared>>,
    Path(prepay_id): Path<String>,
) -> PageResult {
    let visit = shared.phone.visit(&prepay_id)?;
    let total_fen = lock(&shared.orders)
        .by_name(OrderName::PrepayId(&prepay_id), shared.clock.now())
        .map(|order| order.total_fen)
        .map_err(|error| PhoneError(error.code_and_sentence().1.to_owned()))?;
    let back = query(&[
        ("customer", &visit.customer),
        ("code", &visit.merchant.code),
        ("said", "已取消支付，订单还可以再付"),
    ]);
    let body = format!(
        "<div class=sheet><p class=name>{}</p><p class=amount>¥{}</p>\
         <form method=post><button class=pay>立即支付</button></form>\
         <a class=button href=\"/phone/merchant?{}\">取消</a>\
         <p class=hint>订单 {}</p></div>",
        escape(&visit.merchant.merchant_name),
        yuan(total_fen),
        escape(&back),
        escape(&visit.order_no),
    );
    Ok(page_response(page("微信支付", &body)))
}

/// `POST /phone/pay/{prepay_id}`: the money moves and the callback is sent.
pub(super) async fn pay(
    State(shared): State<Arc<Shared>>,
    Path(prepay_id): Path<String>,
) -> PageResult {
    let visit = shared.phone.visit(&prepay_id)?;
    let openid = openid_for(&visit.customer);
    let how = Payment {
        openid: Some(openid),
        ..Payment::default()
    };
    match shared.pay(OrderName::PrepayId(&prepay_id), how) {
        // Pressed twice: paid once.
        Ok(_) | Err(PayError::AlreadyPaid) => {}
        Err(error) => return Err(PhoneError(error.code_and_sentence().1.to_owned())),
    }
    Ok(Redirect::to(&format!("/phone/result/{prepay_id}")).into_response())
}

/// A collection code, or the last part of the link that carries it.
fn code_of(text: &str) -> String {
    let text = text.trim();
    let from_link = Url::parse(text).ok().filter(Url::has_host).and_then(|url| {
        url.path_segments()
            .and_then(|mut parts| parts.rfind(|part| !part.is_empty()).map(str::to_owned))
    });
    from_link.unwrap_or_else(|| text.to_owned())
}

pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

pub(super) fn put(body: &mut String, text: std::fmt::Arguments<'_>) {
    body.write_fmt(text)
        .expect("writing into a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_from_its_link_or_as_it_is() {
        assert_eq!(code_of(" c0de "), "c0de");
        assert_eq!(code_of("https://pay.example.com/c/c0de"), "c0de");
        assert_eq!(code_of("https://pay.example.com/c/c0de/?from=1"), "c0de");
    }
}
