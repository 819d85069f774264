use std::{fs, path::PathBuf};

use super::*;

/// A folder that is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("zf-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Everything that is required, and nothing else.
fn complete(folder: &Folder) -> Vec<(&'static str, String)> {
    let key = folder.file("apiclient_key.pem", "a key");
    let public = folder.file("pub_key.pem", "a public key");
    let own = |(name, value): (&'static str, &str)| (name, value.to_owned());
    let mut all: Vec<_> = [
        ("DATABASE_URL", "mysql://zf:hunter2@localhost/zhangfang"),
        ("ZHANGFANG_AUTH__JWT_SECRET", KEY),
        ("ZHANGFANG_WECHAT__APP_ID", "wx0123456789abcdef"),
        ("ZHANGFANG_WECHAT__APP_SECRET", "shh"),
        ("ZHANGFANG_WECHAT__SP_MCHID", "1900000001"),
        (
            "ZHANGFANG_WECHAT__MERCHANT_SERIAL",
            "5157F09EFDC096DE15EBE81A47057A7200000000",
        ),
        ("ZHANGFANG_WECHAT__APIV3_KEY", KEY),
        (
            "ZHANGFANG_WECHAT__PUBLIC_KEY_ID",
            "PUB_KEY_ID_0119000000012026",
        ),
        ("ZHANGFANG_WECHAT__NOTIFY_BASE", "https://pay.example.com"),
    ]
    .into_iter()
    .map(own)
    .collect();
    all.push(("ZHANGFANG_WECHAT__PRIVATE_KEY_FILE", key));
    all.push(("ZHANGFANG_WECHAT__PUBLIC_KEY_FILE", public));
    all
}

fn source(given: &[(&str, String)]) -> Source {
    Source::of(given.iter().map(|(name, value)| (*name, value.as_str())))
}

/// The sentences about `changes` to a complete environment.
fn complaints(name: &str, changes: &[(&'static str, &str)]) -> Vec<String> {
    let folder = Folder::new(name);
    let mut given = complete(&folder);
    for (name, value) in changes {
        given.retain(|(known, _)| known != name);
        given.push((name, (*value).to_owned()));
    }
    match Settings::load(&source(&given)) {
        Ok(_) => Vec::new(),
        Err(error) => error.sentences().to_vec(),
    }
}

#[test]
fn what_is_required_is_enough_and_the_rest_has_defaults() {
    let folder = Folder::new("complete");
    let settings = Settings::load(&source(&complete(&folder))).unwrap();
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.http.public_url.as_str(), "http://127.0.0.1:8080/");
    assert_eq!(settings.database.committers, 2);
    assert_eq!(settings.auth.access.as_secs(), 900);
    assert_eq!(
        settings.wechat.pay_url.as_str(),
        "https://api.mch.weixin.qq.com/"
    );
    assert!(settings.wechat.platform_certificates_pem.is_none());
    assert_eq!(settings.log.format, LogFormat::Pretty);
}

#[test]
fn nothing_printed_shows_a_secret() {
    let folder = Folder::new("printed");
    let source = source(&complete(&folder));
    let printed = format!("{:?} {source:?}", Settings::load(&source).unwrap());
    for secret in ["hunter2", KEY, "shh", "a key"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}

#[test]
fn every_mistake_is_reported_at_once_by_name() {
    let told = complaints(
        "mistakes",
        &[
            ("ZHANGFANG_HTTP__LISTEN", "8080"),
            ("ZHANGFANG_DATABASE__COMMITTERS", "two"),
            ("ZHANGFANG_AUTH__JWT_SECRET", "short"),
            ("ZHANGFANG_WECHAT__APIV3_KEY", "short too"),
            ("DATABASE_URL", "postgres://zf:hunter2@localhost/zhangfang"),
            ("ZHANGFANG_WECHAT__SP_MCHID", ""),
            ("ZHANGFANG_LOG__FORMAT", "xml"),
        ],
    );
    assert_eq!(
        told,
        [
            "ZHANGFANG_LOG__FORMAT is `xml`, which is not `pretty` or `json`.",
            "ZHANGFANG_HTTP__LISTEN is `8080`, which is not an address and a port such as `127.0.0.1:8080`.",
            "DATABASE_URL is not of the form mysql://user:password@host/database.",
            "ZHANGFANG_DATABASE__COMMITTERS is `two`, which is not a whole number from 1 to 16.",
            "ZHANGFANG_AUTH__JWT_SECRET is shorter than 32 bytes; `openssl rand -hex 32` makes one.",
            "ZHANGFANG_WECHAT__SP_MCHID is required: our merchant number, digits.",
            "ZHANGFANG_WECHAT__APIV3_KEY has 9 bytes; an APIv3 key has 32.",
        ]
    );
}

#[test]
fn a_misspelt_setting_is_refused_by_name() {
    let told = complaints("misspelt", &[("ZHANGFANG_LOG__FROMAT", "json")]);
    assert_eq!(
        told,
        [
            "ZHANGFANG_LOG__FROMAT is not a setting; there are ZHANGFANG_LOG__FORMAT, ZHANGFANG_LOG__FILTER."
        ]
    );
    let told = complaints("section", &[("ZHANGFANG_LOGS__FORMAT", "json")]);
    assert_eq!(told, ["ZHANGFANG_LOGS__FORMAT is not a setting."]);
    let told = complaints("underscore", &[("ZHANGFANG_HTTP_LISTEN", "0.0.0.0:80")]);
    assert_eq!(
        told,
        ["ZHANGFANG_HTTP_LISTEN is not a setting; ZHANGFANG_HTTP__LISTEN is."]
    );
    let told = complaints("database", &[("ZHANGFANG_DATABASE__URL", "mysql://a@b/c")]);
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn what_kubernetes_makes_for_our_name_is_left_alone() {
    let made = [
        ("ZHANGFANG_PORT", "tcp://10.0.0.1:80"),
        ("ZHANGFANG_SERVICE_HOST", "10.0.0.1"),
    ];
    assert!(complaints("kubernetes", &made).is_empty());
}

#[test]
fn plain_http_is_for_this_machine_and_only_when_allowed() {
    let sim = ("ZHANGFANG_WECHAT__PAY_URL", "http://127.0.0.1:9000");
    let told = complaints("loopback", &[sim]);
    assert!(
        told[0].contains("ZHANGFANG_WECHAT__ALLOW_LOOPBACK_HTTP=true"),
        "{told:?}"
    );
    let allow = ("ZHANGFANG_WECHAT__ALLOW_LOOPBACK_HTTP", "true");
    assert!(complaints("allowed", &[sim, allow]).is_empty());
    let far = ("ZHANGFANG_WECHAT__PAY_URL", "http://api.mch.weixin.qq.com");
    assert_eq!(
        complaints("far", &[far, allow]),
        ["ZHANGFANG_WECHAT__PAY_URL is `http://api.mch.weixin.qq.com`, which is not https."]
    );
    let query = (
        "ZHANGFANG_WECHAT__NOTIFY_BASE",
        "https://pay.example.com?a=1",
    );
    assert!(complaints("query", &[query])[0].contains("bare address"));
}

#[test]
fn a_secret_comes_from_a_file_or_directly_but_not_both() {
    let folder = Folder::new("secret-file");
    let file = folder.file("secret", &format!("{KEY}\n"));
    let mut given = complete(&folder);
    given.push(("ZHANGFANG_AUTH__JWT_SECRET_FILE", file));
    let error = Settings::load(&source(&given)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ZHANGFANG_AUTH__JWT_SECRET_FILE and ZHANGFANG_AUTH__JWT_SECRET are both set: set one of them."
    );
    given.retain(|(name, _)| *name != "ZHANGFANG_AUTH__JWT_SECRET");
    let settings = Settings::load(&source(&given)).unwrap();
    assert_eq!(settings.auth.jwt_secret.expose(), KEY);
}

#[test]
fn a_key_to_verify_with_is_required_and_comes_with_its_id() {
    let told = complaints(
        "no-key",
        &[
            ("ZHANGFANG_WECHAT__PUBLIC_KEY_ID", ""),
            ("ZHANGFANG_WECHAT__PUBLIC_KEY_FILE", ""),
        ],
    );
    assert!(told[0].starts_with(
        "ZHANGFANG_WECHAT__PUBLIC_KEY_FILE or ZHANGFANG_WECHAT__PLATFORM_CERTIFICATE_FILE is required"
    ));
    let told = complaints("no-id", &[("ZHANGFANG_WECHAT__PUBLIC_KEY_ID", "")]);
    assert_eq!(
        told,
        ["ZHANGFANG_WECHAT__PUBLIC_KEY_ID is required, because the key's file is given."]
    );
    let told = complaints(
        "no-file",
        &[("ZHANGFANG_WECHAT__PUBLIC_KEY_FILE", "/nowhere/key")],
    );
    assert!(
        told[0].contains("names /nowhere/key, which cannot be read"),
        "{told:?}"
    );
}

#[test]
fn the_environment_goes_over_the_file() {
    let folder = Folder::new("toml");
    let file = folder.file(
        "zhangfang.toml",
        "[http]\nlisten = \"0.0.0.0:80\"\nbody_max_bytes = 8192\n[log]\nformat = \"json\"\n",
    );
    let mut given = complete(&folder);
    given.push(("ZHANGFANG_CONFIG", file));
    given.push(("ZHANGFANG_LOG__FORMAT", "pretty".to_owned()));
    let settings = Settings::load(&source(&given)).unwrap();
    assert_eq!(settings.http.listen.to_string(), "0.0.0.0:80");
    assert_eq!(settings.http.body_max_bytes, 8192);
    assert_eq!(settings.log.format, LogFormat::Pretty);

    let file = folder.file("wrong.toml", "[http]\nlisten = [1, 2]\ncolour = \"red\"\n");
    given.push(("ZHANGFANG_CONFIG", file));
    let error = Settings::load(&source(&given)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("ZHANGFANG_HTTP__LISTEN must be one value."),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("ZHANGFANG_HTTP__COLOUR is not a setting"),
        "{error}"
    );

    given.push(("ZHANGFANG_CONFIG", "/nowhere/zhangfang.toml".to_owned()));
    let error = Settings::load(&source(&given)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("The settings file /nowhere/zhangfang.toml cannot be read")
    );
}

#[test]
fn a_command_on_the_database_needs_no_more_than_the_database() {
    let only = [("DATABASE_URL", "mysql://zf@localhost/zhangfang".to_owned())];
    let settings = DatabaseOnly::load(&source(&only)).unwrap();
    assert_eq!(settings.database.migrate.expose().get_username(), "zf");
    let error = DatabaseOnly::load(&source(&[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "DATABASE_URL is required: the database, mysql://user:password@host/database."
    );
}

#[test]
fn the_other_city_stands_in_for_the_real_wechat_only() {
    let folder = Folder::new("backup");
    let mut given = complete(&folder);
    let backup = |given: &[(&str, String)]| {
        let settings = Settings::load(&source(given)).unwrap();
        settings.wechat.backup_url.map(|url| url.to_string())
    };
    assert_eq!(
        backup(&given).as_deref(),
        Some("https://api2.mch.weixin.qq.com/")
    );
    let own = "https://wechat.example.com".to_owned();
    given.push(("ZHANGFANG_WECHAT__PAY_URL", own));
    assert_eq!(backup(&given), None);
    let other = "https://wechat2.example.com".to_owned();
    given.push(("ZHANGFANG_WECHAT__BACKUP_URL", other));
    assert_eq!(
        backup(&given).as_deref(),
        Some("https://wechat2.example.com/")
    );
}

#[test]
fn modes_and_folders_are_what_they_must_be() {
    let told = complaints(
        "mode",
        &[
            ("ZHANGFANG_WECHAT__MODE", "both"),
            ("ZHANGFANG_WECHAT__TENANTS_DIR", "/nowhere"),
            ("ZHANGFANG_WECHAT__FETCH_CERTIFICATES", "sometimes"),
        ],
    );
    assert_eq!(
        told,
        [
            "ZHANGFANG_WECHAT__MODE is `both`, which is not `partner` or `direct`.",
            "ZHANGFANG_WECHAT__FETCH_CERTIFICATES is `sometimes`, which is not `true` or `false`.",
            "ZHANGFANG_WECHAT__TENANTS_DIR is `/nowhere`, which is no folder.",
        ]
    );
    let fetched = [
        ("ZHANGFANG_WECHAT__FETCH_CERTIFICATES", "true"),
        ("ZHANGFANG_WECHAT__PUBLIC_KEY_ID", ""),
        ("ZHANGFANG_WECHAT__PUBLIC_KEY_FILE", ""),
        ("ZHANGFANG_WECHAT__MODE", "direct"),
    ];
    assert!(complaints("fetched", &fetched).is_empty());
}

#[test]
fn key_files_are_read_again_and_their_mistakes_are_reported() {
    let folder = Folder::new("reread");
    let mut given = complete(&folder);
    given.retain(|(name, _)| *name != "ZHANGFANG_WECHAT__MERCHANT_SERIAL");
    let serial = folder.file("serial", "5157f09efdc096de15ebe81a47057a7200000000\n");
    given.push(("ZHANGFANG_WECHAT__MERCHANT_SERIAL_FILE", serial));
    let settings = Settings::load(&source(&given)).unwrap().wechat;
    assert_eq!(settings.reread().unwrap(), settings);

    folder.file("apiclient_key.pem", "another key");
    folder.file("serial", "5157F09EFDC096DE15EBE81A47057A7200000001");
    let now = settings.reread().unwrap();
    assert_eq!(now.private_key_pem.expose(), "another key");
    assert!(now.merchant_serial.ends_with('1'));

    folder.file("serial", "one");
    folder.file("apiclient_key.pem", " ");
    let told = settings.reread().unwrap_err();
    assert_eq!(told.sentences().len(), 2, "{told}");
    assert!(told.sentences()[0].starts_with("ZHANGFANG_WECHAT__PRIVATE_KEY_FILE names"));
    assert!(told.sentences()[0].ends_with("which is empty."));
}
