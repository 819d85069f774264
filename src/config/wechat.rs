//! WeChat: where it is, who we are there, and whose signature we accept.

use std::path::PathBuf;

use url::Url;

use super::read::{Section, SettingsGroup};
use crate::primitives::Secret;

/// Where WeChat Pay is.
const PAY_URL: &str = "https://api.mch.weixin.qq.com";

/// WeChat Pay's stand-in, in another city.
const BACKUP_URL: &str = "https://api2.mch.weixin.qq.com";

/// Files that keys were read from; none for what was given directly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WechatFiles {
    pub merchant_serial: Option<PathBuf>,
    pub private_key: Option<PathBuf>,
    pub apiv3_key: Option<PathBuf>,
    pub apiv3_key_old: Option<PathBuf>,
    pub public_key: Option<PathBuf>,
    pub platform_certificate: Option<PathBuf>,
}

/// One merchant account at WeChat Pay, and the mini-program before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WechatSettings {
    /// `ZHANGFANG_WECHAT__MODE`, `partner` or `direct`, default `partner`.
    pub mode: WechatMode,
    /// `ZHANGFANG_WECHAT__PAY_URL`, default `https://api.mch.weixin.qq.com`.
    pub pay_url: Url,
    /// `ZHANGFANG_WECHAT__BACKUP_URL`: asked when `pay_url` cannot be reached. Default
    /// `https://api2.mch.weixin.qq.com` when `pay_url` is the default; none otherwise.
    pub backup_url: Option<Url>,
    /// `ZHANGFANG_WECHAT__MINI_PROGRAM_URL`, default `https://api.weixin.qq.com`.
    pub mini_program_url: Url,
    /// `ZHANGFANG_WECHAT__APP_ID`, required: the mini-program, `sp_appid` or `appid` towards WeChat
    /// Pay.
    pub app_id: String,
    /// `ZHANGFANG_WECHAT__APP_SECRET_FILE` or `ZHANGFANG_WECHAT__APP_SECRET`, required: the
    /// mini-program's secret, for logins.
    pub app_secret: Secret<String>,
    /// `ZHANGFANG_WECHAT__SP_MCHID`, required: our merchant number: the service provider's, or in
    /// direct mode the merchant's.
    pub sp_mchid: String,
    /// `ZHANGFANG_WECHAT__MERCHANT_SERIAL_FILE` or `ZHANGFANG_WECHAT__MERCHANT_SERIAL`, required:
    /// serial number of our API certificate, 40 hex digits. A file can change together with the
    /// key.
    pub merchant_serial: String,
    /// `ZHANGFANG_WECHAT__PRIVATE_KEY_FILE`, required: `apiclient_key.pem`, the key of that
    /// certificate.
    pub private_key_pem: Secret<String>,
    /// `ZHANGFANG_WECHAT__APIV3_KEY_FILE` or `ZHANGFANG_WECHAT__APIV3_KEY`, required: 32
    /// characters, what callbacks are encrypted with.
    pub apiv3_key: Secret<String>,
    /// `ZHANGFANG_WECHAT__APIV3_KEY_OLD_FILE` or `ZHANGFANG_WECHAT__APIV3_KEY_OLD`, optional: the
    /// one before, for as long as WeChat re-sends callbacks that were encrypted with it (a day).
    pub apiv3_key_old: Option<Secret<String>>,
    /// `ZHANGFANG_WECHAT__PUBLIC_KEY_ID` and `ZHANGFANG_WECHAT__PUBLIC_KEY_FILE`: 微信支付公钥,
    /// what new merchants get. This, a platform certificate or the fetching of those is required;
    /// several during WeChat's switch from one to the other.
    pub public_key: Option<WechatPublicKey>,
    /// `ZHANGFANG_WECHAT__PLATFORM_CERTIFICATE_FILE`: 平台证书, one PEM block or several (the next
    /// one, before WeChat renews it).
    pub platform_certificates_pem: Option<String>,
    /// `ZHANGFANG_WECHAT__FETCH_CERTIFICATES`, `true` or `false`, default `false`: platform
    /// certificates are fetched from WeChat at start, every twelve hours and when one is met that
    /// is not known. Not offered to merchants who have a public key only.
    pub fetch_certificates: bool,
    /// `ZHANGFANG_WECHAT__NOTIFY_BASE`, required: where WeChat calls us, before the path. Usually
    /// the public URL.
    pub notify_base: Url,
    /// `ZHANGFANG_WECHAT__ALLOW_LOOPBACK_HTTP`, `true` or `false`, default `false`: addresses on
    /// this machine may be http. For a simulator.
    pub allow_loopback_http: bool,
    /// `ZHANGFANG_WECHAT__TENANTS_DIR`, optional: a folder with a file `<tenant code>.toml` for
    /// each tenant that has a merchant account of its own. Its keys are those of `[wechat]`, paths
    /// in it begin beside it, and what it does not say of addresses and mini-program is as here.
    pub tenants_dir: Option<PathBuf>,
    /// Where the keys above were read from, to look again while running.
    pub files: WechatFiles,
}

/// For whom we collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WechatMode {
    /// 服务商: for merchants that have a `sub_mchid` of their own under our account.
    #[default]
    Partner,
    /// 直连: for ourselves.
    Direct,
}

/// WeChat's public key and the name by which it is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WechatPublicKey {
    /// `PUB_KEY_ID_` and digits.
    pub id: String,
    pub pem: String,
}

impl SettingsGroup for WechatSettings {
    const SECTION: &'static str = "wechat";
    const KEYS: &'static [&'static str] = &[
        "mode",
        "pay_url",
        "backup_url",
        "mini_program_url",
        "app_id",
        "app_secret",
        "app_secret_file",
        "sp_mchid",
        "merchant_serial",
        "merchant_serial_file",
        "private_key_file",
        "apiv3_key",
        "apiv3_key_file",
        "apiv3_key_old",
        "apiv3_key_old_file",
        "public_key_id",
        "public_key_file",
        "platform_certificate_file",
        "fetch_certificates",
        "notify_base",
        "allow_loopback_http",
        "tenants_dir",
    ];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let mode = mode(from);
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
        let pay_url = address("pay_url", Some(PAY_URL));
        let mini_program_url = address("mini_program_url", Some("https://api.weixin.qq.com"));
        let notify_base = address("notify_base", None);
        let backup_url = backup_url(from, pay_url.as_ref(), allow_loopback_http);

        let app_id = from.required("app_id", "the mini-program's id, wx and 16 characters");
        let app_secret = from.required_secret("app_secret", "the mini-program's secret");
        let sp_mchid = digits(from, "sp_mchid");
        let merchant_serial = merchant_serial(from);
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
        let fetch_certificates = from.or("fetch_certificates", false, "`true` or `false`");
        if from.given("public_key_file").is_none()
            && from.given("public_key_id").is_none()
            && from.given("platform_certificate_file").is_none()
            && !fetch_certificates
        {
            let certificate = from.variable("platform_certificate_file");
            from.mistake(
                "public_key_file",
                format_args!(
                    "or {certificate} is required: without one no answer of WeChat can be verified"
                ),
            );
        }
        let tenants_dir = from.path("tenants_dir");
        if let Some(folder) = tenants_dir.as_ref().filter(|path| !path.is_dir()) {
            let shown = folder.display();
            from.mistake(
                "tenants_dir",
                format_args!("is `{shown}`, which is no folder"),
            );
        }
        Some(Self {
            mode: mode?,
            pay_url: pay_url?,
            backup_url,
            mini_program_url: mini_program_url?,
            app_id: app_id?,
            app_secret: app_secret?,
            sp_mchid: sp_mchid?,
            merchant_serial: merchant_serial?,
            private_key_pem: Secret::new(private_key?),
            apiv3_key: apiv3_key?,
            apiv3_key_old,
            public_key,
            platform_certificates_pem,
            fetch_certificates,
            notify_base: notify_base?,
            allow_loopback_http,
            tenants_dir,
            files: WechatFiles {
                merchant_serial: from.path("merchant_serial_file"),
                private_key: from.path("private_key_file"),
                apiv3_key: from.path("apiv3_key_file"),
                apiv3_key_old: from.path("apiv3_key_old_file"),
                public_key: from.path("public_key_file"),
                platform_certificate: from.path("platform_certificate_file"),
            },
        })
    }
}

fn mode(from: &mut Section<'_>) -> Option<WechatMode> {
    match from.given("mode").as_deref() {
        None | Some("partner") => Some(WechatMode::Partner),
        Some("direct") => Some(WechatMode::Direct),
        Some(other) => {
            from.mistake(
                "mode",
                format_args!("is `{other}`, which is not `partner` or `direct`"),
            );
            None
        }
    }
}

/// The other city only stands in for the real WeChat: nobody else's requests go there unasked.
fn backup_url(from: &mut Section<'_>, pay_url: Option<&Url>, loopback_http: bool) -> Option<Url> {
    let text = match from.given("backup_url") {
        Some(given) => given,
        None if pay_url.is_some_and(|url| *url == at(PAY_URL)) => BACKUP_URL.to_owned(),
        None => return None,
    };
    from.address("backup_url", &text, loopback_http)
}

fn at(address: &str) -> Url {
    Url::parse(address).expect("the constant is an address")
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

/// No secret, but it may come from a file as one does.
fn merchant_serial(from: &mut Section<'_>) -> Option<String> {
    let serial = match from.secret("merchant_serial").ok()? {
        Some(serial) => serial.into_inner(),
        None => from.required("merchant_serial", "serial number of apiclient_cert.pem")?,
    };
    if !is_serial(&serial) {
        from.mistake(
            "merchant_serial",
            format_args!("is `{serial}`, which is not 40 hex digits"),
        );
    }
    Some(serial.to_ascii_uppercase())
}

pub(super) fn is_serial(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
