//! Signatures under callbacks: altered, stale, incomplete, by other keys.

use super::{NOWHERE, read};
use crate::{
    payments::{NoticeError, NoticeHeaders, PaymentChannel as _},
    wechat::{
        fixture::{
            APIV3, OLD_APIV3, PLAIN, Signed, body, channel, encrypt, envelope, merchant, now,
            wechat,
        },
        sdk::SecondOpinion,
    },
};

#[test]
fn a_changed_body_is_refused() {
    let (body, signed) = (body(), Signed::over(body().as_bytes()));
    let tampered = body.replacen("EV-", "EW-", 1);
    assert_eq!(
        read(&signed, &tampered).unwrap_err(),
        NoticeError::BadSignature
    );
    // What a framework does that parses first and verifies what it writes again.
    let value: serde_json::Value = serde_json::from_str(&body).unwrap();
    let again = serde_json::to_string(&value).unwrap();
    assert_ne!(again, body);
    assert_eq!(
        read(&signed, &again).unwrap_err(),
        NoticeError::BadSignature
    );
    assert_eq!(
        read(&signed, &format!("{body}\n")).unwrap_err(),
        NoticeError::BadSignature
    );
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let body = body();
    let signed = Signed::by(merchant(), now().seconds(), body.as_bytes());
    assert_eq!(read(&signed, &body).unwrap_err(), NoticeError::BadSignature);
    // The certificate's serial is known, but its key did not sign.
    let certificate = Signed {
        serial: "8A57F09EFDC096DE15EBE81A47057A7232F1B8E1".to_owned(),
        ..Signed::over(body.as_bytes())
    };
    assert_eq!(
        read(&certificate, &body).unwrap_err(),
        NoticeError::BadSignature
    );
    let unknown = Signed {
        serial: "PUB_KEY_ID_0".to_owned(),
        ..Signed::over(body.as_bytes())
    };
    assert_eq!(read(&unknown, &body).unwrap_err(), NoticeError::UnknownKey);
}

#[test]
fn a_probe_is_recognised_and_text_that_is_no_signature_does_no_harm() {
    let body = body();
    let genuine = Signed::over(body.as_bytes());
    let with = |signature: String| {
        read(
            &Signed {
                signature,
                ..genuine.clone()
            },
            &body,
        )
    };
    let probe = format!("WECHATPAY/SIGNTEST/{}", genuine.signature);
    assert_eq!(with(probe).unwrap_err(), NoticeError::Probe);
    for text in ["!", "AAAA", "äöü", &"A".repeat(1368), &"A".repeat(100_000)] {
        assert_eq!(
            with(text.to_owned()).unwrap_err(),
            NoticeError::BadSignature
        );
    }
}

#[test]
fn the_window_is_five_minutes_either_way_and_cannot_be_overflowed() {
    let body = body();
    let at = |seconds: i64| read(&Signed::by(wechat(), seconds, body.as_bytes()), &body);
    let seconds = now().seconds();
    for skew in [-300, -280, 0, 280, 300] {
        assert!(at(seconds + skew).is_ok(), "{skew}");
    }
    for stamp in [
        seconds - 301,
        seconds + 301,
        seconds - 360,
        seconds + 360,
        i64::MIN,
        i64::MAX,
        0,
    ] {
        assert_eq!(
            at(stamp).unwrap_err(),
            NoticeError::OutsideWindow,
            "{stamp}"
        );
    }
    let millis = Signed {
        timestamp: now().millis().to_string(),
        ..Signed::over(body.as_bytes())
    };
    assert_eq!(
        read(&millis, &body).unwrap_err(),
        NoticeError::OutsideWindow
    );
    let words = Signed {
        timestamp: "now".to_owned(),
        ..Signed::over(body.as_bytes())
    };
    assert_eq!(read(&words, &body).unwrap_err(), NoticeError::OutsideWindow);
}

#[test]
fn each_of_the_four_headers_is_required() {
    let body = body();
    let signed = Signed::over(body.as_bytes());
    let all = signed.headers();
    for absent in [None, Some("")] {
        let incomplete = [
            NoticeHeaders {
                timestamp: absent,
                ..all
            },
            NoticeHeaders {
                nonce: absent,
                ..all
            },
            NoticeHeaders {
                signature: absent,
                ..all
            },
            NoticeHeaders {
                serial: absent,
                ..all
            },
        ];
        for headers in incomplete {
            let error = channel(NOWHERE)
                .read_notice(headers, body.as_bytes(), now())
                .unwrap_err();
            assert_eq!(error, NoticeError::MissingHeader);
        }
    }
}

/// Every way in which a callback can be wrong, one at a time, and the few in which it may differ
/// and be right.
#[test]
fn signature_vectors() {
    type Expected = Result<(), NoticeError>;
    let good = body();
    let genuine = Signed::over(good.as_bytes());
    let at = |skew: i64| Signed::by(wechat(), now().seconds() + skew, good.as_bytes());
    let with = |change: fn(&mut Signed)| {
        let mut signed = genuine.clone();
        change(&mut signed);
        signed
    };
    let sealed = |key: &str, associated_data: &str| {
        let body = envelope(&encrypt(key, "abcdefghijkl", associated_data, PLAIN));
        (Signed::over(body.as_bytes()), body)
    };
    let again = serde_json::from_str::<serde_json::Value>(&good)
        .unwrap()
        .to_string();
    let flipped = {
        let ciphertext = encrypt(APIV3, "abcdefghijkl", "transaction", PLAIN);
        let first = if ciphertext.starts_with('A') {
            "B"
        } else {
            "A"
        };
        let body = envelope(&format!("{first}{}", &ciphertext[1..]));
        (Signed::over(body.as_bytes()), body)
    };
    let other_algorithm = {
        let body = good.replace("AEAD_AES_256_GCM", "AEAD_SM4_GCM");
        (Signed::over(body.as_bytes()), body)
    };
    let mut vectors: Vec<(&str, Signed, String, Expected)> = vec![
        ("good", genuine.clone(), good.clone(), Ok(())),
        ("280 s slow", at(-280), good.clone(), Ok(())),
        ("280 s fast", at(280), good.clone(), Ok(())),
        (
            "stale",
            at(-360),
            good.clone(),
            Err(NoticeError::OutsideWindow),
        ),
        (
            "future",
            at(360),
            good.clone(),
            Err(NoticeError::OutsideWindow),
        ),
        (
            "tampered",
            genuine.clone(),
            good.replacen("EV-", "EW-", 1),
            Err(NoticeError::BadSignature),
        ),
        (
            "re-serialised",
            genuine.clone(),
            again,
            Err(NoticeError::BadSignature),
        ),
        (
            "wrong key",
            Signed::by(merchant(), now().seconds(), good.as_bytes()),
            good.clone(),
            Err(NoticeError::BadSignature),
        ),
        (
            "unknown serial",
            with(|signed| signed.serial = "PUB_KEY_ID_0".to_owned()),
            good.clone(),
            Err(NoticeError::UnknownKey),
        ),
        (
            "probe",
            with(|signed| signed.signature.insert_str(0, "WECHATPAY/SIGNTEST/")),
            good.clone(),
            Err(NoticeError::Probe),
        ),
        (
            "not base64",
            with(|signed| signed.signature.insert(0, '!')),
            good.clone(),
            Err(NoticeError::BadSignature),
        ),
        (
            "no timestamp",
            with(|signed| signed.timestamp.clear()),
            good.clone(),
            Err(NoticeError::MissingHeader),
        ),
        (
            "no nonce",
            with(|signed| signed.nonce.clear()),
            good.clone(),
            Err(NoticeError::MissingHeader),
        ),
        (
            "no signature",
            with(|signed| signed.signature.clear()),
            good.clone(),
            Err(NoticeError::MissingHeader),
        ),
        (
            "no serial",
            with(|signed| signed.serial.clear()),
            good.clone(),
            Err(NoticeError::MissingHeader),
        ),
    ];
    for (name, (signed, body), expected) in [
        (
            "flipped ciphertext",
            flipped,
            Err(NoticeError::Undecryptable),
        ),
        (
            "wrong associated data",
            sealed(APIV3, "refund"),
            Err(NoticeError::Undecryptable),
        ),
        (
            "another APIv3 key",
            sealed(&"x".repeat(32), "transaction"),
            Err(NoticeError::Undecryptable),
        ),
        ("old APIv3 key", sealed(OLD_APIV3, "transaction"), Ok(())),
        (
            "unknown algorithm",
            other_algorithm,
            Err(NoticeError::UnknownAlgorithm),
        ),
    ] {
        vectors.push((name, signed, body, expected));
    }
    let sdk = SecondOpinion::new(&merchant().private_pem, APIV3);
    for (name, signed, body, expected) in vectors {
        assert_eq!(read(&signed, &body).map(|_| ()), expected, "{name}");
        // The SDK knows one key and neither time nor the envelope: of the signature it must think
        // as we do.
        let signature_is_sound = !matches!(
            expected,
            Err(NoticeError::BadSignature | NoticeError::Probe | NoticeError::MissingHeader)
        );
        let parts = [
            &*signed.timestamp,
            &*signed.nonce,
            &*signed.signature,
            &*body,
        ];
        let other = sdk.verifies(&wechat().public_pem, parts);
        assert_eq!(other, signature_is_sound || name == "no serial", "{name}");
    }
}
