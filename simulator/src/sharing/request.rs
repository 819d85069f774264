//! What the requests of profit sharing have in common.

use aws_lc_rs::digest::{SHA256, digest};
use http::StatusCode;

use super::super::answer::Refusal;
use super::super::call::Call;
use super::super::fields::Fields;
use super::super::prepay::{is_openid, mchid};
use super::super::state::Shared;
use super::book::{AccountKind, Book};

/// For whom a request speaks: a sub-merchant, or in direct mode the merchant itself.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) mchid: String,
    pub(super) partner: bool,
}

impl Side {
    /// Reads `sub_mchid`, `appid` and `sub_appid` where they are allowed.
    pub(super) fn read(shared: &Shared, fields: &mut Fields) -> Result<Self, Refusal> {
        let sub_mchid = fields.has("sub_mchid").then(|| mchid(fields, "sub_mchid"));
        Self::of(shared, sub_mchid.transpose()?)
    }

    /// The side that a query names.
    pub(super) fn of_query(shared: &Shared, call: &Call<'_>) -> Result<Self, Refusal> {
        Self::of(shared, call.parameter("sub_mchid"))
    }

    fn of(shared: &Shared, sub_mchid: Option<String>) -> Result<Self, Refusal> {
        let own = shared.keys.sp_mchid();
        match sub_mchid {
            Some(sub_mchid) if sub_mchid == own => {
                Err(Refusal::param("sub_mchid不能与sp_mchid相同"))
            }
            Some(mchid) => Ok(Self {
                mchid,
                partner: true,
            }),
            None => Ok(Self {
                mchid: own.to_owned(),
                partner: false,
            }),
        }
    }

    pub(super) fn is(&self, mchid: &str, partner: bool) -> bool {
        self.mchid == mchid && self.partner == partner
    }
}

/// The apps of a request; an openid means nothing without the app it belongs to.
#[derive(Debug)]
pub(super) struct Apps {
    appid: bool,
    sub_appid: bool,
}

impl Apps {
    pub(super) fn read(shared: &Shared, fields: &mut Fields) -> Result<Self, Refusal> {
        let appid = fields.optional_text("appid", 32)?;
        if appid
            .as_deref()
            .is_some_and(|app| app != shared.keys.app_id())
        {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "APPID_MCHID_NOT_MATCH",
                "appid和mch_id不匹配",
            ));
        }
        let sub_appid = fields.optional_text("sub_appid", 32)?;
        Ok(Self {
            appid: appid.is_some(),
            sub_appid: sub_appid.is_some(),
        })
    }

    /// Refuses a kind of account that belongs to an app that was not named.
    pub(super) fn know(&self, kind: AccountKind) -> Result<(), Refusal> {
        match kind {
            AccountKind::Openid if !self.appid => Err(Refusal::missing("/appid")),
            AccountKind::SubOpenid if !self.sub_appid => Err(Refusal::missing("/sub_appid")),
            AccountKind::Merchant | AccountKind::Openid | AccountKind::SubOpenid => Ok(()),
        }
    }
}

/// `type` and `account`, which must suit each other.
pub(super) fn account(fields: &mut Fields, side: &Side) -> Result<(AccountKind, String), Refusal> {
    let path = fields.path("type");
    let word = fields.text("type", 32)?;
    let kind = match word.as_str() {
        "MERCHANT_ID" => AccountKind::Merchant,
        "PERSONAL_OPENID" => AccountKind::Openid,
        "PERSONAL_SUB_OPENID" if side.partner => AccountKind::SubOpenid,
        _ => {
            return Err(Refusal::field(
                &path,
                Some(word.into()),
                "取值不在枚举范围内",
            ));
        }
    };
    let path = fields.path("account");
    let account = fields.text("account", 64)?;
    let suits = match kind {
        AccountKind::Merchant => account.bytes().all(|b| b.is_ascii_digit()),
        AccountKind::Openid | AccountKind::SubOpenid => is_openid(&account),
    };
    if suits {
        Ok((kind, account))
    } else {
        let issue = "分账接收方帐号格式错误";
        Err(Refusal::field(&path, Some(account.into()), issue))
    }
}

/// `name`, decrypted with the key that `Wechatpay-Serial` names.
pub(super) fn name(
    shared: &Shared,
    call: &Call<'_>,
    fields: &mut Fields,
) -> Result<Option<String>, Refusal> {
    let path = fields.path("name");
    let Some(text) = fields.optional_text("name", 10_240)? else {
        return Ok(None);
    };
    let Some(kind) = call.serial else {
        return Err(Refusal::param(
            "请求包含敏感信息，Http头缺少Wechatpay-Serial",
        ));
    };
    let plain = shared.keys.wechat(kind).decrypt(&text);
    let name = plain.and_then(|plain| String::from_utf8(plain).ok());
    match name {
        Some(name) if !name.trim().is_empty() => Ok(Some(name)),
        // What was sent is not sent back: it may be a name in the clear.
        Some(_) | None => Err(Refusal::field(&path, None, "敏感信息解密失败")),
    }
}

/// Refuses a name that is not the account's, as far as anybody has said what it is.
pub(super) fn check_name(book: &Book, account: &str, name: Option<&str>) -> Result<(), Refusal> {
    let known = book.forced.get(account);
    match (known.and_then(|known| known.name.as_deref()), name) {
        (Some(known), Some(name)) if known != name => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            "微信用户姓名与实名不一致",
        )),
        (None | Some(_), None | Some(_)) => Ok(()),
    }
}

/// A number of the merchant's own.
pub(super) fn number(fields: &mut Fields, field: &str) -> Result<String, Refusal> {
    let path = fields.path(field);
    let text = fields.text(field, 64)?;
    let charset = |b: u8| b.is_ascii_alphanumeric() || b"_-|*@".contains(&b);
    if text.bytes().all(charset) {
        Ok(text)
    } else {
        let issue = "只能是数字、大小写字母_-|*@";
        Err(Refusal::field(&path, Some(text.into()), issue))
    }
}

/// SHA-256 over the parts, with their lengths, so that no two lists run into each other.
pub(super) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
    let mut text = String::new();
    for part in parts {
        text.push_str(&part.len().to_string());
        text.push(':');
        text.push_str(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

/// Refuses a number that was used with other parameters.
pub(super) fn other_parameters() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "INVALID_REQUEST",
        "请求重入时，参数与首次请求时不一致",
    )
}

/// The message of a number that nobody used, or that is another merchant's.
pub(in super::super) fn no_record() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS", "记录不存在")
}

/// 403 `NOT_ENOUGH`.
pub(super) fn not_enough(message: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "NOT_ENOUGH", message)
}

/// 403 `RULE_LIMIT`.
pub(super) fn rule_limit(message: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "RULE_LIMIT", message)
}
