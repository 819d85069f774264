//! Delivers callbacks, and delivers them again, as WeChat does.
//!
//! 200 or 204 within five seconds is an acknowledgement; everything else is sent again by the
//! schedule, 15 times in 24 h 4 m. The attempts that a fault spoils come first and take their place
//! in the schedule, so that the genuine one arrives as WeChat's re-send would.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arrivals::Arrivals;
use super::callback::{CallbackFactory, Envelope};
use super::callback_content::CallbackContent;
use super::error::SimulatorError;
use super::faults::Fault;
use super::keys::KeyKind;
use super::stats::Counters;

/// Seconds between one attempt and the next.
const SCHEDULE: [u64; 15] = [
    15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600,
];
/// In this time the receiver must have answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How soon a duplicate follows the acknowledged one, and for how long a callback is held back
/// while nothing overtakes it.
const SECOND: Duration = Duration::from_secs(1);
/// WeChat has no such limit; the machine that both sides share has.
const CONNECTIONS_MAX: usize = 512;

/// A callback to be sent: its content, where it goes, and what goes wrong with it.
#[derive(Debug)]
pub(super) struct CallbackJob {
    pub(super) notify_url: Arc<str>,
    pub(super) content: CallbackContent,
    pub(super) faults: BTreeSet<Fault>,
    pub(super) kind: KeyKind,
    pub(super) late: Duration,
}

/// How a receiver answered one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryResult {
    Acknowledged,
    Refused,
    Nothing,
}

/// Sends callbacks.
#[derive(Debug)]
pub(super) struct CallbackSender {
    factory: Arc<CallbackFactory>,
    http: reqwest::Client,
    stats: Arc<Counters>,
    arrivals: Arrivals,
    waiting: watch::Sender<u64>,
    lines: Semaphore,
    compression: u32,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl CallbackSender {
    pub(super) fn new(
        factory: Arc<CallbackFactory>,
        stats: Arc<Counters>,
        compression: u32,
        stop: CancellationToken,
    ) -> Result<Self, SimulatorError> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_WITHIN)
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            factory,
            http,
            stats,
            arrivals: Arrivals::new(),
            waiting: watch::Sender::new(0),
            lines: Semaphore::new(CONNECTIONS_MAX),
            compression: compression.max(1),
            tasks: TaskTracker::new(),
            stop,
        })
    }

    /// Runs something that ends in a callback, or in none; until then the sender is not idle.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let sender = Arc::clone(self);
        self.tasks.spawn(async move {
            let _done = Done(&sender.waiting);
            sender.stop.run_until_cancelled(task).await;
        });
    }

    /// Starts sending a callback and returns at once.
    pub(super) fn dispatch(self: &Arc<Self>, job: CallbackJob) {
        if job.faults.contains(&Fault::Lost) {
            self.stats.callbacks_lost.add();
            return;
        }
        let number = self.arrivals.enter();
        let sender = Arc::clone(self);
        self.spawn(async move { sender.send_all(number, &job).await });
    }

    /// Resolves when nothing is waiting to be sent.
    pub(super) async fn idle(&self) {
        // The sender lives as long as self, so this cannot fail.
        let _ = self
            .waiting
            .subscribe()
            .wait_for(|waiting| *waiting == 0)
            .await;
    }

    /// Waits for the tasks, which the token has told to stop.
    pub(super) async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn send_all(&self, number: u64, job: &CallbackJob) {
        let has = |fault| job.faults.contains(&fault);
        if has(Fault::Late) {
            self.pause(job.late).await;
        }
        let mut held = None;
        if has(Fault::OutOfOrder) {
            held = Some(self.arrivals.hold(number, SECOND / self.compression).await);
        }
        let mut content = job.content.clone();
        if has(Fault::NoAttach) {
            content = content.without_attach();
        }
        let line = Line {
            sender: self,
            job,
            content,
            associated: !has(Fault::NoAssociatedData),
        };
        let mut schedule = SCHEDULE.into_iter().map(Duration::from_secs);
        let genuine = line.envelope();

        for fault in job.faults.iter().copied().filter(|fault| fault.spoils()) {
            if fault.is_forgery() {
                self.stats.forgeries_sent.add();
                if line.send(&genuine, Some(fault)).await == DeliveryResult::Acknowledged {
                    self.stats.forgeries_acknowledged.add();
                    tracing::warn!(
                        number = job.content.number(),
                        ?fault,
                        "the service acknowledged a forged callback"
                    );
                }
                self.pause(schedule.next().unwrap_or(SECOND)).await;
            } else {
                // A lie is a notification of its own: the true one follows at once, in its own
                // first place.
                self.stats.attacks_sent.add();
                line.send(&line.envelope(), Some(fault)).await;
            }
        }

        let mut first = has(Fault::Twin);
        loop {
            let acknowledged = if std::mem::take(&mut first) {
                let (one, two) =
                    tokio::join!(line.send_genuine(&genuine), line.send_genuine(&genuine));
                one || two
            } else {
                line.send_genuine(&genuine).await
            };
            self.arrivals.delivered(number);
            drop(held.take());
            if acknowledged {
                break;
            }
            let Some(gap) = schedule.next() else {
                self.stats.callbacks_abandoned.add();
                return;
            };
            self.pause(gap).await;
        }
        if has(Fault::Duplicate) {
            self.pause(SECOND).await;
            line.send_genuine(&genuine).await;
        }
    }

    async fn pause(&self, gap: Duration) {
        tokio::time::sleep(gap / self.compression).await;
    }
}

/// One errand's way to its receiver.
struct Line<'a> {
    sender: &'a CallbackSender,
    job: &'a CallbackJob,
    content: CallbackContent,
    associated: bool,
}

impl Line<'_> {
    fn envelope(&self) -> Envelope {
        self.sender.factory.envelope(self.job.kind, self.associated)
    }

    async fn send_genuine(&self, envelope: &Envelope) -> bool {
        let result = self.send(envelope, None).await;
        let stats = &self.sender.stats;
        match result {
            DeliveryResult::Acknowledged => stats.callbacks_acknowledged.add(),
            DeliveryResult::Refused => stats.callbacks_refused.add(),
            DeliveryResult::Nothing => stats.callbacks_unanswered.add(),
        }
        result == DeliveryResult::Acknowledged
    }

    async fn send(&self, envelope: &Envelope, fault: Option<Fault>) -> DeliveryResult {
        // Never closed, so there is always a permit in the end.
        let _permit = self.sender.lines.acquire().await;
        let callback = self.sender.factory.build(envelope, &self.content, fault);
        self.sender.stats.callbacks_sent.add();
        let answer = self
            .sender
            .http
            .post(&*self.job.notify_url)
            .headers(callback.headers)
            .body(callback.body)
            .send()
            .await;
        let number = self.content.number();
        match answer {
            Ok(answer) => {
                let status = answer.status().as_u16();
                // Read to the end, so that the connection can be used again.
                let _ = answer.bytes().await;
                tracing::debug!(number, ?fault, status, "callback answered with {status}");
                if matches!(status, 200 | 204) {
                    DeliveryResult::Acknowledged
                } else {
                    DeliveryResult::Refused
                }
            }
            Err(error) => {
                tracing::debug!(number, ?fault, %error, "callback not answered");
                DeliveryResult::Nothing
            }
        }
    }
}

/// Counts an errand off, also when it is cut short.
struct Done<'a>(&'a watch::Sender<u64>);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0
            .send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_wechats_24_hours_and_4_minutes() {
        assert_eq!(SCHEDULE.iter().sum::<u64>(), 24 * 3600 + 4 * 60);
    }
}
