//! `/v3/pay/…`: prepay and native, query, close; direct and partner mode.

use http::{Method, StatusCode};
use serde_json::json;

use super::answer::{Answer, Refusal};
use super::call::{Call, decoded};
use super::fields::Fields;
use super::lock::lock;
use super::orders::{NotClosed, Order, Reentry};
use super::prepay::{Mode, Prepay, mchid};
use super::state::Shared;
use super::transaction::{TradeType, Transaction};

/// Everything below `/v3/pay/transactions/` and `/v3/pay/partner/transactions/`.
pub(super) fn route(
    shared: &Shared,
    call: &Call<'_>,
    mode: Mode,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    let (get, post) = (call.method == Method::GET, call.method == Method::POST);
    match rest {
        ["jsapi"] if post => prepay(shared, mode, TradeType::Jsapi, call),
        ["native"] if post => prepay(shared, mode, TradeType::Native, call),
        ["out-trade-no", number] if get => {
            let orders = lock(&shared.orders);
            query(shared, mode, orders.by_number(&decoded(number)), call)
        }
        ["id", number] if get => {
            let orders = lock(&shared.orders);
            query(shared, mode, orders.by_transaction(&decoded(number)), call)
        }
        ["out-trade-no", number, "close"] if post => close(shared, mode, &decoded(number), call),
        _ => Err(Refusal::not_found()),
    }
}

fn prepay(
    shared: &Shared,
    mode: Mode,
    trade_type: TradeType,
    call: &Call<'_>,
) -> Result<Answer, Refusal> {
    let now = shared.clock.now();
    let prepay = Prepay::parse(mode, trade_type, call.body, &shared.keys, now)?;
    let issued = lock(&shared.orders).prepay(prepay, shared.ids.count(), now);
    let token = issued.map_err(|reentry| match reentry {
        Reentry::OtherParameters if shared.draws(|faults| faults.number_says_used) => {
            Refusal::new(StatusCode::FORBIDDEN, "OUT_TRADE_NO_USED", "商户订单号重复")
        }
        Reentry::OtherParameters => Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            "201 商户订单号重复",
        ),
        Reentry::Paid => Refusal::order_paid(),
        Reentry::Closed => Refusal::new(
            StatusCode::BAD_REQUEST,
            "ORDER_CLOSED",
            "该订单已关闭，请重新下单",
        ),
    })?;
    shared.stats.prepays.add();
    Ok(Answer::ok(&match trade_type {
        TradeType::Jsapi => json!({"prepay_id": token}),
        TradeType::Native => json!({"code_url": token}),
    }))
}

fn query(
    shared: &Shared,
    mode: Mode,
    order: Option<&Order>,
    call: &Call<'_>,
) -> Result<Answer, Refusal> {
    let asked = |name: &str| call.required_parameter(name);
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
    let keys = &shared.keys;
    let notice = order.notice();
    Ok(Answer::ok(&match &notice {
        Some(notice) if order.refunded => Transaction::paid(keys, notice).refunded(),
        Some(notice) => Transaction::paid(keys, notice),
        None => Transaction::unpaid(keys, &order.party, &order.out_trade_no, order.trade_state())
            .asking(order.total_fen),
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
    let busy = shared.draws(|faults| faults.close_while_paying);
    let says_paying = shared.draws(|faults| faults.close_says_paying);
    let mut orders = lock(&shared.orders);
    owner.find(shared, orders.by_number(out_trade_no))?;
    match orders.close(out_trade_no, busy) {
        Ok(()) => Ok(Answer::Done),
        Err(NotClosed::Unknown) => Err(Refusal::order_not_exist()),
        Err(NotClosed::Paid) => Err(Refusal::order_paid()),
        Err(NotClosed::Paying) if says_paying => Err(Refusal::new(
            StatusCode::ACCEPTED,
            "USERPAYING",
            "用户支付中，需要输入密码",
        )),
        Err(NotClosed::Paying) => Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "FREQUENCY_LIMITED",
            "用户正在支付中，请稍后再试",
        )),
    }
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
        if order.party.sub_mchid() == self.sub_mchid.as_deref() {
            Ok(order)
        } else {
            Err(Refusal::order_not_exist())
        }
    }
}
