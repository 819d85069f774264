//! Sharing rules: which receivers get how much of a merchant's payments. Versioned; the newest
//! version is in force.

use std::collections::BTreeSet;

use sqlx::Row as _;

use super::{
    ReceiverKind, Sharing, SharingError,
    receiver::{lock_merchant, mask_account, sub_mchid_of},
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Db, DbError, Tx, Work},
    merchants,
    payments::{ChannelOutcome, RefusalKind},
    primitives::{
        Length, MerchantId, ReceiverId, Secret, TenantId, Text, Timestamp, is_safe_in_bill,
    },
};

/// Most receivers of one share at WeChat (`docs/wechat-pay.md` §8).
pub const RULE_PARTS_MAX: usize = 50;
/// The most that may be shared unless WeChat says otherwise, in millionths: 30 %
/// (`docs/wechat-pay.md` §8).
const RATIO_MAX_PPM: u32 = 300_000;
/// WeChat's ratios are ten-thousandths.
const PPM_PER_TEN_THOUSANDTH: u32 = 100;
/// Most bytes of a description at WeChat.
const DESCRIPTION_BYTES_MAX: usize = 80;

/// One version of a merchant's rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingRule {
    pub merchant: MerchantId,
    pub version: u32,
    /// Whether anything is shared at all.
    pub active: bool,
    /// The most that WeChat allowed when the rule was set, in millionths.
    pub ratio_max_ppm: u32,
    pub parts: Vec<RulePart>,
    pub created_at: Timestamp,
}

/// The share of one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePart {
    pub receiver: ReceiverId,
    pub kind: ReceiverKind,
    pub account: Secret<String>,
    pub name_masked: Option<String>,
    /// Millionths of the payment less fee and refunds, rounded down.
    pub ratio_ppm: u32,
    /// Shown to the receiver.
    pub description: String,
}

impl RulePart {
    /// Returns the account as it may be shown: a merchant number in full, of an openid the last
    /// four characters.
    pub fn account_masked(&self) -> String {
        mask_account(self.kind, &self.account)
    }
}

/// Returns the rule in force for a merchant; none if none was ever set.
pub async fn find_rule(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<Option<SharingRule>, DbError> {
    let row = sqlx::query(
        "/* sharing.find_rule */ SELECT version, active, ratio_max_ppm, created_at FROM sharing_rules WHERE merchant_id = ? AND tenant_id = ? ORDER BY version DESC LIMIT 1",
    )
    .bind(merchant)
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let version: u32 = row.try_get(0)?;
    let parts = sqlx::query(
        "/* sharing.find_rule_parts */ SELECT p.receiver_id, r.kind, r.account, r.name_masked, p.ratio_ppm, p.description \
         FROM sharing_rule_parts p JOIN sharing_receivers r ON r.id = p.receiver_id WHERE p.merchant_id = ? AND p.version = ? AND r.tenant_id = ? ORDER BY p.position",
    )
    .bind(merchant)
    .bind(version)
    .bind(tenant)
    .fetch_all(db.pool())
    .await?;
    let parts = parts.iter().map(|part| {
        let kind: String = part.try_get(1)?;
        Ok(RulePart {
            receiver: part.try_get(0)?,
            kind: ReceiverKind::from_name(&kind)
                .ok_or(DbError::Inconsistent("sharing_receivers.kind"))?,
            account: Secret::new(part.try_get(2)?),
            name_masked: part.try_get(3)?,
            ratio_ppm: part.try_get(4)?,
            description: part.try_get(5)?,
        })
    });
    Ok(Some(SharingRule {
        merchant,
        version,
        active: row.try_get::<i8, _>(1)? != 0,
        ratio_max_ppm: row.try_get(2)?,
        parts: parts.collect::<Result<_, DbError>>()?,
        created_at: row.try_get(3)?,
    }))
}

/// What one receiver is to get of each payment.
#[derive(Debug, Clone)]
pub struct NewRulePart {
    pub receiver: ReceiverId,
    pub ratio_ppm: u32,
    pub description: String,
}

/// A request to set a rule.
#[derive(Debug, Clone)]
pub struct NewSharingRule {
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub active: bool,
    pub parts: Vec<NewRulePart>,
    pub by: Actor,
}

impl NewSharingRule {
    fn check(&self, ratio_max_ppm: u32) -> Result<(), SharingError> {
        let field = |field, expected| Err(SharingError::Field { field, expected });
        if self.parts.len() > RULE_PARTS_MAX {
            return field("parts", "at most 50");
        }
        if self.active && self.parts.is_empty() {
            return field("parts", "at least one, for a rule that is active");
        }
        let receivers: BTreeSet<_> = self.parts.iter().map(|part| part.receiver).collect();
        if receivers.len() < self.parts.len() {
            return field("parts", "each receiver once");
        }
        for part in &self.parts {
            if part.ratio_ppm == 0 {
                return field("ratio_ppm", "1 or more");
            }
            let text = Text::parse(&part.description, Length::Bytes(1, DESCRIPTION_BYTES_MAX));
            if text.is_err() || !is_safe_in_bill(&part.description) {
                return field(
                    "description",
                    "1 to 80 bytes of text in one line, no backtick or control character",
                );
            }
        }
        let ratios = self.parts.iter().map(|part| u64::from(part.ratio_ppm));
        if ratios.sum::<u64>() > u64::from(ratio_max_ppm) {
            return Err(SharingError::TooMuch { ratio_max_ppm });
        }
        Ok(())
    }
}

/// Puts a rule in force, as the next version. From then on the merchant's orders are made with
/// their money frozen or, if the rule is not active, not frozen.
///
/// WeChat is asked how much the merchant may share; without an answer 30 % is the limit. Every
/// receiver must be active.
pub async fn set_rule(
    sharing: &Sharing,
    rule: NewSharingRule,
) -> Result<SharingRule, SharingError> {
    let db = &sharing.payments.db;
    let ratio_max_ppm = if rule.active {
        let sub_mchid = sub_mchid_of(db, rule.tenant, rule.merchant).await?;
        match sharing.channels.of(rule.tenant).ratio_max(&sub_mchid).await {
            ChannelOutcome::Done(ratio) => ratio.saturating_mul(PPM_PER_TEN_THOUSANDTH),
            ChannelOutcome::Refused(refusal) if refusal.kind == RefusalKind::RateLimited => {
                return Err(SharingError::ChannelUnknown);
            }
            ChannelOutcome::Refused(refusal) => {
                tracing::info!(
                    code = refusal.code,
                    "WeChat does not say how much a merchant may share"
                );
                RATIO_MAX_PPM
            }
            ChannelOutcome::Unknown(_) => return Err(SharingError::ChannelUnknown),
        }
    } else {
        RATIO_MAX_PPM
    };
    rule.check(ratio_max_ppm)?;
    let (tenant, merchant) = (rule.tenant, rule.merchant);
    db.run(SetSharingRule {
        rule,
        ratio_max_ppm,
    })
    .await?;
    let rule = find_rule(db, tenant, merchant).await?;
    rule.ok_or(SharingError::MerchantNotFound)
}

#[derive(Debug)]
struct SetSharingRule {
    rule: NewSharingRule,
    ratio_max_ppm: u32,
}

impl Work for SetSharingRule {
    const NAME: &'static str = "sharing.set_rule";
    type Reply = ();
    type Error = SharingError;

    async fn run(&self, tx: &mut Tx) -> Result<(), SharingError> {
        let rule = &self.rule;
        lock_merchant(tx, rule.tenant, rule.merchant).await?;
        for part in &rule.parts {
            let state: Option<(String,)> = sqlx::query_as(
                "/* sharing.receiver_state */ SELECT state FROM sharing_receivers WHERE id = ? AND merchant_id = ? AND tenant_id = ?",
            )
            .bind(part.receiver)
            .bind(rule.merchant)
            .bind(rule.tenant)
            .fetch_optional(tx.conn())
            .await
            .map_err(DbError::from)?;
            let (state,) = state.ok_or(SharingError::ReceiverNotFound)?;
            if rule.active && state != super::ReceiverState::Active.name() {
                return Err(SharingError::ReceiverNotActive);
            }
        }
        let version = self.insert(tx).await?;
        let action = AuditAction::SharingRuleSet {
            version,
            active: rule.active,
        };
        audit::record(tx, rule.tenant, &rule.by, action, rule.merchant).await?;
        Ok(())
    }
}

impl SetSharingRule {
    async fn insert(&self, tx: &mut Tx) -> Result<u32, DbError> {
        let rule = &self.rule;
        let newest: Option<u32> = sqlx::query_scalar("/* sharing.newest_rule */ SELECT version FROM sharing_rules WHERE merchant_id = ? AND tenant_id = ? ORDER BY version DESC LIMIT 1")
            .bind(rule.merchant)
            .bind(rule.tenant)
            .fetch_optional(tx.conn())
            .await?;
        let version = newest.unwrap_or(0).saturating_add(1);
        let now = tx.now();
        sqlx::query(
            "/* sharing.insert_rule */ INSERT INTO sharing_rules (merchant_id, version, tenant_id, active, ratio_max_ppm, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(rule.merchant)
        .bind(version)
        .bind(rule.tenant)
        .bind(rule.active)
        .bind(self.ratio_max_ppm)
        .bind(now)
        .bind(&rule.by)
        .execute(tx.conn())
        .await?;
        for (index, part) in (0_u8..).zip(&rule.parts) {
            sqlx::query(
                "/* sharing.insert_rule_part */ INSERT INTO sharing_rule_parts (merchant_id, version, position, receiver_id, ratio_ppm, description) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(rule.merchant)
            .bind(version)
            .bind(index)
            .bind(part.receiver)
            .bind(part.ratio_ppm)
            .bind(&part.description)
            .execute(tx.conn())
            .await?;
        }
        merchants::mark_sharing(tx, rule.tenant, rule.merchant, rule.active).await?;
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Id;

    fn rule(active: bool, ratios: &[u32]) -> NewSharingRule {
        let id = |index: usize| {
            let mut bytes = [0; 16];
            bytes[0] = u8::try_from(index).unwrap();
            ReceiverId::new(Id::from_bytes(bytes))
        };
        NewSharingRule {
            tenant: TenantId(1),
            merchant: MerchantId::new(Id::from_bytes([7; 16])),
            active,
            parts: ratios
                .iter()
                .enumerate()
                .map(|(index, ratio)| NewRulePart {
                    receiver: id(index),
                    ratio_ppm: *ratio,
                    description: "平台服务费".to_owned(),
                })
                .collect(),
            by: Actor::operator("test"),
        }
    }

    #[test]
    fn a_rule_shares_no_more_than_wechat_allows() {
        assert!(rule(true, &[100_000, 200_000]).check(300_000).is_ok());
        let refused = rule(true, &[100_000, 200_001]).check(300_000);
        assert!(matches!(
            refused,
            Err(SharingError::TooMuch {
                ratio_max_ppm: 300_000
            })
        ));
        assert!(rule(true, &[u32::MAX, u32::MAX]).check(u32::MAX).is_err());
    }

    #[test]
    fn a_rule_names_each_receiver_once_and_at_least_one() {
        assert!(rule(true, &[]).check(300_000).is_err());
        assert!(rule(false, &[]).check(300_000).is_ok());
        assert!(rule(true, &[0]).check(300_000).is_err());
        let mut twice = rule(true, &[1, 2]);
        twice.parts[1].receiver = twice.parts[0].receiver;
        assert!(twice.check(300_000).is_err());
        assert!(rule(true, &[1; 50]).check(300_000).is_ok());
        assert!(rule(true, &[1; 51]).check(300_000).is_err());
    }
}
