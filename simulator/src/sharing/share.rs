//! Sharing a payment, unfreezing the rest of it, and asking how far that has come.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::super::answer::{Answer, Refusal};
use super::super::call::Call;
use super::super::callback_content::ShareMovement;
use super::super::chance::own_rng;
use super::super::clock::{beijing, compact, random_bytes};
use super::super::fields::Fields;
use super::super::lock::lock;
use super::super::orders::OrderState;
use super::super::state::Shared;
use super::book::{AccountKind, Book, Part, PartOutcome, Receiver, Share};
use super::fate::ShareResult;
use super::frozen::Frozen;
use super::request::{
    Apps, Side, account, check_name, fingerprint, name, no_record, not_enough, number,
    other_parameters, rule_limit,
};

const RECEIVERS_MAX: usize = 50;
const REQUESTS_MAX: usize = 50;
/// How soon after the payment, before compression.
const NOT_BEFORE: Duration = Duration::from_mins(1);

/// One receiver as it was asked for.
struct RequestedPart {
    kind: AccountKind,
    account: String,
    name: Option<String>,
    amount_fen: i64,
    description: String,
}

/// A request to share or to unfreeze.
struct Request {
    side: Side,
    transaction_id: String,
    out_order_no: String,
    receivers: Vec<RequestedPart>,
    unfreezes: bool,
    fingerprint: [u8; 32],
}

/// `POST …/orders`.
pub(super) fn share(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut fields = Fields::of_body(call.body)?;
    let side = Side::read(shared, &mut fields)?;
    let apps = Apps::read(shared, &mut fields)?;
    let transaction_id = fields.text("transaction_id", 32)?;
    let out_order_no = number(&mut fields, "out_order_no")?;
    let unfreezes = fields
        .optional_flag("unfreeze_unsplit")?
        .ok_or_else(|| Refusal::missing("/unfreeze_unsplit"))?;
    let mut receivers = Vec::new();
    for mut fields in fields.optional_objects("receivers", RECEIVERS_MAX)? {
        let (kind, account) = account(&mut fields, &side)?;
        apps.know(kind)?;
        receivers.push(RequestedPart {
            kind,
            account,
            name: name(shared, call, &mut fields)?,
            amount_fen: fields.integer("amount", 1)?,
            description: fields.text("description", 80)?,
        });
        fields.finish()?;
    }
    fields.finish()?;
    if receivers.is_empty() {
        return Err(Refusal::missing("/receivers"));
    }
    let mut words = vec!["share", &side.mchid, &transaction_id];
    words.push(if unfreezes { "unfreeze" } else { "keep" });
    let amounts: Vec<String> = receivers
        .iter()
        .map(|part| part.amount_fen.to_string())
        .collect();
    for (part, amount) in receivers.iter().zip(&amounts) {
        let name = part.name.as_deref().unwrap_or("");
        words.extend([part.kind.word(), &part.account, name, amount]);
        words.push(&part.description);
    }
    let fingerprint = fingerprint(words);
    let request = Request {
        side,
        transaction_id,
        out_order_no,
        receivers,
        unfreezes,
        fingerprint,
    };
    accept(shared, request)
}

/// `POST …/orders/unfreeze`.
pub(super) fn unfreeze(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut fields = Fields::of_body(call.body)?;
    let side = Side::read(shared, &mut fields)?;
    let transaction_id = fields.text("transaction_id", 32)?;
    let out_order_no = number(&mut fields, "out_order_no")?;
    let description = fields.text("description", 80)?;
    fields.finish()?;
    let words = ["unfreeze", &side.mchid, &transaction_id, &description];
    let fingerprint = fingerprint(words);
    let request = Request {
        side,
        transaction_id,
        out_order_no,
        receivers: Vec::new(),
        unfreezes: true,
        fingerprint,
    };
    accept(shared, request)
}

/// Another system shares a payment with a merchant, which it makes a receiver if it was none.
pub(in super::super) fn share_elsewhere(
    shared: &Shared,
    out_trade_no: &str,
    out_order_no: String,
    (account, amount_fen): (String, i64),
    unfreezes: bool,
) -> Result<ShareMovement, Refusal> {
    let transaction_id = {
        let orders = lock(&shared.orders);
        let order = orders
            .by_number(out_trade_no)
            .ok_or_else(Refusal::order_not_exist)?;
        match &order.state {
            OrderState::Paid { transaction_id, .. } => transaction_id.to_string(),
            OrderState::NotPaid | OrderState::Closed => return Err(Refusal::order_not_exist()),
        }
    };
    let frozen = Frozen::find(shared, &transaction_id)?;
    if account.is_empty() || !account.bytes().all(|b| b.is_ascii_digit()) || amount_fen < 1 {
        return Err(Refusal::param("account应为商户号，amount_fen应为正数"));
    }
    let receiver = Receiver {
        mchid: frozen.mchid.clone(),
        kind: AccountKind::Merchant,
        account: account.clone(),
    };
    let mut book = lock(&shared.sharing);
    book.receivers.entry(receiver).or_insert(None);
    drop(book);
    let request = Request {
        side: Side {
            mchid: frozen.mchid.clone(),
            partner: frozen.partner,
        },
        transaction_id: transaction_id.clone(),
        out_order_no: out_order_no.clone(),
        receivers: vec![RequestedPart {
            kind: AccountKind::Merchant,
            account: account.clone(),
            name: None,
            amount_fen,
            description: "分账".to_owned(),
        }],
        unfreezes,
        // Nobody repeats it: the same number again is another request, and refused.
        fingerprint: random_bytes(),
    };
    let share = take_in(shared, request)?;
    Ok(ShareMovement {
        sub_mchid: share.partner.then(|| share.mchid.clone()),
        transaction_id,
        order_id: share.order_id.clone(),
        out_order_no,
        account,
        amount_fen,
        at: share.created.now,
        answer: view(&share),
    })
}

/// Returns the share that was accepted under this number before, or accepts a new one.
fn accept(shared: &Shared, request: Request) -> Result<Answer, Refusal> {
    let known = lock(&shared.sharing)
        .share(&request.out_order_no)
        .map(|share| (share.fingerprint == request.fingerprint).then(|| view(share)));
    if let Some(known) = known {
        return known
            .map(|view| Answer::ok(&view))
            .ok_or_else(other_parameters);
    }
    take_in(shared, request).map(|share| Answer::ok(&view(&share)))
}

/// Asks everything, then takes the request in.
fn take_in(shared: &Shared, request: Request) -> Result<Share, Refusal> {
    let frozen = Frozen::find(shared, &request.transaction_id)?;
    if !request.side.is(&frozen.mchid, frozen.partner) {
        let status = StatusCode::BAD_REQUEST;
        return Err(Refusal::new(
            status,
            "INVALID_REQUEST",
            "非分账订单不支持分账",
        ));
    }
    let moment = shared.moment();
    if !moment.is_after(frozen.paid, NOT_BEFORE / shared.compression) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            "订单处理中，暂时无法分账，请稍后再试",
        ));
    }
    let faults = shared.faults().sharing;
    // Both are held to the end, so that no refund comes between the question and the answer.
    let refunds = lock(&shared.refunds);
    let mut book = lock(&shared.sharing);
    let refunded_fen = refunds.refunded_fen(&frozen.out_trade_no);
    check(shared, &book, &request, &frozen, refunded_fen, moment.now)?;
    let rules = shared.merchants.rules(&frozen.mchid);
    let unsplit_fen = frozen.unsplit_fen(&book, rules, refunded_fen, moment.now);

    let mut parts = Vec::with_capacity(request.receivers.len() + 1);
    let mut rest_fen = unsplit_fen;
    for part in request.receivers {
        rest_fen = rest_fen.saturating_sub(part.amount_fen);
        let mut rng = own_rng(
            shared.seed,
            &format!("{}/{}", request.out_order_no, part.account),
        );
        let drawn = faults.draw_share(&mut rng);
        let forced = book.forced.get(&part.account).and_then(|f| f.share);
        parts.push(Part {
            kind: part.kind,
            account: part.account,
            amount_fen: part.amount_fen,
            description: part.description,
            detail_id: wechat_number(shared, "36011", moment.now),
            fate: forced.unwrap_or(drawn),
            outcome: PartOutcome::Pending,
        });
    }
    if request.unfreezes && rest_fen > 0 {
        parts.push(Part {
            kind: AccountKind::Merchant,
            account: frozen.mchid.clone(),
            amount_fen: rest_fen,
            description: "解冻给分账方".to_owned(),
            detail_id: wechat_number(shared, "36011", moment.now),
            fate: ShareResult::Success,
            outcome: PartOutcome::Pending,
        });
    }
    let share = Share {
        mchid: frozen.mchid,
        partner: frozen.partner,
        order_id: wechat_number(shared, "30008", moment.now),
        out_order_no: request.out_order_no,
        transaction_id: request.transaction_id,
        parts,
        unfreezes: request.unfreezes,
        fingerprint: request.fingerprint,
        created: moment,
    };
    book.take_in(share.clone());
    Ok(share)
}

/// Everything that depends on what was shared and refunded before.
fn check(
    shared: &Shared,
    book: &Book,
    request: &Request,
    frozen: &Frozen,
    refunded_fen: i64,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    if book.share(&request.out_order_no).is_some() {
        return Err(other_parameters());
    }
    if book.of_transaction(&frozen.transaction_id).count() >= REQUESTS_MAX {
        return Err(rule_limit("单笔订单最多可分账50次"));
    }
    let own =
        |part: &&RequestedPart| part.kind == AccountKind::Merchant && part.account == frozen.mchid;
    let others = request.receivers.iter().filter(|part| !own(part));
    for part in others.clone() {
        let receiver = Receiver {
            mchid: frozen.mchid.clone(),
            kind: part.kind,
            account: part.account.clone(),
        };
        let known = book.receivers.get(&receiver).ok_or_else(|| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST",
                "分账接收方关系不存在，请检查参数中每个接收方的关系",
            )
        })?;
        check_name(book, &part.account, part.name.as_deref())?;
        if let (Some(known), Some(name)) = (known, &part.name)
            && known != name
        {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST",
                "分账接收方姓名与添加时不一致",
            ));
        }
    }
    let sum = |fen: i64, part: &RequestedPart| fen.saturating_add(part.amount_fen);
    let rules = shared.merchants.rules(&frozen.mchid);
    let given_fen = others.fold(book.given_away_fen(&frozen.transaction_id), sum);
    let unsplit_fen = frozen.unsplit_fen(book, rules, refunded_fen, now);
    let asked_fen = request.receivers.iter().fold(0, sum);
    if unsplit_fen == 0 || asked_fen > unsplit_fen {
        return Err(not_enough("分账金额不足"));
    }
    if given_fen > rules.shareable_fen(frozen.total_fen) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            "分账金额超出最大分账比例",
        ));
    }
    Ok(())
}

/// `GET …/orders/{out_order_no}?transaction_id=&sub_mchid=`.
pub(super) fn query(
    shared: &Shared,
    call: &Call<'_>,
    out_order_no: &str,
) -> Result<Answer, Refusal> {
    let transaction_id = call.required_parameter("transaction_id")?;
    let side = Side::of_query(shared, call)?;
    let book = lock(&shared.sharing);
    let share = book
        .share(out_order_no)
        .filter(|share| share.transaction_id == transaction_id)
        .filter(|share| side.is(&share.mchid, share.partner));
    share
        .map(|share| Answer::ok(&view(share)))
        .ok_or_else(no_record)
}

/// A share in WeChat's words. What is not finished finished at the beginning of time: the field is
/// not optional, and WeChat writes just that.
fn view(share: &Share) -> Value {
    let created = beijing(share.created.now);
    let part = |part: &Part| {
        let (result, finished, failure) = match part.outcome {
            PartOutcome::Pending => ("PENDING", OffsetDateTime::UNIX_EPOCH, None),
            PartOutcome::Success(at) => ("SUCCESS", at, None),
            PartOutcome::Closed(failure, at) => ("CLOSED", at, Some(failure)),
        };
        let mut view = json!({
            "type": part.kind.word(),
            "account": part.account,
            "amount": part.amount_fen,
            "description": part.description,
            "result": result,
            "detail_id": part.detail_id,
            "create_time": created,
            "finish_time": beijing(finished),
        });
        if let Some(failure) = failure {
            view["fail_reason"] = json!(failure.word());
        }
        view
    };
    let finished = share.is_finished();
    let mut view = json!({
        "transaction_id": share.transaction_id,
        "out_order_no": share.out_order_no,
        "order_id": share.order_id,
        "state": if finished { "FINISHED" } else { "PROCESSING" },
        "receivers": share.parts.iter().map(part).collect::<Vec<_>>(),
    });
    if share.partner {
        view["sub_mchid"] = json!(share.mchid);
    }
    view
}

/// 28 digits that begin as WeChat's numbers of that kind do.
pub(super) fn wechat_number(shared: &Shared, prefix: &str, at: OffsetDateTime) -> String {
    let count = shared.ids.count() % 1_000_000_000_000_000;
    format!("{prefix}{}{count:015}", &compact(at)[..8])
}
