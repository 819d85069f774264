//! WeChat's callback: believe it, store it, settle it, and only then say so.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;

use super::{
    Notice, NoticeBody, NoticeError, NoticeHeaders, Payments, Settled,
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
    /// It had been settled before: nothing changed.
    Duplicate,
    /// Sound, but of a kind that is not handled: stored.
    Ignored,
    /// Sound and wrong: stored with an alarm. The reason's word is stable.
    Rejected(&'static str),
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
    let taken = take(payments, tenant, headers, body).await;
    let outcome = match &taken {
        Ok(Taken::Settled) => "settled",
        Ok(Taken::Duplicate) => "duplicate",
        Ok(Taken::Ignored) => "ignored",
        Ok(Taken::Rejected(reason)) => {
            tracing::error!(
                reason,
                tenant.id = tenant.0,
                "a soundly signed callback is wrong: {reason}"
            );
            "rejected"
        }
        Err(NoticeFailure::NotBelieved(NoticeError::Probe)) => "probe",
        Err(NoticeFailure::NotBelieved(error)) => {
            tracing::warn!(
                reason = error.reason(),
                "a callback is not believed: {error}"
            );
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
    body: Bytes,
) -> Result<Taken, NoticeFailure> {
    let Notice {
        id,
        created_at,
        body: content,
    } = payments
        .gateway
        .read_notice(headers, &body, payments.db.now())?;
    let event = event_id(tenant, &id, created_at);
    let NoticeBody::Paid(notice) = content else {
        payments
            .db
            .submit(StoreCallback {
                tenant,
                event,
                body,
            })
            .await
            .map_err(unrefused)?;
        return Ok(Taken::Ignored);
    };
    Ok(
        match settle(payments, tenant, notice, Some((event, body))).await? {
            Settled::Now { .. } => Taken::Settled,
            Settled::Before => Taken::Duplicate,
            Settled::Rejected(reason) => Taken::Rejected(reason),
        },
    )
}

/// The time and a hash of WeChat's notification id: rows are written in order, and a repeated one is found by it.
fn event_id(tenant: TenantId, notification: &str, created_at: Timestamp) -> Id {
    let mut named = tenant.0.to_be_bytes().to_vec();
    named.extend_from_slice(notification.as_bytes());
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&created_at.millis().to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&digest(&SHA256, &named).as_ref()[..10]);
    Id::from_bytes(bytes)
}

/// Stores a callback that nothing else is done with.
#[derive(Debug)]
struct StoreCallback {
    tenant: TenantId,
    event: Id,
    body: Bytes,
}

fn unrefused(error: SubmitError<std::convert::Infallible>) -> DbError {
    match error {
        SubmitError::Db(error) => error,
        SubmitError::Refused(never) => match never {},
    }
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
                outcome: 4,
                received_at: cx.now(),
                body: self.body.clone(),
            };
            set.put::<Callbacks>(self.event, row);
        }
        Ok(())
    }
}
