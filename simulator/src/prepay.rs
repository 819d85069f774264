//! The rules of a prepay, JSAPI and native, partner and direct.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use url::{Host, Url};

use super::answer::Refusal;
use super::fields::Fields;
use super::keys::KeySet;
use super::login_codes::openid_for;
use super::transaction::{Party, TradeType};

/// How the merchant is attached to WeChat Pay; the two have paths and field names of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Partner,
    Direct,
}

/// A prepay that keeps all rules.
#[derive(Debug)]
pub(super) struct Prepay {
    pub(super) out_trade_no: String,
    pub(super) trade_type: TradeType,
    pub(super) party: Party,
    pub(super) description: String,
    pub(super) total_fen: i64,
    pub(super) attach: Option<String>,
    pub(super) notify_url: String,
    pub(super) expires_at: OffsetDateTime,
    /// Whether the money is frozen until it is shared 分账.
    pub(super) profit_sharing: bool,
    /// Over every parameter, whatever their order: re-entry asks whether all are the same.
    pub(super) fingerprint: [u8; 32],
}

impl Prepay {
    /// Checks every field; the first that breaks a rule is named.
    pub(super) fn parse(
        mode: Mode,
        trade_type: TradeType,
        body: &[u8],
        keys: &KeySet,
        now: OffsetDateTime,
    ) -> Result<Self, Refusal> {
        let fingerprint = fingerprint(body);
        let mut fields = Fields::of_body(body)?;
        let party = match mode {
            Mode::Partner => partner(&mut fields, trade_type, keys)?,
            Mode::Direct => direct(&mut fields, trade_type, keys)?,
        };
        let description = fields.text("description", 127)?;
        let out_trade_no = out_trade_no(&mut fields)?;
        let notify_url = notify_url(&mut fields)?;
        let expires_at = time_expire(&mut fields, mode, now)?;
        let attach = fields.optional_text("attach", 128)?;
        let total_fen = amount(&mut fields)?;
        let profit_sharing = profit_sharing(&mut fields)?;
        optional_parts(&mut fields)?;
        fields.finish()?;
        Ok(Self {
            out_trade_no,
            trade_type,
            party,
            description,
            total_fen,
            attach,
            notify_url,
            expires_at,
            profit_sharing,
            fingerprint,
        })
    }
}

fn partner(fields: &mut Fields, trade_type: TradeType, keys: &KeySet) -> Result<Party, Refusal> {
    let sp_appid = fields.text("sp_appid", 32)?;
    let sp_mchid = fields.text("sp_mchid", 32)?;
    own_merchant(keys, &sp_appid, &sp_mchid)?;
    let sub_mchid = mchid(fields, "sub_mchid")?;
    if sub_mchid == sp_mchid {
        return Err(Refusal::param("sub_mchid不能与sp_mchid相同"));
    }
    let sub_appid = fields.optional_text("sub_appid", 32)?;
    if trade_type == TradeType::Native {
        return Ok(Party::Partner {
            sub_mchid,
            sub_appid,
            sp_openid: String::new(),
            sub_openid: None,
        });
    }
    let mut payer = fields.object("payer")?;
    let sp_openid = openid(&mut payer, "sp_openid")?;
    let sub_openid = openid(&mut payer, "sub_openid")?;
    payer.finish()?;
    let sp_openid = match (sp_openid, &sub_openid) {
        (Some(_), Some(_)) => {
            return Err(Refusal::param("payer中sp_openid与sub_openid只能传一个"));
        }
        (None, None) => {
            return Err(Refusal::missing("/payer/sp_openid"));
        }
        (None, Some(_)) if sub_appid.is_none() => {
            return Err(Refusal::param("传sub_openid时，sub_appid必填"));
        }
        (Some(sp_openid), None) => sp_openid,
        // The same person has another openid under the service provider's app.
        (None, Some(sub_openid)) => openid_for(sub_openid),
    };
    Ok(Party::Partner {
        sub_mchid,
        sub_appid,
        sp_openid,
        sub_openid,
    })
}

fn direct(fields: &mut Fields, trade_type: TradeType, keys: &KeySet) -> Result<Party, Refusal> {
    let (appid, mchid) = (fields.text("appid", 32)?, fields.text("mchid", 32)?);
    own_merchant(keys, &appid, &mchid)?;
    if trade_type == TradeType::Native {
        let openid = String::new();
        return Ok(Party::Direct { openid });
    }
    let mut payer = fields.object("payer")?;
    let openid = openid(&mut payer, "openid")?.ok_or_else(|| Refusal::missing("/payer/openid"))?;
    payer.finish()?;
    Ok(Party::Direct { openid })
}

/// The merchant of the body is the one that signed, and the app is bound to it.
fn own_merchant(keys: &KeySet, appid: &str, mchid: &str) -> Result<(), Refusal> {
    if mchid != keys.sp_mchid() {
        return Err(Refusal::param("商户号与签名的商户号不一致"));
    }
    if appid != keys.app_id() {
        let status = http::StatusCode::BAD_REQUEST;
        return Err(Refusal::new(
            status,
            "APPID_MCHID_NOT_MATCH",
            "appid和mch_id不匹配",
        ));
    }
    Ok(())
}

/// A merchant number: digits only.
pub(super) fn mchid(fields: &mut Fields, name: &str) -> Result<String, Refusal> {
    let path = fields.path(name);
    let text = fields.text(name, 32)?;
    if text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text)
    } else {
        Err(Refusal::field(&path, Some(text.into()), "不是商户号"))
    }
}

/// Openids begin with `o`; any other text is somebody's own user id sent by mistake.
pub(super) fn is_openid(text: &str) -> bool {
    let charset = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    text.starts_with('o') && text.bytes().all(charset)
}

fn openid(payer: &mut Fields, name: &str) -> Result<Option<String>, Refusal> {
    let Some(text) = payer.optional_text(name, 128)? else {
        return Ok(None);
    };
    if is_openid(&text) {
        Ok(Some(text))
    } else {
        Err(Refusal::param("无效的openid"))
    }
}

fn out_trade_no(fields: &mut Fields) -> Result<String, Refusal> {
    let text = fields.text("out_trade_no", 32)?;
    let charset = |b: u8| b.is_ascii_alphanumeric() || b"_-|*".contains(&b);
    if text.len() >= 6 && text.bytes().all(charset) {
        Ok(text)
    } else {
        let issue = "必须为6到32个字符，只能是数字、大小写字母_-|*";
        Err(Refusal::field("/out_trade_no", Some(text.into()), issue))
    }
}

fn notify_url(fields: &mut Fields) -> Result<String, Refusal> {
    let text = fields.text("notify_url", 255)?;
    check_notify_url(&text)?;
    Ok(text)
}

/// An https address without a query. Plain http is taken for this machine only, where the simulator
/// and the service under test live; WeChat would not.
pub(super) fn check_notify_url(text: &str) -> Result<(), Refusal> {
    let good = Url::parse(text).is_ok_and(|url| {
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
        scheme && url.query().is_none() && url.fragment().is_none() && url.has_host()
    });
    if good {
        Ok(())
    } else {
        let issue = "必须为https地址且不能携带参数";
        Err(Refusal::field("/notify_url", Some(text.into()), issue))
    }
}

/// Seven days unless told otherwise, and never less than a minute; at most fifteen days of a
/// merchant's order, ninety of the merchant's own.
fn time_expire(
    fields: &mut Fields,
    mode: Mode,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, Refusal> {
    let Some(text) = fields.optional_text("time_expire", 64)? else {
        return Ok(now.saturating_add(Duration::days(7)));
    };
    let Ok(at) = OffsetDateTime::parse(&text, &Rfc3339) else {
        return Err(Refusal::field(
            "/time_expire",
            Some(text.into()),
            "不符合RFC 3339格式",
        ));
    };
    let earliest = now.saturating_add(Duration::minutes(1));
    let longest = match mode {
        Mode::Partner => 15,
        Mode::Direct => 90,
    };
    let latest = now.saturating_add(Duration::days(longest));
    Ok(at.clamp(earliest, latest))
}

fn amount(fields: &mut Fields) -> Result<i64, Refusal> {
    let mut amount = fields.object("amount")?;
    let total = amount.integer("total", 1)?;
    if let Some(currency) = amount.optional_text("currency", 16)?
        && currency != "CNY"
    {
        return Err(Refusal::field(
            "/amount/currency",
            Some(currency.into()),
            "币种无效",
        ));
    }
    amount.finish()?;
    Ok(total)
}

fn profit_sharing(fields: &mut Fields) -> Result<bool, Refusal> {
    let Some(mut settle) = fields.optional_object("settle_info")? else {
        return Ok(false);
    };
    let asked = settle.optional_flag("profit_sharing")?;
    settle.finish()?;
    Ok(asked.unwrap_or(false))
}

/// What the simulator has no use for, checked all the same.
fn optional_parts(fields: &mut Fields) -> Result<(), Refusal> {
    fields.optional_text("goods_tag", 32)?;
    fields.optional_flag("support_fapiao")?;
    fields.optional_texts("limit_pay", 10)?;
    if let Some(mut detail) = fields.optional_object("detail")? {
        detail.optional_integer("cost_price", 0)?;
        detail.optional_text("invoice_id", 32)?;
        for mut goods in detail.optional_objects("goods_detail", 6000)? {
            goods.text("merchant_goods_id", 32)?;
            goods.optional_text("wechatpay_goods_id", 32)?;
            goods.optional_text("goods_name", 256)?;
            goods.integer("quantity", 1)?;
            goods.integer("unit_price", 0)?;
            goods.finish()?;
        }
        detail.finish()?;
    }
    if let Some(mut scene) = fields.optional_object("scene_info")? {
        scene.text("payer_client_ip", 45)?;
        scene.optional_text("device_id", 32)?;
        if let Some(mut store) = scene.optional_object("store_info")? {
            store.text("id", 32)?;
            store.optional_text("name", 256)?;
            store.optional_text("area_code", 32)?;
            store.optional_text("address", 512)?;
            store.finish()?;
        }
        scene.finish()?;
    }
    Ok(())
}

/// SHA-256 over the parameters with sorted names. A body that is no JSON fails a moment later.
pub(super) fn fingerprint(body: &[u8]) -> [u8; 32] {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut text = String::new();
    canonical(&value, &mut text);
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

/// JSON with sorted names. (`serde_json` sorts too, until some crate turns `preserve_order` on.)
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            for (name, value) in entries {
                out.push('{');
                out.push_str(&Value::from(name.as_str()).to_string());
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            for item in items {
                out.push('[');
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

    fn good(keys: &KeySet) -> Value {
        json!({
            "sp_appid": keys.app_id(), "sp_mchid": keys.sp_mchid(), "sub_mchid": "1900000109",
            "description": "面馆", "out_trade_no": "ORDER-0001", "attach": "table 4",
            "notify_url": "http://127.0.0.1:9/notify", "amount": {"total": 1, "currency": "CNY"},
            "payer": {"sp_openid": "oUser-1"}, "settle_info": {"profit_sharing": false},
            "scene_info": {"payer_client_ip": "127.0.0.1", "store_info": {"id": "1"}},
            "detail": {"goods_detail": [{"merchant_goods_id": "a", "quantity": 1, "unit_price": 1}]},
        })
    }

    fn parse(keys: &KeySet, body: &Value) -> Result<Prepay, Refusal> {
        Prepay::parse(
            Mode::Partner,
            TradeType::Jsapi,
            body.to_string().as_bytes(),
            keys,
            NOW,
        )
    }

    #[test]
    fn a_full_partner_prepay_is_accepted_and_its_fingerprint_ignores_order() {
        let keys = KeySet::generate().unwrap();
        let body = good(&keys);
        let prepay = parse(&keys, &body).unwrap();
        assert_eq!(prepay.expires_at, NOW + Duration::days(7));
        assert_eq!(prepay.party.payer(), "oUser-1");

        let turned: Vec<String> = body
            .as_object()
            .unwrap()
            .iter()
            .rev()
            .map(|(name, value)| format!("{}: {value}", json!(name)))
            .collect();
        let turned = format!("{{{}}}", turned.join(" ,"));
        let again = Prepay::parse(
            Mode::Partner,
            TradeType::Jsapi,
            turned.as_bytes(),
            &keys,
            NOW,
        )
        .unwrap();
        assert_eq!(again.fingerprint, prepay.fingerprint);
        let mut dearer = body;
        dearer["amount"]["total"] = json!(2);
        assert_ne!(
            parse(&keys, &dearer).unwrap().fingerprint,
            prepay.fingerprint
        );
    }

    #[test]
    fn every_broken_rule_is_refused() {
        let keys = KeySet::generate().unwrap();
        let cases = [
            ("", "surprise", json!(1)),
            ("", "attach", Value::Null),
            ("", "attach", json!("x".repeat(129))),
            ("", "mchid", json!(keys.sp_mchid())),
            ("", "description", json!("")),
            ("", "description", json!("面".repeat(128))),
            ("", "out_trade_no", json!("short")),
            ("", "out_trade_no", json!("has space")),
            ("", "out_trade_no", json!("x".repeat(33))),
            ("", "notify_url", json!("http://example.com/notify")),
            ("", "notify_url", json!("https://example.com/notify?a=1")),
            ("", "notify_url", json!("/notify")),
            ("", "time_expire", json!("tomorrow")),
            ("", "sp_appid", json!("wx0000000000000000")),
            ("", "sp_mchid", json!("1900000000000")),
            ("", "sub_mchid", json!(keys.sp_mchid())),
            ("", "sub_mchid", json!(1_900_000_109)),
            ("/amount", "total", json!(0)),
            ("/amount", "total", json!(1.0)),
            ("/amount", "total", json!("1")),
            ("/amount", "currency", json!("USD")),
            ("/amount", "refund", json!(1)),
            ("/payer", "sp_openid", json!("customer-1")),
            ("/payer", "sub_openid", json!("oUser-1")),
            ("/settle_info", "profit_sharing", json!("no")),
            ("/scene_info/store_info", "floor", json!(2)),
            ("/detail", "goods_detail", json!([])),
        ];
        for (at, name, value) in cases {
            let mut body = good(&keys);
            body.pointer_mut(at).unwrap()[name] = value.clone();
            assert!(parse(&keys, &body).is_err(), "{at}/{name} = {value}");
        }
        for name in [
            "sp_appid",
            "sub_mchid",
            "description",
            "notify_url",
            "amount",
            "payer",
        ] {
            let mut body = good(&keys);
            body.as_object_mut().unwrap().remove(name);
            assert!(parse(&keys, &body).is_err(), "without {name}");
        }
    }

    #[test]
    fn time_expire_is_moved_into_its_bounds() {
        let keys = KeySet::generate().unwrap();
        let expiry = |text: &str| {
            let mut body = good(&keys);
            body["time_expire"] = json!(text);
            parse(&keys, &body).unwrap().expires_at
        };
        assert_eq!(
            expiry("2020-01-01T00:00:00+08:00"),
            NOW + Duration::minutes(1)
        );
        assert_eq!(
            expiry("2030-01-01T00:00:00+08:00"),
            NOW + Duration::days(15)
        );
        assert_eq!(
            expiry("2026-11-21T21:00:00+08:00"),
            NOW + Duration::hours(1)
        );
    }

    #[test]
    fn direct_mode_has_names_of_its_own() {
        let keys = KeySet::generate().unwrap();
        let body = json!({
            "appid": keys.app_id(), "mchid": keys.sp_mchid(), "description": "x",
            "out_trade_no": "ORDER-0002", "notify_url": "https://example.com/n",
            "amount": {"total": 5}, "payer": {"openid": "oUser-1"},
        });
        let parse = |mode, trade_type, body: &Value| {
            Prepay::parse(mode, trade_type, body.to_string().as_bytes(), &keys, NOW)
        };
        assert!(parse(Mode::Direct, TradeType::Jsapi, &body).is_ok());
        assert!(parse(Mode::Partner, TradeType::Jsapi, &body).is_err());
        let mut late = body.clone();
        late["time_expire"] = json!("2030-01-01T00:00:00+08:00");
        let late = parse(Mode::Direct, TradeType::Jsapi, &late).unwrap();
        assert_eq!(late.expires_at, NOW + Duration::days(90));
        // A code is for whoever scans it: naming a payer is an unknown field.
        assert!(parse(Mode::Direct, TradeType::Native, &body).is_err());
        let mut native = body;
        native.as_object_mut().unwrap().remove("payer");
        assert!(parse(Mode::Direct, TradeType::Jsapi, &native).is_err());
        let native = parse(Mode::Direct, TradeType::Native, &native).unwrap();
        assert_eq!(native.party.payer(), "");
    }
}
