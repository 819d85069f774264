//! Turns answers into outcomes (§11).
//!
//! | HTTP | code | means | trouble, if unknown |
//! |---|---|---|---|
//! | 200, 204 signed | | done | |
//! | 200, 204 otherwise | | unknown: forged, or WeChat's probe | unverified |
//! | 202 | | taken, not done: repeat | pending |
//! | 4xx | `ORDERPAID`, `ORDER_CLOSED`, `NOT_ENOUGH`, .. | refused | |
//! | 404 | `ORDER_NOT_EXIST`, `RESOURCE_NOT_EXISTS` | refused as absent when signed, unknown otherwise | unverified |
//! | 429 | | refused as too frequent; of a refund nobody knows | |
//! | 4xx without a reason in JSON | | unknown: some proxy's | unverified |
//! | 500 | `OPENID_MISMATCH` signed | refused: our mistake in spite of the status | |
//! | any | `SYSTEM_ERROR`, `BANK_ERROR` | unknown | server |
//! | other 5xx | | unknown | server |

use reqwest::StatusCode;
use serde::{Deserialize, Deserializer};

use super::lenient::lenient;
use crate::payments::{ChannelOutcome, NoticeError, Refusal, RefusalKind};

/// A call that came back, or did not.
#[derive(Debug)]
pub(super) enum CallAnswer {
    /// Done, and verified to be WeChat's answer. The body is empty after 204.
    Done(Vec<u8>),
    /// A no. Most may come unsigned, from a proxy: they cannot make us assume that something
    /// happened. Those from which something follows (there is no such order, there is no bill) are
    /// signed, or they are unknown.
    Refused(Refusal),
    Unknown(Unknown),
}

/// Nobody knows, and why.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) failure: Failure,
    pub(super) reason: String,
}

/// What kept us from knowing. It decides whether, when and where the call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing was sent: no connection.
    Unreachable,
    /// Sent, and no whole answer came: reset, time-out.
    Broken,
    /// 5xx, with its status.
    Server(u16),
    /// 202, or a proxy's 429: WeChat is still at it, or too busy.
    Pending,
    /// An answer whose signature is missing or wrong.
    Unverified,
    /// WeChat signs some answers wrongly on purpose.
    Probe,
    /// An answer that says nothing that we understand.
    Unclear,
    /// Not asked at all: WeChat has not answered lately, or the time is up.
    NotAsked,
}

impl Unknown {
    pub(super) fn new(failure: Failure, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { failure, reason }
    }
}

/// A proven answer that is not what was asked for.
pub(super) fn unclear<T>(reason: impl Into<String>) -> ChannelOutcome<T> {
    ChannelOutcome::Unknown(reason.into())
}

impl CallAnswer {
    /// The outcome of a call whose answer is read by `read`; a no is passed on. That an answer is
    /// WeChat's and says nothing that we understand is logged here, what else may be wrong where it
    /// came.
    pub(super) fn outcome<T>(
        self,
        read: impl FnOnce(&[u8]) -> ChannelOutcome<T>,
    ) -> ChannelOutcome<T> {
        match self {
            Self::Done(body) => {
                let outcome = read(&body);
                if let ChannelOutcome::Unknown(reason) = &outcome {
                    tracing::warn!(reason, "an answer of WeChat's is not understood: {reason}");
                }
                outcome
            }
            Self::Refused(refusal) => ChannelOutcome::Refused(refusal),
            Self::Unknown(unknown) => ChannelOutcome::Unknown(unknown.reason),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default, deserialize_with = "text")]
    code: String,
    #[serde(default, deserialize_with = "text")]
    message: String,
}

/// A code decides; that there is no message, or one of another form, does not.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(lenient(from)?.unwrap_or_default())
}

/// What became of the signature of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureCheck {
    /// WeChat's.
    Signed,
    /// None of the headers is there.
    Unsigned,
    /// There, and it does not hold.
    Wrong(NoticeError),
}

/// Judges an answer. What is not certainly done and not certainly refused is unknown.
pub(super) fn judge(status: StatusCode, signature: SignatureCheck, body: Vec<u8>) -> CallAnswer {
    if let SignatureCheck::Wrong(error) = signature {
        let failure = if error == NoticeError::Probe {
            Failure::Probe
        } else {
            Failure::Unverified
        };
        let reason = error.reason();
        return unknown(failure, format!("HTTP {status}, not verified: {reason}"));
    }
    let proven = signature == SignatureCheck::Signed;
    match status.as_u16() {
        200 | 204 if proven => CallAnswer::Done(body),
        200 | 204 => unknown(
            Failure::Unverified,
            format!("HTTP {status} without a signature"),
        ),
        202 => unknown(Failure::Pending, format!("HTTP {status}")),
        408 => unknown(Failure::Broken, format!("HTTP {status}")),
        400..=499 => match serde_json::from_slice(&body) {
            Ok(ErrorBody { code, message }) if !code.is_empty() => {
                refused(status, proven, code, message)
            }
            Ok(_) | Err(_) => {
                // Too many calls are too many, whoever counts them.
                let failure = match status {
                    StatusCode::TOO_MANY_REQUESTS => Failure::Pending,
                    _ => Failure::Unverified,
                };
                unknown(failure, format!("HTTP {status} without a reason in JSON"))
            }
        },
        // WeChat's fault, except that some pages list two of ours here. Only a signed answer counts
        // for that.
        server @ 500..=599 => {
            let error: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
            let ours = ["OPENIDMISMATCH", "INVALIDTRANSACTIONID"].contains(&&*normal(&error.code));
            if ours && proven {
                refused(status, proven, error.code, error.message)
            } else {
                let reason = format!("HTTP {status} {}", error.code);
                unknown(Failure::Server(server), reason.trim_end())
            }
        }
        _ => unknown(Failure::Unclear, format!("HTTP {status}")),
    }
}

fn unknown(failure: Failure, reason: impl Into<String>) -> CallAnswer {
    CallAnswer::Unknown(Unknown::new(failure, reason))
}

fn refused(status: StatusCode, proven: bool, code: String, message: String) -> CallAnswer {
    let Some(kind) = refusal_kind(status, &code, &message) else {
        return unknown(
            Failure::Server(status.as_u16()),
            format!("HTTP {status} {code}"),
        );
    };
    let something_follows = kind == RefusalKind::Absent || is_no_bill(&code);
    if something_follows && !proven {
        return unknown(
            Failure::Unverified,
            format!("HTTP {status} {code} without a signature"),
        );
    }
    CallAnswer::Refused(Refusal {
        kind,
        code,
        message,
    })
}

/// There were no trades that day.
pub(super) fn is_no_bill(code: &str) -> bool {
    normal(code) == "NOSTATEMENTEXIST"
}

/// What WeChat writes when a number comes again with other parameters; the code beside it is
/// `INVALID_REQUEST`, as for much else.
const DIFFERENT: &str = "不一致";

/// What a code means for us; `None` when it does not say no.
fn refusal_kind(status: StatusCode, code: &str, message: &str) -> Option<RefusalKind> {
    match normal(code).as_str() {
        // Trouble at WeChat's, or still at work: whatever the status.
        "SYSTEMERROR" | "BANKERROR" | "SERVICEUNAVAILABLE" | "INTERNALERROR" | "USERPAYING" => None,
        "ORDERPAID" => Some(RefusalKind::AlreadyPaid),
        // Taken with other parameters, or paid: a query tells which.
        "OUTTRADENOUSED" => Some(RefusalKind::Conflict),
        "INVALIDREQUEST" | "PARAMERROR" if message.contains(DIFFERENT) => {
            Some(RefusalKind::Conflict)
        }
        "ORDERNOTEXIST" | "RESOURCENOTEXISTS" => Some(RefusalKind::Absent),
        "NOTENOUGH" => Some(RefusalKind::NotEnough),
        // The bill is being made: later.
        "STATEMENTCREATING" => Some(RefusalKind::RateLimited),
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

    const WRONG: SignatureCheck = SignatureCheck::Wrong(NoticeError::BadSignature);

    fn outcome(status: u16, signature: SignatureCheck, body: &str) -> String {
        match judge(
            StatusCode::from_u16(status).unwrap(),
            signature,
            body.as_bytes().to_vec(),
        ) {
            CallAnswer::Done(_) => "done".to_owned(),
            CallAnswer::Refused(refusal) => format!("{:?}", refusal.kind),
            CallAnswer::Unknown(unknown) => format!("{:?}", unknown.failure),
        }
    }

    #[test]
    fn only_a_signed_200_or_204_is_done() {
        assert_eq!(outcome(200, SignatureCheck::Signed, "{}"), "done");
        assert_eq!(outcome(204, SignatureCheck::Signed, ""), "done");
        for (status, body) in [(200, "{}"), (204, "")] {
            assert_eq!(
                outcome(status, SignatureCheck::Unsigned, body),
                "Unverified"
            );
            assert_eq!(outcome(status, WRONG, body), "Unverified");
            let probe = SignatureCheck::Wrong(NoticeError::Probe);
            assert_eq!(outcome(status, probe, body), "Probe");
        }
        for status in [201, 206, 301, 302, 304] {
            assert_eq!(outcome(status, SignatureCheck::Signed, "{}"), "Unclear");
        }
        assert_eq!(outcome(202, SignatureCheck::Signed, "{}"), "Pending");
    }

    fn refused(status: u16, code: &str) -> String {
        let body = format!(r#"{{"code":"{code}","message":"m"}}"#);
        outcome(status, SignatureCheck::Signed, &body)
    }

    #[test]
    fn codes_mean_the_same_in_both_spellings() {
        for (status, code, kind) in [
            (400, "PARAM_ERROR", "Rejected"),
            (401, "SIGN_ERROR", "Rejected"),
            (400, "ORDERPAID", "AlreadyPaid"),
            (400, "ORDER_PAID", "AlreadyPaid"),
            (403, "OUT_TRADE_NO_USED", "Conflict"),
            (400, "ORDER_CLOSED", "Closed"),
            (400, "orderclosed", "Closed"),
            (403, "NOT_ENOUGH", "NotEnough"),
            (403, "NOTENOUGH", "NotEnough"),
            (429, "RATELIMIT_EXCEEDED", "RateLimited"),
            (403, "FREQUENCY_LIMITED", "RateLimited"),
            (400, "STATEMENT_CREATING", "RateLimited"),
            (404, "ORDER_NOT_EXIST", "Absent"),
            (404, "RESOURCE_NOT_EXISTS", "Absent"),
            (404, "MCH_NOT_EXISTS", "Rejected"),
            (500, "OPENID_MISMATCH", "Rejected"),
            (503, "SERVICE_UNAVAILABLE", "Server(503)"),
            (202, "USERPAYING", "Pending"),
        ] {
            assert_eq!(refused(status, code), kind, "{status} {code}");
        }
        for failure in [
            "SYSTEM_ERROR",
            "SYSTEMERROR",
            "BANK_ERROR",
            "BANKERROR",
            "USERPAYING",
        ] {
            assert_eq!(refused(400, failure), "Server(400)");
            assert_eq!(refused(500, failure), "Server(500)");
        }
    }

    #[test]
    fn a_code_is_enough() {
        let body = r#"{"code":"PARAM_ERROR","message":null}"#;
        assert_eq!(outcome(400, SignatureCheck::Signed, body), "Rejected");
        let body = r#"{"code":270924358,"message":"m"}"#;
        assert_eq!(outcome(400, SignatureCheck::Signed, body), "Unverified");
    }

    #[test]
    fn a_number_with_other_parameters_is_a_conflict() {
        let body = r#"{"code":"INVALID_REQUEST","message":"订单参数与首次请求时不一致"}"#;
        assert_eq!(outcome(400, SignatureCheck::Signed, body), "Conflict");
        assert_eq!(refused(400, "INVALID_REQUEST"), "Rejected");
    }

    #[test]
    fn what_something_follows_from_must_be_signed() {
        for code in ["ORDER_NOT_EXIST", "NO_STATEMENT_EXIST"] {
            let body = format!(r#"{{"code":"{code}"}}"#);
            assert_eq!(outcome(404, SignatureCheck::Unsigned, &body), "Unverified");
        }
        assert_eq!(refused(400, "NO_STATEMENT_EXIST"), "Rejected");
        assert!(is_no_bill("NO_STATEMENT_EXIST") && !is_no_bill("STATEMENT_CREATING"));
    }

    #[test]
    fn answers_of_a_proxy_that_are_not_json_settle_nothing() {
        let unsigned = |status, body| outcome(status, SignatureCheck::Unsigned, body);
        assert_eq!(unsigned(403, "<html>Forbidden</html>"), "Unverified");
        assert_eq!(unsigned(404, ""), "Unverified");
        assert_eq!(unsigned(404, "{}"), "Unverified");
        assert_eq!(unsigned(408, r#"{"code":"X"}"#), "Broken");
        assert_eq!(unsigned(429, "<html>"), "Pending");
        assert_eq!(unsigned(429, r#"{"code":"TOO_MANY"}"#), "RateLimited");
        assert_eq!(unsigned(502, "<html>"), "Server(502)");
        assert_eq!(
            unsigned(500, r#"{"code":"OPENID_MISMATCH"}"#),
            "Server(500)"
        );
        assert_eq!(unsigned(401, r#"{"code":"SIGN_ERROR"}"#), "Rejected");
        let body = r#"{"code":"PARAM_ERROR"}"#;
        assert_eq!(outcome(400, WRONG, body), "Unverified");
    }
}
