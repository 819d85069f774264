//! Names of entries in records and statistics, by their kind.
//!
//! SQL is generated from these tables, so a new kind of entry does not compile until it has its
//! names. The view `points_records`, for people who read the database, repeats them; a test
//! compares the two.

use std::fmt::Write as _;

use crate::{
    ledger::AccountKind,
    primitives::{EntryCause, EntryKind},
};

/// The SQL for the kind of a transfer's entry, a generated column.
pub(crate) const KIND: &str = "t.entry_kind";

/// What the entries of a kind are called.
struct Names {
    /// The change types of a transfer that is posted at once, pending, posted after having been
    /// pending, and voided. Transfers between points and debt have types of their own, whatever
    /// the kind.
    records: [&'static str; 4],
    /// The source or destination of points where no back end is named.
    source: &'static str,
    /// The event as which statistics count a posted transfer that is not between points and debt.
    event: &'static str,
}

const fn names(kind: EntryKind) -> Names {
    let (records, source, event) = match kind {
        EntryKind::Settlement => (["earn"; 4], "payment", "earned"),
        EntryKind::PointsHeld => {
            let records = ["credited", "held", "credited", "voided"];
            (records, "payment", "earned")
        }
        EntryKind::HeldPartCredited | EntryKind::WithheldCredited => {
            (["credited"; 4], "payment", "earned")
        }
        EntryKind::DebtRepaid => (["repay"; 4], "payment", "adjusted"),
        EntryKind::RefundAccepted
        | EntryKind::RefundClawback
        | EntryKind::RefundOutcome
        | EntryKind::RefundedElsewhere => (["refund"; 4], "refund", "taken_back"),
        EntryKind::PointsAwarded => {
            let records = ["award", "held", "credited", "voided"];
            (records, "adjustment", "awarded")
        }
        EntryKind::PointsDeducted => (["deduct"; 4], "adjustment", "deducted"),
        EntryKind::PointsReserved => {
            let records = ["redeem", "hold", "redeem", "release"];
            (records, "adjustment", "redeemed")
        }
        EntryKind::PointsCaptured => (["redeem"; 4], "adjustment", "redeemed"),
        EntryKind::PointsReturned => (["return"; 4], "adjustment", "returned"),
        EntryKind::PointsExpired => (["expire"; 4], "expiry", "expired"),
        EntryKind::Adjustment => (["adjust"; 4], "adjustment", "adjusted"),
        // These move no points.
        EntryKind::SharingSent
        | EntryKind::SharingOutcome
        | EntryKind::SharingReturned
        | EntryKind::SharingLanded => (["other"; 4], "adjustment", "adjusted"),
    };
    Names {
        records,
        source,
        event,
    }
}

/// Returns the codes of the kinds with one of the wanted causes, as an SQL list.
pub(crate) fn caused_by(wanted: &[EntryCause]) -> String {
    let kinds = EntryKind::ALL.into_iter();
    let codes = kinds
        .filter(|kind| wanted.contains(&kind.cause()))
        .map(|kind| kind.code().to_string());
    format!("({})", codes.collect::<Vec<_>>().join(", "))
}

/// Returns an SQL `CASE` over the kinds.
fn by_kind(value: impl Fn(EntryKind) -> String, otherwise: &str) -> String {
    let mut sql = format!("CASE {KIND}");
    for kind in EntryKind::ALL {
        // Writing to a String cannot fail.
        let _ = write!(sql, " WHEN {} THEN {}", kind.code(), value(kind));
    }
    let _ = write!(sql, " ELSE '{otherwise}' END");
    sql
}

/// Returns SQL for the change type of a record.
pub(crate) fn change_type() -> String {
    let of_kind = by_kind(
        |kind| {
            let [at_once, pending, posted, voided] = names(kind).records;
            if [pending, posted, voided] == [at_once; 3] {
                format!("'{at_once}'")
            } else {
                format!(
                    "CASE t.phase WHEN 0 THEN '{at_once}' WHEN 1 THEN '{pending}' WHEN 3 THEN '{voided}' ELSE '{posted}' END"
                )
            }
        },
        "other",
    );
    let [shortfall, repaid] = on_debt();
    format!("CASE WHEN {shortfall} THEN 'shortfall' WHEN {repaid} THEN 'repay' ELSE {of_kind} END")
}

/// Returns SQL conditions: the transfer goes from the debt to the points; from the points to the
/// debt.
fn on_debt() -> [String; 2] {
    let debt = AccountKind::CustomerDebt.code();
    ["debit", "credit"].map(|side| format!("SUBSTR(t.{side}_account, 16, 1) = x'{debt:02x}'"))
}

/// Returns an SQL condition: the transfer is not between the points and the debt.
pub(crate) fn is_no_debt() -> String {
    let [shortfall, repaid] = on_debt();
    format!("NOT ({shortfall} OR {repaid})")
}

/// Returns SQL for the source or destination of a transfer; `p` is its points transaction, if any.
pub(crate) fn source_of() -> String {
    let of_kind = by_kind(|kind| format!("'{}'", names(kind).source), "adjustment");
    format!("COALESCE(p.source, {of_kind})")
}

/// Returns SQL for the event as which statistics count a transfer.
pub(crate) fn counted_as() -> String {
    by_kind(|kind| format!("'{}'", names(kind).event), "adjusted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        db::MIGRATOR,
        primitives::{EntryId, Id, Lane},
    };

    /// The file that makes a table or a view, with single spaces.
    fn made(name: &str) -> String {
        let file = MIGRATOR.iter().find(|file| {
            let sql = file.sql.as_str();
            sql.contains(&format!("CREATE TABLE {name} ("))
                || sql.contains(&format!("CREATE VIEW {name} "))
        });
        let sql = file.unwrap().sql.as_str();
        sql.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_view_says_what_the_service_says() {
        let view = made("points_records");
        let change_type = format!("{} AS change_type", change_type());
        assert!(view.contains(&change_type), "{change_type}");
        let of_orders = format!(
            "CASE WHEN {KIND} IN {} THEN",
            caused_by(&[EntryCause::Order])
        );
        assert!(view.contains(&of_orders), "{of_orders}");
    }

    #[test]
    fn the_column_is_the_kind_of_the_entry() {
        let column = "entry_kind TINYINT UNSIGNED GENERATED ALWAYS AS (ORD(SUBSTR(entry_id, 16, 1)) & 127) VIRTUAL";
        assert!(made("transfers").contains(column));
        for kind in EntryKind::ALL {
            let entry = EntryId::of(Id::mint(1, 2, Lane(3)), kind);
            for id in [entry, entry.resolution()] {
                assert_eq!(id.bytes()[15] & 127, kind.code());
            }
        }
    }

    #[test]
    fn only_what_moves_no_points_is_something_other() {
        for kind in EntryKind::ALL {
            let moves_none = kind.name().starts_with("sharing");
            assert_eq!(
                names(kind).records.contains(&"other"),
                moves_none,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn kinds_with_a_cause_are_listed() {
        assert_eq!(caused_by(&[EntryCause::Order]), "(1, 9, 16)");
        assert_eq!(caused_by(&[EntryCause::Refund]), "(3, 4, 5, 17, 20)");
    }
}
