//! A WeChat with scripted answers, and tests of how they are handled.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::fixture::{Signed, channel, merchant, now, settings};
use crate::{
    config::{WechatMode, WechatSettings},
    payments::{Notice, NoticeError, PaymentChannel as _},
};

mod accounts;
mod bills;
mod calls;
mod keys;
mod notices;
mod refunds;
mod sharing;
mod signatures;
mod transport;

/// Where nobody listens.
pub(super) const NOWHERE: &str = "http://127.0.0.1:9";

pub(super) fn direct_settings(pay_url: &str) -> WechatSettings {
    WechatSettings {
        mode: WechatMode::Direct,
        ..settings(pay_url)
    }
}

/// One answer: status, body, and who signs.
#[derive(Debug, Clone)]
pub(super) struct Says {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) signs: Signs,
}

#[derive(Debug, Clone)]
pub(super) enum Signs {
    Wechat,
    Nobody,
    Somebody,
    Probe,
    /// With headers made elsewhere.
    As(Signed),
    /// Hangs up without an answer.
    HangsUp,
}

impl Says {
    pub(super) fn signed(status: u16, body: &str) -> Self {
        Self {
            status,
            body: body.as_bytes().to_vec(),
            signs: Signs::Wechat,
        }
    }

    pub(super) fn unsigned(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            body: body.to_vec(),
            signs: Signs::Nobody,
        }
    }

    pub(super) fn by(self, signs: Signs) -> Self {
        Self { signs, ..self }
    }
}

/// Answers one request after the other; the last answer for ever.
#[derive(Debug)]
pub(super) struct FakeWechat {
    pub(super) address: String,
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<Says>>>,
}

impl FakeWechat {
    pub(super) async fn new(answers: Vec<Says>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
            answers: Arc::new(Mutex::new(answers)),
        };
        let (asked, answers) = (Arc::clone(&this.asked), Arc::clone(&this.answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &asked, &answers).await;
            }
        });
        this
    }

    /// Replaces what is still to be said.
    pub(super) fn say(&self, answers: Vec<Says>) {
        *self.answers.lock().unwrap() = answers;
    }

    /// Every request so far, head and body.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The only request.
    pub(super) fn asked_once(&self) -> String {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:#?}");
        asked.into_iter().next().unwrap()
    }
}

async fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>, answers: &Mutex<Vec<Says>>) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    asked.lock().unwrap().push(request);
    let says = {
        let mut answers = answers.lock().unwrap();
        if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        }
    };
    let signed = match says.signs {
        Signs::HangsUp => return,
        Signs::Nobody => None,
        Signs::Wechat => Some(Signed::over(&says.body)),
        Signs::Somebody => Some(Signed::by(merchant(), now().seconds(), &says.body)),
        Signs::Probe => {
            let mut signed = Signed::over(&says.body);
            signed.signature.insert_str(0, "WECHATPAY/SIGNTEST/");
            Some(signed)
        }
        Signs::As(signed) => Some(signed),
    };
    let mut answer = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\nRequest-ID: 08F-0\r\n",
        says.status
    );
    if let Some(signed) = signed {
        for (name, value) in [
            ("Timestamp", signed.timestamp),
            ("Nonce", signed.nonce),
            ("Serial", signed.serial),
            ("Signature", signed.signature),
        ] {
            let _ = write!(answer, "Wechatpay-{name}: {value}\r\n");
        }
    }
    if says.status != 204 {
        let _ = write!(answer, "Content-Length: {}\r\n", says.body.len());
    }
    answer.push_str("\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.write_all(&says.body).await;
    let _ = stream.shutdown().await;
}

/// One whole request.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes);
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
            return Some(text.into_owned());
        }
    }
}

/// The value of a header of a request.
pub(super) fn header(request: &str, name: &str) -> String {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let found = head.lines().find_map(|line| {
        let (its, value) = line.split_once(": ")?;
        its.eq_ignore_ascii_case(name).then(|| value.to_owned())
    });
    found.unwrap_or_else(|| panic!("{name} in {head}"))
}

/// The body of a request.
pub(super) fn sent(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

/// Its first line, without the protocol.
pub(super) fn target(request: &str) -> &str {
    let line = request.lines().next().unwrap();
    line.strip_suffix(" HTTP/1.1").unwrap()
}

/// What we make of a callback.
pub(super) fn read(signed: &Signed, body: &str) -> Result<Notice, NoticeError> {
    channel(NOWHERE).read_notice(signed.headers(), body.as_bytes(), now())
}

/// A genuine signature over whatever is inside.
pub(super) fn read_signed(body: &str) -> Result<Notice, NoticeError> {
    read(&Signed::over(body.as_bytes()), body)
}
