//! Repeats, the stand-in host and the circuit, over real connections.

use super::{
    FakeWechat, NOWHERE, Says, Signs,
    calls::{order_no, prepay_request},
    sent, target,
};
use crate::{
    payments::{ChannelOrder, ChannelOutcome, PaymentChannel as _},
    wechat::fixture::{channel, channel_of, settings},
};

fn prepay_id() -> Says {
    Says::signed(200, r#"{"prepay_id":"wx26"}"#)
}

#[tokio::test]
async fn a_prepay_is_repeated_byte_for_byte_with_a_new_signature() {
    let failure = Says::signed(500, r#"{"code":"SYSTEM_ERROR"}"#);
    let server = FakeWechat::new(vec![failure, prepay_id()]).await;
    let outcome = channel(&server.address).prepay(prepay_request()).await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(sent(&asked[0]), sent(&asked[1]));
    let authorization = |request: &str| super::header(request, "authorization");
    assert_ne!(authorization(&asked[0]), authorization(&asked[1]));
}

#[tokio::test]
async fn a_query_is_repeated_after_a_probe() {
    let absent = Says::signed(404, r#"{"code":"ORDER_NOT_EXIST"}"#);
    let server = FakeWechat::new(vec![absent.clone().by(Signs::Probe), absent]).await;
    let outcome = channel(&server.address)
        .query(order_no(), "1900000109")
        .await;
    assert!(
        matches!(outcome, ChannelOutcome::Done(ChannelOrder::Absent)),
        "{outcome:?}"
    );
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn the_stand_in_is_asked_when_the_first_host_is_down_and_remembered() {
    let backup = FakeWechat::new(vec![prepay_id()]).await;
    let mut from = settings(NOWHERE);
    from.backup_url = Some(backup.address.parse().unwrap());
    let outcome = channel_of(&from).prepay(prepay_request()).await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    assert_eq!(backup.asked().len(), 1);

    let main = FakeWechat::new(vec![Says::unsigned(502, b"<html>"), prepay_id()]).await;
    from.pay_url = main.address.parse().unwrap();
    let channel = channel_of(&from);
    for _ in 0..2 {
        let outcome = channel.prepay(prepay_request()).await;
        assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    }
    assert_eq!((main.asked().len(), backup.asked().len()), (1, 3));
    assert_eq!(
        target(&backup.asked()[1]),
        "POST /v3/pay/partner/transactions/jsapi"
    );
}

#[tokio::test]
async fn who_does_not_answer_is_left_alone_for_a_moment_but_only_in_that() {
    let failure = Says::signed(500, r#"{"code":"SYSTEM_ERROR"}"#);
    let server = FakeWechat::new(vec![failure]).await;
    let channel = channel(&server.address);
    let mut last = String::new();
    for _ in 0..5 {
        match channel.prepay(prepay_request()).await {
            ChannelOutcome::Unknown(reason) => last = reason,
            outcome @ (ChannelOutcome::Done(_) | ChannelOutcome::Refused(_)) => {
                panic!("{outcome:?}")
            }
        }
    }
    assert_eq!(
        server.asked().len(),
        10,
        "three each, until the circuit opened"
    );
    assert_eq!(last, "WeChat has not answered lately");
    // Callbacks and other calls go on.
    let body = crate::wechat::fixture::body();
    let signed = crate::wechat::fixture::Signed::over(body.as_bytes());
    let now = crate::wechat::fixture::now();
    assert!(
        channel
            .read_notice(signed.headers(), body.as_bytes(), now)
            .is_ok()
    );
    server.say(vec![Says::signed(404, r#"{"code":"ORDER_NOT_EXIST"}"#)]);
    let outcome = channel.query(order_no(), "1900000109").await;
    assert!(
        matches!(outcome, ChannelOutcome::Done(ChannelOrder::Absent)),
        "{outcome:?}"
    );
}
