//! What a tenant wants done where the business has a choice.

use sqlx::FromRow;

use crate::{
    audit::{self, Actor, AuditAction},
    db::{Db, DbError, PerTenant, PerTenantCache, Tx, Work},
    primitives::{Money, TenantId, coded},
};

/// The longest that an order can be paid, in minutes.
pub(super) const ORDER_MINUTES_MAX: u32 = 1_440;

/// The policy in force per tenant.
pub type PolicyCache = PerTenantCache<Policy>;

/// One version of a tenant's policy. A tenant that never set one has version 0, the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    pub version: u32,
    pub terms: PolicyTerms,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyTerms {
    /// Minutes that an order can be paid, 1 to 1440.
    pub order_minutes: u32,
    pub late_payment: LatePayment,
    pub points_shortfall: PointsShortfall,
    /// A refund by a clerk that brings what its order gives back, by whomever, above this waits for
    /// the owner or an operator.
    pub clerk_refund_max: Money,
    /// A refund that brings what the clerk has given back alone on that day above this also waits.
    pub clerk_refund_day_max: Money,
    /// A refund that brings what its order gives back above this waits for a second person, an
    /// operator, whoever asked for it.
    pub refund_review_above: Money,
    /// What WeChat keeps of a payment, in millionths (6000 = 0.60 %), and gives back with a refund.
    /// An expectation: the bill decides.
    pub fee_ppm: u32,
}

impl Default for PolicyTerms {
    fn default() -> Self {
        Self {
            order_minutes: 30,
            late_payment: LatePayment::Refund,
            points_shortfall: PointsShortfall::Debt,
            clerk_refund_max: Money::constant(20_000),
            clerk_refund_day_max: Money::constant(100_000),
            refund_review_above: Money::constant(500_000),
            fee_ppm: 6_000,
        }
    }
}

coded! {
    /// What to do with a payment of an order that was closed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LatePayment {
        /// The order is paid, earns nothing, and the money goes back at once.
        Refund => "refund",
        /// The order is paid as if it had never been closed.
        Reopen => "reopen",
    }
}

coded! {
    /// What to do when a refund takes back points that were spent.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum PointsShortfall {
        /// The customer owes them; balance and debt are shown apart.
        Debt => "debt",
        /// The customer owes them; the balance is shown less the debt, below zero.
        Negative => "negative",
        /// The refund is refused.
        Refuse => "refuse",
    }
}

/// Terms that make no sense.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("an order can be paid for 1 to 1440 minutes")]
    BadOrderMinutes,
    #[error("the fee is at most 100000 millionths")]
    BadFee,
    #[error("database failure")]
    Db(#[from] DbError),
}

impl PolicyTerms {
    fn check(&self) -> Result<(), PolicyError> {
        if !(1..=ORDER_MINUTES_MAX).contains(&self.order_minutes) {
            return Err(PolicyError::BadOrderMinutes);
        }
        if self.fee_ppm > 100_000 {
            return Err(PolicyError::BadFee);
        }
        Ok(())
    }
}

impl Policy {
    /// What WeChat is expected to keep of `amount`, rounded half up to the fen.
    pub fn fee(&self, amount: Money) -> Money {
        let millionths = i128::from(amount.get()) * i128::from(self.terms.fee_ppm);
        i64::try_from((millionths + 500_000) / 1_000_000)
            .ok()
            .and_then(|fee| Money::parse(fee).ok())
            .unwrap_or(Money::ZERO)
    }
}

#[derive(Debug, FromRow)]
struct PolicyRow {
    version: u32,
    order_minutes: u32,
    late_payment: String,
    points_shortfall: String,
    clerk_refund_max_fen: i64,
    clerk_refund_day_max_fen: i64,
    refund_review_above_fen: i64,
    fee_ppm: u32,
}

impl TryFrom<PolicyRow> for Policy {
    type Error = DbError;

    fn try_from(row: PolicyRow) -> Result<Self, DbError> {
        let broken = DbError::Inconsistent;
        let money = |fen| Money::parse(fen).map_err(|_| broken("a limit below zero"));
        Ok(Self {
            version: row.version,
            terms: PolicyTerms {
                order_minutes: row.order_minutes,
                late_payment: LatePayment::from_name(&row.late_payment)
                    .ok_or(broken("payment_policies.late_payment"))?,
                points_shortfall: PointsShortfall::from_name(&row.points_shortfall)
                    .ok_or(broken("payment_policies.points_shortfall"))?,
                clerk_refund_max: money(row.clerk_refund_max_fen)?,
                clerk_refund_day_max: money(row.clerk_refund_day_max_fen)?,
                refund_review_above: money(row.refund_review_above_fen)?,
                fee_ppm: row.fee_ppm,
            },
        })
    }
}

impl PerTenant for Policy {
    async fn find(db: &Db, tenant: TenantId) -> Result<Self, DbError> {
        let row: Option<PolicyRow> = sqlx::query_as(
            "/* payments.find_policy */ SELECT version, order_minutes, late_payment, points_shortfall, clerk_refund_max_fen, clerk_refund_day_max_fen, \
             refund_review_above_fen, fee_ppm \
             FROM payment_policies WHERE tenant_id = ? ORDER BY version DESC LIMIT 1",
        )
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
        row.map_or(Ok(Self::default()), Self::try_from)
    }
}

/// Puts new terms in force, as the next version.
#[derive(Debug)]
pub struct SetPolicy {
    pub tenant: TenantId,
    pub terms: PolicyTerms,
    pub by: Actor,
}

impl Work for SetPolicy {
    const NAME: &'static str = "payments.set_policy";
    type Reply = Policy;
    type Error = PolicyError;

    async fn run(&self, tx: &mut Tx) -> Result<Policy, PolicyError> {
        self.terms.check()?;
        let newest = newest_version(tx, self.tenant).await?;
        let policy = Policy {
            version: newest.saturating_add(1),
            terms: self.terms,
        };
        insert(tx, self, policy.version).await?;
        let action = AuditAction::PaymentPolicySet {
            version: policy.version,
        };
        audit::record(tx, self.tenant, &self.by, action, "payment_policy").await?;
        Ok(policy)
    }
}

async fn newest_version(tx: &mut Tx, tenant: TenantId) -> Result<u32, DbError> {
    // The tenant's row stands for the list of its policies: two operators at once queue here.
    sqlx::query("/* payments.lock_policies */ SELECT id FROM tenants WHERE id = ? FOR UPDATE")
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?;
    let newest: Option<u32> = sqlx::query_scalar("/* payments.newest_policy */ SELECT version FROM payment_policies WHERE tenant_id = ? ORDER BY version DESC LIMIT 1")
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?;
    Ok(newest.unwrap_or(0))
}

async fn insert(tx: &mut Tx, set: &SetPolicy, version: u32) -> Result<(), DbError> {
    let now = tx.now();
    let terms = &set.terms;
    sqlx::query(
        "/* payments.insert_policy */ INSERT INTO payment_policies (tenant_id, version, order_minutes, late_payment, points_shortfall, clerk_refund_max_fen, \
         clerk_refund_day_max_fen, refund_review_above_fen, fee_ppm, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(set.tenant)
    .bind(version)
    .bind(terms.order_minutes)
    .bind(terms.late_payment.name())
    .bind(terms.points_shortfall.name())
    .bind(terms.clerk_refund_max.get())
    .bind(terms.clerk_refund_day_max.get())
    .bind(terms.refund_review_above.get())
    .bind(terms.fee_ppm)
    .bind(now)
    .bind(&set.by)
    .execute(tx.conn())
    .await?;
    Ok(())
}
