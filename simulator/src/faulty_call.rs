//! Serves one call of the merchant API, with the fault that was drawn or forced for it.

use std::time::Duration;

use http::StatusCode;

use super::answer::{Answer, Refusal, SignatureKind};
use super::call_faults::{CallFate, CallFault};
use super::endpoint::Endpoint;
use super::lock::lock;
use super::sharing::request::no_record;
use super::state::Shared;

impl Shared {
    /// Carries out a call, unless a rate limit refuses it or a fault prevents it, and returns the
    /// answer as the fault changes it.
    pub(super) async fn with_call_faults(
        &self,
        endpoint: Endpoint,
        number: &str,
        act: impl FnOnce() -> Result<Answer, Refusal>,
    ) -> Result<(Answer, SignatureKind), Refusal> {
        let switches = self.faults();
        if switches.rate_limits {
            let elapsed = self.started.elapsed();
            if !lock(&self.limits).admit(endpoint, elapsed) {
                self.stats.calls_limited.add();
                return Err(Refusal::rate_limited());
            }
        }
        let act = || {
            act().inspect_err(|_| {
                if endpoint == Endpoint::Refund {
                    lock(&self.limits).refund_failed(self.started.elapsed());
                }
            })
        };
        let odds = switches.calls.get(&endpoint).copied().unwrap_or_default();
        let fate = lock(&self.call_fates).fate(self.seed, odds, endpoint, number);
        if fate != CallFate::default() {
            self.stats.call_faults.add();
        }
        if fate.slow {
            self.pause(Duration::from_millis(odds.slow_ms.into())).await;
        }
        let Some(fault) = fate.fault else {
            return act().map(|answer| (answer, SignatureKind::Genuine));
        };
        // Without the number: that of a receiver is a person's openid.
        tracing::debug!(?endpoint, ?fault, "a call goes wrong as asked");
        let genuine = |answer| Ok((answer, SignatureKind::Genuine));
        match fault {
            CallFault::Slow => genuine(act()?),
            CallFault::BadGateway => genuine(Answer::BadGateway),
            CallFault::SystemError => Err(system_error()),
            CallFault::RateLimited => Err(Refusal::rate_limited()),
            CallFault::RateLimitedUnsigned => {
                Ok((Refusal::rate_limited().into(), SignatureKind::Absent))
            }
            CallFault::CommitThenTimeout => {
                act()?;
                self.pause(Duration::from_millis(odds.hang_ms.into())).await;
                genuine(Answer::BadGateway)
            }
            CallFault::CommitThenCut => {
                act()?;
                genuine(Answer::Cut)
            }
            CallFault::CommitThenRateLimited => {
                act()?;
                let status = StatusCode::TOO_MANY_REQUESTS;
                Err(Refusal::new(
                    status,
                    "FREQUENCY_LIMITED",
                    "频率限制，请降低频率后重试",
                ))
            }
            CallFault::CommitThenSystemError => {
                act()?;
                Err(system_error())
            }
            CallFault::WrongSignature => Ok((answer_of(act()), SignatureKind::Wrong)),
            CallFault::Probe => Ok((answer_of(act()), SignatureKind::Probe)),
            CallFault::Unsigned => Ok((answer_of(act()), SignatureKind::Absent)),
            CallFault::NotFound => Err(match endpoint {
                Endpoint::RefundQuery => Refusal::refund_not_exists(),
                Endpoint::SharingQuery => no_record(),
                Endpoint::Prepay
                | Endpoint::Native
                | Endpoint::Close
                | Endpoint::Query
                | Endpoint::Refund
                | Endpoint::AbnormalRefund
                | Endpoint::Sharing
                | Endpoint::SharingReturn
                | Endpoint::SharingReceiver
                | Endpoint::Bill
                | Endpoint::Certificates => Refusal::order_not_exist(),
            }),
        }
    }
}

fn answer_of(done: Result<Answer, Refusal>) -> Answer {
    done.unwrap_or_else(Answer::from)
}

fn system_error() -> Refusal {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Refusal::new(status, "SYSTEM_ERROR", "系统异常，请用相同参数重新调用")
}
