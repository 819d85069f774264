//! `/v3/refund/domestic/refunds…`: asking for a refund, asking after it, and trying again.
//!
//! An answer of 200 says that WeChat has taken the refund on, and nothing more. The same number
//! with the same parameters gets the same refund again, so a merchant without an answer repeats it.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::{Call, decoded};
use super::clock::beijing;
use super::coupon::Coupon;
use super::lock::lock;
use super::orders::{Order, Orders};
use super::refund_request::{AbnormalRequest, PaymentName, RefundRequest};
use super::refunds::{Refund, RefundRefused, RefundState, Refunds, RequestedRefund, Timing};
use super::state::Shared;

/// Everything below `/v3/refund/`.
pub(super) fn route(
    shared: &Arc<Shared>,
    call: &Call<'_>,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    let (get, post) = (call.method == Method::GET, call.method == Method::POST);
    match rest {
        ["domestic", "refunds"] if post => apply(shared, call),
        ["domestic", "refunds", number] if get => query(shared, &decoded(number), call),
        ["domestic", "refunds", id, "apply-abnormal-refund"] if post => {
            try_again(shared, &decoded(id), call)
        }
        _ => Err(Refusal::not_found()),
    }
}

fn apply(shared: &Arc<Shared>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let RefundRequest { payment, asked } = RefundRequest::parse(call.body, &shared.keys)?;
    let switches = shared.faults();
    let timing = Timing {
        now: shared.clock.now(),
        instant: Instant::now(),
        compression: shared.compression,
        at_once: switches.refunds_at_once,
    };
    let mut orders = lock(&shared.orders);
    let mut refunds = lock(&shared.refunds);
    if let Some(known) = refunds.known(&asked).map_err(refused)? {
        return Ok(Answer::ok(&described(known)));
    }
    let refund = take_on(shared, &mut orders, &mut refunds, &payment, asked, timing)?;
    drop((refunds, orders));
    shared.process_refund(&refund, shared.refund_fate(&refund.out_refund_no));
    Ok(Answer::ok(&described(&refund)))
}

/// A refund with a new number: asks every rule and takes the money.
pub(super) fn take_on(
    shared: &Shared,
    orders: &mut Orders,
    refunds: &mut Refunds,
    payment: &PaymentName,
    asked: RequestedRefund,
    timing: Timing,
) -> Result<Refund, Refusal> {
    if refunds.known(&asked).map_err(refused)?.is_some() {
        return Err(refused(RefundRefused::OtherParameters));
    }
    let order = paid_order(orders, payment, asked.sub_mchid.as_deref())?;
    refunds.check(&asked, order, timing).map_err(refused)?;
    let receiver = order.party.receiver(&shared.keys);
    let settled_fen = refunds.settled_fen(&asked, order);
    if !lock(&shared.funds).take(receiver, settled_fen) {
        return Err(Refusal::not_enough());
    }
    let refund_id = shared.ids.refund_id(timing.now);
    let refund = refunds
        .accept(asked, order, refund_id, timing)
        .map_err(refused)?;
    orders.set_refunded(&refund.out_trade_no);
    shared.stats.refunds.add();
    Ok(refund)
}

/// The order that is to be refunded. Another merchant's order does not exist.
fn paid_order<'a>(
    orders: &'a Orders,
    payment: &PaymentName,
    sub_mchid: Option<&str>,
) -> Result<&'a Order, Refusal> {
    let order = match payment {
        PaymentName::TransactionId(id) => orders.by_transaction(id),
        PaymentName::OutTradeNo(number) => orders.by_number(number),
    };
    let not_exists = || Refusal::new(StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS", "订单不存在");
    let order = order.ok_or_else(not_exists)?;
    match (order.party.sub_mchid(), sub_mchid) {
        (Some(_), None) => Err(Refusal::missing("/sub_mchid")),
        (None, Some(given)) => {
            let issue = "直连商户的订单不能携带sub_mchid";
            Err(Refusal::field("/sub_mchid", Some(given.into()), issue))
        }
        (ours, theirs) if ours == theirs => Ok(order),
        (_, _) => Err(not_exists()),
    }
}

fn query(shared: &Shared, out_refund_no: &str, call: &Call<'_>) -> Result<Answer, Refusal> {
    let sub_mchid = call.parameter("sub_mchid");
    let refunds = lock(&shared.refunds);
    let refund = refunds
        .by_number(out_refund_no)
        .ok_or_else(Refusal::refund_not_exists)?;
    same_merchant(refund, sub_mchid.as_deref())?;
    Ok(Answer::ok(&described(refund)))
}

fn try_again(shared: &Arc<Shared>, refund_id: &str, call: &Call<'_>) -> Result<Answer, Refusal> {
    let asked = AbnormalRequest::parse(call.body, &shared.keys, call.serial)?;
    let mut refunds = lock(&shared.refunds);
    let refund = refunds
        .by_id(refund_id)
        .filter(|refund| refund.out_refund_no == asked.out_refund_no)
        .ok_or_else(Refusal::refund_not_exists)?;
    same_merchant(refund, asked.sub_mchid.as_deref())?;
    let refund = refunds
        .redirect(refund_id, asked.destination)
        .ok_or_else(|| {
            let status = StatusCode::BAD_REQUEST;
            Refusal::new(
                status,
                "INVALID_REQUEST",
                "退款单状态不是退款异常，无法发起异常退款",
            )
        })?;
    drop(refunds);
    shared.process_refund(&refund, shared.second_fate(&refund.out_refund_no));
    Ok(Answer::ok(&described(&refund)))
}

/// In partner mode the sub-merchant must be named, and be the refund's.
fn same_merchant(refund: &Refund, sub_mchid: Option<&str>) -> Result<(), Refusal> {
    match (refund.sub_mchid.as_deref(), sub_mchid) {
        (Some(_), None) => Err(Refusal::param("服务商模式下sub_mchid必填")),
        (ours, theirs) if ours == theirs => Ok(()),
        (_, _) => Err(Refusal::refund_not_exists()),
    }
}

pub(super) fn refused(why: RefundRefused) -> Refusal {
    let invalid = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message);
    match why {
        RefundRefused::OtherParameters | RefundRefused::OtherTotal => {
            invalid("订单金额或退款金额与之前请求不一致，请核实后再试")
        }
        RefundRefused::NumberSpent => invalid("该退款单已关闭，请更换商户退款单号重新申请"),
        RefundRefused::NotPaid => invalid("订单未支付，无法退款"),
        RefundRefused::MoreThanPaid => invalid("累计退款金额大于支付金额"),
        RefundRefused::TooMany => invalid("该订单的退款次数已达上限50次"),
        RefundRefused::TooLate => invalid("订单已超过可退款的期限"),
        RefundRefused::TooSoon => Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "FREQUENCY_LIMITED",
            "单笔订单请求频率过高，请于1分钟后重试",
        ),
    }
}

/// A refund as every answer describes it.
fn described(refund: &Refund) -> Value {
    let coupon = refund.coupon.as_ref();
    let borne_fen = coupon.map_or(0, Coupon::borne_by_merchant_fen);
    let mut body = json!({
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "transaction_id": refund.transaction_id,
        "out_trade_no": refund.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": refund.destination.word(),
        "create_time": beijing(refund.accepted_at),
        "status": refund.state.word(),
        "funds_account": refund.funds_account,
        "amount": {
            "total": refund.total_fen,
            "refund": refund.refund_fen,
            "payer_total": refund.total_fen.saturating_sub(refund.coupon_fen),
            "payer_refund": refund.refund_fen.saturating_sub(refund.discount_fen),
            "settlement_refund": refund.settled_fen(),
            "settlement_total": refund.total_fen.saturating_sub(borne_fen),
            "discount_refund": refund.discount_fen,
            "currency": "CNY",
        },
    });
    if let Some(promotion) = refund.promotion() {
        body["promotion_detail"] = promotion;
    }
    if !refund.from.is_empty() {
        let part = |(account, amount): &(&str, i64)| json!({"account": account, "amount": amount});
        body["amount"]["from"] = refund.from.iter().map(part).collect();
    }
    match refund.state {
        RefundState::Success { at } => body["success_time"] = json!(beijing(at)),
        RefundState::Processing | RefundState::Closed | RefundState::Abnormal => {}
    }
    body
}
