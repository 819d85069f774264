//! WeChat's callback: believe it, store it, do what it says, and only then say so.
//!
//! What is done and the callback as received are one commit; so is a rejection with its reason. What is not believed is kept too, a bounded number a minute,
//! with the headers, so that a key that was missing can be supplied and the callback played again. What fails here is kept as failed (WeChat sends it again for a
//! day; after that it can still be played again from here).

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde_json::json;

use super::{
    Notice, NoticeBody, NoticeError, NoticeHeaders, Payments, RefundMoved, Settled,
    apply_refund::{apply, of_callback},
    settle::settle,
    store::{CallbackRow, Callbacks},
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    primitives::{Id, Lane, TenantId, Timestamp},
};

/// What was done with a callback. Everything here is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Settled,
    /// A refund moved.
    Refund,
    /// It had been taken before: nothing changed.
    Duplicate,
    /// Sound, but of a kind that is not handled: stored.
    Ignored,
    /// Sound and wrong: stored with an alarm. The reason's word is stable.
    Rejected(&'static str),
}

impl Taken {
    /// The stable word in metrics and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Refund => "refund",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Rejected(_) => "rejected",
        }
    }
}

/// Why a callback was not taken. WeChat will send it again.
#[derive(Debug, thiserror::Error)]
pub enum NoticeFailure {
    #[error("the callback is not believed")]
    NotBelieved(#[from] NoticeError),
    #[error("database failure")]
    Db(#[from] DbError),
}

/// Takes a callback as it came over the wire.
pub async fn take_notice(
    payments: &Payments,
    tenant: TenantId,
    headers: NoticeHeaders<'_>,
    body: Bytes,
) -> Result<Taken, NoticeFailure> {
    let taken = take(payments, tenant, headers, &body).await;
    let outcome = match &taken {
        Ok(Taken::Rejected(reason)) => {
            tracing::error!(
                reason,
                tenant.id = tenant.0,
                "a soundly signed callback is wrong: {reason}"
            );
            "rejected"
        }
        Ok(taken) => taken.name(),
        Err(NoticeFailure::NotBelieved(NoticeError::Probe)) => "probe",
        Err(NoticeFailure::NotBelieved(error)) => {
            tracing::warn!(
                reason = error.reason(),
                "a callback is not believed: {error}"
            );
            keep_unbelieved(payments, tenant, headers, body, *error).await;
            error.reason()
        }
        Err(NoticeFailure::Db(_)) => "unavailable",
    };
    metrics::counter!("callbacks_total", "outcome" => outcome).increment(1);
    taken
}

async fn take(
    payments: &Payments,
    tenant: TenantId,
    headers: NoticeHeaders<'_>,
    body: &Bytes,
) -> Result<Taken, NoticeFailure> {
    let gateway = payments.gateways.of(tenant);
    let notice = gateway.read_notice(headers, body, payments.db.now())?;
    let event = event_id(tenant, &notice.id, notice.created_at);
    let taken = handle(payments, tenant, notice, event, body.clone()).await;
    let broken = match &taken {
        Err(DbError::Inconsistent(what)) => Some(*what),
        Err(DbError::Violation(_)) => Some("violates a constraint"),
        Ok(_) | Err(_) => None,
    };
    if let Some(what) = broken {
        // It will fail again however often WeChat sends it: keep it for whoever repairs what is broken.
        store(payments, tenant, event, body.clone(), 5, Some(what), None).await?;
    }
    Ok(taken?)
}

/// Does what a notice says. Also for one that is played again.
pub(super) async fn handle(
    payments: &Payments,
    tenant: TenantId,
    notice: Notice,
    event: Id,
    body: Bytes,
) -> Result<Taken, DbError> {
    match notice.body {
        NoticeBody::Paid(paid) => Ok(
            match settle(payments, tenant, paid, Some((event, body))).await? {
                Settled::Now { .. } => Taken::Settled,
                Settled::Before | Settled::WhoPaid => Taken::Duplicate,
                Settled::Rejected(reason) => Taken::Rejected(reason),
            },
        ),
        NoticeBody::Refund(refund) => {
            let us = payments.gateways.of(tenant).account().mchid.clone();
            let operation = of_callback(tenant, refund, (event, body), us, payments.pace);
            Ok(match apply(payments, operation).await? {
                RefundMoved::Now(_) => Taken::Refund,
                RefundMoved::Before => Taken::Duplicate,
                RefundMoved::Rejected(reason) => Taken::Rejected(reason),
            })
        }
        NoticeBody::Other { .. } => {
            store(payments, tenant, event, body, 4, None, None).await?;
            Ok(Taken::Ignored)
        }
    }
}

/// The time and a hash of WeChat's notification id: rows are written in order, and a repeated one is found by it.
pub(super) fn event_id(tenant: TenantId, notification: &str, created_at: Timestamp) -> Id {
    let mut named = tenant.0.to_be_bytes().to_vec();
    named.extend_from_slice(notification.as_bytes());
    id_of(created_at, &named)
}

fn id_of(at: Timestamp, named: &[u8]) -> Id {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&at.millis().to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&digest(&SHA256, named).as_ref()[..10]);
    Id::from_bytes(bytes)
}

/// Strangers can fill neither the table nor the time of the committers: this many a minute are kept, of this size at most.
const UNBELIEVED_PER_MINUTE: u32 = 60;
const UNBELIEVED_BYTES_MAX: usize = 16 * 1024;

async fn keep_unbelieved(
    payments: &Payments,
    tenant: TenantId,
    headers: NoticeHeaders<'_>,
    body: Bytes,
    error: NoticeError,
) {
    let now = payments.db.now();
    if body.len() > UNBELIEVED_BYTES_MAX || !may_keep(now) {
        metrics::counter!("callbacks_not_kept_total").increment(1);
        return;
    }
    let short = |text: Option<&str>| text.map(|text| text.chars().take(400).collect::<String>());
    let kept = json!({
        "timestamp": short(headers.timestamp), "nonce": short(headers.nonce), "signature": short(headers.signature),
        "serial": short(headers.serial), "signature_type": short(headers.signature_type),
    });
    let headers = serde_json::to_vec(&kept).unwrap_or_default();
    let headers = (headers.len() <= 2_048).then_some(headers);
    let event = id_of(now, &body);
    let reason = Some(error.reason());
    if let Err(error) = store(payments, tenant, event, body, 6, reason, headers).await {
        tracing::debug!(reason = %error, "a callback that is not believed was not kept");
    }
}

fn may_keep(now: Timestamp) -> bool {
    static MINUTE: AtomicI64 = AtomicI64::new(0);
    static KEPT: AtomicU32 = AtomicU32::new(0);
    let minute = now.seconds() / 60;
    if MINUTE.swap(minute, Ordering::Relaxed) != minute {
        KEPT.store(0, Ordering::Relaxed);
    }
    KEPT.fetch_add(1, Ordering::Relaxed) < UNBELIEVED_PER_MINUTE
}

async fn store(
    payments: &Payments,
    tenant: TenantId,
    event: Id,
    body: Bytes,
    outcome: u8,
    reason: Option<&'static str>,
    headers: Option<Vec<u8>>,
) -> Result<(), DbError> {
    let operation = StoreCallback {
        tenant,
        event,
        body,
        outcome,
        reason: reason.map(|reason| if reason.len() > 40 { "failed" } else { reason }),
        headers,
    };
    payments
        .db
        .submit(operation)
        .await
        .map_err(|error| match error {
            SubmitError::Db(error) => error,
            SubmitError::Refused(never) => match never {},
        })
}

/// Stores a callback that nothing else is done with.
#[derive(Debug)]
struct StoreCallback {
    tenant: TenantId,
    event: Id,
    body: Bytes,
    outcome: u8,
    reason: Option<&'static str>,
    headers: Option<Vec<u8>>,
}

impl Operation for StoreCallback {
    type Reply = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "payments.store_callback";
    const URGENT: bool = true;

    fn lane(&self) -> Lane {
        self.event.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        want.row::<Callbacks>(self.event);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), Self::Refusal> {
        if set.get::<Callbacks>(self.event).is_none() {
            let row = CallbackRow {
                tenant: self.tenant,
                outcome: self.outcome,
                received_at: cx.now(),
                body: self.body.clone(),
                reason: self.reason,
                headers: self.headers.clone(),
            };
            set.put::<Callbacks>(self.event, row);
        }
        Ok(())
    }
}
