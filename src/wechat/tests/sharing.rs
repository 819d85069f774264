//! Profit sharing: what is sent, and what is made of the answers.

use super::{FakeWechat, Says, direct_settings, header, sent, target};
use crate::{
    payments::{ChannelOutcome, RefusalKind},
    primitives::{Id, Lane, Money, Secret, SharingId, SharingNo, SharingReturnId, SharingReturnNo},
    sharing::{
        PartResult, ReceiverCall, ReceiverKind, ReturnCall, ReturnResult, ShareCall, SharePart,
        SharingChannel as _,
    },
    wechat::fixture::{KEY_ID, channel, channel_of, decrypt, wechat},
};

const SUB_MCHID: &str = "1900000109";

fn number() -> SharingNo {
    SharingNo::from(SharingId::new(Id::mint(1_795_000_000_000, 9, Lane(1))))
}

fn return_number() -> SharingReturnNo {
    SharingReturnNo::from(SharingReturnId::new(Id::mint(
        1_795_000_000_000,
        10,
        Lane(1),
    )))
}

fn fen(fen: i64) -> Money {
    Money::parse(fen).unwrap()
}

fn share(parts: Vec<SharePart>) -> ShareCall {
    ShareCall {
        sharing_no: number(),
        sub_mchid: SUB_MCHID.to_owned(),
        wechat_transaction_id: "4200".to_owned(),
        parts,
        release_rest: true,
        description: "完结".to_owned(),
    }
}

fn answer(state: &str, receivers: &str) -> Says {
    let body = format!(
        r#"{{"sub_mchid":"{SUB_MCHID}","transaction_id":"4200","out_order_no":"{}","order_id":"3008","state":"{state}","receivers":{receivers}}}"#,
        number()
    );
    Says::signed(200, &body)
}

#[tokio::test]
async fn a_share_is_sent_and_each_part_has_its_result() {
    let receivers = r#"[{"type":"MERCHANT_ID","account":"1900000200","amount":30,"description":"d","result":"SUCCESS","finish_time":"2026-11-21T12:00:00+08:00"},{"type":"PERSONAL_OPENID","account":"oB","amount":5,"description":"d","result":"CLOSED","fail_reason":"ACCOUNT_ABNORMAL","finish_time":"1970-01-01T08:00:00+08:00"}]"#;
    let server = FakeWechat::new(vec![answer("FINISHED", receivers)]).await;
    let part = |kind, account: &str, amount| SharePart {
        kind,
        account: Secret::new(account.to_owned()),
        amount: fen(amount),
        description: "佣".repeat(27),
    };
    let parts = vec![
        part(ReceiverKind::Merchant, "1900000200", 30),
        part(ReceiverKind::Person, "oB", 5),
    ];
    let outcome = channel(&server.address).share(share(parts)).await;
    let ChannelOutcome::Done(done) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(done.finished);
    assert_eq!(
        done.parts
            .iter()
            .map(|part| part.result)
            .collect::<Vec<_>>(),
        [PartResult::Success, PartResult::Closed]
    );
    assert!(done.parts[0].finished_at.is_some() && done.parts[1].finished_at.is_none());
    assert_eq!(
        done.parts[1].fail_reason.as_deref(),
        Some("ACCOUNT_ABNORMAL")
    );
    let asked = server.asked_once();
    assert_eq!(target(&asked), "POST /v3/profitsharing/orders");
    let cut = "佣".repeat(26);
    assert_eq!(
        sent(&asked),
        format!(
            r#"{{"sub_mchid":"{SUB_MCHID}","appid":"wx0123456789abcdef","transaction_id":"4200","out_order_no":"{}","receivers":[{{"type":"MERCHANT_ID","account":"1900000200","amount":30,"description":"{cut}"}},{{"type":"PERSONAL_OPENID","account":"oB","amount":5,"description":"{cut}"}}],"unfreeze_unsplit":true}}"#,
            number()
        )
    );
}

#[tokio::test]
async fn with_no_parts_the_rest_is_released() {
    let server = FakeWechat::new(vec![answer("PROCESSING", "[]")]).await;
    let outcome = channel(&server.address).share(share(Vec::new())).await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    let asked = server.asked_once();
    assert_eq!(target(&asked), "POST /v3/profitsharing/orders/unfreeze");
    assert_eq!(
        sent(&asked),
        format!(
            r#"{{"sub_mchid":"{SUB_MCHID}","transaction_id":"4200","out_order_no":"{}","description":"完结"}}"#,
            number()
        )
    );
}

#[tokio::test]
async fn a_share_is_looked_up_and_must_be_the_one() {
    let server = FakeWechat::new(vec![answer("PROCESSING", "[]")]).await;
    let channel = channel(&server.address);
    let ask = || channel.query_share(number(), "4200", SUB_MCHID);
    let outcome = ask().await;
    assert!(matches!(&outcome, ChannelOutcome::Done(share) if !share.finished));
    assert_eq!(
        target(&server.asked_once()),
        format!(
            "GET /v3/profitsharing/orders/{}?transaction_id=4200&sub_mchid={SUB_MCHID}",
            number()
        )
    );
    let right = String::from_utf8(answer("FINISHED", "[]").body).unwrap();
    let odd = r#"[{"account":"a","amount":1,"result":"MAYBE"}]"#;
    for body in [
        right.replace("4200", "4201"),
        right.replace(SUB_MCHID, "1900000110"),
        right.replace(&number().to_string(), "S"),
        right.replace("FINISHED", "HALF"),
        right.replace("[]", odd),
    ] {
        server.say(vec![Says::signed(200, &body)]);
        let outcome = ask().await;
        assert!(
            matches!(outcome, ChannelOutcome::Unknown(_)),
            "{body}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn what_the_state_of_a_share_makes_meaningless_may_be_of_any_form() {
    let server = FakeWechat::new(Vec::new()).await;
    let channel = channel(&server.address);
    let ask = async |says: Says| {
        server.say(vec![says]);
        channel.query_share(number(), "4200", SUB_MCHID).await
    };
    let part = r#"{"account":"a","amount":1,"result":"","finish_time":null,"fail_reason":7}"#;
    let nothing = r#"{"account":null,"amount":"1","result":null}"#;
    for receivers in ["null", r#""""#, "{}", "[]", &format!("[{nothing}]")] {
        let outcome = ask(answer("PROCESSING", receivers)).await;
        let ChannelOutcome::Done(share) = outcome else {
            panic!("{receivers}: {outcome:?}")
        };
        assert!(!share.finished && share.parts.is_empty(), "{receivers}");
    }
    let outcome = ask(answer("PROCESSING", &format!("[{part}]"))).await;
    let ChannelOutcome::Done(share) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(share.parts[0].result, PartResult::Pending);
    // A part that went through has no reason why it did not, and perhaps no time.
    for odd in [
        r#""finish_time":"","fail_reason":null"#,
        r#""finish_time":"0000-00-00","fail_reason":{}"#,
        r#""finish_time":0,"fail_reason":"NO_AUTH""#,
    ] {
        let part = format!(r#"[{{"account":"a","amount":1,"result":"SUCCESS",{odd}}}]"#);
        let outcome = ask(answer("FINISHED", &part)).await;
        let ChannelOutcome::Done(share) = outcome else {
            panic!("{odd}: {outcome:?}")
        };
        let told = &share.parts[0];
        assert_eq!(told.result, PartResult::Success);
        assert!(told.finished_at.is_none() && told.fail_reason.is_none());
    }
    // What it makes meaningful must be there.
    for (state, receivers) in [
        ("FINISHED", format!("[{part}]")),
        ("FINISHED", format!("[{nothing}]")),
        (
            "PROCESSING",
            format!("[{}]", part.replace(r#""""#, r#""DONE""#)),
        ),
    ] {
        let outcome = ask(answer(state, &receivers)).await;
        assert!(
            matches!(outcome, ChannelOutcome::Unknown(_)),
            "{state} {receivers}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_receivers_name_leaves_encrypted() {
    let server = FakeWechat::new(vec![Says::signed(200, "{}")]).await;
    let call = || ReceiverCall {
        sub_mchid: SUB_MCHID.to_owned(),
        kind: ReceiverKind::Merchant,
        account: Secret::new("1900000200".to_owned()),
        name: Some(Secret::new("某某公司".to_owned())),
        relation: "SERVICE_PROVIDER".to_owned(),
    };
    let channel = channel(&server.address);
    let outcome = channel.add_receiver(call()).await;
    assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    let asked = server.asked_once();
    assert_eq!(target(&asked), "POST /v3/profitsharing/receivers/add");
    assert_eq!(header(&asked, "wechatpay-serial"), KEY_ID);
    let body: serde_json::Value = serde_json::from_str(sent(&asked)).unwrap();
    assert_eq!(
        decrypt(wechat(), body["name"].as_str().unwrap()),
        "某某公司"
    );
    assert_eq!(body["relation_type"], "SERVICE_PROVIDER");

    let outcome = channel.delete_receiver(call()).await;
    assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    let asked = server.asked().pop().unwrap();
    assert_eq!(target(&asked), "POST /v3/profitsharing/receivers/delete");
    assert_eq!(
        sent(&asked),
        format!(
            r#"{{"sub_mchid":"{SUB_MCHID}","appid":"wx0123456789abcdef","type":"MERCHANT_ID","account":"1900000200"}}"#
        )
    );
}

#[tokio::test]
async fn ratio_and_rest_are_asked_for() {
    let ratio = format!(r#"{{"sub_mchid":"{SUB_MCHID}","max_ratio":2000}}"#);
    let left = r#"{"transaction_id":"4200","unsplit_amount":1000}"#;
    let answers = vec![Says::signed(200, &ratio), Says::signed(200, left)];
    let server = FakeWechat::new(answers).await;
    let partner = channel(&server.address);
    assert!(matches!(
        partner.ratio_max(SUB_MCHID).await,
        ChannelOutcome::Done(2000)
    ));
    let left = partner.left_to_share("4200").await;
    assert!(matches!(left, ChannelOutcome::Done(left) if left == fen(1000)));
    let other = partner.left_to_share("4201").await;
    assert!(matches!(other, ChannelOutcome::Unknown(_)));
    let asked = server.asked();
    assert_eq!(
        target(&asked[0]),
        format!("GET /v3/profitsharing/merchant-configs/{SUB_MCHID}")
    );
    assert_eq!(
        target(&asked[1]),
        "GET /v3/profitsharing/transactions/4200/amounts"
    );
    // Direct merchants have nobody to ask.
    let direct = channel_of(&direct_settings(super::NOWHERE));
    assert!(matches!(
        direct.ratio_max("1900000001").await,
        ChannelOutcome::Done(3000)
    ));
}

#[tokio::test]
async fn a_part_is_taken_back() {
    let body = format!(
        r#"{{"sub_mchid":"{SUB_MCHID}","order_id":"3008","out_order_no":"{}","out_return_no":"{}","return_id":"3008R","return_mchid":"1900000200","amount":30,"description":"d","result":"FAILED","fail_reason":"BALANCE_NOT_ENOUGH","create_time":"2026-11-21T12:00:00+08:00"}}"#,
        number(),
        return_number()
    );
    let server = FakeWechat::new(vec![Says::signed(200, &body)]).await;
    let channel = channel(&server.address);
    let call = ReturnCall {
        return_no: return_number(),
        sharing_no: number(),
        sub_mchid: SUB_MCHID.to_owned(),
        from: "1900000200".to_owned(),
        amount: fen(30),
        description: "d".to_owned(),
    };
    let outcome = channel.return_share(call.clone()).await;
    let ChannelOutcome::Done(returned) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(returned.result, ReturnResult::Failed);
    assert_eq!(returned.fail_reason.as_deref(), Some("BALANCE_NOT_ENOUGH"));
    let outcome = channel
        .query_return(return_number(), number(), SUB_MCHID)
        .await;
    assert!(matches!(outcome, ChannelOutcome::Done(_)), "{outcome:?}");
    assert_eq!(
        target(&server.asked()[1]),
        format!(
            "GET /v3/profitsharing/return-orders/{}?out_order_no={}&sub_mchid={SUB_MCHID}",
            return_number(),
            number()
        )
    );
    // Why it failed means nothing of what did not.
    for odd in ["null", "7", r#""""#, r#""BALANCE_NOT_ENOUGH""#] {
        let body = body
            .replace("FAILED", "PROCESSING")
            .replace(r#""BALANCE_NOT_ENOUGH""#, odd)
            .replace(SUB_MCHID, "");
        server.say(vec![Says::signed(200, &body)]);
        let outcome = channel
            .query_return(return_number(), number(), SUB_MCHID)
            .await;
        let ChannelOutcome::Done(returned) = outcome else {
            panic!("{odd}: {outcome:?}")
        };
        assert_eq!(returned.result, ReturnResult::Processing);
        assert_eq!(returned.fail_reason, None);
    }
    server.say(vec![Says::signed(403, r#"{"code":"NOT_ENOUGH"}"#)]);
    let ChannelOutcome::Refused(no) = channel.return_share(call).await else {
        panic!("too little")
    };
    assert_eq!(no.kind, RefusalKind::NotEnough);
}
