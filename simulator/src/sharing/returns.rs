//! A merchant that was paid a share gives it back, before the user is refunded.

use http::StatusCode;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::super::answer::{Answer, Refusal};
use super::super::call::Call;
use super::super::chance::own_rng;
use super::super::clock::beijing;
use super::super::fields::Fields;
use super::super::lock::lock;
use super::super::prepay::mchid;
use super::super::state::Shared;
use super::book::{AccountKind, Book, PartOutcome, Return, ReturnOutcome, Share};
use super::request::{Side, fingerprint, no_record, not_enough, number, other_parameters};
use super::share::wechat_number;

const RETURNABLE: Duration = Duration::days(180);

/// `POST …/return-orders`.
pub(super) fn give_back(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut fields = Fields::of_body(call.body)?;
    let side = Side::read(shared, &mut fields)?;
    let order_id = fields.optional_text("order_id", 64)?;
    let out_order_no = if fields.has("out_order_no") {
        Some(number(&mut fields, "out_order_no")?)
    } else {
        None
    };
    let out_return_no = number(&mut fields, "out_return_no")?;
    let return_mchid = mchid(&mut fields, "return_mchid")?;
    let amount_fen = fields.integer("amount", 1)?;
    let description = fields.text("description", 80)?;
    fields.finish()?;

    let now = shared.clock.now();
    let failure = {
        let mut rng = own_rng(shared.seed, &format!("{out_return_no}/{return_mchid}"));
        shared.faults().sharing.draw_return(&mut rng)
    };
    let mut book = lock(&shared.sharing);
    let share = match (&order_id, &out_order_no) {
        (None, Some(number)) => book.share(number),
        (Some(id), None) => book.share_by_id(id),
        (Some(id), Some(number)) => book.share(number).filter(|share| share.order_id == *id),
        (None, None) => return Err(Refusal::param("order_id与out_order_no二选一必填")),
    };
    let share = share
        .filter(|share| side.is(&share.mchid, share.partner))
        .ok_or_else(no_record)?;
    let fingerprint = fingerprint(
        [
            &share.out_order_no,
            &side.mchid,
            &return_mchid,
            &amount_fen.to_string(),
            &description,
        ]
        .map(|word: &String| word.as_str()),
    );
    if let Some(known) = book.returned(&out_return_no) {
        return if known.fingerprint == fingerprint {
            Ok(Answer::ok(&view(known, side.partner)))
        } else {
            Err(other_parameters())
        };
    }
    check(&book, share, &return_mchid, amount_fen, now)?;
    let forced = book.forced.get(&return_mchid);
    let back = Return {
        mchid: share.mchid.clone(),
        out_order_no: share.out_order_no.clone(),
        order_id: share.order_id.clone(),
        return_id: wechat_number(shared, "30009", now),
        failure: forced.and_then(|f| f.return_failure).or(failure),
        out_return_no,
        return_mchid,
        amount_fen,
        description,
        fingerprint,
        created: shared.moment(),
        outcome: ReturnOutcome::Processing,
    };
    let answer = Answer::ok(&view(&back, side.partner));
    book.take_in_return(back);
    Ok(answer)
}

/// Only what a merchant got, and has not given back, within 180 days.
fn check(
    book: &Book,
    share: &Share,
    return_mchid: &str,
    amount_fen: i64,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let invalid = |message: &str| {
        Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            message,
        ))
    };
    let got = share
        .leaving()
        .filter(|part| part.kind == AccountKind::Merchant && part.account == return_mchid);
    if got.clone().count() == 0 {
        return invalid("回退商户号不是该分账单的接收方，个人接收方不支持回退");
    }
    if got.clone().any(|part| part.outcome == PartOutcome::Pending) {
        return invalid("分账处理中，暂时无法回退，请稍后再试");
    }
    if now - share.created.now > RETURNABLE {
        return invalid("超过可回退期限");
    }
    let got_fen = got
        .filter(|part| matches!(part.outcome, PartOutcome::Success(_)))
        .fold(0, |sum: i64, part| sum.saturating_add(part.amount_fen));
    let back_fen = book
        .returns_of(&share.out_order_no)
        .filter(|back| back.return_mchid == return_mchid)
        .filter(|back| !matches!(back.outcome, ReturnOutcome::Failed(..)))
        .fold(0, |sum: i64, back| sum.saturating_add(back.amount_fen));
    if amount_fen > got_fen.saturating_sub(back_fen) {
        return Err(not_enough("回退金额超过可回退金额"));
    }
    Ok(())
}

/// `GET …/return-orders/{out_return_no}?out_order_no=&sub_mchid=`.
pub(super) fn query(
    shared: &Shared,
    call: &Call<'_>,
    out_return_no: &str,
) -> Result<Answer, Refusal> {
    let out_order_no = call.required_parameter("out_order_no")?;
    let side = Side::of_query(shared, call)?;
    let book = lock(&shared.sharing);
    book.returned(out_return_no)
        .filter(|back| back.out_order_no == out_order_no && back.mchid == side.mchid)
        .map(|back| Answer::ok(&view(back, side.partner)))
        .ok_or_else(no_record)
}

fn view(back: &Return, partner: bool) -> Value {
    let (result, finished, failure) = match back.outcome {
        ReturnOutcome::Processing => ("PROCESSING", OffsetDateTime::UNIX_EPOCH, None),
        ReturnOutcome::Success(at) => ("SUCCESS", at, None),
        ReturnOutcome::Failed(failure, at) => ("FAILED", at, Some(failure)),
    };
    let mut view = json!({
        "order_id": back.order_id,
        "out_order_no": back.out_order_no,
        "out_return_no": back.out_return_no,
        "return_id": back.return_id,
        "return_mchid": back.return_mchid,
        "amount": back.amount_fen,
        "description": back.description,
        "result": result,
        "create_time": beijing(back.created.now),
        "finish_time": beijing(finished),
    });
    if partner {
        view["sub_mchid"] = json!(back.mchid);
    }
    if let Some(failure) = failure {
        view["fail_reason"] = json!(failure.word());
    }
    view
}
