//! Every endpoint of profit sharing on one page, and those that only ask about money.

use http::Method;
use serde_json::json;

use super::super::answer::{Answer, Refusal};
use super::super::call::{Call, decoded};
use super::super::lock::lock;
use super::super::state::Shared;
use super::frozen::Frozen;
use super::{receivers, returns, share};

/// Every endpoint below `/v3/profitsharing`.
pub(in super::super) fn route(
    shared: &Shared,
    call: &Call<'_>,
    path: &[&str],
) -> Result<Answer, Refusal> {
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
        _ => Err(Refusal::not_found()),
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
