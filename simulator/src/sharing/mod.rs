//! Profit sharing 分账: what a merchant gives of a payment to others.
//!
//! A payment that was asked for with `settle_info.profit_sharing` is frozen: the merchant cannot
//! use the money until it is shared or unfrozen, or thirty days have passed. What is left to share
//! is what was paid, less the fee, less what went back to the user, less what is shared or being
//! shared. So a refund takes from the unshared money first; where that does not suffice, the
//! merchant's balance pays, and `return-orders` brings shared money back into it beforehand.
//!
//! | call | answer |
//! |---|---|
//! | `POST receivers/add`, `receivers/delete` | who may be paid; repeatable |
//! | `POST orders`, `GET orders/{out_order_no}` | `PROCESSING`, 30 s later `FINISHED` |
//! | `POST orders/unfreeze` | the rest is the merchant's own; final |
//! | `POST return-orders`, `GET return-orders/{out_return_no}` | a merchant gives back |
//! | `GET transactions/{transaction_id}/amounts` | what is left to share |
//! | `GET merchant-configs/{sub_mchid}` | how much of an order may be shared |
//!
//! Direct mode has the same paths without `sub_mchid`. A number is unique over all merchants, as
//! `out_trade_no` is. Names are encrypted anew by every request, so "the same parameters" compares
//! them in the clear. Rules: pay.weixin.qq.com/doc/v3/partner/4012690683 and its neighbours; the
//! Chinese messages are those that WeChat's staff explain in their list of frequent questions.

mod book;
mod fate;
mod receivers;
mod request;
mod returns;
mod share;

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::answer::{Answer, Refusal};
use super::merchant_api::{Call, decoded, not_found};
use super::merchants::MerchantRules;
use super::orders::OrderState;
use super::server::{Shared, lock};

pub(super) use book::{Book, Moment, Outcome, ReturnOutcome};
pub use fate::{ForcedReceiver, ReturnFailure, ShareFailure, ShareResult, SharingFaults};
pub(super) use request::no_record;
pub(super) use share::{ShareNews, share_elsewhere};

/// So long the money of a payment stays frozen; then it is the merchant's.
const FROZEN: Duration = Duration::days(30);

/// Every endpoint below `/v3/profitsharing`.
pub(super) fn route(shared: &Shared, call: &Call<'_>, path: &[&str]) -> Result<Answer, Refusal> {
    let get = call.method == Method::GET;
    let post = call.method == Method::POST;
    match path {
        ["receivers", "add"] if post => receivers::add(shared, call),
        ["receivers", "delete"] if post => receivers::delete(shared, call),
        ["orders"] if post => share::share(shared, call),
        ["orders", "unfreeze"] if post => share::unfreeze(shared, call),
        ["orders", number] if get => share::query(shared, call, &decoded(number)),
        ["return-orders"] if post => returns::give_back(shared, call),
        ["return-orders", number] if get => returns::query(shared, call, &decoded(number)),
        ["transactions", id, "amounts"] if get => amounts(shared, &decoded(id)),
        ["merchant-configs", mchid] if get => merchant_config(shared, &decoded(mchid)),
        _ => Err(not_found()),
    }
}

/// A payment whose money can be shared.
#[derive(Debug)]
struct Frozen {
    transaction_id: String,
    out_trade_no: String,
    mchid: String,
    partner: bool,
    total_fen: i64,
    paid: Moment,
}

impl Frozen {
    /// The payment of that number. To WeChat an unknown one is simply not to be shared.
    fn find(shared: &Shared, transaction_id: &str) -> Result<Self, Refusal> {
        let refused = || {
            let status = StatusCode::BAD_REQUEST;
            Refusal::new(status, "INVALID_REQUEST", "非分账订单不支持分账")
        };
        let orders = lock(&shared.orders);
        let order = orders.by_transaction(transaction_id).ok_or_else(refused)?;
        let OrderState::Paid { paid_at, .. } = &order.state else {
            return Err(refused());
        };
        if !order.profit_sharing {
            return Err(refused());
        }
        Ok(Self {
            transaction_id: transaction_id.to_owned(),
            out_trade_no: order.out_trade_no.to_string(),
            mchid: order.party.receiver(&shared.keys).to_owned(),
            partner: order.party.sub_mchid().is_some(),
            total_fen: order.total_fen,
            paid: Moment {
                now: *paid_at,
                instant: order.paid_instant.unwrap_or_else(Instant::now),
            },
        })
    }

    /// What may still be shared, in fen; `refunded_fen` went back to the user or is on its way.
    fn unsplit_fen(
        &self,
        book: &Book,
        rules: MerchantRules,
        refunded_fen: i64,
        now: OffsetDateTime,
    ) -> i64 {
        if book.is_unfrozen(&self.transaction_id) || now - self.paid.now >= FROZEN {
            return 0;
        }
        let kept = self.total_fen.saturating_sub(refunded_fen).max(0);
        kept.saturating_sub(rules.fee_fen(kept))
            .saturating_sub(book.spoken_for_fen(&self.transaction_id))
            .max(0)
    }
}

impl Shared {
    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: self.clock.now(),
            instant: Instant::now(),
        }
    }

    /// Ends the shares and returns that have taken long enough.
    pub(super) fn settle_shares(&self) {
        let moment = self.moment();
        let mut book = lock(&self.sharing);
        book.settle(&mut lock(&self.funds), moment, self.compression);
    }
}

/// `GET …/transactions/{transaction_id}/amounts`.
fn amounts(shared: &Shared, transaction_id: &str) -> Result<Answer, Refusal> {
    let frozen = Frozen::find(shared, transaction_id)?;
    let refunded_fen = lock(&shared.refunds).refunded_fen(&frozen.out_trade_no);
    let rules = shared.merchants.rules(&frozen.mchid);
    let book = lock(&shared.sharing);
    let unsplit_fen = frozen.unsplit_fen(&book, rules, refunded_fen, shared.clock.now());
    Ok(Answer::ok(&json!({
        "transaction_id": transaction_id,
        "unsplit_amount": unsplit_fen,
    })))
}

/// `GET …/merchant-configs/{sub_mchid}`.
fn merchant_config(shared: &Shared, sub_mchid: &str) -> Result<Answer, Refusal> {
    if sub_mchid.is_empty() || !sub_mchid.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal::param("sub_mchid不是商户号"));
    }
    let max_ratio = shared.merchants.rules(sub_mchid).max_ratio;
    Ok(Answer::ok(
        &json!({"sub_mchid": sub_mchid, "max_ratio": max_ratio}),
    ))
}

/// What `PUT /sim/receivers` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forcing {
    account: String,
    share: Option<ShareResult>,
    return_failure: Option<ReturnFailure>,
    name: Option<String>,
}

/// `PUT /sim/receivers`: decides beforehand what becomes of money for one account.
pub(super) async fn put_receiver(
    State(shared): State<Arc<Shared>>,
    Json(forcing): Json<Forcing>,
) -> StatusCode {
    let forced = ForcedReceiver {
        share: forcing.share,
        return_failure: forcing.return_failure,
        name: forcing.name,
    };
    lock(&shared.sharing).force(&forcing.account, forced);
    StatusCode::NO_CONTENT
}
