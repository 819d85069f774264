//! Points beside what they should be: computed from the payments, the rule, and what each customer
//! had earned that day before.
//!
//! The order in which a customer's payments are settled decides which of them the daily cap cuts,
//! and the demo cannot know it. What it adds up to is the same in every order, so sums are
//! compared.

use std::str::FromStr as _;

use rust_decimal::Decimal;
use serde::Serialize;

use super::{answer::PointsRule, check::Check, day_record::DayRecord, plan::customer_name};
use zhangfang::{
    points::RuleTerms,
    primitives::{Money, Points},
};

#[derive(Debug, Default, Serialize)]
pub(super) struct PointsReport {
    pub(super) rules: Vec<RuleReport>,
    /// The customer who paid most often, one in the middle, and the one who paid least often.
    pub(super) samples: Vec<CustomerReport>,
    /// Why nothing could be expected, if so.
    pub(super) not_compared: Option<&'static str>,
    #[serde(skip)]
    pub(super) checks: Vec<Check>,
}

/// One version of the rule and what was given under it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RuleReport {
    pub(super) rule: PointsRule,
    pub(super) payments: usize,
    pub(super) paid_fen: i64,
    /// Before the daily cap.
    pub(super) uncapped: i64,
    pub(super) expected: i64,
    /// The sum over the customers' accounts.
    pub(super) given: i64,
    /// The sum over the orders.
    pub(super) on_orders: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CustomerReport {
    /// As the phone page knows them.
    pub(super) name: String,
    pub(super) payments: usize,
    pub(super) paid_fen: i64,
    /// Before the daily cap.
    pub(super) uncapped: i64,
    pub(super) expected: i64,
    pub(super) given: i64,
}

impl PointsRule {
    fn terms(&self) -> Option<RuleTerms> {
        let points = |units: i64| Points::parse(units).ok();
        Some(RuleTerms {
            ratio: Decimal::from_str(&self.ratio).ok()?,
            amount_min: Money::parse(self.amount_min_fen).ok()?,
            amount_max: self.amount_max_fen.and_then(|fen| Money::parse(fen).ok()),
            daily_cap: self.daily_cap.and_then(points),
            total_cap: self.total_cap.and_then(points),
            rounding: self.rounding,
            validity: self.validity,
        })
    }
}

pub(super) fn report(record: &DayRecord<'_>) -> PointsReport {
    let (Some(closing), rule) = (record.closing, &record.tenant.rule) else {
        return PointsReport::default();
    };
    let terms = rule.terms();
    let customers: Vec<CustomerReport> = (0..record.opening.customers.len())
        .map(|index| customer(record, index, closing.customers[index].0, terms.as_ref()))
        .collect();
    let not_compared = if closing.rule.version != rule.version {
        Some("somebody changed the rule during the day")
    } else if record.crossed_midnight {
        Some("midnight (UTC+8) passed during the day")
    } else if rule.total_cap.is_some() {
        Some("the rule has a total cap")
    } else if terms.is_none() {
        Some("the rule cannot be read")
    } else {
        None
    };
    let report = RuleReport {
        rule: rule.clone(),
        payments: customers.iter().map(|customer| customer.payments).sum(),
        paid_fen: customers.iter().map(|customer| customer.paid_fen).sum(),
        uncapped: customers.iter().map(|customer| customer.uncapped).sum(),
        expected: customers.iter().map(|customer| customer.expected).sum(),
        given: customers.iter().map(|customer| customer.given).sum(),
        on_orders: on_orders(record),
    };
    let mut checks = vec![Check::new(
        "the accounts were given what the orders say",
        report.given == report.on_orders,
        format!("{} and {} points", report.given, report.on_orders),
    )];
    if not_compared.is_none() {
        let wrong = customers
            .iter()
            .filter(|customer| customer.given != customer.expected);
        let wrong: Vec<&str> = wrong.map(|customer| customer.name.as_str()).collect();
        let detail = match wrong.as_slice() {
            [] => format!("{} customers, {} points", customers.len(), report.given),
            wrong => format!(
                "{} not: {}",
                wrong.len(),
                wrong[..wrong.len().min(5)].join(" ")
            ),
        };
        checks.push(Check::new(
            "each customer was given what the rule and its daily cap say",
            wrong.is_empty(),
            detail,
        ));
    }
    PointsReport {
        rules: vec![report],
        samples: samples(customers),
        not_compared,
        checks,
    }
}

fn on_orders(record: &DayRecord<'_>) -> i64 {
    let orders = record.closing.iter().flat_map(|closing| &closing.customers);
    orders
        .flat_map(|(_, orders)| orders)
        .filter_map(|order| order.points_earned)
        .sum()
}

fn customer(
    record: &DayRecord<'_>,
    index: usize,
    earned_ever: i64,
    terms: Option<&RuleTerms>,
) -> CustomerReport {
    let statistics = &record.opening.customers[index].statistics;
    let theirs = record
        .day
        .visits
        .iter()
        .filter(|visit| visit.customer == index);
    let amounts: Vec<Money> = theirs
        .filter(|visit| visit.earns())
        .filter_map(|visit| Money::parse(visit.amount_fen).ok())
        .collect();
    let earned_today = Points::parse(statistics.earned_on(record.opening.today));
    let (uncapped, expected) = expect(terms, &amounts, earned_today.unwrap_or(Points::ZERO));
    CustomerReport {
        name: customer_name(index),
        payments: amounts.len(),
        paid_fen: amounts.iter().map(|amount| amount.get()).sum(),
        uncapped: uncapped.get(),
        expected: expected.get(),
        given: earned_ever.saturating_sub(statistics.earned_total),
    }
}

/// What these payments earn without the daily cap and with it.
fn expect(terms: Option<&RuleTerms>, amounts: &[Money], earned_today: Points) -> (Points, Points) {
    let Some(terms) = terms else {
        return (Points::ZERO, Points::ZERO);
    };
    let earned = amounts.iter().map(|amount| terms.earn(*amount));
    let uncapped = Points::try_sum(earned).unwrap_or(Points::ZERO);
    (uncapped, terms.capped(uncapped, earned_today, Points::ZERO))
}

/// Three of those who paid at all.
fn samples(mut customers: Vec<CustomerReport>) -> Vec<CustomerReport> {
    customers.retain(|customer| customer.payments > 0);
    customers.sort_by_key(|customer| std::cmp::Reverse(customer.payments));
    let places = match customers.len() {
        0 => return Vec::new(),
        1 => vec![0],
        2 => vec![0, 1],
        many => vec![0, many / 2, many - 1],
    };
    places
        .into_iter()
        .map(|index| customers[index].clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhangfang::points::{Rounding, Validity};

    #[test]
    fn a_day_earns_yuan_by_yuan_up_to_the_cap() {
        let rule = PointsRule {
            version: 2,
            ratio: "1".to_owned(),
            amount_min_fen: 0,
            amount_max_fen: None,
            daily_cap: Some(30),
            total_cap: None,
            rounding: Rounding::Down,
            validity: Validity::Days { count: 365 },
        };
        let fen = |units| Money::parse(units).unwrap();
        let points = |units| Points::parse(units).unwrap();
        let terms = rule.terms().unwrap();
        let day = [fen(1_999), fen(1_999)];
        let expected = |today| expect(Some(&terms), &day, points(today));
        assert_eq!(expected(0), (points(38), points(30)));
        assert_eq!(expected(25), (points(38), points(5)));
        assert_eq!(expected(40), (points(38), points(0)));
    }

    #[test]
    fn the_samples_are_the_busiest_one_in_the_middle_and_the_quietest() {
        let customer = |payments: usize| CustomerReport {
            name: payments.to_string(),
            payments,
            paid_fen: 0,
            uncapped: 0,
            expected: 0,
            given: 0,
        };
        let names = |counts: &[usize]| {
            let report = samples(counts.iter().map(|count| customer(*count)).collect());
            report
                .into_iter()
                .map(|customer| customer.name)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names(&[1, 9, 4, 0, 3, 2]), "9 3 1");
        assert_eq!(names(&[1, 2]), "2 1");
        assert_eq!(names(&[0]), "");
    }
}
