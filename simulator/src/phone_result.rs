//! The page after paying: paid is what the service says, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use secrecy::ExposeSecret;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::offset};

use super::html::{escape, page, page_again, yuan};
use super::phone_pages::{PageResult, page_response, put, query};
use super::phone_service::{PhoneError, Service};
use super::state::Shared;

/// How often the result page asks the service before it answers, and how often it loads itself.
const ASKS_PER_PAGE: u32 = 10;
const PAGES_MAX: u32 = 30;

#[derive(Deserialize)]
pub(super) struct Turn {
    #[serde(default)]
    turn: u32,
}

/// `GET /phone/result/{prepay_id}`: only the service's word that it is paid counts.
pub(super) async fn result(
    State(shared): State<Arc<Shared>>,
    Path(prepay_id): Path<String>,
    Query(Turn { turn }): Query<Turn>,
) -> PageResult {
    let visit = shared.phone.visit(&prepay_id)?;
    let service = shared.phone.service()?;
    let token = visit.token.expose_secret();
    let mut order = service.order(token, &visit.order_no).await?;
    for _ in 1..ASKS_PER_PAGE {
        if order.status == "paid" {
            break;
        }
        shared.pause(Duration::from_millis(300)).await;
        order = service.order(token, &visit.order_no).await?;
    }
    let again = query(&[
        ("customer", &visit.customer),
        ("code", &visit.merchant.code),
    ]);
    if order.status != "paid" {
        let body = format!(
            "<div class=sheet><p class=name>支付结果确认中…</p><p class=amount>¥{}</p>\
             <p class=hint>微信已扣款，商家系统说：{}</p>\
             <a class=button href=\"/phone/result/{}\">再看一次</a>\
             <a class=button href=\"/phone?{}\">返回</a></div>",
            yuan(visit.amount_fen),
            escape(&order.status),
            escape(&prepay_id),
            escape(&again),
        );
        let next = format!("/phone/result/{prepay_id}?turn={}", turn + 1);
        let waiting = if turn < PAGES_MAX {
            page_again("微信支付", &next, &body)
        } else {
            page("微信支付", &body)
        };
        return Ok(page_response(waiting));
    }
    let mut body = format!(
        "<div class=sheet><p class=ok>支付成功</p><p class=name>{}</p><p class=amount>¥{}</p>",
        escape(&visit.merchant.merchant_name),
        yuan(visit.amount_fen),
    );
    if let Some(points) = order.points_earned {
        put(
            &mut body,
            format_args!("<p class=points>获得 {points} 积分</p>"),
        );
    }
    body.push_str("</div>");
    points(&mut body, service, token).await;
    put(
        &mut body,
        format_args!(
            "<a class=button href=\"/phone?{}\">再付一笔</a><p class=hint>订单 {}</p>",
            escape(&again),
            escape(&visit.order_no),
        ),
    );
    Ok(page_response(page("支付成功", &body)))
}

/// The balance and the last records. Trouble here does not take away that it is paid.
async fn points(body: &mut String, service: &Service, token: &str) {
    body.push_str("<div class=card><h2>我的积分</h2>");
    match service.points(token).await {
        Ok(balance) => {
            put(
                body,
                format_args!("<p class=points>可用 {}", balance.available),
            );
            if balance.held != 0 {
                put(body, format_args!("，待确认 {}", balance.held));
            }
            body.push_str("</p>");
        }
        Err(PhoneError(sentence)) => put(
            body,
            format_args!("<p class=error>{}</p>", escape(&sentence)),
        ),
    }
    match service.records(token).await {
        Ok(records) => {
            body.push_str("<table>");
            for record in records {
                let merchant = record.merchant_name.as_deref().unwrap_or_default();
                let balance = record
                    .points_balance
                    .map_or_else(String::new, |n| n.to_string());
                put(
                    body,
                    format_args!(
                        "<tr><td>{} {}<p class=hint>{}</p></td><td class=number>{:+}\
                     <p class=hint>{balance}</p></td></tr>",
                        escape(in_chinese(&record.change_type)),
                        escape(merchant),
                        escape(&in_beijing(&record.created_at)),
                        record.points_change,
                    ),
                );
            }
            body.push_str("</table>");
        }
        Err(PhoneError(sentence)) => put(
            body,
            format_args!("<p class=error>{}</p>", escape(&sentence)),
        ),
    }
    body.push_str("</div>");
}

/// A customer reads what kind of change it was.
fn in_chinese(change_type: &str) -> &str {
    match change_type {
        "earn" => "消费积分",
        "adjust" => "积分调整",
        other => other,
    }
}

/// A customer reads the time on the wall: `11月21日 22:48`.
fn in_beijing(created_at: &str) -> String {
    let Ok(at) = OffsetDateTime::parse(created_at, &Rfc3339) else {
        return created_at.to_owned();
    };
    let at = at.to_offset(offset!(+8));
    let (month, day) = (u8::from(at.month()), at.day());
    format!("{month}月{day}日 {:02}:{:02}", at.hour(), at.minute())
}
