//! What a payment would earn, and why. Changes nothing.

use super::{Explanation, InForce, Rule, RuleTerms, Rules, rule_store};
use crate::{
    db::{Db, DbError},
    ledger::{self, Account},
    primitives::{
        AccountId, BusinessDay, CustomerId, MerchantId, Money, Points, TenantId, Timestamp,
    },
};

/// A payment that nobody made.
#[derive(Debug, Clone)]
pub struct DryRun {
    pub tenant: TenantId,
    /// None: a merchant without a rule of its own.
    pub merchant: Option<MerchantId>,
    /// None: a customer who has earned nothing on that day.
    pub customer: Option<CustomerId>,
    pub amount: Money,
    /// When it is settled: now or later.
    pub at: Timestamp,
    /// Terms to be used instead of the rule in force. They begin like a new version, which has
    /// handed out nothing.
    pub terms: Option<RuleTerms>,
}

/// The terms that were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    InForce(InForce),
    /// The terms of the request.
    Terms(RuleTerms),
}

/// The points that the payment would be credited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WouldEarn {
    pub tried: Tried,
    /// The business day on which the daily cap counts it.
    pub day: BusinessDay,
    pub explanation: Explanation,
    /// The first day on which the points can no longer be used.
    pub expired_from: BusinessDay,
}

impl Tried {
    pub const fn terms(&self) -> &RuleTerms {
        match self {
            Self::InForce(now) => &now.rule.terms,
            Self::Terms(terms) => terms,
        }
    }
}

/// Computes what a payment would earn from the known rules, what the customer has earned so far,
/// and what the version has handed out so far. A payment that settles earlier may change both.
pub async fn dry_run(db: &Db, rules: &Rules, payment: &DryRun) -> Result<WouldEarn, DbError> {
    let tried = match payment.terms {
        Some(terms) => Tried::Terms(terms),
        None => Tried::InForce(rules.in_force(payment.merchant, payment.at)),
    };
    let account = match payment.customer {
        Some(customer) => {
            let id = AccountId::customer_points(customer);
            ledger::find_account(db, payment.tenant, id).await?
        }
        None => None,
    };
    let account = account.unwrap_or(Account::empty(payment.tenant));
    let (day, earned_today) = account.earned_by(payment.at.business_day());
    let granted = match tried {
        Tried::InForce(now) if now.rule.terms.total_cap.is_some() => {
            rule_store::find_granted(db, payment.tenant, now.rule.version).await?
        }
        Tried::InForce(_) | Tried::Terms(_) => Points::ZERO,
    };
    let terms = tried.terms();
    Ok(WouldEarn {
        tried,
        day,
        explanation: terms.explain(payment.amount, earned_today, granted),
        expired_from: terms.expired_from(payment.at.business_day()),
    })
}

/// Returns how much of `earned` the caps of a rule leave at this moment. Reads nothing if the rule
/// has no caps.
pub async fn left_by_caps(
    db: &Db,
    rule: &Rule,
    customer: CustomerId,
    earned: Points,
    at: Timestamp,
) -> Result<Points, DbError> {
    let terms = &rule.terms;
    let earned_today = if terms.daily_cap.is_some() {
        let id = AccountId::customer_points(customer);
        let account = ledger::find_account(db, rule.tenant, id).await?;
        let account = account.unwrap_or(Account::empty(rule.tenant));
        account.earned_by(at.business_day()).1
    } else {
        Points::ZERO
    };
    let granted = if terms.total_cap.is_some() {
        rule_store::find_granted(db, rule.tenant, rule.version).await?
    } else {
        Points::ZERO
    };
    Ok(terms.capped(earned, earned_today, granted))
}
