//! Who may be paid by a merchant.

use http::StatusCode;
use serde_json::json;

use super::super::answer::{Answer, Refusal};
use super::super::call::Call;
use super::super::fields::Fields;
use super::super::lock::lock;
use super::super::state::Shared;
use super::book::{AccountKind, Receiver};
use super::request::{Apps, Side, account, check_name, name};

const RELATIONS: [&str; 11] = [
    "SERVICE_PROVIDER",
    "STORE",
    "STAFF",
    "STORE_OWNER",
    "PARTNER",
    "HEADQUARTER",
    "BRAND",
    "DISTRIBUTOR",
    "USER",
    "SUPPLIER",
    "CUSTOM",
];

/// `POST …/receivers/add`. Adding again changes nothing but the name.
///
/// The answer leaves out `name`, which WeChat encrypts to the merchant's certificate: the simulator
/// has no such certificate, and the field is optional.
pub(super) fn add(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut fields = Fields::of_body(call.body)?;
    let side = Side::read(shared, &mut fields)?;
    let appid_sent = fields.has("appid");
    let apps = Apps::read(shared, &mut fields)?;
    if !appid_sent {
        return Err(Refusal::missing("/appid"));
    }
    let (kind, account) = account(&mut fields, &side)?;
    apps.know(kind)?;
    let name = name(shared, call, &mut fields)?;
    let relation = fields.text("relation_type", 32)?;
    let custom = fields.optional_text("custom_relation", 10)?;
    fields.finish()?;
    if !RELATIONS.contains(&relation.as_str()) {
        let issue = "取值不在枚举范围内";
        return Err(Refusal::field(
            "/relation_type",
            Some(relation.into()),
            issue,
        ));
    }
    if relation == "CUSTOM" && custom.is_none() {
        return Err(Refusal::missing("/custom_relation"));
    }
    // A merchant is always named; a person only if the caller wants the name checked.
    if kind == AccountKind::Merchant && name.is_none() {
        return Err(Refusal::missing("/name"));
    }
    let mut answer = json!({"type": kind.word(), "account": account, "relation_type": relation});
    if side.partner {
        answer["sub_mchid"] = json!(side.mchid);
    }
    if let Some(custom) = custom {
        answer["custom_relation"] = json!(custom);
    }
    let mut book = lock(&shared.sharing);
    check_name(&book, &account, name.as_deref())?;
    let receiver = Receiver {
        mchid: side.mchid,
        kind,
        account,
    };
    let others = book.receivers.keys();
    let full = others.filter(|other| other.mchid == receiver.mchid).count() >= RECEIVERS_MAX;
    if full && !book.receivers.contains_key(&receiver) {
        let status = StatusCode::FORBIDDEN;
        return Err(Refusal::new(status, "RULE_LIMIT", "分账接收方数量超限"));
    }
    book.receivers.insert(receiver, name);
    Ok(Answer::ok(&answer))
}

/// Of one merchant.
const RECEIVERS_MAX: usize = 20_000;

/// `POST …/receivers/delete`. What is not there is deleted already.
pub(super) fn delete(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut fields = Fields::of_body(call.body)?;
    let side = Side::read(shared, &mut fields)?;
    let apps = Apps::read(shared, &mut fields)?;
    let (kind, account) = account(&mut fields, &side)?;
    apps.know(kind)?;
    fields.finish()?;
    let mut answer = json!({"type": kind.word(), "account": account});
    if side.partner {
        answer["sub_mchid"] = json!(side.mchid);
    }
    let receiver = Receiver {
        mchid: side.mchid,
        kind,
        account,
    };
    lock(&shared.sharing).receivers.remove(&receiver);
    Ok(Answer::ok(&answer))
}
