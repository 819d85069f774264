//! What a stranger may send to the address where WeChat calls us: never accepted, never a panic.
//! The bytes are the five headers, each ended by a zero, and the body. The body is also read as
//! what it might be inside the encryption, where only WeChat could have put it: never a panic
//! either.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use libfuzzer_sys::fuzz_target;
use wechat_pay_simulator::{Addresses, KeySet};
use zhangfang::{
    config::{WechatFiles, WechatMode, WechatPublicKey, WechatSettings},
    payments::{NoticeHeaders, PaymentChannel as _},
    primitives::{Clock as _, RandomIds, Secret, SystemClock},
    wechat::WechatChannel,
};

const APIV3_KEY: &str = "0123456789abcdef0123456789abcdef";
const KEY_ID: &str = "PUB_KEY_ID_0000000000000000000000000000001";

static CHANNEL: LazyLock<WechatChannel> = LazyLock::new(channel);

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(6, |byte| *byte == 0);
    let mut header = || parts.next().and_then(|text| std::str::from_utf8(text).ok());
    let headers = NoticeHeaders {
        timestamp: header(),
        nonce: header(),
        signature: header(),
        serial: header(),
        signature_type: header(),
    };
    let body = parts.next().unwrap_or(bytes);
    let now = SystemClock.now();
    assert!(CHANNEL.read_notice(headers, body, now).is_err());
    // With the right time and key, so that the signature is what it fails at.
    let seconds = now.seconds().to_string();
    let timely = NoticeHeaders {
        timestamp: Some(&seconds),
        nonce: Some("n"),
        serial: Some(KEY_ID),
        signature_type: Some("WECHATPAY2-SHA256-RSA2048"),
        ..headers
    };
    assert!(CHANNEL.read_notice(timely, body, now).is_err());
    // What was stored is not verified again; it is trusted only as far as its encryption goes.
    assert!(CHANNEL.reread_notice(body).is_err());
    for (event_type, original_type) in [
        ("TRANSACTION.SUCCESS", "transaction"),
        ("REFUND.SUCCESS", "refund"),
    ] {
        let _ = CHANNEL.reread_notice(&sealed(event_type, original_type, body));
    }
});

/// A notification with this inside, as WeChat would encrypt it.
fn sealed(event_type: &str, original_type: &str, plain: &[u8]) -> Vec<u8> {
    let key = UnboundKey::new(&AES_256_GCM, APIV3_KEY.as_bytes()).expect("32 bytes");
    let nonce = Nonce::try_assume_unique_for_key(b"abcdefghijkl").expect("12 bytes");
    let mut data = plain.to_vec();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce, Aad::from(original_type.as_bytes()), &mut data)
        .expect("short enough");
    let ciphertext = BASE64.encode(data);
    format!(
        r#"{{"id":"EV-1","create_time":"2026-11-20T10:34:56+08:00","resource_type":"encrypt-resource","event_type":"{event_type}","summary":"x","resource":{{"original_type":"{original_type}","algorithm":"AEAD_AES_256_GCM","ciphertext":"{ciphertext}","associated_data":"{original_type}","nonce":"abcdefghijkl"}}}}"#
    )
    .into_bytes()
}

fn channel() -> WechatChannel {
    use secrecy::ExposeSecret as _;
    let here: url::Url = "http://127.0.0.1:1/".parse().expect("an address");
    let keys = KeySet::generate().expect("keys");
    let us = keys
        .credentials(Addresses {
            pay_url: here.clone(),
            mini_program_url: here.clone(),
            notify_base: None,
        })
        .expect("credentials");
    let settings = WechatSettings {
        mode: WechatMode::Partner,
        pay_url: here.clone(),
        backup_url: None,
        mini_program_url: here.clone(),
        app_id: us.app_id.clone(),
        app_secret: Secret::new("x".to_owned()),
        sp_mchid: us.sp_mchid.clone(),
        merchant_serial: us.merchant_serial.clone(),
        private_key_pem: Secret::new(us.private_key_pem.expose_secret().to_owned()),
        apiv3_key: Secret::new(APIV3_KEY.to_owned()),
        apiv3_key_old: None,
        public_key: Some(WechatPublicKey {
            id: KEY_ID.to_owned(),
            pem: us.public_key_pem.clone(),
        }),
        platform_certificates_pem: None,
        fetch_certificates: false,
        notify_base: here,
        tenants_dir: None,
        files: WechatFiles::default(),
        allow_loopback_http: true,
    };
    WechatChannel::new(
        &settings,
        std::sync::Arc::new(SystemClock),
        std::sync::Arc::new(RandomIds),
    )
    .expect("settings that are right")
}
