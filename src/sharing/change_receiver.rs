//! Adds and removes receivers, here and at the channel. The states are in `receiver`.

use super::{
    Receiver, ReceiverCall, ReceiverForm, ReceiverState, Sharing, SharingError,
    receiver::{get_receiver, lock_merchant, mask_name, sub_mchid_of},
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{DbError, Tx, Work},
    payments::{ChannelOutcome, RefusalKind},
    primitives::{MerchantId, ReceiverId, TenantId},
};

/// Stores a receiver, or finds it. WeChat is called after the commit ([`register_receiver`]).
#[derive(Debug)]
pub struct AddReceiver {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub form: ReceiverForm,
    pub by: Actor,
}

impl Work for AddReceiver {
    const NAME: &'static str = "sharing.add_receiver";
    type Reply = ReceiverId;
    type Error = SharingError;

    async fn run(&self, tx: &mut Tx) -> Result<ReceiverId, SharingError> {
        lock_merchant(tx, self.tenant, self.merchant).await?;
        let form = &self.form;
        let id = ReceiverId::new(tx.new_id(tx.new_lane()));
        let now = tx.now();
        let name = form.name.as_ref().map(|name| mask_name(name.expose()));
        // One that was removed or refused becomes pending again; an active one stays active.
        sqlx::query(
            "/* sharing.insert_receiver */ INSERT INTO sharing_receivers (id, tenant_id, merchant_id, kind, account, name_masked, relation, state, problem, created_at, updated_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', NULL, ?, ?) \
             ON DUPLICATE KEY UPDATE name_masked = VALUES(name_masked), relation = VALUES(relation), \
             state = IF(state = 'active', state, 'pending'), problem = NULL, updated_at = VALUES(updated_at)",
        )
        .bind(id)
        .bind(self.tenant)
        .bind(self.merchant)
        .bind(form.kind.name())
        .bind(form.account.expose())
        .bind(name)
        .bind(&form.relation)
        .bind(now)
        .bind(now)
        .execute(tx.conn())
        .await
        .map_err(DbError::from)?;
        let id: ReceiverId = sqlx::query_scalar(
            "/* sharing.added_receiver */ SELECT id FROM sharing_receivers WHERE merchant_id = ? AND kind = ? AND account = ? AND tenant_id = ?",
        )
        .bind(self.merchant)
        .bind(form.kind.name())
        .bind(form.account.expose())
        .bind(self.tenant)
        .fetch_one(tx.conn())
        .await
        .map_err(DbError::from)?;
        let action = AuditAction::SharingReceiverAdded {
            merchant: self.merchant,
            kind: form.kind.name(),
        };
        audit::record(tx, self.tenant, &self.by, action, id).await?;
        Ok(id)
    }
}

/// Adds a pending receiver at WeChat. WeChat accepts repeats, so a request with the same form may
/// be repeated.
pub async fn register_receiver(
    sharing: &Sharing,
    tenant: TenantId,
    id: ReceiverId,
    form: ReceiverForm,
) -> Result<Receiver, SharingError> {
    let db = &sharing.payments.db;
    let receiver = get_receiver(db, tenant, id).await?;
    if receiver.state != ReceiverState::Pending {
        return Ok(receiver);
    }
    let call = ReceiverCall {
        sub_mchid: sub_mchid_of(db, tenant, receiver.merchant).await?,
        kind: form.kind,
        account: form.account,
        name: form.name,
        relation: form.relation,
    };
    let (state, problem) = match sharing.channels.of(tenant).add_receiver(call).await {
        ChannelOutcome::Done(()) => (ReceiverState::Active, None),
        ChannelOutcome::Refused(refusal) if refusal.kind == RefusalKind::RateLimited => {
            return Err(SharingError::ChannelUnknown);
        }
        ChannelOutcome::Refused(refusal) => {
            tracing::warn!(receiver.id = %id, code = refusal.code, message = refusal.message, "WeChat refuses a receiver");
            (ReceiverState::Refused, Some(refusal.code))
        }
        ChannelOutcome::Unknown(_) => return Err(SharingError::ChannelUnknown),
    };
    // An acceptance holds whatever a concurrent attempt was answered.
    let from: &[ReceiverState] = match state {
        ReceiverState::Active => &[ReceiverState::Pending, ReceiverState::Refused],
        ReceiverState::Pending | ReceiverState::Removed | ReceiverState::Refused => {
            &[ReceiverState::Pending]
        }
    };
    let moved = Move {
        id,
        from,
        to: state,
        problem,
    };
    db.run(moved).await?;
    get_receiver(db, tenant, id).await
}

/// Removes a receiver, here and at WeChat. Fails with [`SharingError::ReceiverInUse`] while the
/// rule in force names it. To be repeated when WeChat did not answer.
///
/// A receiver that WeChat never accepted counts as removed even if WeChat refuses to delete it.
pub async fn remove_receiver(
    sharing: &Sharing,
    tenant: TenantId,
    id: ReceiverId,
    by: Actor,
) -> Result<Receiver, SharingError> {
    let db = &sharing.payments.db;
    let before = db.run(Remove { tenant, id, by }).await?;
    let receiver = get_receiver(db, tenant, id).await?;
    let was_taken = match before {
        ReceiverState::Active => true,
        ReceiverState::Pending | ReceiverState::Refused => false,
        ReceiverState::Removed => receiver.problem.is_none(),
    };
    let call = ReceiverCall {
        sub_mchid: sub_mchid_of(db, tenant, receiver.merchant).await?,
        kind: receiver.kind,
        account: receiver.account.clone(),
        name: None,
        relation: receiver.relation.clone(),
    };
    match sharing.channels.of(tenant).delete_receiver(call).await {
        ChannelOutcome::Done(()) => Ok(receiver),
        ChannelOutcome::Refused(refusal) if refusal.kind == RefusalKind::Absent => Ok(receiver),
        ChannelOutcome::Refused(refusal) if refusal.kind == RefusalKind::RateLimited => {
            Err(SharingError::ChannelUnknown)
        }
        ChannelOutcome::Refused(refusal) if !was_taken => {
            // A repeat reads it.
            let noted = Move {
                id,
                from: &[ReceiverState::Removed],
                to: ReceiverState::Removed,
                problem: Some(receiver.problem.unwrap_or(refusal.code)),
            };
            db.run(noted).await?;
            get_receiver(db, tenant, id).await
        }
        ChannelOutcome::Refused(refusal) => {
            tracing::warn!(receiver.id = %id, code = refusal.code, message = refusal.message, "WeChat does not remove a receiver");
            Err(SharingError::ChannelRefused(refusal.code))
        }
        ChannelOutcome::Unknown(_) => Err(SharingError::ChannelUnknown),
    }
}

#[derive(Debug)]
struct Remove {
    tenant: TenantId,
    id: ReceiverId,
    by: Actor,
}

impl Work for Remove {
    const NAME: &'static str = "sharing.remove_receiver";
    /// The state before.
    type Reply = ReceiverState;
    type Error = SharingError;

    async fn run(&self, tx: &mut Tx) -> Result<ReceiverState, SharingError> {
        let merchant: Option<(MerchantId,)> =
            sqlx::query_as("/* sharing.receivers_merchant */ SELECT merchant_id FROM sharing_receivers WHERE id = ? AND tenant_id = ?")
                .bind(self.id)
                .bind(self.tenant)
                .fetch_optional(tx.conn())
                .await
                .map_err(DbError::from)?;
        let (merchant,) = merchant.ok_or(SharingError::ReceiverNotFound)?;
        lock_merchant(tx, self.tenant, merchant).await?;
        let used: Option<(i32,)> = sqlx::query_as(
            "/* sharing.receiver_in_use */ SELECT 1 FROM sharing_rule_parts p JOIN sharing_rules r ON r.merchant_id = p.merchant_id AND r.version = p.version \
             WHERE p.merchant_id = ? AND p.receiver_id = ? AND r.tenant_id = ? AND r.active = 1 AND r.version = (SELECT MAX(version) FROM sharing_rules WHERE merchant_id = ?)",
        )
        .bind(merchant)
        .bind(self.id)
        .bind(self.tenant)
        .bind(merchant)
        .fetch_optional(tx.conn())
        .await
        .map_err(DbError::from)?;
        if used.is_some() {
            return Err(SharingError::ReceiverInUse);
        }
        // Other writers hold the merchant's row, or change this one only from the state that they
        // read.
        let before: String = sqlx::query_scalar("/* sharing.removed_receiver */ SELECT state FROM sharing_receivers WHERE id = ? AND tenant_id = ? FOR UPDATE")
            .bind(self.id)
            .bind(self.tenant)
            .fetch_one(tx.conn())
            .await
            .map_err(DbError::from)?;
        let before = ReceiverState::from_name(&before).ok_or(DbError::Inconsistent(
            "a receiver in a state that does not exist",
        ))?;
        let now = tx.now();
        let changed = sqlx::query("/* sharing.remove_receiver */ UPDATE sharing_receivers SET state = 'removed', updated_at = ? WHERE id = ? AND state <> 'removed'")
            .bind(now)
            .bind(self.id)
            .execute(tx.conn())
            .await
            .map_err(DbError::from)?;
        if changed.rows_affected() == 1 {
            let action = AuditAction::SharingReceiverRemoved { merchant };
            audit::record(tx, self.tenant, &self.by, action, self.id).await?;
        }
        Ok(before)
    }
}

/// Stores WeChat's answer about a receiver, unless its state has changed meanwhile.
#[derive(Debug)]
struct Move {
    id: ReceiverId,
    from: &'static [ReceiverState],
    to: ReceiverState,
    problem: Option<String>,
}

impl Work for Move {
    const NAME: &'static str = "sharing.move_receiver";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let now = tx.now();
        let problem = self.problem.as_ref();
        let problem = problem.map(|text| text.chars().take(80).collect::<String>());
        for from in self.from {
            sqlx::query("/* sharing.move_receiver */ UPDATE sharing_receivers SET state = ?, problem = ?, updated_at = ? WHERE id = ? AND state = ?")
                .bind(self.to.name())
                .bind(&problem)
                .bind(now)
                .bind(self.id)
                .bind(from.name())
                .execute(tx.conn())
                .await?;
        }
        Ok(())
    }
}
