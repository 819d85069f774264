//! A server that answers what the script says, one connection after another, and remembers what it
//! was asked.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{super::fixture::settings, MiniProgram};
use crate::{
    deliveries::{CustomerMessage, Handover, MessageOutcome, Notifier as _, ShippingReport},
    merchants::{
        CodeDrawing, CollectionCode, DrawingFailure, MiniProgramCodes as _, ProgramVersion,
    },
    payments::{ChannelOutcome, RefusalKind},
    primitives::{MockClock, Secret, Timestamp},
};

const TOKEN: &str = r#"{"access_token":"FIRST-TOKEN","expires_in":7200}"#;
const SECOND: &str = r#"{"access_token":"SECOND-TOKEN","expires_in":7200}"#;
const OK: &str = r#"{"errcode":0,"errmsg":"ok"}"#;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

/// A request: its first line and its body.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    body: String,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What the server was asked so far, and where it is.
struct Script {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: JoinHandle<()>,
}

impl Script {
    async fn of(answers: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let answers: Vec<Vec<u8>> = answers.into_iter().map(Into::into).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let question = read(&mut stream).await;
                seen.lock().unwrap().push(question);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    answer.len()
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.ok();
            }
        });
        Self {
            address,
            asked,
            serving,
        }
    }

    fn program(&self) -> MiniProgram {
        MiniProgram::new(&settings(&self.address)).unwrap()
    }

    /// What was asked; everything that the script has was used.
    async fn ended(self) -> Vec<Asked> {
        self.serving.await.unwrap();
        self.asked.lock().unwrap().clone()
    }
}

async fn read(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.unwrap();
        assert!(length > 0, "the caller hung up");
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let lines = head.to_ascii_lowercase();
        let wanted = lines
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if body.len() >= wanted.unwrap_or(0) {
            return Asked {
                line: head.lines().next().unwrap().to_owned(),
                body: body.to_owned(),
            };
        }
    }
}

fn report() -> ShippingReport {
    ShippingReport {
        wechat_transaction_id: "4200001234".to_owned(),
        openid: Secret::new("oA".to_owned()),
        handover: Handover::SelfPickup,
        item: "茶".repeat(200),
        at: Timestamp::parse_rfc3339("2026-11-21T12:00:00.5+08:00").unwrap(),
    }
}

fn message() -> CustomerMessage {
    CustomerMessage {
        openid: Secret::new("oA".to_owned()),
        template_id: "TPL".to_owned(),
        page: Some("pages/order/index?order_no=1".to_owned()),
        program: ProgramVersion::Trial,
        data: vec![
            ("thing1".to_owned(), "老王面馆".to_owned()),
            ("amount2".to_owned(), "¥12.80".to_owned()),
        ],
    }
}

fn drawing(program: ProgramVersion, page: Option<&str>) -> CodeDrawing {
    CodeDrawing {
        code: CollectionCode::mint(7),
        page: page.map(str::to_owned),
        program,
    }
}

#[tokio::test]
async fn a_shipping_report_says_what_wechat_asks_for() {
    let script = Script::of([TOKEN, OK]).await;
    let outcome = script.program().report_shipping(report()).await;
    assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    let asked = script.ended().await;
    assert!(asked[0].line.starts_with("POST /cgi-bin/stable_token HTTP"));
    let expected = json!({
        "grant_type": "client_credential", "appid": "wx0123456789abcdef", "secret": "app-secret", "force_refresh": false,
    });
    assert_eq!(asked[0].json(), expected);
    assert!(
        asked[1]
            .line
            .starts_with("POST /wxa/sec/order/upload_shipping_info?access_token=FIRST-TOKEN HTTP")
    );
    let expected = json!({
        "order_key": { "order_number_type": 2, "transaction_id": "4200001234" },
        "logistics_type": 4,
        "delivery_mode": 1,
        "shipping_list": [{ "item_desc": "茶".repeat(120) }],
        "upload_time": "2026-11-21T12:00:00.500+08:00",
        "payer": { "openid": "oA" },
    });
    assert_eq!(asked[1].json(), expected);
}

#[tokio::test]
async fn a_report_that_was_made_before_is_done_and_an_early_one_comes_later() {
    let said = |code: i64| format!(r#"{{"errcode":{code},"errmsg":"no"}}"#);
    let codes = [
        10_060_002, 10_060_003, 10_060_023, 10_060_001, 10_060_012, 10_060_031,
    ];
    let script = Script::of(std::iter::once(TOKEN.to_owned()).chain(codes.map(said))).await;
    let program = script.program();
    for _ in 0..3 {
        let outcome = program.report_shipping(report()).await;
        assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    }
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(match program.report_shipping(report()).await {
            ChannelOutcome::Done(()) => None,
            ChannelOutcome::Refused(no) => Some(Some(no.kind)),
            ChannelOutcome::Unknown(_) => Some(None),
        });
    }
    let expected = [
        Some(Some(RefusalKind::Absent)),
        Some(None),
        Some(Some(RefusalKind::Rejected)),
    ];
    assert_eq!(kinds, expected);
    // One token for all.
    let asked = script.ended().await;
    let tokens = asked
        .iter()
        .filter(|asked| asked.line.contains("stable_token"));
    assert_eq!(tokens.count(), 1);
}

#[tokio::test]
async fn a_message_has_its_values_and_a_customer_who_has_not_agreed_is_no_error() {
    let refused = r#"{"errcode":43101,"errmsg":"user refuse to accept the msg"}"#;
    let script = Script::of([TOKEN, OK, refused]).await;
    let program = script.program();
    let outcome = program.send_message(message()).await;
    assert!(
        matches!(outcome, ChannelOutcome::Done(MessageOutcome::Taken)),
        "{outcome:?}"
    );
    let outcome = program.send_message(message()).await;
    assert!(
        matches!(outcome, ChannelOutcome::Done(MessageOutcome::NotSubscribed)),
        "{outcome:?}"
    );
    let asked = script.ended().await;
    assert!(
        asked[1]
            .line
            .starts_with("POST /cgi-bin/message/subscribe/send?")
    );
    let expected = json!({
        "touser": "oA", "template_id": "TPL", "page": "pages/order/index?order_no=1",
        "data": { "thing1": { "value": "老王面馆" }, "amount2": { "value": "¥12.80" } },
        "miniprogram_state": "trial", "lang": "zh_CN",
    });
    assert_eq!(asked[1].json(), expected);
}

#[tokio::test]
async fn a_message_of_the_wrong_form_is_refused_and_load_is_not_a_refusal() {
    let wrong = r#"{"errcode":47003,"errmsg":"argument invalid! data.thing1.value invalid"}"#;
    let busy = r#"{"errcode":45009,"errmsg":"reach max api daily quota limit"}"#;
    let script = Script::of([TOKEN, wrong, busy, "<html>"]).await;
    let program = script.program();
    let ChannelOutcome::Refused(no) = program.send_message(message()).await else {
        panic!("47003 is a refusal")
    };
    assert_eq!(
        (no.kind, no.code.as_str()),
        (RefusalKind::Rejected, "47003")
    );
    let ChannelOutcome::Refused(no) = program.send_message(message()).await else {
        panic!("45009 is a refusal")
    };
    assert_eq!(no.kind, RefusalKind::RateLimited);
    let outcome = program.send_message(message()).await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");
    script.ended().await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_and_the_call_repeated_once() {
    for code in [40001, 40014, 42001] {
        let refused = format!(r#"{{"errcode":{code},"errmsg":"access_token"}}"#);
        let script = Script::of([TOKEN, &refused, SECOND, OK, OK]).await;
        let program = script.program();
        for _ in 0..2 {
            let outcome = program.report_shipping(report()).await;
            assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
        }
        let asked = script.ended().await;
        let renewal = asked[2].json();
        assert_eq!(renewal["force_refresh"], false);
        for repeated in &asked[3..] {
            assert!(repeated.line.contains("access_token=SECOND-TOKEN"));
        }
    }
    // And no more than once.
    let refused = r#"{"errcode":40001,"errmsg":"access_token"}"#;
    let script = Script::of([TOKEN, refused, SECOND, refused]).await;
    let outcome = script.program().report_shipping(report()).await;
    let ChannelOutcome::Unknown(reason) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(!reason.contains("TOKEN"), "{reason}");
    assert_eq!(script.ended().await.len(), 4);
}

#[tokio::test]
async fn many_callers_at_once_ask_for_one_token() {
    let mut answers = vec![TOKEN];
    answers.extend([OK; 8]);
    let script = Script::of(answers).await;
    let program = script.program();
    let reports = (0..8).map(|_| program.report_shipping(report()));
    for outcome in futures_util::future::join_all(reports).await {
        assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    }
    let asked = script.ended().await;
    let tokens = asked
        .iter()
        .filter(|asked| asked.line.contains("stable_token"));
    assert_eq!(tokens.count(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_in_time_and_the_old_one_bridges_a_failure() {
    let trouble = r#"{"errcode":-1,"errmsg":"system error"}"#;
    let script = Script::of([TOKEN, OK, trouble, OK, trouble]).await;
    let clock = Arc::new(MockClock::at(Timestamp::from_micros(0)));
    let mut program = script.program();
    program.tokens = super::AccessTokens::alone(clock.clone());
    let outcome = program.report_shipping(report()).await;
    assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    // In its last five minutes another is asked for; WeChat has trouble, and the old one still
    // works.
    clock.advance_seconds(6_950);
    let outcome = program.report_shipping(report()).await;
    assert!(matches!(outcome, ChannelOutcome::Done(())), "{outcome:?}");
    // After its end nothing is sent.
    clock.advance_seconds(300);
    let outcome = program.report_shipping(report()).await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");
    let asked = script.ended().await;
    assert!(asked[3].line.contains("access_token=FIRST-TOKEN"));
    assert!(asked[4].line.contains("stable_token"));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_no_secret_is_revealed() {
    let refused = r#"{"errcode":40125,"errmsg":"invalid appsecret"}"#;
    let script = Script::of([refused]).await;
    let outcome = script.program().send_message(message()).await;
    let ChannelOutcome::Unknown(reason) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        reason.contains("40125") && !reason.contains("app-secret"),
        "{reason}"
    );
    assert_eq!(script.ended().await.len(), 1);

    // Nobody is there: the reason has neither the secret nor an address with a token in it.
    let program = MiniProgram::new(&settings("http://127.0.0.1:9")).unwrap();
    let ChannelOutcome::Unknown(reason) = program.send_message(message()).await else {
        panic!("nobody is there")
    };
    assert!(
        !reason.contains("app-secret") && !reason.contains("stable_token"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_lost_call_does_not_reveal_its_token() {
    let script = Script::of([TOKEN]).await;
    let program = script.program();
    program.access_token(None).await.unwrap();
    // The server is gone after the token.
    script.ended().await;
    let ChannelOutcome::Unknown(reason) = program.report_shipping(report()).await else {
        panic!("nobody is there")
    };
    assert!(
        !reason.contains("TOKEN") && !reason.contains("http"),
        "{reason}"
    );
    assert!(!format!("{program:?}").contains("TOKEN"));
}

#[tokio::test]
async fn a_code_is_a_picture_or_a_failure() {
    let absent = r#"{"errcode":41030,"errmsg":"invalid page"}"#;
    let busy = r#"{"errcode":45009,"errmsg":"limit"}"#;
    let script = Script::of([
        TOKEN.as_bytes(),
        PNG,
        PNG,
        absent.as_bytes(),
        busy.as_bytes(),
        b"<html>",
        OK.as_bytes(),
    ])
    .await;
    let program = script.program();
    let formal = drawing(ProgramVersion::Formal, Some("pages/pay/index"));
    assert_eq!(program.draw(formal.clone()).await.unwrap(), PNG);
    let trial = drawing(ProgramVersion::Trial, None);
    assert_eq!(program.draw(trial).await.unwrap(), PNG);
    let refused = program.draw(formal.clone()).await.unwrap_err();
    assert_eq!(
        refused,
        DrawingFailure::Refused {
            code: "41030".to_owned()
        }
    );
    for _ in 0..3 {
        let failure = program.draw(formal.clone()).await.unwrap_err();
        assert!(
            matches!(failure, DrawingFailure::Unavailable(_)),
            "{failure:?}"
        );
    }
    let asked = script.ended().await;
    assert!(asked[1].line.starts_with("POST /wxa/getwxacodeunlimit?"));
    let expected = json!({
        "scene": CollectionCode::mint(7).as_str(), "page": "pages/pay/index", "check_path": true,
        "env_version": "release", "width": 860, "is_hyaline": true,
    });
    assert_eq!(asked[1].json(), expected);
    let trial = asked[2].json();
    assert_eq!(trial["check_path"], false);
    assert_eq!(trial["env_version"], "trial");
    // A field that is not there is left out, never null.
    assert!(trial.get("page").is_none());
}
