//! The rules for the fields of a refund, and of another try of an abnormal one.
//!
//! Direct and partner mode share the paths; a partner adds `sub_mchid`. Bank details are encrypted
//! to the key that `Wechatpay-Serial` names, so they are decrypted here to see that they can be.

use super::answer::Refusal;
use super::fields::Fields;
use super::keys::{KeyKind, KeySet};
use super::prepay::{check_notify_url, fingerprint, mchid};
use super::refunds::{RefundDestination, RequestedRefund};

/// How the refund names its payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PaymentName {
    TransactionId(String),
    OutTradeNo(String),
}

/// A refund whose fields are right.
#[derive(Debug)]
pub(super) struct RefundRequest {
    pub(super) payment: PaymentName,
    pub(super) asked: RequestedRefund,
}

impl RefundRequest {
    /// Checks every field; the first that breaks a rule is named.
    pub(super) fn parse(body: &[u8], keys: &KeySet) -> Result<Self, Refusal> {
        let fingerprint = fingerprint(body);
        let mut fields = Fields::of_body(body)?;
        let sub_mchid = sub_mchid(&mut fields, keys)?;
        let payment = payment(&mut fields)?;
        let out_refund_no = out_refund_no(&mut fields)?;
        let reason = reason(&mut fields)?;
        let notify_url = fields.optional_text("notify_url", 256)?;
        if let Some(url) = &notify_url {
            check_notify_url(url)?;
        }
        let accounts = ["AVAILABLE", "UNSETTLED"];
        let funds_account = one_of(&mut fields, "funds_account", &accounts)?;
        let mut amount = fields.object("amount")?;
        let refund_fen = amount.integer("refund", 1)?;
        let total_fen = amount.integer("total", 1)?;
        let currency = amount.text("currency", 16)?;
        if currency != "CNY" {
            let value = Some(currency.into());
            return Err(Refusal::field("/amount/currency", value, "币种无效"));
        }
        let from = from(&mut amount, refund_fen)?;
        amount.finish()?;
        if refund_fen > total_fen {
            let value = Some(refund_fen.into());
            return Err(Refusal::field(
                "/amount/refund",
                value,
                "退款金额大于订单金额",
            ));
        }
        goods(&mut fields)?;
        fields.finish()?;
        let asked = RequestedRefund {
            out_refund_no,
            sub_mchid,
            refund_fen,
            total_fen,
            reason,
            notify_url,
            funds_account: funds_account.unwrap_or("AVAILABLE"),
            from,
            fingerprint,
        };
        Ok(Self { payment, asked })
    }
}

/// Absent in direct mode. A sub-merchant is never the service provider itself.
fn sub_mchid(fields: &mut Fields, keys: &KeySet) -> Result<Option<String>, Refusal> {
    if !fields.has("sub_mchid") {
        return Ok(None);
    }
    let number = mchid(fields, "sub_mchid")?;
    if number == keys.sp_mchid() {
        return Err(Refusal::param("sub_mchid不能与服务商商户号相同"));
    }
    Ok(Some(number))
}

fn payment(fields: &mut Fields) -> Result<PaymentName, Refusal> {
    let transaction_id = fields.optional_text("transaction_id", 32)?;
    let out_trade_no = fields.optional_text("out_trade_no", 32)?;
    match (transaction_id, out_trade_no) {
        (Some(id), None) => Ok(PaymentName::TransactionId(id)),
        (None, Some(number)) => Ok(PaymentName::OutTradeNo(number)),
        (Some(_), Some(_)) => Err(Refusal::param("transaction_id与out_trade_no只能传一个")),
        (None, None) => Err(Refusal::param("transaction_id与out_trade_no必须传一个")),
    }
}

fn out_refund_no(fields: &mut Fields) -> Result<String, Refusal> {
    let text = fields.text("out_refund_no", 64)?;
    let charset = |b: u8| b.is_ascii_alphanumeric() || b"_-|*@".contains(&b);
    if text.bytes().all(charset) {
        Ok(text)
    } else {
        let issue = "只能是数字、大小写字母_-|*@";
        Err(Refusal::field("/out_refund_no", Some(text.into()), issue))
    }
}

/// 80 bytes, not characters: 26 Chinese ones.
fn reason(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    let reason = fields.optional_text("reason", 80)?;
    match reason {
        Some(text) if text.len() > 80 => {
            let issue = "字节数超过最大值80";
            Err(Refusal::field("/reason", Some(text.into()), issue))
        }
        Some(_) | None => Ok(reason),
    }
}

/// The parts of the balance that pay must pay the whole of it.
fn from(amount: &mut Fields, refund_fen: i64) -> Result<Vec<(&'static str, i64)>, Refusal> {
    let mut parts = Vec::new();
    for mut part in amount.optional_objects("from", 2)? {
        let account = one_of(&mut part, "account", &["AVAILABLE", "UNAVAILABLE"])?;
        let account = account.ok_or_else(|| Refusal::missing(&part.path("account")))?;
        parts.push((account, part.integer("amount", 1)?));
        part.finish()?;
    }
    let sum = parts
        .iter()
        .fold(0_i64, |sum, (_, n)| sum.saturating_add(*n));
    if parts.is_empty() || sum == refund_fen {
        Ok(parts)
    } else {
        Err(Refusal::field(
            "/amount/from",
            None,
            "退款出资金额之和与退款金额不一致",
        ))
    }
}

fn goods(fields: &mut Fields) -> Result<(), Refusal> {
    for mut goods in fields.optional_objects("goods_detail", 6000)? {
        goods.text("merchant_goods_id", 32)?;
        goods.optional_text("wechatpay_goods_id", 32)?;
        goods.optional_text("goods_name", 256)?;
        goods.integer("unit_price", 0)?;
        goods.integer("refund_amount", 0)?;
        goods.integer("refund_quantity", 1)?;
        goods.finish()?;
    }
    Ok(())
}

/// Text that must be one of a few words.
fn one_of(
    fields: &mut Fields,
    name: &str,
    words: &[&'static str],
) -> Result<Option<&'static str>, Refusal> {
    let path = fields.path(name);
    let Some(text) = fields.optional_text(name, 32)? else {
        return Ok(None);
    };
    let known = words.iter().find(|word| **word == text);
    known.copied().map(Some).ok_or_else(|| {
        let issue = format!("取值必须为{}之一", words.join("、"));
        Refusal::field(&path, Some(text.into()), &issue)
    })
}

/// Another try of an abnormal refund, its fields being right.
#[derive(Debug)]
pub(super) struct AbnormalRequest {
    pub(super) sub_mchid: Option<String>,
    pub(super) out_refund_no: String,
    pub(super) destination: RefundDestination,
}

impl AbnormalRequest {
    /// Checks every field. `serial`: the key that `Wechatpay-Serial` names.
    pub(super) fn parse(
        body: &[u8],
        keys: &KeySet,
        serial: Option<KeyKind>,
    ) -> Result<Self, Refusal> {
        let mut fields = Fields::of_body(body)?;
        let sub_mchid = sub_mchid(&mut fields, keys)?;
        let out_refund_no = out_refund_no(&mut fields)?;
        let kinds = ["USER_BANK_CARD", "MERCHANT_BANK_CARD"];
        let kind = one_of(&mut fields, "type", &kinds)?.ok_or_else(|| Refusal::missing("/type"))?;
        let bank_type = fields.optional_text("bank_type", 16)?;
        let account = secret(&mut fields, "bank_account", keys, serial)?;
        let name = secret(&mut fields, "real_name", keys, serial)?;
        fields.finish()?;
        let destination = if kind == "MERCHANT_BANK_CARD" {
            RefundDestination::MerchantBankCard
        } else if bank_type.is_some() && account && name {
            RefundDestination::UserBankCard
        } else {
            let message = "退款至用户时，bank_type、bank_account、real_name必填";
            return Err(Refusal::param(message));
        };
        Ok(Self {
            sub_mchid,
            out_refund_no,
            destination,
        })
    }
}

/// Whether a secret field is there; refused if the key cannot open it. What it says is not kept.
fn secret(
    fields: &mut Fields,
    name: &str,
    keys: &KeySet,
    serial: Option<KeyKind>,
) -> Result<bool, Refusal> {
    let Some(text) = fields.optional_text(name, 1024)? else {
        return Ok(false);
    };
    let Some(kind) = serial else {
        return Err(Refusal::param(
            "请求包含加密敏感字段，Http头缺少Wechatpay-Serial",
        ));
    };
    if keys.wechat(kind).decrypt(&text).is_some() {
        Ok(true)
    } else {
        // The value stays out of the answer: it is somebody's card, however badly encrypted.
        let path = fields.path(name);
        Err(Refusal::field(&path, None, "敏感信息解密失败"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "sub_mchid": "1900000109", "out_trade_no": "ORDER-0001", "out_refund_no": "R-1@a",
            "reason": "商品已售完", "notify_url": "https://example.com/refund",
            "funds_account": "AVAILABLE",
            "amount": {"refund": 30, "total": 100, "currency": "CNY",
                "from": [{"account": "AVAILABLE", "amount": 30}]},
            "goods_detail": [{"merchant_goods_id": "a", "unit_price": 1, "refund_amount": 1,
                "refund_quantity": 1}],
        })
    }

    fn parse(keys: &KeySet, body: &Value) -> Result<RefundRequest, Refusal> {
        RefundRequest::parse(body.to_string().as_bytes(), keys)
    }

    #[test]
    fn every_broken_rule_is_refused() {
        let keys = KeySet::generate().unwrap();
        assert!(parse(&keys, &good()).is_ok());
        let cases = [
            ("", "surprise", json!(1)),
            ("", "reason", Value::Null),
            ("", "transaction_id", json!("42")),
            ("", "out_trade_no", json!("x".repeat(33))),
            ("", "out_refund_no", json!("has space")),
            ("", "out_refund_no", json!("x".repeat(65))),
            ("", "out_refund_no", json!("")),
            ("", "reason", json!("面".repeat(27))),
            ("", "notify_url", json!("https://example.com/n?a=1")),
            ("", "notify_url", json!("http://example.com/n")),
            ("", "funds_account", json!("MINE")),
            ("", "sub_mchid", json!(keys.sp_mchid())),
            ("", "sub_mchid", json!("merchant")),
            ("/amount", "refund", json!(0)),
            ("/amount", "refund", json!(101)),
            ("/amount", "refund", json!(29)),
            ("/amount", "refund", json!("30")),
            ("/amount", "total", json!(0)),
            ("/amount", "currency", json!("USD")),
            ("/amount", "payer", json!(1)),
            (
                "/amount",
                "from",
                json!([{"account": "MINE", "amount": 30}]),
            ),
            ("/amount", "from", json!([{"amount": 30}])),
            ("", "goods_detail", json!([{"merchant_goods_id": "a"}])),
        ];
        for (at, name, value) in cases {
            let mut body = good();
            body.pointer_mut(at).unwrap()[name] = value.clone();
            assert!(parse(&keys, &body).is_err(), "{at}/{name} = {value}");
        }
        for (at, name) in [
            ("", "out_refund_no"),
            ("", "out_trade_no"),
            ("", "amount"),
            ("/amount", "currency"),
            ("/amount", "total"),
        ] {
            let mut body = good();
            let part = body.pointer_mut(at).unwrap();
            part.as_object_mut().unwrap().remove(name);
            assert!(parse(&keys, &body).is_err(), "without {at}/{name}");
        }
    }

    #[test]
    fn another_try_needs_bank_details_that_wechats_key_opens() {
        let keys = KeySet::generate().unwrap();
        let kind = KeyKind::PublicKey;
        let sealed = keys.wechat(kind).encrypt("6214".as_bytes());
        let body = json!({"out_refund_no": "R-1", "type": "USER_BANK_CARD",
            "bank_type": "CMB_DEBIT", "bank_account": sealed, "real_name": sealed});
        let parse = |body: &Value, serial| {
            AbnormalRequest::parse(body.to_string().as_bytes(), &keys, serial)
        };
        let destination = parse(&body, Some(kind)).unwrap().destination;
        assert_eq!(destination, RefundDestination::UserBankCard);
        assert!(parse(&body, None).is_err());
        assert!(parse(&body, Some(KeyKind::Certificate)).is_err());
        let mut plain = body.clone();
        plain["bank_account"] = json!("6214830000000001");
        let refusal = parse(&plain, Some(kind)).unwrap_err();
        assert!(!format!("{refusal:?}").contains("6214830000000001"));
        let mut short = body;
        short.as_object_mut().unwrap().remove("real_name");
        assert!(parse(&short, Some(kind)).is_err());
        let back = json!({"out_refund_no": "R-1", "type": "MERCHANT_BANK_CARD"});
        let destination = parse(&back, None).unwrap().destination;
        assert_eq!(destination, RefundDestination::MerchantBankCard);
    }
}
