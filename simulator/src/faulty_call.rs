//! Serving one call of the merchant API with what goes wrong with it.

use std::time::Duration;

use http::StatusCode;

use super::answer::{Answer, Refusal, Seal};
use super::call_faults::{CallFault, Fate};
use super::endpoint::Endpoint;
use super::lock::lock;
use super::sharing::request::no_record;
use super::state::Shared;

impl Shared {
    /// Does what a call asks for, or does not, as the faults will have it.
    pub(super) async fn troubled(
        &self,
        endpoint: Endpoint,
        number: &str,
        act: impl FnOnce() -> Result<Answer, Refusal>,
    ) -> Result<(Answer, Seal), Refusal> {
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
        let fate = lock(&self.troubles).fate(self.seed, odds, endpoint, number);
        if fate != Fate::default() {
            self.stats.call_faults.add();
        }
        if fate.slow {
            self.pause(Duration::from_millis(odds.slow_ms.into())).await;
        }
        let Some(fault) = fate.fault else {
            return act().map(|answer| (answer, Seal::Genuine));
        };
        // Without the number: that of a receiver is a person's openid.
        tracing::debug!(?endpoint, ?fault, "a call goes wrong as asked");
        let genuine = |answer| Ok((answer, Seal::Genuine));
        match fault {
            CallFault::Slow => genuine(act()?),
            CallFault::BadGateway => genuine(Answer::BadGateway),
            CallFault::SystemError => Err(system_error()),
            CallFault::RateLimited => Err(Refusal::rate_limited()),
            CallFault::RateLimitedUnsigned => Ok((Refusal::rate_limited().into(), Seal::Absent)),
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
            CallFault::WrongSignature => Ok((told(act()), Seal::Wrong)),
            CallFault::Probe => Ok((told(act()), Seal::Probe)),
            CallFault::Unsigned => Ok((told(act()), Seal::Absent)),
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

fn told(done: Result<Answer, Refusal>) -> Answer {
    done.unwrap_or_else(Answer::from)
}

fn system_error() -> Refusal {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Refusal::new(status, "SYSTEM_ERROR", "系统异常，请用相同参数重新调用")
}
