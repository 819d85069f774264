//! Keys: read, agreed on by another implementation, fetched, exchanged.

use std::sync::Arc;

use super::NOWHERE;
use crate::{
    config::WechatSettings,
    payments::{NoticeError, PaymentChannel as _},
    primitives::{MockClock, Secret, SeededIds, Timestamp},
    wechat::{
        MiniProgram, WechatChannel,
        fixture::{
            APIV3, OLD_APIV3, PLAIN, Signed, body, channel, encrypt, merchant, now, settings,
            wechat,
        },
        sdk::{SecondOpinion, platform_certificates},
    },
};

#[test]
fn another_implementation_agrees_on_signatures_and_decryption() {
    let sdk = SecondOpinion::new(&merchant().private_pem, APIV3);
    let pay = channel(NOWHERE).pay_parameters("wx201410272009395522657a690389285100", now());
    let message = format!(
        "wx0123456789abcdef\n{}\n{}\n{}\n",
        pay.time_stamp, pay.nonce_str, pay.package
    );
    assert_eq!(pay.pay_sign, sdk.sign(&message));
    assert_eq!(
        pay.package,
        "prepay_id=wx201410272009395522657a690389285100"
    );
    assert_eq!((pay.sign_type.as_str(), pay.nonce_str.len()), ("RSA", 32));
    assert_eq!(pay.time_stamp, now().seconds().to_string());

    let body = body();
    let signed = Signed::over(body.as_bytes());
    let parts = |body| [&*signed.timestamp, &*signed.nonce, &*signed.signature, body];
    assert!(sdk.verifies(&wechat().public_pem, parts(&body)));
    assert!(!sdk.verifies(&wechat().public_pem, parts("{}")));
    let ciphertext = encrypt(APIV3, "abcdefghijkl", "transaction", PLAIN);
    let plain = sdk
        .decrypt(&ciphertext, "abcdefghijkl", "transaction")
        .unwrap();
    assert_eq!(plain, PLAIN.as_bytes());
}

#[test]
fn a_platform_certificate_verifies_under_its_serial() {
    let pem = include_str!("../testdata/platform_certificate.pem");
    let [certificate] = platform_certificates(pem).unwrap().try_into().unwrap();
    assert_eq!(
        certificate.serial,
        "8A57F09EFDC096DE15EBE81A47057A7232F1B8E1"
    );
    assert!(certificate.valid);

    // Signed by openssl with the certificate's key, which is not kept.
    let signed = Signed {
        timestamp: "1763700000".to_owned(),
        nonce: "nonce".to_owned(),
        signature: "Kv8PPrEk+n7bbu3JyIHobBTnta9am6WYfB3FAHMScjHiszUawsi/Ta+eMp2VGw1IBYDSQvxFrlM9YwKp3Ox5x7uVHVeARUsUyxMlUqCqoz4KC6bJWLzfp4KACQ26X0R9bA9uIC9lWsgpo2cvQg96sZCe5sjx0D8JI9JQwf8mwX5+uwA6QmSBjZM5kfhQvgEmlXbT3l5t8skpr5YNAQilE036DKr7bHeQhaLGNOIvJ2uILLqE+Ay23p/U55150O9HsNtxoF7hB10Gov1SKOOGdULG6Og+nJBwtbne23Kob6RyeQhiZTp7ceefyKdSkH8GDUKHy3d64Gf75bHJF0GhUA==".to_owned(),
        serial: certificate.serial,
    };
    let read = |body: &[u8]| {
        let at = Timestamp::from_micros(1_763_700_000_000_000);
        channel(NOWHERE)
            .read_notice(signed.headers(), body, at)
            .unwrap_err()
    };
    // Past the signature, and no notification.
    assert_eq!(read(br#"{"a":1}"#), NoticeError::Malformed);
    assert_eq!(read(br#"{"a":2}"#), NoticeError::BadSignature);
}

#[test]
fn certificates_may_come_several_and_expired_ones_do_not_count() {
    let good = include_str!("../testdata/platform_certificate.pem");
    let expired = include_str!("../testdata/expired_certificate.pem");
    let two = platform_certificates(&format!("{expired}\n{good}")).unwrap();
    assert_eq!(
        two.iter().map(|one| one.valid).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(platform_certificates("nothing"), None);
    assert_eq!(platform_certificates(&format!("{good}\nand more")), None);

    let built = |public: bool, certificates: &str| {
        let mut settings = settings(NOWHERE);
        settings.platform_certificates_pem = Some(certificates.to_owned());
        if !public {
            settings.public_key = None;
        }
        let clock = Arc::new(MockClock::at(now()));
        WechatChannel::new(&settings, clock, Arc::new(SeededIds::new(7)))
    };
    assert!(built(false, good).is_ok());
    assert!(built(true, expired).is_ok());
    let error = built(false, expired).unwrap_err();
    assert!(
        error.to_string().contains("expired certificates only"),
        "{error}"
    );
    let error = built(true, "junk").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("ZHANGFANG_WECHAT__PLATFORM_CERTIFICATE_FILE")
    );
}

#[test]
fn keys_that_are_none_are_refused_by_the_name_of_their_setting() {
    let refused = |spoil: fn(&mut WechatSettings)| {
        let mut settings = settings(NOWHERE);
        spoil(&mut settings);
        let clock = Arc::new(MockClock::at(now()));
        WechatChannel::new(&settings, clock, Arc::new(SeededIds::new(7)))
            .unwrap_err()
            .to_string()
    };
    let pkcs1 = |settings: &mut WechatSettings| {
        settings.private_key_pem = Secret::new(
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----".to_owned(),
        );
    };
    assert!(refused(pkcs1).starts_with("ZHANGFANG_WECHAT__PRIVATE_KEY_FILE"));
    let private = |settings: &mut WechatSettings| {
        settings.public_key.as_mut().unwrap().pem = merchant().private_pem.clone();
    };
    assert!(refused(private).starts_with("ZHANGFANG_WECHAT__PUBLIC_KEY_FILE"));
}

#[test]
fn nothing_printed_shows_a_key() {
    let program = MiniProgram::new(&settings(NOWHERE)).unwrap();
    let printed = format!("{:?} {program:?} {:?}", channel(NOWHERE), settings(NOWHERE));
    let private = &merchant().private_pem[30..90];
    for secret in [APIV3, OLD_APIV3, private, "app-secret"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}
