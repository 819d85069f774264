//! The vectors of the fact sheet, and a server that answers as it pleases.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    MiniProgram, WechatGateway,
    fixture::{
        APIV3, KEY_ID, OLD_APIV3, PLAIN, Signed, body, encrypt, envelope, gateway, merchant, now,
        settings, wechat,
    },
    sdk::{SecondOpinion, platform_certificates},
};
use crate::{
    auth::{LoginFailure, WechatLogin as _},
    payments::{
        ChannelOrder, Gateway as _, Notice, NoticeBody, NoticeError, NoticeHeaders, Outcome,
        PrepayRequest, RefusalKind,
    },
    primitives::{Id, Lane, MockClock, Money, OrderId, OrderNo, Secret, SeededIds, Timestamp},
};

const NOWHERE: &str = "http://127.0.0.1:9";

fn read(signed: &Signed, body: &str) -> Result<Notice, NoticeError> {
    gateway(NOWHERE).read_notice(signed.headers(), body.as_bytes(), now())
}

/// A genuine signature over whatever is inside.
fn read_signed(body: &str) -> Result<Notice, NoticeError> {
    read(&Signed::over(body.as_bytes()), body)
}

#[test]
fn a_genuine_notice_says_what_was_paid() {
    let notice = read_signed(&body()).unwrap();
    assert_eq!(notice.id, "EV-2018022511223320873");
    assert_eq!(notice.created_at.to_string(), "2026-11-21T03:59:59Z");
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
    assert!(gateway(NOWHERE).is_ours(&paid));
    let theirs = crate::payments::PaidNotice {
        sp_mchid: "1900000002".to_owned(),
        ..paid
    };
    assert!(!gateway(NOWHERE).is_ours(&theirs));
}

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
            let error = gateway(NOWHERE)
                .read_notice(headers, body.as_bytes(), now())
                .unwrap_err();
            assert_eq!(error, NoticeError::MissingHeader);
        }
    }
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
fn associated_data_may_be_empty_or_missing() {
    let without = envelope(&encrypt(APIV3, "abcdefghijkl", "", PLAIN));
    let empty = without.replace(
        r#""associated_data":"transaction""#,
        r#""associated_data":"""#,
    );
    let missing = without.replace(r#""associated_data":"transaction","#, "");
    for body in [empty, missing] {
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

#[test]
fn sound_notices_of_other_kinds_are_told_apart() {
    let kind = |body: String| match read_signed(&body).unwrap().body {
        NoticeBody::Other {
            event_type,
            original_type,
        } => format!("{event_type} {original_type}"),
        NoticeBody::Paid(_) => "paid".to_owned(),
    };
    let refund = body()
        .replace("TRANSACTION.SUCCESS", "REFUND.SUCCESS")
        .replace(
            r#""original_type":"transaction""#,
            r#""original_type":"refund""#,
        );
    assert_eq!(kind(refund), "REFUND.SUCCESS refund");
    let sharing = body().replace(
        r#""original_type":"transaction""#,
        r#""original_type":"profitsharing""#,
    );
    assert_eq!(kind(sharing), "TRANSACTION.SUCCESS profitsharing");
    let plain = |text: &str| envelope(&encrypt(APIV3, "abcdefghijkl", "transaction", text));
    let combined = plain(r#"{"combine_mchid":"1900000001","sub_orders":[]}"#);
    assert_eq!(kind(combined), "TRANSACTION.SUCCESS transaction");
    let direct = plain(r#"{"appid":"wx1","mchid":"1900000001","trade_state":"SUCCESS"}"#);
    assert_eq!(kind(direct), "TRANSACTION.SUCCESS transaction");
}

#[test]
fn another_implementation_agrees_on_signatures_and_decryption() {
    let sdk = SecondOpinion::new(&merchant().private_pem, APIV3);
    let pay = gateway(NOWHERE).pay_parameters("wx201410272009395522657a690389285100", now());
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
    let pem = include_str!("testdata/platform_certificate.pem");
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
        gateway(NOWHERE)
            .read_notice(signed.headers(), body, at)
            .unwrap_err()
    };
    // Past the signature, and no notification.
    assert_eq!(read(br#"{"a":1}"#), NoticeError::Malformed);
    assert_eq!(read(br#"{"a":2}"#), NoticeError::BadSignature);
}

#[test]
fn certificates_may_come_several_and_expired_ones_do_not_count() {
    let good = include_str!("testdata/platform_certificate.pem");
    let expired = include_str!("testdata/expired_certificate.pem");
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
        WechatGateway::new(&settings, clock, Arc::new(SeededIds::new(7)))
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
    let refused = |spoil: fn(&mut crate::config::WechatSettings)| {
        let mut settings = settings(NOWHERE);
        spoil(&mut settings);
        let clock = Arc::new(MockClock::at(now()));
        WechatGateway::new(&settings, clock, Arc::new(SeededIds::new(7)))
            .unwrap_err()
            .to_string()
    };
    let pkcs1 = |settings: &mut crate::config::WechatSettings| {
        settings.private_key_pem = Secret::new(
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----".to_owned(),
        );
    };
    assert!(refused(pkcs1).starts_with("ZHANGFANG_WECHAT__PRIVATE_KEY_FILE"));
    let private = |settings: &mut crate::config::WechatSettings| {
        settings.public_key.as_mut().unwrap().pem = merchant().private_pem.clone();
    };
    assert!(refused(private).starts_with("ZHANGFANG_WECHAT__PUBLIC_KEY_FILE"));
}

#[test]
fn nothing_printed_shows_a_key() {
    let program = MiniProgram::new(&settings(NOWHERE)).unwrap();
    let printed = format!("{:?} {program:?} {:?}", gateway(NOWHERE), settings(NOWHERE));
    let private = &merchant().private_pem[30..90];
    for secret in [APIV3, OLD_APIV3, private, "app-secret"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}

// --- calls -------------------------------------------------------------------------------------------------------------

/// What the server says: status, body, and who signs.
#[derive(Clone, Copy)]
struct Says {
    status: u16,
    body: &'static str,
    signs: Signs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Signs {
    Wechat,
    Nobody,
    Somebody,
    Probe,
}

/// One request, one answer. Gives the address and, when it is over, what was asked.
async fn server(says: Says) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).await.unwrap();
            asked.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&asked);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let wanted = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse::<usize>()
                    .ok()
            });
            if body.len() >= wanted.unwrap_or(0) {
                break;
            }
        }
        let signed = match says.signs {
            Signs::Somebody => Signed::by(merchant(), now().seconds(), says.body.as_bytes()),
            Signs::Wechat | Signs::Nobody | Signs::Probe => Signed::over(says.body.as_bytes()),
        };
        let prefix = if says.signs == Signs::Probe {
            "WECHATPAY/SIGNTEST/"
        } else {
            ""
        };
        let mut headers = vec![
            format!("HTTP/1.1 {} X", says.status),
            "Connection: close".to_owned(),
            "Request-ID: 08F-0".to_owned(),
        ];
        if says.signs != Signs::Nobody {
            headers.push(format!("Wechatpay-Timestamp: {}", signed.timestamp));
            headers.push(format!("Wechatpay-Nonce: {}", signed.nonce));
            headers.push(format!("Wechatpay-Serial: {}", signed.serial));
            headers.push(format!("Wechatpay-Signature: {prefix}{}", signed.signature));
        }
        if says.status != 204 {
            headers.push(format!("Content-Length: {}", says.body.len()));
        }
        let answer = format!("{}\r\n\r\n{}", headers.join("\r\n"), says.body);
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.ok();
        String::from_utf8(asked).unwrap()
    });
    (address, served)
}

fn order_no() -> OrderNo {
    OrderNo::from(OrderId::new(Id::mint(1_795_000_000_000, 7, Lane(1))))
}

fn prepay_request() -> PrepayRequest {
    PrepayRequest {
        order_no: order_no(),
        sub_mchid: "1900000109".to_owned(),
        amount: Money::parse(1280).unwrap(),
        description: "茶".to_owned(),
        payer_openid: Secret::new("oA".to_owned()),
        expires_at: now().plus_seconds(900),
        notify_path: "/api/v1/wechat/notify/payments".to_owned(),
    }
}

async fn prepay(says: Says) -> (Outcome<String>, String) {
    let (address, served) = server(says).await;
    let outcome = gateway(&address).prepay(prepay_request()).await;
    (outcome, served.await.unwrap())
}

#[tokio::test]
async fn a_prepay_is_signed_and_says_no_more_than_it_must() {
    let says = Says {
        status: 200,
        body: r#"{"prepay_id":"wx26"}"#,
        signs: Signs::Wechat,
    };
    let (outcome, asked) = prepay(says).await;
    let Outcome::Done(ticket) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(ticket, "wx26");

    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        body,
        format!(
            r#"{{"sp_appid":"wx0123456789abcdef","sp_mchid":"1900000001","sub_mchid":"1900000109","description":"茶","out_trade_no":"{}","time_expire":"2026-11-21T12:15:00+08:00","notify_url":"https://pay.example.com/api/v1/wechat/notify/payments","amount":{{"total":1280,"currency":"CNY"}},"payer":{{"sp_openid":"oA"}}}}"#,
            order_no()
        )
    );
    assert!(head.starts_with("POST /v3/pay/partner/transactions/jsapi HTTP/1.1"));
    let header = |name: &str| {
        let found = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with(name));
        found
            .unwrap_or_else(|| panic!("{name} in {head}"))
            .split_once(": ")
            .unwrap()
            .1
    };
    assert_eq!(header("wechatpay-serial"), KEY_ID);
    assert_eq!(header("accept:"), "application/json");
    assert_eq!(header("content-type"), "application/json");
    assert!(header("user-agent").starts_with("zhangfang/"));
    let authorization = header("authorization");
    let field = |name: &str| {
        let rest = authorization.split_once(&format!("{name}=\"")).unwrap().1;
        rest.split_once('"').unwrap().0
    };
    assert!(authorization.starts_with("WECHATPAY2-SHA256-RSA2048 "));
    assert_eq!(field("mchid"), "1900000001");
    let message = format!(
        "POST\n/v3/pay/partner/transactions/jsapi\n{}\n{}\n{body}\n",
        field("timestamp"),
        field("nonce_str")
    );
    let sdk = SecondOpinion::new(&merchant().private_pem, APIV3);
    assert_eq!(field("signature"), sdk.sign(&message));
}

#[tokio::test]
async fn an_answer_that_cannot_be_believed_leaves_the_outcome_unknown() {
    let ok = r#"{"prepay_id":"wx26"}"#;
    let no = r#"{"code":"PARAM_ERROR","message":"m"}"#;
    for (status, body, signs) in [
        (200, ok, Signs::Nobody),
        (200, ok, Signs::Somebody),
        (200, ok, Signs::Probe),
        (200, "{}", Signs::Wechat),
        (200, "<html>", Signs::Wechat),
        (202, "{}", Signs::Wechat),
        (302, "", Signs::Nobody),
        (400, no, Signs::Probe),
        (400, no, Signs::Somebody),
        (403, "<html>", Signs::Nobody),
        (
            500,
            r#"{"code":"SYSTEM_ERROR","message":"m"}"#,
            Signs::Wechat,
        ),
        (502, "<html>", Signs::Nobody),
    ] {
        let (outcome, _) = prepay(Says {
            status,
            body,
            signs,
        })
        .await;
        assert!(
            matches!(outcome, Outcome::Unknown(_)),
            "{status} {body}: {outcome:?}"
        );
    }
    // Nobody there.
    let outcome = gateway(NOWHERE).prepay(prepay_request()).await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_refusal_is_one() {
    let kind = async |status, body| match prepay(Says {
        status,
        body,
        signs: Signs::Wechat,
    })
    .await
    .0
    {
        Outcome::Refused(refusal) => (refusal.kind, refusal.code),
        Outcome::Done(_) | Outcome::Unknown(_) => panic!("{status} {body} is a refusal"),
    };
    let (rejected, code) = kind(400, r#"{"code":"PARAM_ERROR","message":"m"}"#).await;
    assert_eq!(
        (rejected, code.as_str()),
        (RefusalKind::Rejected, "PARAM_ERROR")
    );
    assert_eq!(
        kind(400, r#"{"code":"ORDERPAID"}"#).await.0,
        RefusalKind::AlreadyPaid
    );
    assert_eq!(
        kind(429, r#"{"code":"FREQUENCY_LIMITED"}"#).await.0,
        RefusalKind::RateLimited
    );
}

async fn query(says: Says) -> (Outcome<ChannelOrder>, String) {
    let (address, served) = server(says).await;
    let outcome = gateway(&address).query(order_no(), "1900000109").await;
    (outcome, served.await.unwrap())
}

#[tokio::test]
async fn a_query_finds_the_order_or_its_absence() {
    let absent = Says {
        status: 404,
        body: r#"{"code":"ORDER_NOT_EXIST","message":"m"}"#,
        signs: Signs::Wechat,
    };
    let (outcome, asked) = query(absent).await;
    assert!(
        matches!(outcome, Outcome::Done(ChannelOrder::Absent)),
        "{outcome:?}"
    );
    assert!(asked.starts_with(&format!(
        "GET /v3/pay/partner/transactions/out-trade-no/{}?sp_mchid=1900000001&sub_mchid=1900000109 HTTP/1.1",
        order_no()
    )));
    let (outcome, _) = query(Says {
        signs: Signs::Nobody,
        ..absent
    })
    .await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");

    let text = PLAIN.replace("0123456789ABCDEFGHJKMNPQ", &order_no().to_string());
    let body: &'static str = text.leak();
    let (outcome, _) = query(Says {
        status: 200,
        body,
        signs: Signs::Wechat,
    })
    .await;
    let Outcome::Done(ChannelOrder::Paid(paid)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(paid.amount.get(), 1280);
    // A signed answer to somebody else's question.
    let (outcome, _) = query(Says {
        status: 200,
        body: PLAIN,
        signs: Signs::Wechat,
    })
    .await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_login_does_not_tell_its_secret_when_it_fails() {
    let program = MiniProgram::new(&settings(NOWHERE)).unwrap();
    let LoginFailure::Unavailable(reason) = program.exchange("code").await.unwrap_err() else {
        panic!("nobody is there")
    };
    assert!(
        !reason.contains("app-secret") && !reason.contains("jscode2session"),
        "{reason}"
    );
    assert_eq!(
        program.exchange("").await.unwrap_err(),
        LoginFailure::BadCode
    );

    let says = Says {
        status: 200,
        body: r#"{"openid":"oA","session_key":"k"}"#,
        signs: Signs::Nobody,
    };
    let (address, served) = server(says).await;
    let program = MiniProgram::new(&settings(&address)).unwrap();
    assert_eq!(program.exchange("a&b").await.unwrap().openid.expose(), "oA");
    assert!(served.await.unwrap().starts_with(
        "GET /sns/jscode2session?appid=wx0123456789abcdef&secret=app-secret&js_code=a%26b&grant_type=authorization_code HTTP"
    ));
}
