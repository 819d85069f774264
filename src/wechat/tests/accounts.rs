//! Accounts of tenants, and keys that change while the service runs.

use std::{fs, path::PathBuf, sync::Arc};

use super::{FakeWechat, NOWHERE, Says, Signs, header, target};
use crate::{
    config::WechatSettings,
    payments::{ChannelMode, NoticeBody, NoticeError, PaymentChannel as _, PaymentChannels as _},
    primitives::{MockClock, SeededIds, TenantId},
    wechat::{
        WechatAccounts,
        fixture::{
            APIV3, KEY_ID, OLD_APIV3, PLAIN, Signed, body, encrypt, envelope, merchant, now,
            settings, wechat,
        },
    },
};

/// A folder that is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("zf-wechat-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn accounts(settings: &WechatSettings) -> WechatAccounts {
    try_accounts(settings).unwrap()
}

fn try_accounts(settings: &WechatSettings) -> Result<WechatAccounts, crate::wechat::WechatError> {
    let clock = Arc::new(MockClock::at(now()));
    WechatAccounts::new(settings, clock, Arc::new(SeededIds::new(7)))
}

const A: TenantId = TenantId(1);
const B: TenantId = TenantId(2);

fn own(mchid: &str) -> String {
    format!(
        "mode = \"direct\"\nsp_mchid = {mchid}\nmerchant_serial = \"5157F09EFDC096DE15EBE81A47057A7200000001\"\n\
         private_key_file = \"key.pem\"\napiv3_key = \"{APIV3}\"\npublic_key_id = \"{KEY_ID}\"\npublic_key_file = \"pub.pem\"\n"
    )
}

fn with_tenants(folder: &Folder) -> WechatSettings {
    folder.file("key.pem", &merchant().private_pem);
    folder.file("pub.pem", &wechat().public_pem);
    WechatSettings {
        tenants_dir: Some(folder.0.clone()),
        ..settings(NOWHERE)
    }
}

fn mchid(accounts: &WechatAccounts, tenant: TenantId) -> String {
    accounts.account(tenant).account().mchid.clone()
}

#[tokio::test]
async fn a_tenant_has_its_own_account_or_the_shared_one() {
    let folder = Folder::new("own");
    let settings = with_tenants(&folder);
    folder.file("acme.toml", &own("1900000055"));
    folder.file("..data.toml", "not looked at");
    let accounts = accounts(&settings);
    assert_eq!(mchid(&accounts, A), "1900000001", "nobody is known yet");
    accounts.assign(&[(A, "acme".to_owned()), (B, "other".to_owned())]);
    assert_eq!(mchid(&accounts, A), "1900000055");
    assert_eq!(mchid(&accounts, B), "1900000001");
    let account = crate::payments::PaymentChannels::of(&accounts, A);
    assert_eq!(account.account().mode, ChannelMode::Direct);
    assert_eq!(account.account().app_id, "wx0123456789abcdef", "inherited");

    folder.file("other.toml", &own("1900000066"));
    accounts.refresh().await;
    assert_eq!(mchid(&accounts, B), "1900000066");
    // Broken: as it was. Gone: shared.
    folder.file("other.toml", "sp_mchid = ");
    accounts.refresh().await;
    assert_eq!(mchid(&accounts, B), "1900000066");
    fs::remove_file(folder.0.join("other.toml")).unwrap();
    accounts.refresh().await;
    assert_eq!(mchid(&accounts, B), "1900000001");
    // A folder that is away moves nobody.
    fs::remove_dir_all(&folder.0).unwrap();
    accounts.refresh().await;
    assert_eq!(mchid(&accounts, A), "1900000055");
}

#[test]
fn a_wrong_file_stops_the_start_and_is_named() {
    let folder = Folder::new("wrong");
    let settings = with_tenants(&folder);
    let sentence_of = |text: &str| {
        folder.file("acme.toml", text);
        try_accounts(&settings).unwrap_err().to_string()
    };
    let file = folder.0.join("acme.toml").display().to_string();
    let sentence = sentence_of(&own("abc"));
    assert!(
        sentence.contains("line") || sentence.contains("TOML"),
        "{sentence}"
    );
    let sentence = sentence_of(&own("1").replace("direct", "both"));
    assert_eq!(
        sentence,
        format!("`mode` in {file} is `both`, which is not `partner` or `direct`.")
    );
    let sentence = sentence_of(&own("1").replace("sp_mchid", "mchid"));
    assert!(
        sentence.contains(&format!("`mchid` in {file} is not a setting.")),
        "{sentence}"
    );
    assert!(
        sentence.contains(&format!("`sp_mchid` in {file} is required")),
        "{sentence}"
    );
    let sentence = sentence_of(&own("1").replace("key.pem", "nokey.pem"));
    assert!(
        sentence.contains("nokey.pem, which cannot be read"),
        "{sentence}"
    );
    let sentence = sentence_of(&own("1").replace("key.pem", "pub.pem"));
    assert!(sentence.starts_with(&file), "{sentence}");
    assert!(
        sentence.contains("PRIVATE_KEY_FILE holds no RSA key"),
        "{sentence}"
    );
    let sentence = sentence_of(&format!("{}tenants_dir = \".\"\n", own("1")));
    assert!(sentence.contains("not a setting of a tenant"), "{sentence}");
    assert!(!sentence.contains(APIV3));
}

#[tokio::test]
async fn keys_are_exchanged_without_a_restart_and_broken_ones_are_not_taken() {
    let folder = Folder::new("rotation");
    let mut from = settings(NOWHERE);
    from.apiv3_key_old = None;
    from.files.apiv3_key = Some(folder.file("apiv3", APIV3));
    let accounts = accounts(&from);
    let read = |body: &str| {
        let signed = Signed::over(body.as_bytes());
        let channel = accounts.of(A);
        match channel.read_notice(signed.headers(), body.as_bytes(), now()) {
            Ok(notice) => matches!(notice.body, NoticeBody::Paid(_)),
            Err(NoticeError::Undecryptable) => false,
            Err(error) => panic!("{error}"),
        }
    };
    let next = envelope(&encrypt(OLD_APIV3, "abcdefghijkl", "transaction", PLAIN));
    assert!(read(&body()) && !read(&next));
    accounts.refresh().await;
    assert!(read(&body()) && !read(&next), "nothing has changed");
    for broken in ["too short", ""] {
        folder.file("apiv3", broken);
        accounts.refresh().await;
        assert!(read(&body()) && !read(&next), "{broken}");
    }
    folder.file("apiv3", &format!("{OLD_APIV3}\n"));
    accounts.refresh().await;
    assert!(!read(&body()) && read(&next));
}

#[tokio::test]
async fn a_new_private_key_signs_with_its_serial() {
    let folder = Folder::new("private");
    let server = FakeWechat::new(vec![Says::signed(204, "")]).await;
    let mut from = settings(&server.address);
    from.files.private_key = Some(folder.file("key.pem", &merchant().private_pem));
    from.files.merchant_serial = Some(folder.file("serial", &from.merchant_serial));
    let accounts = accounts(&from);
    let close = async || {
        let order = super::calls::order_no();
        accounts.of(A).close(order, "1900000109").await;
        header(server.asked().last().unwrap(), "authorization")
    };
    assert!(
        close()
            .await
            .contains("serial_no=\"5157F09EFDC096DE15EBE81A47057A7200000000\"")
    );
    folder.file("key.pem", &wechat().private_pem);
    folder.file("serial", "5157f09efdc096de15ebe81a47057a7200000009\n");
    accounts.refresh().await;
    assert!(
        close()
            .await
            .contains("serial_no=\"5157F09EFDC096DE15EBE81A47057A7200000009\"")
    );
    folder.file("key.pem", "-----BEGIN NOTHING-----");
    accounts.refresh().await;
    assert!(close().await.contains("7200000009"));
}

const SERIAL: &str = "4A57F09EFDC096DE15EBE81A47057A7232F1B8E2";

/// By the certificate's key, over [`list`] at [`now`] with the nonce `nonce`. Made with openssl;
/// the key is not kept.
const SIGNATURE: &str = "IJb4RtMvfioGSlg2so+nsCr+vgx00DqhUpyu0af//1RxPTjOYquV7fqYM21GDGMdTFW1rdefaaswQ7U/1d0ty7/aMwmO2rA2nDLA2jiAfIlfKEP75UqmhbENbDIvowj17Y1CGk2rJxiyDtDSoQrTErE28t98XHnS64ldQRcOdaQ7mvejyl5FXMRpo1OsUy4FL5Q8H0Foa6u8gReEF0rSICxxzEVzSNpDf1qlYMIRcGSoi6ntkgMwC1MN86VgbSVgvbfpmO7Rzh5VWqH0fVk4vBwfy2yT/BBCGvUqkQJx5MGmb/RxOXBBMnHQRE733kSdOtufYBHSjoWquzGtsOAabA==";

/// The answer that lists the certificate.
fn list() -> String {
    let pem = include_str!("../testdata/self_verifying_certificate.pem");
    let sealed = encrypt(APIV3, "abcdefghijkl", "certificate", pem);
    format!(
        r#"{{"data":[{{"serial_no":"{SERIAL}","encrypt_certificate":{{"algorithm":"AEAD_AES_256_GCM","nonce":"abcdefghijkl","associated_data":"certificate","ciphertext":"{sealed}"}}}}]}}"#
    )
}

fn by_itself() -> Signed {
    Signed {
        timestamp: now().seconds().to_string(),
        nonce: "nonce".to_owned(),
        signature: SIGNATURE.to_owned(),
        serial: SERIAL.to_owned(),
    }
}

/// What is made of something that names the certificate and was not signed by it.
fn error_of(accounts: &WechatAccounts) -> NoticeError {
    let signed = Signed {
        serial: SERIAL.to_owned(),
        ..Signed::over(b"{}")
    };
    let read = accounts
        .account(A)
        .read_notice(signed.headers(), b"{}", now());
    read.unwrap_err()
}

fn fetching(server: &FakeWechat, public_key: bool) -> WechatSettings {
    let mut from = settings(&server.address);
    from.platform_certificates_pem = None;
    from.fetch_certificates = true;
    if !public_key {
        from.public_key = None;
    }
    from
}

#[tokio::test]
async fn platform_certificates_are_fetched_once_until_they_are_due() {
    let server = FakeWechat::new(vec![Says::signed(200, &list())]).await;
    let accounts = accounts(&fetching(&server, true));
    assert_eq!(error_of(&accounts), NoticeError::UnknownKey);
    accounts.refresh().await;
    assert_eq!(error_of(&accounts), NoticeError::BadSignature, "known now");
    let asked = server.asked_once();
    assert_eq!(target(&asked), "GET /v3/certificates?algorithm_type=RSA");
    assert_eq!(header(&asked, "wechatpay-serial"), KEY_ID);
    accounts.refresh().await;
    assert_eq!(server.asked().len(), 1, "not due");
}

#[tokio::test]
async fn an_unknown_certificate_calls_for_a_fetch_and_many_call_for_no_more() {
    let server = FakeWechat::new(vec![Says::signed(200, &list())]).await;
    let clock = Arc::new(MockClock::at(now()));
    let ids = Arc::new(SeededIds::new(7));
    let accounts = WechatAccounts::new(&fetching(&server, true), clock.clone(), ids).unwrap();
    accounts.refresh().await;
    let made_up = |serial: &str| {
        for _ in 0..20 {
            let signed = Signed {
                serial: serial.to_owned(),
                ..Signed::over(b"{}")
            };
            let read = accounts
                .account(A)
                .read_notice(signed.headers(), b"{}", now());
            assert_eq!(read.unwrap_err(), NoticeError::UnknownKey);
        }
    };
    clock.advance_seconds(60);
    made_up("PUB_KEY_ID_0");
    accounts.refresh().await;
    assert_eq!(server.asked().len(), 1, "that is no certificate");
    made_up("4A57F09EFDC096DE15EBE81A47057A7232F1B8E3");
    for _ in 0..3 {
        accounts.refresh().await;
    }
    assert_eq!(server.asked().len(), 2);
    clock.advance_seconds(59);
    made_up("4A57F09EFDC096DE15EBE81A47057A7232F1B8E3");
    accounts.refresh().await;
    assert_eq!(server.asked().len(), 2, "not within a minute");
}

#[tokio::test]
async fn the_first_certificates_prove_themselves() {
    let server = FakeWechat::new(vec![Says::signed(200, &list()).by(Signs::As(by_itself()))]).await;
    let accounts = accounts(&fetching(&server, false));
    accounts.refresh().await;
    assert_eq!(error_of(&accounts), NoticeError::BadSignature, "known now");
    let asked = server.asked_once();
    assert!(
        !asked.to_ascii_lowercase().contains("wechatpay-serial"),
        "{asked}"
    );
}

#[tokio::test]
async fn certificates_that_do_not_verify_themselves_are_not_accepted() {
    let forged = |change: fn(&mut Signed)| {
        let mut signed = by_itself();
        change(&mut signed);
        Says::signed(200, &list()).by(Signs::As(signed))
    };
    let another_key = list().replace(
        &encrypt(
            APIV3,
            "abcdefghijkl",
            "certificate",
            include_str!("../testdata/self_verifying_certificate.pem"),
        ),
        &encrypt(
            &"x".repeat(32),
            "abcdefghijkl",
            "certificate",
            include_str!("../testdata/self_verifying_certificate.pem"),
        ),
    );
    for says in [
        Says::signed(200, &list()),
        Says::unsigned(200, list().as_bytes()),
        forged(|signed| signed.nonce = "another".to_owned()),
        forged(|signed| signed.serial = KEY_ID.to_owned()),
        forged(|signed| signed.timestamp = (now().seconds() - 301).to_string()),
        Says::signed(
            200,
            &list().replace(SERIAL, "4A57F09EFDC096DE15EBE81A47057A7232F1B8E3"),
        )
        .by(Signs::As(by_itself())),
        Says::signed(200, &another_key).by(Signs::As(by_itself())),
        Says::signed(200, r#"{"data":[]}"#).by(Signs::As(by_itself())),
    ] {
        let server = FakeWechat::new(vec![says]).await;
        let accounts = accounts(&fetching(&server, false));
        accounts.refresh().await;
        assert_eq!(error_of(&accounts), NoticeError::UnknownKey);
        assert!(!server.asked().is_empty());
    }
}
