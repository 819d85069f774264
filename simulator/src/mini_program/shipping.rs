//! `POST /wxa/sec/order/upload_shipping_info`: the merchant says that it has delivered.
//!
//! Mini-programs of some categories must, or the money of the payment stays frozen. Each payment
//! may be reported twice: once, and once more to correct it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::lock::lock;
use super::super::orders::{Order, OrderState};
use super::super::state::Shared;
use super::super::transaction::TradeType;
use super::admission::{TokenQuery, ok};
use super::errcode::Errcode;
use super::state::{Shipping, ShippingReports};

const PARCELS_MAX: usize = 15;
const ITEM_MAX: usize = 120;
/// Past this many the payment with the lowest number, which is the oldest, is forgotten.
const KEPT_MAX: usize = 100_000;

#[derive(Deserialize)]
struct ShippingRequest {
    order_key: OrderKey,
    logistics_type: u8,
    delivery_mode: u8,
    is_all_delivered: Option<bool>,
    shipping_list: Vec<Parcel>,
    upload_time: String,
    payer: Payer,
}

#[derive(Deserialize)]
struct OrderKey {
    order_number_type: u8,
    transaction_id: Option<String>,
    mchid: Option<String>,
    out_trade_no: Option<String>,
}

#[derive(Deserialize)]
struct Parcel {
    #[serde(default)]
    item_desc: String,
    tracking_no: Option<String>,
    express_company: Option<String>,
}

#[derive(Deserialize)]
struct Payer {
    openid: String,
}

pub(super) async fn upload(
    State(shared): State<Arc<Shared>>,
    query: Query<TokenQuery>,
    body: Bytes,
) -> Response {
    match take(&shared, &query, &body) {
        Ok(()) => ok(),
        Err(errcode) => shared.refusal(errcode),
    }
}

fn take(shared: &Shared, query: &Query<TokenQuery>, body: &[u8]) -> Result<(), Errcode> {
    let request: ShippingRequest = shared.admit_mini_program(query, body)?;
    let upload_time = check(&request)?;
    let orders = lock(&shared.orders);
    let unknown = || Errcode::new(10_060_001, "支付单不存在");
    let order = match (&request.order_key, request.order_key.order_number_type) {
        (
            OrderKey {
                mchid: Some(mchid),
                out_trade_no: Some(number),
                ..
            },
            1,
        ) => orders
            .by_number(number)
            .filter(|order| order.party.receiver(&shared.keys) == mchid),
        (
            OrderKey {
                transaction_id: Some(id),
                ..
            },
            2,
        ) => orders.by_transaction(id),
        (_, _) => return Err(Errcode::new(10_060_014, "参数错误")),
    }
    .ok_or_else(unknown)?;
    // A code scanned on a counter is no order of the mini-program.
    let (OrderState::Paid { transaction_id, .. }, TradeType::Jsapi) =
        (&order.state, order.trade_type)
    else {
        return Err(unknown());
    };
    if order.party.mini_program_payer() != request.payer.openid {
        let message = "该笔支付单不属于openid所指定的用户";
        return Err(Errcode::new(10_060_031, message));
    }
    let refunded_fen = lock(&shared.refunds).refunded_fen(&order.out_trade_no);
    if refunded_fen >= order.total_fen {
        return Err(Errcode::new(10_060_004, "支付单处于不可发货的状态"));
    }
    let shipping = shipping_of(&request, order, transaction_id, upload_time);
    record(&mut lock(&shared.mini_program.shipping), shipping)?;
    shared.stats.shippings_reported.add();
    Ok(())
}

/// The rules for the fields; gives the time.
fn check(request: &ShippingRequest) -> Result<OffsetDateTime, Errcode> {
    let fail = |code, message: &str| Err(Errcode::new(code, message));
    if !(1..=4).contains(&request.logistics_type) {
        return fail(10_060_005, "物流类型有误");
    }
    match request.delivery_mode {
        2 if request.logistics_type != 1 => {
            return fail(10_060_006, "非快递发货时不允许分拆发货");
        }
        2 if request.is_all_delivered.is_none() => {
            return fail(10_060_007, "分拆发货模式下必须填写 is_all_delivered 字段");
        }
        1 | 2 => {}
        _ => return fail(268_485_224, "发货模式非法"),
    }
    let parcels_max = if request.delivery_mode == 1 {
        1
    } else {
        PARCELS_MAX
    };
    if !(1..=parcels_max).contains(&request.shipping_list.len()) {
        return fail(10_060_024, "物流信息列表长度有误");
    }
    for parcel in &request.shipping_list {
        if parcel.item_desc.trim().is_empty() {
            return fail(10_060_008, "商品描述 item_desc 字段不能为空");
        }
        if parcel.item_desc.chars().count() > ITEM_MAX {
            return fail(10_060_009, "商品描述 item_desc 字段太长");
        }
        let express = parcel.tracking_no.is_some() && parcel.express_company.is_some();
        if request.logistics_type == 1 && !express {
            return fail(10_060_014, "参数错误：快递发货必须填写物流单号与物流公司");
        }
    }
    let bad_time = |_| Errcode::new(268_485_216, "上传时间非法，请确认时间格式是否正确");
    OffsetDateTime::parse(&request.upload_time, &Rfc3339).map_err(bad_time)
}

fn shipping_of(
    request: &ShippingRequest,
    order: &Order,
    transaction_id: &str,
    at: OffsetDateTime,
) -> Shipping {
    let items = request.shipping_list.iter();
    Shipping {
        out_trade_no: order.out_trade_no.to_string(),
        transaction_id: transaction_id.to_owned(),
        logistics_type: request.logistics_type,
        items: items.map(|parcel| parcel.item_desc.clone()).collect(),
        upload_time: at,
        uploads: 1,
    }
}

/// The second time corrects the first and must be newer; a third time is too often.
fn record(book: &mut ShippingReports, mut shipping: Shipping) -> Result<(), Errcode> {
    if let Some(before) = book.get(&shipping.transaction_id) {
        if before.uploads >= 2 {
            return Err(Errcode::new(10_060_003, "支付单已使用重新发货机会"));
        }
        if shipping.upload_time <= before.upload_time {
            return Err(Errcode::new(10_060_023, "发货信息未更新"));
        }
        shipping.uploads = before.uploads + 1;
    }
    book.insert(shipping.transaction_id.clone(), shipping);
    if book.len() > KEPT_MAX {
        book.pop_first();
    }
    Ok(())
}

/// `GET /sim/shipping`: what merchants reported, by WeChat's numbers.
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Vec<Shipping>> {
    Json(shared.shippings())
}

impl Shared {
    pub(in super::super) fn shippings(&self) -> Vec<Shipping> {
        lock(&self.mini_program.shipping)
            .values()
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    fn good() -> Value {
        json!({
            "order_key": {"order_number_type": 2, "transaction_id": "42"},
            "logistics_type": 4, "delivery_mode": 1,
            "shipping_list": [{"item_desc": "牛肉面"}],
            "upload_time": "2026-11-21T20:00:00.120+08:00", "payer": {"openid": "oA"},
        })
    }

    fn code(body: Value) -> i64 {
        let request: ShippingRequest = serde_json::from_value(body).unwrap();
        check(&request).map_or_else(|errcode| errcode.0, |_| 0)
    }

    #[test]
    fn every_broken_rule_has_its_code() {
        assert_eq!(code(good()), 0);
        let with = |name: &str, value: Value| {
            let mut body = good();
            body[name] = value;
            code(body)
        };
        assert_eq!(with("logistics_type", json!(5)), 10_060_005);
        assert_eq!(with("delivery_mode", json!(3)), 268_485_224);
        assert_eq!(with("delivery_mode", json!(2)), 10_060_006);
        assert_eq!(with("logistics_type", json!(1)), 10_060_014);
        assert_eq!(with("shipping_list", json!([])), 10_060_024);
        assert_eq!(with("shipping_list", json!([{}])), 10_060_008);
        let long = json!([{"item_desc": "面".repeat(121)}]);
        assert_eq!(with("shipping_list", long), 10_060_009);
        assert_eq!(with("upload_time", json!("2026-11-21")), 268_485_216);
    }

    #[test]
    fn it_may_be_corrected_once_and_with_something_newer() {
        let at = datetime!(2026-11-21 12:00:00 UTC);
        let shipping = |at| Shipping {
            out_trade_no: "ORDER-1".to_owned(),
            transaction_id: "42".to_owned(),
            logistics_type: 4,
            items: vec!["牛肉面".to_owned()],
            upload_time: at,
            uploads: 1,
        };
        let later = |n| at + time::Duration::seconds(n);
        let mut book = ShippingReports::new();
        record(&mut book, shipping(at)).unwrap();
        assert_eq!(record(&mut book, shipping(at)).unwrap_err().0, 10_060_023);
        record(&mut book, shipping(later(1))).unwrap();
        assert_eq!(book["42"].uploads, 2);
        assert_eq!(
            record(&mut book, shipping(later(2))).unwrap_err().0,
            10_060_003
        );
    }
}
