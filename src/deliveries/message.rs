//! Templates of subscribe messages: which fact goes into which field, and in what form
//! (`docs/wechat-pay.md` §13.4).
//!
//! A template is made at WeChat; there its fields have names such as `thing1` and `amount2`, whose
//! first part is the kind of value that WeChat accepts (it refuses the whole message with 47003
//! otherwise). So a field's kind is checked against the fact when it is set, and the value is given
//! the kind's form when it is sent.

use time::macros::format_description;

use super::InvalidSetting;
use crate::primitives::{Money, OrderNo, Points, Timestamp, coded};

coded! {
    /// Something to be told.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Fact {
        /// The merchant's name.
        Merchant => "merchant",
        /// Paid or refunded.
        Amount => "amount",
        /// When it was paid or refunded; or the first day on which the points have expired.
        At => "at",
        OrderNo => "order_no",
        /// Earned by the payment, or about to expire. Not of a refund.
        Points => "points",
    }
}

coded! {
    /// What a message is about.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MessageKind {
        Payment => "payment_message",
        Refund => "refund_message",
        Expiry => "expiry_message",
    }
}

coded! {
    /// The kinds of value that our facts fit into, by WeChat's names.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum FieldKind {
        /// At most 20 characters.
        Thing => "thing",
        /// A currency sign and at most 10 digits, perhaps with decimals.
        Amount => "amount",
        /// Digits, perhaps with decimals.
        Number => "number",
        /// At most 32 ASCII characters.
        CharacterString => "character_string",
        /// 年月日, perhaps with hours and minutes.
        Date => "date",
        /// Written as [`Self::Date`] is.
        Time => "time",
    }
}

/// A message's template with its fields. At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTemplate {
    id: String,
    fields: Vec<(Fact, String)>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    /// None where points expire: they are of no merchant and no order. So are the amount and the
    /// number.
    pub(super) merchant: Option<&'a str>,
    pub(super) amount: Option<Money>,
    pub(super) at: Timestamp,
    pub(super) order_no: Option<OrderNo>,
    pub(super) points: Points,
}

impl Fact {
    const fn fits(self) -> (&'static [FieldKind], &'static str) {
        match self {
            Self::Merchant => (&[FieldKind::Thing], "a field such as thing1"),
            Self::Amount => (
                &[FieldKind::Amount, FieldKind::Number],
                "a field such as amount2 or number2",
            ),
            Self::At => (
                &[FieldKind::Time, FieldKind::Date],
                "a field such as time3 or date3",
            ),
            Self::OrderNo => (
                &[FieldKind::CharacterString],
                "a field such as character_string4",
            ),
            Self::Points => (
                &[FieldKind::Number, FieldKind::CharacterString],
                "a field such as number5 or character_string5",
            ),
        }
    }
}

impl MessageKind {
    /// What is told instead of `fact`, where that is not told. A refund earns nothing; what it
    /// takes back is told by the points' own records.
    fn excludes(self, fact: Fact) -> Option<&'static str> {
        match self {
            Self::Payment => None,
            Self::Refund => (fact == Fact::Points).then_some("nothing: a refund earns no points"),
            Self::Expiry => (!matches!(fact, Fact::Points | Fact::At))
                .then_some("nothing: points expire with their number and a time, and of no order"),
        }
    }
}

impl FieldKind {
    /// The part before the digits.
    fn of(field: &str) -> Option<Self> {
        let kind = field.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = field.len() - kind.len();
        Self::from_name(kind).filter(|_| (1..=3).contains(&digits))
    }
}

impl MessageTemplate {
    /// From WeChat's id of the template and the field for each fact that is told.
    pub fn parse(
        kind: MessageKind,
        id: &str,
        fields: impl IntoIterator<Item = (Fact, String)>,
    ) -> Result<Self, InvalidSetting> {
        let invalid = |field: &str, expected| InvalidSetting {
            field: format!("{}.{field}", kind.name()),
            expected,
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=64).contains(&id.len()) || !id.bytes().all(is_plain) {
            return Err(invalid("template_id", "the template's id at WeChat"));
        }
        let mut sorted: Vec<(Fact, String)> = Vec::new();
        for (fact, field) in fields {
            let name = format!("fields.{}", fact.name());
            if let Some(instead) = kind.excludes(fact) {
                return Err(invalid(&name, instead));
            }
            let (kinds, expected) = fact.fits();
            if !FieldKind::of(&field).is_some_and(|kind| kinds.contains(&kind)) {
                return Err(invalid(&name, expected));
            }
            if sorted
                .iter()
                .any(|(other, taken)| *other == fact || *taken == field)
            {
                return Err(invalid(&name, "a field of its own"));
            }
            sorted.push((fact, field));
        }
        if sorted.is_empty() {
            return Err(invalid("fields", "at least one field"));
        }
        sorted.sort_unstable();
        Ok(Self {
            id: id.to_owned(),
            fields: sorted,
        })
    }

    /// WeChat's id of the template.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The field for each fact that is told.
    pub fn fields(&self) -> &[(Fact, String)] {
        &self.fields
    }

    /// The field for `fact`, if it is told.
    pub fn field(&self, fact: Fact) -> Option<&str> {
        let found = self.fields.iter().find(|(told, _)| *told == fact);
        found.map(|(_, field)| field.as_str())
    }

    /// The fields with their values.
    pub(super) fn fill(&self, facts: &Facts<'_>) -> Vec<(String, String)> {
        self.fields
            .iter()
            .map(|(fact, field)| (field.clone(), value(*fact, field, facts)))
            .collect()
    }
}

fn value(fact: Fact, field: &str, facts: &Facts<'_>) -> String {
    match fact {
        Fact::Merchant => cut(facts.merchant.unwrap_or_default(), 20),
        Fact::Amount => match FieldKind::of(field) {
            Some(FieldKind::Amount) => format!("¥{}", yuan(facts.amount.unwrap_or(Money::ZERO))),
            Some(
                FieldKind::Thing
                | FieldKind::Number
                | FieldKind::CharacterString
                | FieldKind::Date
                | FieldKind::Time,
            )
            | None => yuan(facts.amount.unwrap_or(Money::ZERO)),
        },
        Fact::At => minute(facts.at),
        Fact::OrderNo => facts.order_no.map_or_else(String::new, |no| no.to_string()),
        Fact::Points => facts.points.get().to_string(),
    }
}

/// At most `max` characters; the last one says when some are missing.
fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Yuan with two decimals, by whole numbers.
fn yuan(amount: Money) -> String {
    let fen = amount.get();
    format!("{}.{:02}", fen / 100, fen % 100)
}

/// To the minute in Beijing, in the one form that both `time` and `date` accept.
fn minute(at: Timestamp) -> String {
    let format =
        format_description!("[year]年[month padding:none]月[day padding:none]日 [hour]:[minute]");
    at.beijing().format(format).unwrap_or_default() // every part of it is in every date
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane, OrderId};

    fn template(fields: &[(Fact, &str)]) -> Result<MessageTemplate, InvalidSetting> {
        let fields = fields
            .iter()
            .map(|(fact, field)| (*fact, (*field).to_owned()));
        MessageTemplate::parse(MessageKind::Payment, "TEMPLATE-id_1", fields)
    }

    #[test]
    fn values_have_the_form_that_the_fields_kind_asks_for() {
        let template = template(&[
            (Fact::Points, "number5"),
            (Fact::Merchant, "thing1"),
            (Fact::Amount, "amount2"),
            (Fact::At, "time3"),
            (Fact::OrderNo, "character_string4"),
        ])
        .unwrap();
        let order = OrderId::new(Id::mint(1_795_000_000_000, 7, Lane(1)));
        let filled = template.fill(&Facts {
            merchant: Some("很长很长很长很长很长很长很长的店名一二三四五六"),
            amount: Money::parse(1_205).ok(),
            at: Timestamp::parse_rfc3339("2026-01-02T16:05:59Z").unwrap(),
            order_no: Some(order.into()),
            points: Points::parse(12).unwrap(),
        });
        let value = |name: &str| {
            filled
                .iter()
                .find(|(field, _)| field == name)
                .unwrap()
                .1
                .as_str()
        };
        assert_eq!(value("thing1").chars().count(), 20);
        assert!(value("thing1").ends_with('…'));
        assert_eq!(value("amount2"), "¥12.05");
        assert_eq!(value("time3"), "2026年1月3日 00:05");
        assert_eq!(value("character_string4"), OrderNo::from(order).to_string());
        assert!(value("character_string4").len() <= 32);
        assert_eq!(value("number5"), "12");
        assert_eq!(filled.len(), 5);
    }

    #[test]
    fn amounts_are_exact_and_small_ones_keep_their_zeros() {
        let of = |fen| yuan(Money::parse(fen).unwrap());
        assert_eq!(of(1), "0.01");
        assert_eq!(of(10), "0.10");
        assert_eq!(of(100), "1.00");
        assert_eq!(of(9_007_199_254_740_993), "90071992547409.93");
    }

    #[test]
    fn a_fact_goes_only_where_it_fits() {
        assert!(template(&[(Fact::Merchant, "thing1")]).is_ok());
        assert!(template(&[(Fact::Amount, "number2")]).is_ok());
        for (fact, field) in [
            (Fact::Merchant, "amount1"),
            (Fact::Merchant, "thing"),
            (Fact::Merchant, "thing1234"),
            (Fact::Merchant, "thing1.value"),
            (Fact::Amount, "thing1"),
            (Fact::At, "number1"),
            (Fact::OrderNo, "thing1"),
            (Fact::Points, "phone_number1"),
        ] {
            let error = template(&[(fact, field)]).unwrap_err();
            assert_eq!(
                error.field,
                format!("payment_message.fields.{}", fact.name())
            );
        }
        let twice = [(Fact::Points, "number1"), (Fact::Amount, "number1")];
        assert!(template(&twice).is_err());
        assert_eq!(template(&[]).unwrap_err().field, "payment_message.fields");
        let parse = |kind, id, fact, field: &str| {
            MessageTemplate::parse(kind, id, [(fact, field.to_owned())])
        };
        assert!(parse(MessageKind::Refund, "T", Fact::Merchant, "thing1").is_ok());
        assert!(parse(MessageKind::Refund, "T", Fact::Points, "number1").is_err());
        assert!(parse(MessageKind::Expiry, "T", Fact::Points, "number1").is_ok());
        assert!(parse(MessageKind::Expiry, "T", Fact::Merchant, "thing1").is_err());
        assert!(parse(MessageKind::Payment, "T T", Fact::Merchant, "thing1").is_err());
    }
}
