//! Numbers of states and kinds in the texts of rules, by their names: `$refund.accepted`.
//!
//! A rule is read by people, and a number in it would be right only until somebody changes what it
//! stands for. So the texts name what they mean, and the number comes from the type.

use crate::{
    db::Sql,
    payments::{
        CallbackOutcome, OrderSharing, OrderStateKind, PointsReview, RefundOriginKind,
        RefundStateKind,
    },
    points::{PointsTransactionKind, PointsTransactionState},
    risk::{ReviewKind, ReviewStateKind},
    sharing::{PartState, ReturnState, ShareStateKind},
};

/// Puts a text into a statement, with the number of each name that it has.
pub(super) fn push(sql: &mut Sql, text: &'static str) {
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('$') {
        sql.push(before);
        let plain = |letter: char| letter.is_ascii_lowercase() || "._".contains(letter);
        let end = from.find(|letter| !plain(letter)).unwrap_or(from.len());
        let (name, after) = from.split_at(end);
        match code(name) {
            Some(code) => sql.int(code),
            // The database refuses it; a test finds it before.
            None => sql.push(name),
        };
        rest = after;
    }
    sql.push(rest);
}

/// A statement, with the number of each name that it has.
pub(super) fn statement(text: &'static str) -> sqlx::AssertSqlSafe<String> {
    let mut sql = Sql::default();
    push(&mut sql, text);
    sql.into_statement()
}

/// The number of `refund.accepted`.
fn code(name: &str) -> Option<u8> {
    let (of, name) = name.split_once('.')?;
    let find = |codes: &[(&str, u8)]| {
        let known = codes.iter().find(|(known, _)| *known == name);
        known.map(|(_, code)| *code)
    };
    match of {
        "order" => find(&OrderStateKind::ALL.map(|kind| (kind.name(), kind.code()))),
        "order_review" => find(&[("open", PointsReview::Open.code())]),
        "order_sharing" => find(&[("wanted", OrderSharing::Wanted.code())]),
        "refund" => find(&RefundStateKind::ALL.map(|kind| (kind.name(), kind.code()))),
        "refund_origin" => {
            find(&RefundOriginKind::ALL.map(|origin| (origin.name(), origin.code())))
        }
        "share" => find(&ShareStateKind::ALL.map(|kind| (kind.name(), kind.code()))),
        "part" => find(&PartState::ALL.map(|state| (state.name(), state.code()))),
        "return" => find(&ReturnState::ALL.map(|state| (state.name(), state.code()))),
        "points_transaction" => {
            find(&PointsTransactionState::ALL.map(|state| (state.name(), state.code())))
        }
        "points_transaction_kind" => {
            find(&PointsTransactionKind::ALL.map(|kind| (kind.name(), kind.code())))
        }
        "review" => find(&ReviewStateKind::ALL.map(|kind| (kind.status().name(), kind.code()))),
        "review_of" => find(&ReviewKind::ALL.map(|kind| (kind.name(), kind.code()))),
        "callback" => find(&CallbackOutcome::ALL.map(|outcome| (outcome.name(), outcome.code()))),
        _ => None,
    }
}

/// Whether every name in a text has a number.
#[cfg(test)]
pub(super) fn knows(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || "._".contains(letter);
    let mut names = text.split('$').skip(1);
    names.all(|from| code(from.split(|letter| !plain(letter)).next().unwrap_or("")).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers_and_nothing_else_changes() {
        let mut sql = Sql::default();
        push(
            &mut sql,
            "r.state IN ($refund.accepted, $refund.partly) AND x = '$'",
        );
        let accepted = RefundStateKind::Accepted.code();
        assert_eq!(
            sql.into_statement().0,
            format!("r.state IN ({accepted}, refund.partly) AND x = ''")
        );
        assert!(!knows("r.state IN ($refund.accepted, $refund.partly)"));
        assert!(knows("r.state IN ($refund.accepted, $return.asked)"));
    }
}
