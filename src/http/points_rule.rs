//! Points rules as operators write them, and as operators and merchants see them.

use std::str::FromStr as _;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::{
    points::{Because, Rounding, Rule, RuleTerms, RuleVersion, Rules, Validity},
    primitives::{MerchantId, Money, Points, Timestamp},
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PointsRuleRequest {
    /// Points per yuan, a decimal as text.
    #[schema(example = "1.5", pattern = r"^[0-9]{1,5}(\.[0-9]{1,4})?$")]
    ratio: String,
    /// A smaller payment earns nothing.
    #[schema(minimum = 0, example = 0)]
    #[serde(default)]
    amount_min_fen: i64,
    /// Of a larger payment only this much earns.
    #[schema(minimum = 0)]
    #[serde(default)]
    amount_max_fen: Option<i64>,
    /// Points per customer and day at UTC+8.
    #[schema(minimum = 0)]
    #[serde(default)]
    daily_cap: Option<i64>,
    /// Points that this version hands out in all.
    #[schema(minimum = 0)]
    #[serde(default)]
    total_cap: Option<i64>,
    /// How yuan times ratio becomes whole points.
    #[serde(default)]
    rounding: Rounding,
    /// How long points last: days, to the end of a month or year, or for ever. Absent: as
    /// `expiry_days` says.
    #[serde(default)]
    validity: Option<Validity>,
    /// Whole days that points last, the shorter way to say it; absent: for ever. Not beside
    /// `validity`.
    #[schema(minimum = 1, maximum = 36_500, example = 365)]
    #[serde(default)]
    expiry_days: Option<u32>,
    /// When it begins: now unless said, at most 366 days ahead.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub(super) effective_from: Option<Timestamp>,
}

impl PointsRuleRequest {
    pub(super) fn terms(&self) -> Result<RuleTerms, Problem> {
        let negative = |name| move |_| Problem::field(name, "0 or more");
        let points =
            |name, units: Option<i64>| units.map(Points::parse).transpose().map_err(negative(name));
        // Decimals have more ways to be written than anybody should use here: exponents, signs,
        // underscores.
        let plain = |letter: u8| letter.is_ascii_digit() || letter == b'.';
        let is_plain = self.ratio.len() <= 10 && self.ratio.bytes().all(plain);
        let ratio = Decimal::from_str(&self.ratio).ok().filter(|_| is_plain);
        Ok(RuleTerms {
            ratio: ratio.ok_or_else(|| Problem::field("ratio", "a decimal such as 1.5"))?,
            amount_min: Money::parse(self.amount_min_fen).map_err(negative("amount_min_fen"))?,
            amount_max: self
                .amount_max_fen
                .map(Money::parse)
                .transpose()
                .map_err(negative("amount_max_fen"))?,
            daily_cap: points("daily_cap", self.daily_cap)?,
            total_cap: points("total_cap", self.total_cap)?,
            rounding: self.rounding,
            validity: self.validity()?,
        })
    }

    fn validity(&self) -> Result<Validity, Problem> {
        match (self.validity, self.expiry_days) {
            (Some(validity), None) => Ok(validity),
            (None, Some(count @ 1..=36_500)) => Ok(Validity::Days { count }),
            (None, Some(_)) => Err(Problem::field("expiry_days", "1 to 36500")),
            (None, None) => Ok(Validity::Never),
            (Some(_), Some(_)) => Err(Problem::field("expiry_days", "absent beside validity")),
        }
    }
}

/// What a version says.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct PointsTerms {
    /// Points per yuan.
    #[schema(example = "1.5")]
    ratio: String,
    amount_min_fen: i64,
    amount_max_fen: Option<i64>,
    daily_cap: Option<i64>,
    total_cap: Option<i64>,
    rounding: Rounding,
    validity: Validity,
    /// `validity` in days, where it is a number of days.
    #[schema(example = 365)]
    expiry_days: Option<u32>,
}

/// One version of a rule.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct PointsRuleAnswer {
    /// Orders name the version that they were credited by.
    #[schema(example = 3)]
    version: u32,
    /// Only for this merchant; absent: the tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    merchant_id: Option<MerchantId>,
    #[serde(flatten)]
    terms: PointsTerms,
    #[schema(value_type = String, format = DateTime)]
    effective_from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// What will come into force.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ScheduledRule {
    version: u32,
    /// `merchant` or `tenant`.
    #[schema(example = "merchant")]
    of: &'static str,
    #[schema(value_type = String, format = DateTime)]
    effective_from: Timestamp,
    /// Absent: the merchant's own rule ends, and it has what the tenant has.
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<PointsTerms>,
}

/// The tenant's own rule, and what will replace it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct TenantPointsRule {
    #[serde(flatten)]
    rule: PointsRuleAnswer,
    scheduled: Vec<ScheduledRule>,
}

/// What a merchant's payments earn, why this, and what will replace it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct MerchantPointsRule {
    /// `merchant`: its own. `tenant`: it has none of its own.
    #[schema(example = "merchant")]
    of: &'static str,
    /// The version that withdrew the merchant's own rule, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn_by: Option<u32>,
    rule: PointsRuleAnswer,
    /// The merchant's own and the tenant's, soonest first. The tenant's matters to the merchant
    /// only while it has none of its own.
    scheduled: Vec<ScheduledRule>,
}

impl From<&RuleTerms> for PointsTerms {
    fn from(terms: &RuleTerms) -> Self {
        Self {
            ratio: terms.ratio.normalize().to_string(),
            amount_min_fen: terms.amount_min.get(),
            amount_max_fen: terms.amount_max.map(Money::get),
            daily_cap: terms.daily_cap.map(Points::get),
            total_cap: terms.total_cap.map(Points::get),
            rounding: terms.rounding,
            validity: terms.validity,
            expiry_days: terms.validity.days(),
        }
    }
}

impl From<&Rule> for PointsRuleAnswer {
    fn from(rule: &Rule) -> Self {
        Self {
            version: rule.version,
            merchant_id: rule.merchant,
            terms: PointsTerms::from(&rule.terms),
            effective_from: rule.effective_from,
            created_at: rule.created_at,
        }
    }
}

impl From<&RuleVersion> for ScheduledRule {
    fn from(version: &RuleVersion) -> Self {
        Self {
            version: version.version,
            of: of(version.merchant),
            effective_from: version.effective_from,
            terms: version.terms.as_ref().map(PointsTerms::from),
        }
    }
}

impl TenantPointsRule {
    pub(super) fn at(rules: &Rules, now: Timestamp) -> Self {
        let scheduled = rules.scheduled(None, now);
        Self {
            rule: PointsRuleAnswer::from(&rules.in_force(None, now).rule),
            scheduled: scheduled.map(ScheduledRule::from).collect(),
        }
    }
}

impl MerchantPointsRule {
    pub(super) fn at(rules: &Rules, merchant: MerchantId, now: Timestamp) -> Self {
        let in_force = rules.in_force(Some(merchant), now);
        let own = rules.scheduled(Some(merchant), now);
        let mut scheduled: Vec<_> = own.chain(rules.scheduled(None, now)).collect();
        scheduled.sort_by_key(|version| (version.effective_from, version.version));
        Self {
            of: of(in_force.rule.merchant),
            withdrawn_by: withdrawn_by(in_force.because),
            rule: PointsRuleAnswer::from(&in_force.rule),
            scheduled: scheduled.into_iter().map(ScheduledRule::from).collect(),
        }
    }
}

pub(super) const fn withdrawn_by(because: Because) -> Option<u32> {
    match because {
        Because::Withdrawn { version } => Some(version),
        Because::OfTheMerchant | Because::OfTheTenant => None,
    }
}

/// Whose a version is.
pub(super) const fn of(merchant: Option<MerchantId>) -> &'static str {
    match merchant {
        Some(_) => "merchant",
        None => "tenant",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(json: &str) -> Result<RuleTerms, Problem> {
        serde_json::from_str::<PointsRuleRequest>(json)
            .unwrap()
            .terms()
    }

    #[test]
    fn terms_are_read_without_floats_and_name_the_wrong_field() {
        let read = terms(r#"{"ratio":"1.25","daily_cap":100}"#).unwrap();
        assert_eq!(read.ratio, Decimal::new(125, 2));
        assert_eq!(
            (read.validity, read.rounding),
            (Validity::Never, Rounding::Down)
        );
        assert!(serde_json::from_str::<PointsRuleRequest>(r#"{"ratio":1.25}"#).is_err());
        let problem = terms(r#"{"ratio":"1","daily_cap":-1}"#).unwrap_err();
        assert!(format!("{problem:?}").contains("daily_cap"));
        assert!(terms(r#"{"ratio":"one"}"#).is_err());
    }

    #[test]
    fn how_long_points_last_is_said_in_one_way_only() {
        let validity = |json: &str| terms(json).map(|terms| terms.validity).ok();
        assert_eq!(
            validity(r#"{"ratio":"1","expiry_days":30}"#),
            Some(Validity::Days { count: 30 })
        );
        assert_eq!(
            validity(r#"{"ratio":"1","validity":{"kind":"end_of_year","count":0}}"#),
            Some(Validity::EndOfYear { count: 0 })
        );
        assert_eq!(validity(r#"{"ratio":"1","expiry_days":0}"#), None);
        let both = r#"{"ratio":"1","expiry_days":30,"validity":{"kind":"days","count":30}}"#;
        assert_eq!(validity(both), None);
    }
}
