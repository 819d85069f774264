//! WeChat: where it is, who we are there, and whose signature we believe.

use url::Url;

use super::read::{Concern, Section};
use crate::primitives::Secret;

#[derive(Debug, Clone)]
pub struct WechatSettings {
    /// `ZHANGFANG_WECHAT__PAY_URL`, default `https://api.mch.weixin.qq.com`.
    pub pay_url: Url,
    /// `ZHANGFANG_WECHAT__MINI_PROGRAM_URL`, default `https://api.weixin.qq.com`.
    pub mini_program_url: Url,
    /// `ZHANGFANG_WECHAT__APP_ID`, required: the mini-program, `sp_appid` towards WeChat Pay.
    pub app_id: String,
    /// `ZHANGFANG_WECHAT__APP_SECRET_FILE` or `ZHANGFANG_WECHAT__APP_SECRET`, required: the mini-program's secret, for logins.
    pub app_secret: Secret<String>,
    /// `ZHANGFANG_WECHAT__SP_MCHID`, required: our merchant number as a service provider.
    pub sp_mchid: String,
    /// `ZHANGFANG_WECHAT__MERCHANT_SERIAL`, required: serial number of our API certificate, 40 hex digits.
    pub merchant_serial: String,
    /// `ZHANGFANG_WECHAT__PRIVATE_KEY_FILE`, required: `apiclient_key.pem`, the key of that certificate.
    pub private_key_pem: Secret<String>,
    /// `ZHANGFANG_WECHAT__APIV3_KEY_FILE` or `ZHANGFANG_WECHAT__APIV3_KEY`, required: 32 characters, what callbacks are encrypted with.
    pub apiv3_key: Secret<String>,
    /// `ZHANGFANG_WECHAT__APIV3_KEY_OLD_FILE` or `ZHANGFANG_WECHAT__APIV3_KEY_OLD`, optional: the one before, for as long as WeChat
    /// re-sends callbacks that were encrypted with it (a day).
    pub apiv3_key_old: Option<Secret<String>>,
    /// `ZHANGFANG_WECHAT__PUBLIC_KEY_ID` and `ZHANGFANG_WECHAT__PUBLIC_KEY_FILE`: 微信支付公钥, what new merchants get. This or a
    /// platform certificate is required; both during WeChat's switch from one to the other.
    pub public_key: Option<WechatPublicKey>,
    /// `ZHANGFANG_WECHAT__PLATFORM_CERTIFICATE_FILE`: 平台证书, one PEM block or several (the next one, before WeChat renews it).
    pub platform_certificates_pem: Option<String>,
    /// `ZHANGFANG_WECHAT__NOTIFY_BASE`, required: where WeChat calls us, before the path. Usually the public URL.
    pub notify_base: Url,
    /// `ZHANGFANG_WECHAT__ALLOW_LOOPBACK_HTTP`, `true` or `false`, default `false`: addresses on this machine may be http. For a simulator.
    pub allow_loopback_http: bool,
}

/// WeChat's public key and the name by which it is chosen.
#[derive(Debug, Clone)]
pub struct WechatPublicKey {
    /// `PUB_KEY_ID_` and digits.
    pub id: String,
    pub pem: String,
}

impl Concern for WechatSettings {
    const SECTION: &'static str = "wechat";
    const KEYS: &'static [&'static str] = &[
        "pay_url",
        "mini_program_url",
        "app_id",
        "app_secret",
        "app_secret_file",
        "sp_mchid",
        "merchant_serial",
        "private_key_file",
        "apiv3_key",
        "apiv3_key_file",
        "apiv3_key_old",
        "apiv3_key_old_file",
        "public_key_id",
        "public_key_file",
        "platform_certificate_file",
        "notify_base",
        "allow_loopback_http",
    ];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let allow_loopback_http = from.or("allow_loopback_http", false, "`true` or `false`");
        let mut address = |key: &str, default: Option<&str>| {
            let text = match default {
                Some(default) => from.given(key).unwrap_or_else(|| default.to_owned()),
                None => from.required(
                    key,
                    "where WeChat calls us, such as https://pay.example.com",
                )?,
            };
            from.address(key, &text, allow_loopback_http)
        };
        let pay_url = address("pay_url", Some("https://api.mch.weixin.qq.com"));
        let mini_program_url = address("mini_program_url", Some("https://api.weixin.qq.com"));
        let notify_base = address("notify_base", None);

        let app_id = from.required("app_id", "the mini-program's id, wx and 16 characters");
        let app_secret = from.required_secret("app_secret", "the mini-program's secret");
        let sp_mchid = digits(from, "sp_mchid");
        let merchant_serial =
            from.required("merchant_serial", "serial number of apiclient_cert.pem");
        if let Some(serial) = &merchant_serial
            && !(serial.len() == 40 && serial.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            from.mistake(
                "merchant_serial",
                format_args!("is `{serial}`, which is not 40 hex digits"),
            );
        }
        let private_key = match from.required("private_key_file", "apiclient_key.pem") {
            Some(_) => from.file("private_key_file"),
            None => None,
        };
        let apiv3_key = from.required_secret("apiv3_key", "the APIv3 key, 32 characters");
        check_apiv3_key(from, "apiv3_key", apiv3_key.as_ref());
        let apiv3_key_old = from.secret("apiv3_key_old").unwrap_or_default();
        check_apiv3_key(from, "apiv3_key_old", apiv3_key_old.as_ref());

        let public_key = public_key(from);
        let platform_certificates_pem = from.file("platform_certificate_file");
        if from.given("public_key_file").is_none()
            && from.given("public_key_id").is_none()
            && from.given("platform_certificate_file").is_none()
        {
            let certificate = from.variable("platform_certificate_file");
            from.mistake(
                "public_key_file",
                format_args!(
                    "or {certificate} is required: without one no answer of WeChat can be believed"
                ),
            );
        }
        Some(Self {
            pay_url: pay_url?,
            mini_program_url: mini_program_url?,
            app_id: app_id?,
            app_secret: app_secret?,
            sp_mchid: sp_mchid?,
            merchant_serial: merchant_serial?.to_ascii_uppercase(),
            private_key_pem: Secret::new(private_key?),
            apiv3_key: apiv3_key?,
            apiv3_key_old,
            public_key,
            platform_certificates_pem,
            notify_base: notify_base?,
            allow_loopback_http,
        })
    }
}

fn digits(from: &mut Section<'_>, key: &str) -> Option<String> {
    let text = from.required(key, "our merchant number, digits")?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.len() > 32 {
        from.mistake(
            key,
            format_args!("is `{text}`, which is not a merchant number"),
        );
    }
    Some(text)
}

fn check_apiv3_key(from: &mut Section<'_>, key: &str, secret: Option<&Secret<String>>) {
    if let Some(length) = secret.map(|secret| secret.expose().len())
        && length != 32
    {
        from.mistake(key, format_args!("has {length} bytes; an APIv3 key has 32"));
    }
}

/// Key and id come together.
fn public_key(from: &mut Section<'_>) -> Option<WechatPublicKey> {
    let (id, pem) = (from.given("public_key_id"), from.file("public_key_file"));
    match (id, pem, from.given("public_key_file")) {
        (Some(id), Some(pem), _) => {
            if !id.starts_with("PUB_KEY_ID_") {
                from.mistake(
                    "public_key_id",
                    format_args!("is `{id}`, which does not begin with PUB_KEY_ID_"),
                );
            }
            Some(WechatPublicKey { id, pem })
        }
        (Some(_), None, None) => {
            from.mistake(
                "public_key_file",
                "is required, because the key's id is given",
            );
            None
        }
        (None, Some(_), _) => {
            from.mistake(
                "public_key_id",
                "is required, because the key's file is given",
            );
            None
        }
        (Some(_) | None, None, _) => None,
    }
}
