//! What an answer means (§11).

use reqwest::StatusCode;
use serde::Deserialize;

use crate::payments::{Refusal, RefusalKind};

/// A call that came back, or did not.
#[derive(Debug)]
pub(super) enum Answer {
    /// Done, and proven to be WeChat's word. The body is empty after 204.
    Done(Vec<u8>),
    Refused(Refused),
    /// Why nobody knows.
    Unknown(String),
}

/// A no. `proven` when it is signed; a gateway's is not.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) proven: bool,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What became of the signature of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// WeChat's.
    Signed,
    /// None of the headers is there.
    Unsigned,
    /// There, and not to be believed; with the reason.
    Wrong(&'static str),
}

/// Judges an answer. What is not certainly done and not certainly refused is unknown.
pub(super) fn judge(status: StatusCode, proof: &Proof, body: Vec<u8>) -> Answer {
    if let Proof::Wrong(reason) = proof {
        return Answer::Unknown(format!("HTTP {status}, not to be believed: {reason}"));
    }
    let proven = *proof == Proof::Signed;
    match status.as_u16() {
        200 | 204 if proven => Answer::Done(body),
        200 | 204 => Answer::Unknown(format!("HTTP {status} without a signature")),
        400..=499 if status != StatusCode::REQUEST_TIMEOUT => match serde_json::from_slice(&body) {
            Ok(ErrorBody { code, message }) if !code.is_empty() => {
                refused(status, proven, code, message)
            }
            Ok(_) | Err(_) => Answer::Unknown(format!("HTTP {status} without a reason in JSON")),
        },
        // WeChat's fault, except that some pages list two of ours here. Only WeChat itself is believed on that.
        500..=599 => {
            let error: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
            let ours = ["OPENIDMISMATCH", "INVALIDTRANSACTIONID"].contains(&&*normal(&error.code));
            if ours && proven {
                refused(status, proven, error.code, error.message)
            } else {
                Answer::Unknown(
                    format!("HTTP {status} {}", error.code)
                        .trim_end()
                        .to_owned(),
                )
            }
        }
        _ => Answer::Unknown(format!("HTTP {status}")),
    }
}

fn refused(status: StatusCode, proven: bool, code: String, message: String) -> Answer {
    match refusal_kind(status, &code) {
        Some(kind) => Answer::Refused(Refused {
            refusal: Refusal {
                kind,
                code,
                message,
            },
            proven,
        }),
        None => Answer::Unknown(format!("HTTP {status} {code}")),
    }
}

/// What a code means for us; `None` when it does not say no.
fn refusal_kind(status: StatusCode, code: &str) -> Option<RefusalKind> {
    match normal(code).as_str() {
        // Trouble at WeChat's, or still at work: whatever the status.
        "SYSTEMERROR" | "BANKERROR" | "SERVICEUNAVAILABLE" | "INTERNALERROR" | "USERPAYING" => None,
        // Both are answered by a query: the number is paid, or used with other parameters.
        "ORDERPAID" | "OUTTRADENOUSED" => Some(RefusalKind::AlreadyPaid),
        "ORDERCLOSED" => Some(RefusalKind::Closed),
        "FREQUENCYLIMITED" | "FREQUENCYLIMITEXCEED" | "RATELIMITEXCEEDED" | "RATELIMITEXCEED" => {
            Some(RefusalKind::RateLimited)
        }
        _ if status == StatusCode::TOO_MANY_REQUESTS => Some(RefusalKind::RateLimited),
        _ => Some(RefusalKind::Rejected),
    }
}

/// Old and new spellings of a code are one: `SYSTEMERROR`, `SYSTEM_ERROR`.
pub(super) fn normal(code: &str) -> String {
    code.chars()
        .filter(|letter| *letter != '_')
        .map(|letter| letter.to_ascii_uppercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, proof: &Proof, body: &str) -> String {
        match judge(
            StatusCode::from_u16(status).unwrap(),
            proof,
            body.as_bytes().to_vec(),
        ) {
            Answer::Done(_) => "done".to_owned(),
            Answer::Refused(Refused { refusal, .. }) => format!("{:?}", refusal.kind),
            Answer::Unknown(_) => "unknown".to_owned(),
        }
    }

    #[test]
    fn only_a_signed_200_or_204_is_done() {
        assert_eq!(outcome(200, &Proof::Signed, "{}"), "done");
        assert_eq!(outcome(204, &Proof::Signed, ""), "done");
        for proof in [Proof::Unsigned, Proof::Wrong("probe")] {
            assert_eq!(outcome(200, &proof, "{}"), "unknown");
            assert_eq!(outcome(204, &proof, ""), "unknown");
        }
        for status in [201, 202, 206, 301, 302, 304] {
            assert_eq!(outcome(status, &Proof::Signed, "{}"), "unknown");
        }
    }

    #[test]
    fn codes_mean_the_same_in_both_spellings() {
        let refused = |status, code: &str| {
            outcome(
                status,
                &Proof::Signed,
                &format!(r#"{{"code":"{code}","message":"m"}}"#),
            )
        };
        assert_eq!(refused(400, "PARAM_ERROR"), "Rejected");
        assert_eq!(refused(401, "SIGN_ERROR"), "Rejected");
        assert_eq!(refused(400, "ORDERPAID"), "AlreadyPaid");
        assert_eq!(refused(400, "ORDER_PAID"), "AlreadyPaid");
        assert_eq!(refused(403, "OUT_TRADE_NO_USED"), "AlreadyPaid");
        assert_eq!(refused(400, "ORDER_CLOSED"), "Closed");
        assert_eq!(refused(400, "orderclosed"), "Closed");
        assert_eq!(refused(429, "RATELIMIT_EXCEEDED"), "RateLimited");
        assert_eq!(refused(403, "FREQUENCY_LIMITED"), "RateLimited");
        assert_eq!(refused(404, "ORDER_NOT_EXIST"), "Rejected");
        for trouble in [
            "SYSTEM_ERROR",
            "SYSTEMERROR",
            "BANK_ERROR",
            "BANKERROR",
            "USERPAYING",
        ] {
            assert_eq!(refused(400, trouble), "unknown");
            assert_eq!(refused(500, trouble), "unknown");
        }
        assert_eq!(refused(500, "OPENID_MISMATCH"), "Rejected");
        assert_eq!(refused(503, "SERVICE_UNAVAILABLE"), "unknown");
        assert_eq!(refused(202, "USERPAYING"), "unknown");
    }

    #[test]
    fn a_gateway_that_does_not_speak_json_tells_nothing() {
        assert_eq!(
            outcome(403, &Proof::Unsigned, "<html>Forbidden</html>"),
            "unknown"
        );
        assert_eq!(outcome(404, &Proof::Unsigned, ""), "unknown");
        assert_eq!(outcome(404, &Proof::Unsigned, "{}"), "unknown");
        assert_eq!(outcome(408, &Proof::Unsigned, r#"{"code":"X"}"#), "unknown");
        assert_eq!(outcome(429, &Proof::Unsigned, "<html>"), "unknown");
        let limited = r#"{"code":"TOO_MANY"}"#;
        assert_eq!(outcome(429, &Proof::Unsigned, limited), "RateLimited");
        assert_eq!(outcome(502, &Proof::Unsigned, "<html>"), "unknown");
        assert_eq!(
            outcome(500, &Proof::Unsigned, r#"{"code":"OPENID_MISMATCH"}"#),
            "unknown"
        );
        assert_eq!(
            outcome(401, &Proof::Unsigned, r#"{"code":"SIGN_ERROR"}"#),
            "Rejected"
        );
        assert_eq!(
            outcome(400, &Proof::Wrong("probe"), r#"{"code":"PARAM_ERROR"}"#),
            "unknown"
        );
    }
}
