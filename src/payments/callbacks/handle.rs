//! One callback, from its bytes to its acknowledgement.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde_json::json;

use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    payments::{
        CallbackOutcome, Notice, NoticeBody, NoticeError, NoticeHeaders, PaidNotice, Payments,
        RefundUpdateOutcome, SettleOutcome,
        apply_refund::apply,
        query_order::settle_payment_first,
        refund_update::ApplyRefund,
        settle::settle,
        store::{AlarmRow, Alarms, CallbackRow, Callbacks},
    },
    primitives::{Id, Lane, TenantId, Timestamp},
};

/// What was done with a callback. Everything here is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandledCallback {
    Settled,
    /// A refund moved.
    Refund,
    /// It had been taken before: nothing changed.
    Duplicate,
    /// Verified, but of a kind that is not handled: stored.
    Ignored,
    /// Authentic but mismatched: stored with an alarm. The reason is a stable code.
    Rejected(&'static str),
}

impl HandledCallback {
    /// Returns what is stored of it.
    pub const fn outcome(self) -> CallbackOutcome {
        match self {
            Self::Settled => CallbackOutcome::Settled,
            Self::Refund => CallbackOutcome::Refund,
            Self::Duplicate => CallbackOutcome::Duplicate,
            Self::Ignored => CallbackOutcome::Ignored,
            Self::Rejected(_) => CallbackOutcome::Rejected,
        }
    }
}

/// Why a callback was not taken. WeChat will send it again.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    #[error("the callback is unverified")]
    Unverified(#[from] NoticeError),
    #[error("database failure")]
    Db(#[from] DbError),
}

/// Takes a callback as it came over the wire.
pub async fn handle_callback(
    payments: &Payments,
    tenant: TenantId,
    headers: NoticeHeaders<'_>,
    body: Bytes,
) -> Result<HandledCallback, CallbackError> {
    let taken = verify_and_handle(payments, tenant, headers, &body).await;
    let outcome = match &taken {
        Ok(HandledCallback::Rejected(reason)) => {
            tracing::error!(
                reason,
                tenant.id = tenant.0,
                "an authentic callback does not match: {reason}"
            );
            CallbackOutcome::Rejected.name()
        }
        Ok(taken) => taken.outcome().name(),
        Err(CallbackError::Unverified(NoticeError::Probe)) => "probe",
        Err(CallbackError::Unverified(error)) if error.is_signed() => {
            tracing::error!(
                reason = error.reason(),
                tenant.id = tenant.0,
                "a callback that WeChat signed is not understood: {error}"
            );
            store_unreadable(payments, tenant, body, *error).await;
            "unreadable"
        }
        Err(CallbackError::Unverified(error)) => {
            store_unverified(payments, tenant, headers, body, *error).await;
            error.reason()
        }
        Err(CallbackError::Db(_)) => "unavailable",
    };
    metrics::counter!("callbacks_total", "outcome" => outcome).increment(1);
    taken
}

async fn verify_and_handle(
    payments: &Payments,
    tenant: TenantId,
    headers: NoticeHeaders<'_>,
    body: &Bytes,
) -> Result<HandledCallback, CallbackError> {
    let channel = payments.channels.of(tenant);
    let notice = channel.read_notice(headers, body, payments.db.now())?;
    let event = event_id(tenant, &notice.id, notice.created_at);
    let taken = handle_notice(payments, tenant, notice, event, body.clone()).await;
    if let Err(error) = &taken
        && let Some(what) = permanent_reason(error)
    {
        // It will fail again however often WeChat sends it: keep it for whoever repairs what is
        // broken.
        let alarm = AlarmRow::of_unreadable(tenant, short(what), payments.db.now());
        store_failed(payments, alarm, tenant, event, body.clone(), what).await?;
    }
    Ok(taken?)
}

/// Why this will fail again however often it is tried; none for what passes.
const fn permanent_reason(error: &DbError) -> Option<&'static str> {
    match error {
        DbError::Inconsistent(what) => Some(what),
        DbError::Unreadable(_) => Some("row_unreadable"),
        DbError::Violation(_) | DbError::Sql(_) | DbError::Migrate(_) => Some("database_refuses"),
        DbError::Overloaded
        | DbError::Contention(_)
        | DbError::Unavailable(_)
        | DbError::ReadOnly
        | DbError::Timeout(_)
        | DbError::Stopping
        | DbError::ClockOff => None,
    }
}

/// Kept as failed, with an alarm: once, however often it comes.
async fn store_failed(
    payments: &Payments,
    alarm: AlarmRow,
    tenant: TenantId,
    event: Id,
    body: Bytes,
    reason: &'static str,
) -> Result<(), DbError> {
    let operation = StoreCallback {
        alarm: Some(alarm),
        ..StoreCallback::new(tenant, event, body, CallbackOutcome::Failed, Some(reason))
    };
    submit(payments, operation).await
}

/// Stores a callback that is authentic and not understood. If that fails the answer is the same,
/// and WeChat sends it again.
async fn store_unreadable(payments: &Payments, tenant: TenantId, body: Bytes, error: NoticeError) {
    let named = payments.channels.of(tenant).name_of_notice(&body);
    let event = match named {
        Some((id, created_at)) => event_id(tenant, &id, created_at),
        None => id_of(payments.db.now(), &body),
    };
    let reason = error.reason();
    let alarm = AlarmRow::of_unreadable(tenant, reason, payments.db.now());
    if let Err(error) = store_failed(payments, alarm, tenant, event, body, reason).await {
        tracing::error!(reason = %error, "a callback that is not understood was not kept");
    }
}

/// Does what a notice says. Also for one that is played again.
pub(in crate::payments) async fn handle_notice(
    payments: &Payments,
    tenant: TenantId,
    notice: Notice,
    event: Id,
    body: Bytes,
) -> Result<HandledCallback, DbError> {
    match notice.body {
        NoticeBody::Paid(paid) => Ok(
            match settle(payments, tenant, (paid, false), Some((event, body))).await? {
                SettleOutcome::Now { .. } => HandledCallback::Settled,
                SettleOutcome::Before | SettleOutcome::PayerNeeded => HandledCallback::Duplicate,
                SettleOutcome::Rejected(reason) => HandledCallback::Rejected(reason),
            },
        ),
        NoticeBody::Refund(refund) => {
            let us = payments.channels.of(tenant).account().mchid.clone();
            let at = payments.db.now();
            let alarm = AlarmRow::of_refund(tenant, UNPAID, &refund, at);
            let operation = ApplyRefund::callback(
                tenant,
                refund,
                (event, body.clone()),
                us,
                payments.time_scale,
            );
            let mut moved = apply(payments, operation.clone()).await?;
            // Somebody else's refund was told before our payment was.
            if let RefundUpdateOutcome::Unpaid(order) = moved
                && settle_payment_first(payments, tenant, order).await
            {
                moved = apply(payments, operation).await?;
            }
            match moved {
                RefundUpdateOutcome::Now(_) => Ok(HandledCallback::Refund),
                RefundUpdateOutcome::Before => Ok(HandledCallback::Duplicate),
                RefundUpdateOutcome::Rejected(reason) => Ok(HandledCallback::Rejected(reason)),
                // WeChat sends it again, and the order's watch asks about the payment meanwhile. If
                // it stays unpaid, the failed callback is an exception.
                RefundUpdateOutcome::Unpaid(_) => {
                    store_failed(payments, alarm, tenant, event, body, UNPAID).await?;
                    Err(DbError::Unavailable(None))
                }
            }
        }
        NoticeBody::Other { .. } => {
            submit(
                payments,
                StoreCallback::new(tenant, event, body, CallbackOutcome::Ignored, None),
            )
            .await?;
            Ok(HandledCallback::Ignored)
        }
    }
}

/// Notes what the alarm of a payment's callback is about, if it could not be read when it came.
/// ([`ApplyRefund`] does so itself; a settlement does not look for alarms.)
pub(in crate::payments) async fn name_alarm(
    payments: &Payments,
    tenant: TenantId,
    event: Id,
    notice: PaidNotice,
) -> Result<(), DbError> {
    let operation = NameAlarm {
        tenant,
        event,
        notice,
    };
    match payments.db.submit(operation).await {
        Ok(()) => Ok(()),
        Err(SubmitError::Db(error)) => Err(error),
        Err(SubmitError::Refused(never)) => match never {},
    }
}

#[derive(Debug)]
struct NameAlarm {
    tenant: TenantId,
    event: Id,
    notice: PaidNotice,
}

impl Operation for NameAlarm {
    type Reply = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "payments.name_alarm";

    fn lane(&self) -> Lane {
        self.event.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        want.row::<Alarms>(self.event);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), Self::Refusal> {
        let kept = set.get::<Alarms>(self.event);
        if let Some(reason) = kept.and_then(AlarmRow::unread_reason) {
            let alarm = AlarmRow::of_payment(self.tenant, reason, &self.notice, cx.now());
            set.put::<Alarms>(self.event, alarm);
        }
        Ok(())
    }
}

/// A refund of an order that is not paid here, and WeChat does not say now that it is.
const UNPAID: &str = "refund_of_unpaid";

/// What the column takes.
fn short(reason: &'static str) -> &'static str {
    if reason.len() > 40 { "failed" } else { reason }
}

/// The time and a hash of WeChat's notification id: rows are written in order, and a repeated one
/// is found by it.
pub(in crate::payments) fn event_id(
    tenant: TenantId,
    notification: &str,
    created_at: Timestamp,
) -> Id {
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

/// Strangers can fill neither the table nor the log nor the time of the committers: of each reason
/// this many a minute are kept for each tenant, of this size at most.
const UNVERIFIED_PER_MINUTE: u32 = 60;
const UNVERIFIED_BYTES_MAX: usize = 16 * 1024;

async fn store_unverified(
    payments: &Payments,
    tenant: TenantId,
    headers: NoticeHeaders<'_>,
    body: Bytes,
    error: NoticeError,
) {
    let now = payments.db.now();
    // Without the signature's headers nothing can ever be proven by it.
    let is_evidence = error != NoticeError::MissingHeader && body.len() <= UNVERIFIED_BYTES_MAX;
    let in_budget = within_budget(tenant, error, now);
    if in_budget {
        tracing::warn!(
            reason = error.reason(),
            tenant.id = tenant.0,
            "a callback is unverified: {error}"
        );
    }
    if !is_evidence || !in_budget {
        metrics::counter!("callbacks_discarded_total").increment(1);
        return;
    }
    let short = |text: Option<&str>| text.map(|text| text.chars().take(400).collect::<String>());
    let kept = json!({
        "timestamp": short(headers.timestamp), "nonce": short(headers.nonce), "signature": short(headers.signature),
        "serial": short(headers.serial), "signature_type": short(headers.signature_type),
    });
    let headers = serde_json::to_vec(&kept).unwrap_or_default();
    let operation = StoreCallback {
        headers: (headers.len() <= 2_048).then_some(headers),
        ..StoreCallback::new(
            tenant,
            id_of(now, &body),
            body,
            CallbackOutcome::Unverified,
            Some(error.reason()),
        )
    };
    if let Err(error) = submit(payments, operation).await {
        tracing::debug!(reason = %error, "an unverified callback was not kept");
    }
}

/// Whether one more of this reason is kept for this tenant in this minute. Tenants are looked up
/// before, so there are no more of these counts than reasons and tenants: noise of one kind takes
/// no room from evidence of another.
fn within_budget(tenant: TenantId, error: NoticeError, now: Timestamp) -> bool {
    static STORED: Mutex<Option<(i64, HashMap<Budget, u32>)>> = Mutex::new(None);
    let minute = now.seconds() / 60;
    let mut kept = STORED.lock().unwrap_or_else(PoisonError::into_inner);
    let (of, counts) = kept.get_or_insert_default();
    if *of != minute {
        *of = minute;
        counts.clear();
    }
    let count = counts.entry((tenant, error.reason())).or_default();
    *count = count.saturating_add(1);
    *count <= UNVERIFIED_PER_MINUTE
}

/// Of whom, and why it is unverified.
type Budget = (TenantId, &'static str);

async fn submit(payments: &Payments, operation: StoreCallback) -> Result<(), DbError> {
    payments
        .db
        .submit(operation)
        .await
        .map_err(|error| match error {
            SubmitError::Db(error) => error,
            SubmitError::Refused(never) => match never {},
        })
}

/// Stores a callback that nothing else is done with, unless more is known of it.
#[derive(Debug)]
struct StoreCallback {
    tenant: TenantId,
    event: Id,
    body: Bytes,
    outcome: CallbackOutcome,
    reason: Option<&'static str>,
    headers: Option<Vec<u8>>,
    /// Somebody must look.
    alarm: Option<AlarmRow>,
}

impl StoreCallback {
    fn new(
        tenant: TenantId,
        event: Id,
        body: Bytes,
        outcome: CallbackOutcome,
        reason: Option<&'static str>,
    ) -> Self {
        Self {
            tenant,
            event,
            body,
            outcome,
            reason: reason.map(short),
            headers: None,
            alarm: None,
        }
    }
}

impl StoreCallback {
    /// Whether this says more than what is kept. One that failed is looked at again, perhaps by a
    /// program that understands more: it is nobody's to handle, or fails for another reason. What
    /// else became of a callback stands.
    fn replaces(&self, kept: &CallbackRow) -> bool {
        kept.outcome == CallbackOutcome::Failed
            && match self.outcome {
                CallbackOutcome::Ignored => true,
                CallbackOutcome::Failed => kept.reason.as_deref() != self.reason,
                CallbackOutcome::Settled
                | CallbackOutcome::Refund
                | CallbackOutcome::Rejected
                | CallbackOutcome::Unverified
                | CallbackOutcome::Duplicate => false,
            }
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
        if self.alarm.is_some() {
            want.row::<Alarms>(self.event);
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), Self::Refusal> {
        if let Some(alarm) = &self.alarm
            && alarm.says_more_than(set.get::<Alarms>(self.event))
        {
            set.put::<Alarms>(self.event, alarm.clone());
        }
        let kept = set.get::<Callbacks>(self.event);
        if kept.is_none_or(|kept| self.replaces(kept)) {
            let row = CallbackRow {
                tenant: self.tenant,
                outcome: self.outcome,
                received_at: cx.now(),
                body: self.body.clone(),
                reason: self.reason.map(Into::into),
                headers: self.headers.clone(),
            };
            set.put::<Callbacks>(self.event, row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_of_one_kind_takes_no_room_from_evidence_of_another() {
        let at = Timestamp::from_micros(1_000_000_000);
        let keeps = |tenant, error, at| {
            (0..200)
                .filter(|_| within_budget(tenant, error, at))
                .count()
        };
        // Nobody else counts for these.
        let (tenant, other) = (TenantId(u32::MAX), TenantId(u32::MAX - 1));
        assert_eq!(keeps(tenant, NoticeError::BadSignature, at), 60);
        assert_eq!(keeps(tenant, NoticeError::UnknownKey, at), 60);
        assert_eq!(keeps(other, NoticeError::BadSignature, at), 60);
        assert!(!within_budget(tenant, NoticeError::BadSignature, at));
    }

    #[test]
    fn what_passes_is_not_kept_as_failed() {
        assert_eq!(permanent_reason(&DbError::Inconsistent("x")), Some("x"));
        assert_eq!(permanent_reason(&DbError::Unavailable(None)), None);
        assert_eq!(permanent_reason(&DbError::Contention(3)), None);
    }
}
