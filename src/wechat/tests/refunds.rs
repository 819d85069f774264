//! Refunds: asked for, looked up, sent elsewhere.

use super::{FakeWechat, Says, Signs, calls::order_no, direct_settings, header, sent, target};
use crate::{
    payments::{
        AbnormalRefund, BankCard, ChannelOutcome, ChannelRefund, PaymentChannel as _, RefundCall,
        RefundStatus, RefusalKind,
    },
    primitives::{Id, Lane, Money, RefundId, RefundNo, Secret},
    wechat::fixture::{KEY_ID, channel, channel_of, decrypt, wechat},
};

fn refund_no() -> RefundNo {
    RefundNo::from(RefundId::new(Id::mint(1_795_000_000_000, 8, Lane(1))))
}

fn call(reason: &str) -> RefundCall {
    RefundCall {
        refund_no: refund_no(),
        order_no: order_no(),
        sub_mchid: "1900000109".to_owned(),
        amount: Money::parse(200).unwrap(),
        total: Money::parse(1280).unwrap(),
        reason: reason.to_owned(),
        notify_path: "/notify/refunds".to_owned(),
    }
}

fn answer(status: &str) -> String {
    format!(
        r#"{{"refund_id":"5030","out_refund_no":"{}","transaction_id":"4200","out_trade_no":"{}","channel":"ORIGINAL","user_received_account":"支付用户零钱","create_time":"2026-11-21T12:00:00+08:00","status":"{status}","amount":{{"total":1280,"refund":200,"currency":"CNY"}}}}"#,
        refund_no(),
        order_no()
    )
}

async fn ask(says: Says) -> (ChannelOutcome<ChannelRefund>, Vec<String>) {
    let server = FakeWechat::new(vec![says]).await;
    let outcome = channel(&server.address).refund(call("退")).await;
    (outcome, server.asked())
}

#[tokio::test]
async fn a_refund_is_taken_under_its_number() {
    // 27 characters of three bytes are 81 bytes.
    let long = "退".repeat(27);
    for (direct, reason, sent_reason) in [
        (
            false,
            long.as_str(),
            format!(r#""reason":"{}","#, "退".repeat(26)),
        ),
        (true, "", String::new()),
    ] {
        let server = FakeWechat::new(vec![Says::signed(200, &answer("PROCESSING"))]).await;
        let (channel, sub_mchid) = if direct {
            (channel_of(&direct_settings(&server.address)), "")
        } else {
            (channel(&server.address), r#""sub_mchid":"1900000109","#)
        };
        let outcome = channel.refund(call(reason)).await;
        let ChannelOutcome::Done(refund) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(refund.status, RefundStatus::Processing);
        let asked = server.asked_once();
        assert_eq!(target(&asked), "POST /v3/refund/domestic/refunds");
        assert_eq!(
            sent(&asked),
            format!(
                r#"{{{sub_mchid}"out_trade_no":"{}","out_refund_no":"{}",{sent_reason}"notify_url":"https://pay.example.com/notify/refunds","amount":{{"refund":200,"total":1280,"currency":"CNY"}}}}"#,
                order_no(),
                refund_no()
            )
        );
    }
}

#[tokio::test]
async fn what_a_no_to_a_refund_means() {
    for (status, body, kind, times) in [
        (403, r#"{"code":"NOT_ENOUGH"}"#, RefusalKind::NotEnough, 1),
        (
            400,
            r#"{"code":"INVALID_REQUEST","message":"退款金额与之前请求不一致"}"#,
            RefusalKind::Conflict,
            1,
        ),
        (
            429,
            r#"{"code":"FREQUENCY_LIMITED"}"#,
            RefusalKind::RateLimited,
            2,
        ),
        (
            404,
            r#"{"code":"RESOURCE_NOT_EXISTS"}"#,
            RefusalKind::Absent,
            1,
        ),
        (
            404,
            r#"{"code":"MCH_NOT_EXISTS"}"#,
            RefusalKind::Rejected,
            1,
        ),
    ] {
        let (outcome, asked) = ask(Says::signed(status, body)).await;
        let ChannelOutcome::Refused(no) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((no.kind, asked.len()), (kind, times), "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_about_it_settles_nothing() {
    let right = answer("SUCCESS");
    for body in [
        right.replace(&refund_no().to_string(), "R2"),
        right.replace(&order_no().to_string(), "O2"),
        right.replacen('{', r#"{"sub_mchid":"1900000110","#, 1),
        right.replace("SUCCESS", "SOMEHOW"),
        "{}".to_owned(),
    ] {
        let (outcome, asked) = ask(Says::signed(200, &body)).await;
        assert!(
            matches!(outcome, ChannelOutcome::Unknown(_)),
            "{body}: {outcome:?}"
        );
        assert_eq!(asked.len(), 1, "not asked for again: {body}");
    }
    let (outcome, _) = ask(Says::signed(200, &right)).await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_refund_is_looked_up() {
    let server = FakeWechat::new(vec![Says::signed(200, &answer("ABNORMAL"))]).await;
    let partner = channel(&server.address);
    let outcome = partner.query_refund(refund_no(), "1900000109").await;
    let ChannelOutcome::Done(refund) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(refund.status, RefundStatus::Abnormal);
    let path = format!("GET /v3/refund/domestic/refunds/{}", refund_no());
    assert_eq!(
        target(&server.asked_once()),
        format!("{path}?sub_mchid=1900000109")
    );
    let direct = channel_of(&direct_settings(&server.address));
    let outcome = direct.query_refund(refund_no(), "1900000001").await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    assert_eq!(target(&server.asked()[1]), path);

    let absent = Says::signed(404, r#"{"code":"RESOURCE_NOT_EXISTS"}"#);
    server.say(vec![absent.clone()]);
    let ChannelOutcome::Refused(no) = partner.query_refund(refund_no(), "1900000109").await else {
        panic!("there is none")
    };
    assert_eq!(no.kind, RefusalKind::Absent);
    server.say(vec![absent.by(Signs::Nobody)]);
    let outcome = partner.query_refund(refund_no(), "1900000109").await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_card_leaves_encrypted() {
    let server = FakeWechat::new(vec![Says::signed(200, &answer("PROCESSING"))]).await;
    let channel = channel(&server.address);
    let abnormal = |card| AbnormalRefund {
        refund_no: refund_no(),
        wechat_refund_id: "5030".to_owned(),
        sub_mchid: "1900000109".to_owned(),
        card,
    };
    let card = BankCard {
        bank_type: "ICBC_DEBIT".to_owned(),
        number: Secret::new("6222020000000000000".to_owned()),
        holder: Secret::new("张三".to_owned()),
    };
    let outcome = channel.redirect_refund(abnormal(Some(card))).await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    let asked = server.asked_once();
    assert_eq!(
        target(&asked),
        "POST /v3/refund/domestic/refunds/5030/apply-abnormal-refund"
    );
    assert_eq!(header(&asked, "wechatpay-serial"), KEY_ID);
    let body: serde_json::Value = serde_json::from_str(sent(&asked)).unwrap();
    let text = |name: &str| body[name].as_str().unwrap();
    assert_eq!(text("type"), "USER_BANK_CARD");
    assert_eq!(text("bank_type"), "ICBC_DEBIT");
    assert_eq!(
        decrypt(wechat(), text("bank_account")),
        "6222020000000000000"
    );
    assert_eq!(decrypt(wechat(), text("real_name")), "张三");

    let outcome = channel.redirect_refund(abnormal(None)).await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    assert_eq!(
        sent(&server.asked()[1]),
        format!(
            r#"{{"sub_mchid":"1900000109","out_refund_no":"{}","type":"MERCHANT_BANK_CARD"}}"#,
            refund_no()
        )
    );
}
