//! Verified callbacks: what is in them.

use super::{NOWHERE, direct_settings, read_signed};
use crate::{
    payments::{NoticeBody, NoticeError, PaidNotice, PaymentChannel as _, RefundStatus},
    primitives::Money,
    wechat::{
        WechatChannel,
        fixture::{
            APIV3, DIRECT, OLD_APIV3, PLAIN, REFUND, Signed, body, channel, channel_of, encrypt,
            envelope, now,
        },
    },
};

#[test]
fn a_genuine_notice_says_what_was_paid() {
    let notice = read_signed(&body()).unwrap();
    assert_eq!(notice.id, "EV-2018022511223320873");
    assert_eq!(notice.created_at.to_string(), "2026-11-21T03:59:59.000000Z");
    let NoticeBody::Paid(paid) = notice.body else {
        panic!("{notice:?}")
    };
    assert_eq!(paid.out_trade_no, "0123456789ABCDEFGHJKMNPQ");
    assert_eq!(paid.wechat_transaction_id, "4200001234202611211234567890");
    assert_eq!(paid.sub_mchid, "1900000109");
    assert_eq!(paid.amount, Money::parse(1280).unwrap());
    assert_eq!(paid.payer_amount, Some(Money::parse(1200).unwrap()));
    assert_eq!(
        (paid.currency.as_str(), paid.paid_at.seconds()),
        ("CNY", now().seconds() - 2)
    );
    assert!(channel(NOWHERE).is_ours(&paid));
    let theirs = PaidNotice {
        sp_mchid: "1900000002".to_owned(),
        ..paid
    };
    assert!(!channel(NOWHERE).is_ours(&theirs));
}

#[test]
fn what_cannot_be_decrypted_is_refused_even_when_it_is_signed() {
    let ciphertext = encrypt(APIV3, "abcdefghijkl", "transaction", PLAIN);
    let first = if ciphertext.starts_with('A') {
        "B"
    } else {
        "A"
    };
    let undecryptable = [
        envelope(&format!("{first}{}", &ciphertext[1..])),
        envelope(&encrypt(APIV3, "abcdefghijkl", "refund", PLAIN)),
        envelope(&encrypt(APIV3, "ABCDEFGHIJKL", "transaction", PLAIN)),
        envelope(&encrypt(
            &"x".repeat(32),
            "abcdefghijkl",
            "transaction",
            PLAIN,
        )),
        envelope("not base64!"),
        envelope(""),
        body().replace(r#""nonce":"abcdefghijkl""#, r#""nonce":"short""#),
    ];
    for body in undecryptable {
        assert_eq!(
            read_signed(&body).unwrap_err(),
            NoticeError::Undecryptable,
            "{body}"
        );
    }
}

#[test]
fn the_old_apiv3_key_still_opens_during_a_rotation() {
    let body = envelope(&encrypt(OLD_APIV3, "abcdefghijkl", "transaction", PLAIN));
    assert!(matches!(
        read_signed(&body).unwrap().body,
        NoticeBody::Paid(_)
    ));
}

#[test]
fn associated_data_may_be_empty_null_or_missing() {
    let without = envelope(&encrypt(APIV3, "abcdefghijkl", "", PLAIN));
    let empty = without.replace(
        r#""associated_data":"transaction""#,
        r#""associated_data":"""#,
    );
    let missing = without.replace(r#""associated_data":"transaction","#, "");
    let null = without.replace(
        r#""associated_data":"transaction""#,
        r#""associated_data":null"#,
    );
    for body in [empty, null, missing] {
        assert!(
            matches!(read_signed(&body).unwrap().body, NoticeBody::Paid(_)),
            "{body}"
        );
    }
}

#[test]
fn escaped_slashes_in_base64_are_read() {
    let body = body().replace('/', "\\/");
    assert!(matches!(
        read_signed(&body).unwrap().body,
        NoticeBody::Paid(_)
    ));
}

#[test]
fn the_envelope_must_be_one() {
    let whole = body();
    let malformed = [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        whole[..whole.len() - 1].to_owned(),
        format!("{whole}{{}}"),
        whole.replace(r#""id":"EV-2018022511223320873","#, ""),
        whole.replace("EV-2018022511223320873", ""),
        whole.replace("EV-2018022511223320873", &"E".repeat(65)),
        whole.replace("2026-11-21T11:59:59+08:00", "yesterday"),
        whole.replace("encrypt-resource", "plain-resource"),
    ];
    for body in malformed {
        assert_eq!(
            read_signed(&body).unwrap_err(),
            NoticeError::Malformed,
            "{body}"
        );
    }
    let sm4 = whole.replace("AEAD_AES_256_GCM", "AEAD_SM4_GCM");
    assert_eq!(
        read_signed(&sm4).unwrap_err(),
        NoticeError::UnknownAlgorithm
    );
}

#[test]
fn only_a_success_with_everything_that_must_be_checked_is_a_payment() {
    let told = |plain: &str| {
        read_signed(&envelope(&encrypt(
            APIV3,
            "abcdefghijkl",
            "transaction",
            plain,
        )))
    };
    let bad = [
        PLAIN.replace(r#""SUCCESS""#, r#""NOTPAY""#),
        PLAIN.replace(r#""total":1280"#, r#""total":-1"#),
        PLAIN.replace(r#""total":1280"#, r#""total":12.8"#),
        PLAIN.replace(r#""total":1280,"#, ""),
        PLAIN.replace(r#""currency":"CNY","#, ""),
        PLAIN.replace(r#""transaction_id":"4200001234202611211234567890","#, ""),
        PLAIN.replace(r#""sub_mchid":"1900000109","#, ""),
        PLAIN.replace(r#""success_time":"2026-11-21T11:59:58+08:00","#, ""),
        "[]".to_owned(),
        "{".to_owned(),
    ];
    for plain in bad {
        assert_eq!(
            told(&plain).unwrap_err(),
            NoticeError::BadContent,
            "{plain}"
        );
    }
}

fn refund_envelope(event: &str, plain: &str) -> String {
    envelope(&encrypt(APIV3, "abcdefghijkl", "transaction", plain))
        .replace("TRANSACTION.SUCCESS", event)
        .replace(
            r#""original_type":"transaction""#,
            r#""original_type":"refund""#,
        )
}

fn kind(channel: &WechatChannel, body: &str) -> String {
    let signed = Signed::over(body.as_bytes());
    match channel.read_notice(signed.headers(), body.as_bytes(), now()) {
        Ok(notice) => match notice.body {
            NoticeBody::Other {
                event_type,
                original_type,
            } => format!("{event_type} {original_type}"),
            NoticeBody::Paid(paid) => format!("paid {}", paid.sub_mchid),
            NoticeBody::Refund(refund) => format!("refund {}", refund.sub_mchid),
        },
        Err(error) => error.reason().to_owned(),
    }
}

fn direct_channel() -> WechatChannel {
    channel_of(&direct_settings(NOWHERE))
}

#[test]
fn verified_notices_of_other_kinds_are_distinguished() {
    let (partner, direct) = (channel(NOWHERE), direct_channel());
    let sharing = body().replace(
        r#""original_type":"transaction""#,
        r#""original_type":"profitsharing""#,
    );
    let plain = |text: &str| envelope(&encrypt(APIV3, "abcdefghijkl", "transaction", text));
    let combined = plain(r#"{"combine_mchid":"1900000001","sub_orders":[]}"#);
    let refund = |plain: &str| refund_envelope("REFUND.SUCCESS", plain);
    let refund_direct = REFUND.replace(
        r#""sp_mchid":"1900000001","sub_mchid":"1900000109""#,
        r#""mchid":"1900000001""#,
    );
    for (body, in_partner_mode, in_direct_mode) in [
        (body(), "paid 1900000109", "TRANSACTION.SUCCESS transaction"),
        (
            plain(DIRECT),
            "TRANSACTION.SUCCESS transaction",
            "paid 1900000001",
        ),
        (
            combined,
            "TRANSACTION.SUCCESS transaction",
            "TRANSACTION.SUCCESS transaction",
        ),
        (
            sharing,
            "TRANSACTION.SUCCESS profitsharing",
            "TRANSACTION.SUCCESS profitsharing",
        ),
        (refund(REFUND), "refund 1900000109", "REFUND.SUCCESS refund"),
        (
            refund(&refund_direct),
            "REFUND.SUCCESS refund",
            "refund 1900000001",
        ),
        (
            refund_envelope("REFUND.NEW", REFUND),
            "REFUND.NEW refund",
            "REFUND.NEW refund",
        ),
        (
            refund_envelope("REFUND.CLOSED", REFUND),
            "bad_content",
            "REFUND.CLOSED refund",
        ),
    ] {
        assert_eq!(kind(&partner, &body), in_partner_mode, "{body}");
        assert_eq!(kind(&direct, &body), in_direct_mode, "{body}");
    }
}

#[test]
fn the_payer_is_read_in_either_mode() {
    let paid = |channel: &WechatChannel, plain: &str| {
        let body = envelope(&encrypt(APIV3, "abcdefghijkl", "transaction", plain));
        let signed = Signed::over(body.as_bytes());
        let notice = channel.read_notice(signed.headers(), body.as_bytes(), now());
        let NoticeBody::Paid(paid) = notice.unwrap().body else {
            panic!("{plain}")
        };
        assert!(channel.is_ours(&paid));
        paid.payer_openid.map(crate::primitives::Secret::into_inner)
    };
    let partner = channel(NOWHERE);
    assert_eq!(paid(&partner, PLAIN).as_deref(), Some("oA"));
    let untold = PLAIN.replace(r#""payer":{"sp_openid":"oA"},"#, "");
    assert_eq!(paid(&partner, &untold), None);
    let theirs = PLAIN.replace("sp_openid", "sub_openid");
    assert_eq!(paid(&partner, &theirs), None);
    assert_eq!(paid(&direct_channel(), DIRECT).as_deref(), Some("oB"));
}

#[test]
fn a_refund_notice_says_what_became_of_it() {
    let body = refund_envelope("REFUND.ABNORMAL", &REFUND.replace("SUCCESS", "ABNORMAL"));
    let NoticeBody::Refund(told) = read_signed(&body).unwrap().body else {
        panic!("{body}")
    };
    assert_eq!(told.wechat_transaction_id, "4200001234202611211234567890");
    assert_eq!(told.refund.out_refund_no, "R123456789ABCDEFGHJKMNPQ");
    assert_eq!(told.refund.status, RefundStatus::Abnormal);
    assert_eq!(told.refund.amount, Money::parse(200).unwrap());
    for (text, instead) in [
        (r#""refund":200"#, r#""refund":-1"#),
        ("4200001234202611211234567890", ""),
        (r#""sub_mchid":"1900000109","#, ""),
        (r#""refund_id":"50300000000000000001","#, ""),
    ] {
        let plain = REFUND.replace(text, instead);
        let body = refund_envelope("REFUND.SUCCESS", &plain);
        assert_eq!(
            read_signed(&body).unwrap_err(),
            NoticeError::BadContent,
            "{plain}"
        );
    }
}

#[test]
fn a_stored_notice_is_read_again_whenever() {
    let stored = body();
    let channel = channel(NOWHERE);
    assert!(matches!(
        channel.reread_notice(stored.as_bytes()).unwrap().body,
        NoticeBody::Paid(_)
    ));
    let changed = stored.replace("abcdefghijkl", "abcdefghijkm");
    let error = channel.reread_notice(changed.as_bytes()).unwrap_err();
    assert_eq!(error, NoticeError::Undecryptable);
}
