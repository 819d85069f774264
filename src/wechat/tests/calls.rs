//! Orders: what is sent, and what is made of the answers.

use super::{FakeWechat, NOWHERE, Says, Signs, direct_settings, header, sent, target};
use crate::{
    auth::{LoginFailure, WechatLogin as _},
    payments::{ChannelOrder, ChannelOutcome, PaymentChannel as _, PrepayRequest, RefusalKind},
    primitives::{Id, Lane, Money, OrderId, OrderNo, Secret},
    wechat::{
        MiniProgram,
        fixture::{APIV3, DIRECT, KEY_ID, PLAIN, channel, channel_of, merchant, now, settings},
        sdk::SecondOpinion,
    },
};

pub(super) fn order_no() -> OrderNo {
    OrderNo::from(OrderId::new(Id::mint(1_795_000_000_000, 7, Lane(1))))
}

/// A proven order, with our number.
fn of_ours(plain: &str) -> String {
    plain.replace("0123456789ABCDEFGHJKMNPQ", &order_no().to_string())
}

pub(super) fn prepay_request() -> PrepayRequest {
    PrepayRequest {
        order_no: order_no(),
        sub_mchid: "1900000109".to_owned(),
        amount: Money::parse(1280).unwrap(),
        description: "茶".to_owned(),
        payer_openid: Some(Secret::new("oA".to_owned())),
        expires_at: now().plus_seconds(900),
        notify_path: "/api/v1/wechat/notify/payments".to_owned(),
        profit_sharing: false,
    }
}

async fn prepay(says: Says) -> (ChannelOutcome<String>, String) {
    let server = FakeWechat::new(vec![says]).await;
    let outcome = channel(&server.address).prepay(prepay_request()).await;
    (outcome, server.asked().swap_remove(0))
}

#[tokio::test]
async fn a_prepay_is_signed_and_says_no_more_than_it_must() {
    let (outcome, asked) = prepay(Says::signed(200, r#"{"prepay_id":"wx26"}"#)).await;
    let ChannelOutcome::Done(prepay_id) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(prepay_id, "wx26");

    let body = sent(&asked);
    assert_eq!(
        body,
        format!(
            r#"{{"sp_appid":"wx0123456789abcdef","sp_mchid":"1900000001","sub_mchid":"1900000109","description":"茶","out_trade_no":"{}","time_expire":"2026-11-21T12:15:00+08:00","notify_url":"https://pay.example.com/api/v1/wechat/notify/payments","amount":{{"total":1280,"currency":"CNY"}},"payer":{{"sp_openid":"oA"}}}}"#,
            order_no()
        )
    );
    assert_eq!(target(&asked), "POST /v3/pay/partner/transactions/jsapi");
    assert_eq!(header(&asked, "wechatpay-serial"), KEY_ID);
    assert_eq!(header(&asked, "accept"), "application/json");
    assert_eq!(header(&asked, "content-type"), "application/json");
    assert!(header(&asked, "user-agent").starts_with("zhangfang/"));
    let authorization = header(&asked, "authorization");
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
async fn a_direct_merchant_prepays_in_its_own_name() {
    let server = FakeWechat::new(vec![Says::signed(200, r#"{"prepay_id":"wx26"}"#)]).await;
    let channel = channel_of(&direct_settings(&server.address));
    let request = PrepayRequest {
        profit_sharing: true,
        ..prepay_request()
    };
    let outcome = channel.prepay(request).await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    let asked = server.asked_once();
    assert_eq!(target(&asked), "POST /v3/pay/transactions/jsapi");
    assert_eq!(
        sent(&asked),
        format!(
            r#"{{"appid":"wx0123456789abcdef","mchid":"1900000001","description":"茶","out_trade_no":"{}","time_expire":"2026-11-21T12:15:00+08:00","notify_url":"https://pay.example.com/api/v1/wechat/notify/payments","settle_info":{{"profit_sharing":true}},"amount":{{"total":1280,"currency":"CNY"}},"payer":{{"openid":"oA"}}}}"#,
            order_no()
        )
    );
}

#[tokio::test]
async fn a_code_to_scan_needs_no_payer_and_a_prepay_id_does() {
    let says = Says::signed(200, r#"{"code_url":"weixin://wxpay/bizpayurl?pr=x"}"#);
    let server = FakeWechat::new(vec![says]).await;
    let request = || PrepayRequest {
        payer_openid: None,
        ..prepay_request()
    };
    let channel = channel(&server.address);
    let ChannelOutcome::Refused(no) = channel.prepay(request()).await else {
        panic!("there is nobody to pay")
    };
    assert_eq!(no.kind, RefusalKind::Rejected);
    let ChannelOutcome::Done(code) = channel.prepay_native(request()).await else {
        panic!("whoever scans it pays")
    };
    assert_eq!(code, "weixin://wxpay/bizpayurl?pr=x");
    let asked = server.asked_once();
    assert_eq!(target(&asked), "POST /v3/pay/partner/transactions/native");
    assert!(!sent(&asked).contains("payer"), "{asked}");
    server.say(vec![Says::signed(200, r#"{"code_url":"https://evil"}"#)]);
    let outcome = channel.prepay_native(request()).await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn an_unverified_answer_leaves_the_outcome_unknown() {
    let ok = r#"{"prepay_id":"wx26"}"#;
    let no = r#"{"code":"PARAM_ERROR","message":"m"}"#;
    let trouble = r#"{"code":"SYSTEM_ERROR","message":"m"}"#;
    for (status, body, signs, times) in [
        (200, ok, Signs::Nobody, 1),
        (200, ok, Signs::Somebody, 1),
        (200, ok, Signs::Probe, 1),
        (200, "{}", Signs::Wechat, 1),
        (200, "<html>", Signs::Wechat, 1),
        (202, "{}", Signs::Wechat, 3),
        (302, "", Signs::Nobody, 1),
        (400, no, Signs::Probe, 1),
        (400, no, Signs::Somebody, 1),
        (403, "<html>", Signs::Nobody, 1),
        (500, trouble, Signs::Wechat, 3),
        (502, "<html>", Signs::Nobody, 3),
        (200, ok, Signs::HangsUp, 3),
    ] {
        let server = FakeWechat::new(vec![Says::signed(status, body).by(signs)]).await;
        let outcome = channel(&server.address).prepay(prepay_request()).await;
        let ChannelOutcome::Unknown(reason) = outcome else {
            panic!("{status} {body}: {outcome:?}")
        };
        let asked = server.asked();
        assert_eq!(asked.len(), times, "{status} {body}: {reason}");
        assert!(asked.iter().all(|request| sent(request) == sent(&asked[0])));
    }
    // Nobody there.
    let outcome = channel(NOWHERE).prepay(prepay_request()).await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_refusal_is_one() {
    for (status, body, kind) in [
        (
            400,
            r#"{"code":"PARAM_ERROR","message":"m"}"#,
            RefusalKind::Rejected,
        ),
        (400, r#"{"code":"ORDERPAID"}"#, RefusalKind::AlreadyPaid),
        (400, r#"{"code":"ORDER_CLOSED"}"#, RefusalKind::Closed),
        (
            429,
            r#"{"code":"FREQUENCY_LIMITED"}"#,
            RefusalKind::RateLimited,
        ),
        (
            400,
            r#"{"code":"INVALID_REQUEST","message":"与首次请求时不一致"}"#,
            RefusalKind::Conflict,
        ),
    ] {
        let (outcome, _) = prepay(Says::signed(status, body)).await;
        let ChannelOutcome::Refused(refusal) = outcome else {
            panic!("{status} {body} is a refusal: {outcome:?}")
        };
        assert_eq!(refusal.kind, kind);
        assert!(body.contains(&refusal.code));
    }
}

async fn query(says: Says) -> (ChannelOutcome<ChannelOrder>, String) {
    let server = FakeWechat::new(vec![says]).await;
    let outcome = channel(&server.address)
        .query(order_no(), "1900000109")
        .await;
    (outcome, server.asked().swap_remove(0))
}

#[tokio::test]
async fn a_query_finds_the_order_or_its_absence() {
    let absent = Says::signed(404, r#"{"code":"ORDER_NOT_EXIST","message":"m"}"#);
    let (outcome, asked) = query(absent.clone()).await;
    assert!(
        matches!(outcome, ChannelOutcome::Done(ChannelOrder::Absent)),
        "{outcome:?}"
    );
    assert_eq!(
        target(&asked),
        format!(
            "GET /v3/pay/partner/transactions/out-trade-no/{}?sp_mchid=1900000001&sub_mchid=1900000109",
            order_no()
        )
    );
    let (outcome, _) = query(absent.by(Signs::Nobody)).await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");

    for (state, was_refunded) in [("SUCCESS", false), ("REFUND", true)] {
        let body = of_ours(PLAIN).replace(r#""SUCCESS""#, &format!(r#""{state}""#));
        let (outcome, _) = query(Says::signed(200, &body)).await;
        let ChannelOutcome::Done(ChannelOrder::Paid { notice, refunded }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((notice.amount.get(), refunded), (1280, was_refunded));
    }
    // A signed answer to somebody else's question.
    let (outcome, _) = query(Says::signed(200, PLAIN)).await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_query_by_wechats_number_must_be_about_it() {
    let server = FakeWechat::new(vec![Says::signed(200, DIRECT)]).await;
    let channel = channel_of(&direct_settings(&server.address));
    let ask = |id: &'static str| channel.query_by_transaction(id, "1900000001");
    let outcome = ask("4200001234202611211234567890").await;
    let ChannelOutcome::Done(ChannelOrder::Paid { notice, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(notice.sub_mchid, "1900000001");
    assert_eq!(
        target(&server.asked_once()),
        "GET /v3/pay/transactions/id/4200001234202611211234567890?mchid=1900000001"
    );
    let outcome = ask("4200001234202611211234567891").await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn an_order_is_closed_by_a_signed_204() {
    let server = FakeWechat::new(vec![Says::signed(204, "")]).await;
    let partner = channel(&server.address);
    let outcome = partner.close(order_no(), "1900000109").await;
    assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    let asked = server.asked_once();
    let path = format!("out-trade-no/{}/close", order_no());
    assert_eq!(
        target(&asked),
        format!("POST /v3/pay/partner/transactions/{path}")
    );
    assert_eq!(
        sent(&asked),
        r#"{"sp_mchid":"1900000001","sub_mchid":"1900000109"}"#
    );
    let direct = channel_of(&direct_settings(&server.address));
    let outcome = direct.close(order_no(), "1900000001").await;
    assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    let asked = server.asked().pop().unwrap();
    assert_eq!(target(&asked), format!("POST /v3/pay/transactions/{path}"));
    assert_eq!(sent(&asked), r#"{"mchid":"1900000001"}"#);

    server.say(vec![Says::unsigned(204, b"")]);
    let outcome = partner.close(order_no(), "1900000109").await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");
    server.say(vec![Says::signed(400, r#"{"code":"ORDERPAID"}"#)]);
    let ChannelOutcome::Refused(no) = partner.close(order_no(), "1900000109").await else {
        panic!("it is paid")
    };
    assert_eq!(no.kind, RefusalKind::AlreadyPaid);
}

#[tokio::test]
async fn a_failed_login_does_not_reveal_its_secret() {
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

    let says = Says::unsigned(200, br#"{"openid":"oA","session_key":"k"}"#);
    let server = FakeWechat::new(vec![says]).await;
    let program = MiniProgram::new(&settings(&server.address)).unwrap();
    assert_eq!(program.exchange("a&b").await.unwrap().openid.expose(), "oA");
    assert_eq!(
        target(&server.asked_once()),
        "GET /sns/jscode2session?appid=wx0123456789abcdef&secret=app-secret&js_code=a%26b&grant_type=authorization_code"
    );
}
