//! A WeChat with freshly generated keys, for tests. It signs and encrypts with aws-lc-rs;
//! `tests.rs` checks that with the SDK.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use url::Url;

use super::WechatChannel;
use crate::{
    config::{WechatFiles, WechatMode, WechatPublicKey, WechatSettings},
    payments::NoticeHeaders,
    primitives::{MockClock, Secret, SeededIds, Timestamp},
};

pub(super) const KEY_ID: &str = "PUB_KEY_ID_0119000000012026112100398100000001";
pub(super) const APIV3: &str = "0123456789abcdef0123456789abcdef";
pub(super) const OLD_APIV3: &str = "fedcba9876543210fedcba9876543210";

/// A key pair and its two PEMs.
pub(super) struct Keys {
    pub(super) pair: RsaKeyPair,
    pub(super) private_pem: String,
    pub(super) public_pem: String,
}

impl Keys {
    fn generate() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        let public = pair.public_key().as_der();
        let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = public.unwrap();
        let public_pem = pem("PUBLIC KEY", public.as_ref());
        Self {
            pair,
            private_pem,
            public_pem,
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .unwrap();
        BASE64.encode(signature)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// The merchant's and WeChat's, made once.
pub(super) fn keys() -> &'static (Keys, Keys) {
    static KEYS: OnceLock<(Keys, Keys)> = OnceLock::new();
    KEYS.get_or_init(|| (Keys::generate(), Keys::generate()))
}

pub(super) fn merchant() -> &'static Keys {
    &keys().0
}

pub(super) fn wechat() -> &'static Keys {
    &keys().1
}

pub(super) fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T12:00:00+08:00").unwrap()
}

pub(super) fn settings(pay_url: &str) -> WechatSettings {
    WechatSettings {
        mode: WechatMode::Partner,
        backup_url: None,
        fetch_certificates: false,
        tenants_dir: None,
        files: WechatFiles::default(),
        pay_url: Url::parse(pay_url).unwrap(),
        mini_program_url: Url::parse(pay_url).unwrap(),
        app_id: "wx0123456789abcdef".to_owned(),
        app_secret: Secret::new("app-secret".to_owned()),
        sp_mchid: "1900000001".to_owned(),
        merchant_serial: "5157F09EFDC096DE15EBE81A47057A7200000000".to_owned(),
        private_key_pem: Secret::new(merchant().private_pem.clone()),
        apiv3_key: Secret::new(APIV3.to_owned()),
        apiv3_key_old: Some(Secret::new(OLD_APIV3.to_owned())),
        public_key: Some(WechatPublicKey {
            id: KEY_ID.to_owned(),
            pem: wechat().public_pem.clone(),
        }),
        platform_certificates_pem: Some(
            include_str!("testdata/platform_certificate.pem").to_owned(),
        ),
        notify_base: Url::parse("https://pay.example.com").unwrap(),
        allow_loopback_http: true,
    }
}

pub(super) fn channel(pay_url: &str) -> WechatChannel {
    channel_of(&settings(pay_url))
}

pub(super) const PLAIN: &str = r#"{"sp_appid":"wx0123456789abcdef","sp_mchid":"1900000001","sub_mchid":"1900000109","out_trade_no":"0123456789ABCDEFGHJKMNPQ","transaction_id":"4200001234202611211234567890","trade_type":"JSAPI","trade_state":"SUCCESS","trade_state_desc":"支付成功","bank_type":"OTHERS","success_time":"2026-11-21T11:59:58+08:00","payer":{"sp_openid":"oA"},"amount":{"total":1280,"payer_total":1200,"currency":"CNY","payer_currency":"CNY"}}"#;

/// A payment in direct mode.
pub(super) const DIRECT: &str = r#"{"appid":"wx0123456789abcdef","mchid":"1900000001","out_trade_no":"0123456789ABCDEFGHJKMNPQ","transaction_id":"4200001234202611211234567890","trade_type":"JSAPI","trade_state":"SUCCESS","trade_state_desc":"支付成功","bank_type":"OTHERS","success_time":"2026-11-21T11:59:58+08:00","payer":{"openid":"oB"},"amount":{"total":1280,"payer_total":1200,"currency":"CNY","payer_currency":"CNY"}}"#;

/// The end of a refund of it.
pub(super) const REFUND: &str = r#"{"sp_mchid":"1900000001","sub_mchid":"1900000109","out_trade_no":"0123456789ABCDEFGHJKMNPQ","transaction_id":"4200001234202611211234567890","out_refund_no":"R123456789ABCDEFGHJKMNPQ","refund_id":"50300000000000000001","refund_status":"SUCCESS","success_time":"2026-11-21T11:59:58+08:00","user_received_account":"支付用户零钱","amount":{"total":1280,"refund":200,"payer_total":1200,"payer_refund":188}}"#;

pub(super) fn encrypt(key: &str, nonce: &str, associated_data: &str, plain: &str) -> String {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_bytes()).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(nonce.as_bytes()).unwrap();
    let mut data = plain.as_bytes().to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(associated_data.as_bytes()), &mut data)
        .unwrap();
    BASE64.encode(data)
}

/// The envelope of a payment's notice.
pub(super) fn envelope(ciphertext: &str) -> String {
    format!(
        r#"{{"id":"EV-2018022511223320873","create_time":"2026-11-21T11:59:59+08:00","resource_type":"encrypt-resource","event_type":"TRANSACTION.SUCCESS","summary":"支付成功","resource":{{"original_type":"transaction","algorithm":"AEAD_AES_256_GCM","ciphertext":"{ciphertext}","associated_data":"transaction","nonce":"abcdefghijkl"}}}}"#
    )
}

pub(super) fn body() -> String {
    envelope(&encrypt(APIV3, "abcdefghijkl", "transaction", PLAIN))
}

/// The headers over a body, owned.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub(super) timestamp: String,
    pub(super) nonce: String,
    pub(super) signature: String,
    pub(super) serial: String,
}

impl Signed {
    pub(super) fn over(body: &[u8]) -> Self {
        Self::by(wechat(), now().seconds(), body)
    }

    pub(super) fn by(keys: &Keys, timestamp: i64, body: &[u8]) -> Self {
        let (timestamp, nonce) = (
            timestamp.to_string(),
            "5K8264ILTKCH16CQ2502SI8ZNMTM67VS".to_owned(),
        );
        let mut message = format!("{timestamp}\n{nonce}\n").into_bytes();
        message.extend_from_slice(body);
        message.push(b'\n');
        let signature = keys.sign(&message);
        Self {
            timestamp,
            nonce,
            signature,
            serial: KEY_ID.to_owned(),
        }
    }

    pub(super) fn headers(&self) -> NoticeHeaders<'_> {
        NoticeHeaders {
            timestamp: Some(&self.timestamp),
            nonce: Some(&self.nonce),
            signature: Some(&self.signature),
            serial: Some(&self.serial),
            signature_type: None,
        }
    }
}

pub(super) fn channel_of(settings: &WechatSettings) -> WechatChannel {
    let clock = Arc::new(MockClock::at(now()));
    WechatChannel::new(settings, clock, Arc::new(SeededIds::new(7))).unwrap()
}

/// What only the owner of a key can read, as WeChat reads names and card numbers.
pub(super) fn decrypt(keys: &Keys, text: &str) -> String {
    use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
    let private: Pkcs8V1Der<'_> = keys.pair.as_der().unwrap();
    let key = PrivateDecryptingKey::from_pkcs8(private.as_ref()).unwrap();
    let key = OaepPrivateDecryptingKey::new(key).unwrap();
    let mut room = vec![0; key.min_output_size()];
    let plain = key
        .decrypt(
            &OAEP_SHA1_MGF1SHA1,
            &BASE64.decode(text).unwrap(),
            &mut room,
            None,
        )
        .unwrap();
    String::from_utf8(plain.to_vec()).unwrap()
}
