//! Rows that cannot be read: invariant 18.
//!
//! A person at the database can put into a row what no program writes: a state that there is not,
//! an actor who is nobody, an amount below zero, nothing where something must be. Such a row is a
//! finding, named by its table and key, and verification goes on without it. What other checks say
//! of a thing that is missing follows from it.
//!
//! Most rows are read by one pass or another ([`Pages`](super::pages::Pages), [`readable`]); of the
//! rest the database is asked for those whose codes mean nothing.

use std::fmt::Write as _;

use sqlx::{Column as _, FromRow, MySqlConnection, Row as _, TypeInfo as _, mysql::MySqlRow};

use super::Report;
use crate::{
    audit::SystemActor,
    auth::{StaffRole, SubjectKind},
    customers::CustomerStatus,
    db::{DbError, Sql},
    deliveries::{DeliveryKind, DeliveryState},
    facts::Stage,
    merchants::{CodeStateKind, MerchantStateKind},
    payments::{
        CallbackOutcome, ChangeReason, ExceptionKind, LatePayment, OrderStateKind, PointsShortfall,
        RefundStateKind,
    },
    points::{PointsMove, Rounding},
    primitives::WithCauses,
    risk::{Action, ChallengeStateKind, ReviewKind, ReviewStateKind},
    sharing::{PartState, ReceiverKind, ReceiverState, ReturnState, ShareStateKind},
};

/// The table of a row, or what else it is, and how many of the first columns tell which one.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowKey(pub(super) &'static str, pub(super) usize);

impl RowKey {
    /// What the row is called, so that a person finds it: `refunds x'019a…'`.
    pub(super) fn name(self, row: &MySqlRow) -> String {
        let Self(table, columns) = self;
        let mut name = table.to_owned();
        for column in 0..columns {
            let is_binary = row.columns().get(column);
            let is_binary =
                is_binary.is_some_and(|column| column.type_info().name().contains("BINARY"));
            let value = row
                .try_get_unchecked::<Vec<u8>, _>(column)
                .unwrap_or_default();
            let _ = match std::str::from_utf8(&value) {
                Ok(text) if !is_binary => write!(name, " {text}"),
                Ok(_) | Err(_) => write!(name, " x'{}'", hex::encode(&value)),
            };
        }
        name
    }
}

/// What is wrong with the row, by the name of the column where that is known.
pub(super) fn reason(row: &MySqlRow, error: &sqlx::Error) -> String {
    if let sqlx::Error::ColumnDecode { index, source } = error {
        let column = index.parse().ok();
        let column = column.and_then(|column: usize| row.columns().get(column));
        let column = column.map_or(index.as_str(), |column| column.name());
        format!("{column}: {source}")
    } else if let sqlx::Error::Decode(source) = error {
        source.to_string()
    } else {
        error.to_string()
    }
}

/// What of these rows can be read; what cannot is a finding. For rows of a text without parameters:
/// of others the key is not text.
pub(super) fn readable<T>(
    rows: &[MySqlRow],
    key: RowKey,
    report: &mut Report,
    read: impl Fn(&MySqlRow) -> Result<T, sqlx::Error>,
) -> Vec<T> {
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        match read(row) {
            Ok(item) => items.push(item),
            Err(error) => report.unreadable(key.name(row), reason(row, &error)),
        }
    }
    items
}

/// [`readable`], for what is read by the names or the order of its columns.
pub(super) fn readable_as<T>(rows: &[MySqlRow], key: RowKey, report: &mut Report) -> Vec<T>
where
    T: for<'r> FromRow<'r, MySqlRow>,
{
    readable(rows, key, report, |row| {
        let item = T::from_row(row)?;
        Ok(item)
    })
}

/// What a pass came to. One that the rows themselves do not let come to its end (a sum that is out of
/// range) is a finding, and the passes that need nothing of it go on.
pub(super) fn passed<T>(
    pass: &str,
    outcome: Result<T, DbError>,
    report: &mut Report,
) -> Result<Option<T>, DbError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_of_data() => {
            report.unreadable(format!("what `{pass}` reads"), WithCauses(&error));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What a column may hold, beside NULL where the table allows it.
enum Values {
    Codes(Vec<u8>),
    Names(Vec<&'static str>),
    /// The text of an actor.
    Actor,
}

/// Columns with codes, names and actors of a table, of whose rows not all are read.
struct CodedTable {
    row: RowKey,
    key: &'static str,
    columns: Vec<(&'static str, Values)>,
}

fn coded_tables() -> Vec<CodedTable> {
    use Values::{Actor, Codes, Names};
    let table = |name, (key, width), columns| CodedTable {
        row: RowKey(name, width),
        key,
        columns,
    };
    let id = ("id", 1);
    let flag = || Codes(vec![0, 1]);
    let stages = || Codes(Stage::ALL.map(Stage::code).into());
    let actions = || Codes(Action::ALL.map(Action::code).into());
    let of_tenant = ("tenant_id, version", 2);
    vec![
        table(
            "customers",
            id,
            vec![(
                "status",
                Names(CustomerStatus::ALL.map(CustomerStatus::name).into()),
            )],
        ),
        table(
            "merchants",
            id,
            vec![
                (
                    "state",
                    Names(MerchantStateKind::ALL.map(MerchantStateKind::name).into()),
                ),
                ("sharing", flag()),
            ],
        ),
        table(
            "merchant_staff",
            id,
            vec![
                ("role", Names(StaffRole::ALL.map(StaffRole::name).into())),
                ("status", Names(vec!["active", "removed"])),
            ],
        ),
        table(
            "qr_codes",
            ("code", 1),
            vec![(
                "state",
                Names(CodeStateKind::ALL.map(CodeStateKind::name).into()),
            )],
        ),
        table(
            "sessions",
            id,
            vec![(
                "subject_kind",
                Names(SubjectKind::ALL.map(SubjectKind::name).into()),
            )],
        ),
        table("audit_logs", id, vec![("actor", Actor)]),
        table(
            "points_rules",
            of_tenant,
            vec![
                ("withdrawn", flag()),
                ("rounding", Names(Rounding::ALL.map(Rounding::name).into())),
                (
                    "validity",
                    Names(vec!["days", "end_of_month", "end_of_year", "never"]),
                ),
                ("created_by", Actor),
            ],
        ),
        table(
            "points_days",
            ("tenant_id, day, source, rule_version, what", 5),
            vec![("what", Codes(PointsMove::ALL.map(PointsMove::code).into()))],
        ),
        table("points_expiry_runs", id, vec![("started_by", Actor)]),
        table(
            "risk_decisions",
            id,
            vec![
                ("stage", stages()),
                ("action", actions()),
                ("shadow", actions()),
            ],
        ),
        table(
            "risk_challenges",
            id,
            vec![
                ("stage", stages()),
                (
                    "state",
                    Codes(ChallengeStateKind::ALL.map(ChallengeStateKind::code).into()),
                ),
            ],
        ),
        table(
            "risk_reviews",
            id,
            vec![
                ("kind", Codes(ReviewKind::ALL.map(ReviewKind::code).into())),
                ("stage", stages()),
                (
                    "state",
                    Codes(ReviewStateKind::ALL.map(ReviewStateKind::code).into()),
                ),
                ("claimed_by", Actor),
                ("first_approver", Actor),
                ("decided_by", Actor),
            ],
        ),
        table(
            "payment_policies",
            of_tenant,
            vec![
                (
                    "late_payment",
                    Names(LatePayment::ALL.map(LatePayment::name).into()),
                ),
                (
                    "points_shortfall",
                    Names(PointsShortfall::ALL.map(PointsShortfall::name).into()),
                ),
                ("created_by", Actor),
            ],
        ),
        table(
            "payment_order_history",
            ("order_id, version", 2),
            vec![
                (
                    "state",
                    Codes(OrderStateKind::ALL.map(OrderStateKind::code).into()),
                ),
                (
                    "why",
                    Codes(ChangeReason::ALL.map(ChangeReason::code).into()),
                ),
                ("actor", Actor),
            ],
        ),
        table(
            "refund_history",
            ("refund_id, version", 2),
            vec![
                (
                    "state",
                    Codes(RefundStateKind::ALL.map(RefundStateKind::code).into()),
                ),
                ("actor", Actor),
            ],
        ),
        table(
            "callback_events",
            id,
            vec![(
                "outcome",
                Codes(CallbackOutcome::ALL.map(CallbackOutcome::code).into()),
            )],
        ),
        table(
            "callback_alarms",
            ("event_id", 1),
            vec![("understood", flag())],
        ),
        table(
            "payment_exceptions",
            id,
            vec![
                (
                    "kind",
                    Names(ExceptionKind::ALL.map(ExceptionKind::name).into()),
                ),
                ("resolved_by", Actor),
            ],
        ),
        table("payment_orders", id, vec![("refund_unknown", flag())]),
        table(
            "refunds",
            id,
            vec![("late", flag()), ("unsure", flag()), ("stuck", flag())],
        ),
        table(
            "sharings",
            id,
            vec![
                (
                    "state",
                    Codes(ShareStateKind::ALL.map(ShareStateKind::code).into()),
                ),
                ("unsure", flag()),
                ("stopped", flag()),
            ],
        ),
        table(
            "sharing_parts",
            id,
            vec![
                ("state", Codes(PartState::ALL.map(PartState::code).into())),
                ("late", flag()),
            ],
        ),
        table(
            "sharing_returns",
            id,
            vec![(
                "state",
                Codes(ReturnState::ALL.map(ReturnState::code).into()),
            )],
        ),
        table(
            "sharing_receivers",
            id,
            vec![
                (
                    "kind",
                    Names(ReceiverKind::ALL.map(ReceiverKind::name).into()),
                ),
                (
                    "state",
                    Names(ReceiverState::ALL.map(ReceiverState::name).into()),
                ),
            ],
        ),
        table(
            "sharing_rules",
            ("merchant_id, version", 2),
            vec![("active", flag()), ("created_by", Actor)],
        ),
        table(
            "delivery_settings",
            ("tenant_id", 1),
            vec![("updated_by", Actor)],
        ),
        table(
            "deliveries",
            id,
            vec![
                (
                    "kind",
                    Names(DeliveryKind::ALL.map(DeliveryKind::name).into()),
                ),
                (
                    "state",
                    Names(DeliveryState::ALL.map(DeliveryState::name).into()),
                ),
            ],
        ),
    ]
}

/// How many rows of a table are named.
const NAMED: i64 = 1_000;

/// Asks for rows whose codes, names or actors are none.
pub(super) async fn check(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    for table in coded_tables() {
        let mut sql = Sql::new("SELECT /* verify.coded */ ");
        sql.push(table.key).push(", CASE");
        for (column, values) in &table.columns {
            sql.push(" WHEN ");
            is_none_of(&mut sql, column, values);
            sql.push(" THEN ").text(column);
        }
        sql.push(" END FROM ").push(table.row.0).push(" WHERE ");
        for (index, (column, values)) in table.columns.iter().enumerate() {
            sql.push(if index == 0 { "" } else { " OR " });
            is_none_of(&mut sql, column, values);
        }
        sql.push(" LIMIT ").int(NAMED);
        let rows = sqlx::raw_sql(sql.into_statement())
            .fetch_all(&mut *conn)
            .await?;
        for row in &rows {
            let column: String = row.try_get(table.row.1)?;
            let why = format!("{column}: nothing is called that");
            report.unreadable(table.row.name(row), why);
        }
    }
    Ok(())
}

/// A condition that holds of a value that means nothing, and not of NULL. Names are compared byte
/// by byte, as the program does: to a collation a blank at the end is nothing.
fn is_none_of(sql: &mut Sql, column: &'static str, values: &Values) {
    match values {
        Values::Codes(codes) => {
            sql.push(column).push(" NOT IN (");
            sql.values(codes).push(")");
        }
        Values::Names(names) => {
            sql.push("CAST(").push(column).push(" AS BINARY) NOT IN (");
            sql.values(names).push(")");
        }
        Values::Actor => {
            sql.push("(CAST(").push(column).push(" AS BINARY) NOT IN (");
            sql.values(SystemActor::ALL.iter().map(|actor| actor.name()))
                .push(") AND ")
                .push(column);
            sql.push(" NOT LIKE 'operator:%' AND ").push(column);
            sql.push(" NOT REGEXP '^(cu|st)_[0-9a-f]{32}$')");
        }
    }
}
