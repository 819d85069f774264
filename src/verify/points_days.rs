//! How points moved, told three ways: by the events, by the days that the relay projects from them,
//! and by what made the events. Part of invariant 10.
//!
//! What is kept in memory is one sum per tenant, day, source, rule and kind of move.

use std::collections::BTreeMap;

use sqlx::{MySqlConnection, Row as _};

use super::{
    Invariant, Report,
    readable::{RowKey, readable},
};
use crate::{
    db::DbError,
    outbox::Event,
    points::{PointsMove, Source},
    primitives::{BusinessDay, Points, TenantId, Timestamp},
};

/// Tenant, day, source, version of the rule, and what happened.
type Key = (TenantId, BusinessDay, String, u32, u8);

/// How many points, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    points: i64,
    times: i64,
}

/// Moves of points, added up.
#[derive(Debug, Default)]
pub(super) struct Moves(BTreeMap<Key, Sums>);

impl Moves {
    pub(super) fn add_event(&mut self, event: &Event) {
        if let Event::PointsMoved {
            tenant,
            what,
            source,
            rule_version,
            points,
            at,
            ..
        } = event
        {
            let key = (
                *tenant,
                at.business_day(),
                source.clone(),
                *rule_version,
                *what,
            );
            self.add(key, points.get(), 1);
        }
    }

    /// What a back end's points transaction must have told.
    pub(super) fn expect(
        &mut self,
        (tenant, source): (TenantId, &Source),
        what: PointsMove,
        points: Points,
        at: Timestamp,
    ) {
        let source = source.as_str().to_owned();
        let key = (tenant, at.business_day(), source, 0, what.code());
        self.add(key, points.get(), 1);
    }

    fn add(&mut self, key: Key, points: i64, times: i64) {
        let sums = self.0.entry(key).or_default();
        sums.points = sums.points.saturating_add(points);
        sums.times = sums.times.saturating_add(times);
    }

    /// What back ends did, of all that was told: payments and expiry have sources that no back end
    /// can have.
    pub(super) fn compare_transactions(&self, transactions: &Self, report: &mut Report) {
        let of_back_ends = self
            .0
            .iter()
            .filter(|((_, _, source, ..), _)| Source::parse(source).is_ok());
        compare(
            "the points transactions",
            of_back_ends,
            &transactions.0,
            report,
        );
    }
}

fn compare<'a>(
    who: &str,
    reported: impl Iterator<Item = (&'a Key, &'a Sums)>,
    said: &BTreeMap<Key, Sums>,
    report: &mut Report,
) {
    let mut met = 0_usize;
    for (key, sums) in reported {
        let here = said.get(key).copied().unwrap_or_default();
        met += usize::from(said.contains_key(key));
        report.expect(Invariant::EventsMatchChanges, here == *sums, || {
            format!("{}: told are {sums:?}, and {who} say {here:?}", name(key))
        });
    }
    report.expect(Invariant::EventsMatchChanges, met == said.len(), || {
        let more = said.len().saturating_sub(met);
        format!("{who} say of {more} moves of points what was never told")
    });
}

fn name((tenant, day, source, version, what): &Key) -> String {
    let what = PointsMove::from_code(*what).map_or("?", PointsMove::name);
    format!("points {what} of tenant {tenant} on {day} by {source}, rule {version}")
}

/// The days against the events. Only when the relay has read everything.
pub(super) async fn check(
    conn: &mut MySqlConnection,
    reported: &Moves,
    report: &mut Report,
) -> Result<(), DbError> {
    let rows = sqlx::raw_sql(
        "/* verify.points_days */ SELECT tenant_id, day, source, rule_version, what, points, times FROM points_days",
    )
    .fetch_all(conn)
    .await?;
    let mut projected = Moves::default();
    let days = readable(&rows, RowKey("points_days", 5), report, |row| {
        let key = (
            TenantId(row.try_get(0)?),
            BusinessDay(row.try_get(1)?),
            row.try_get(2)?,
            row.try_get(3)?,
            u8::try_from(row.try_get::<i8, _>(4)?).unwrap_or(0),
        );
        Ok((key, row.try_get(5)?, row.try_get(6)?))
    });
    for (key, points, times) in days {
        projected.add(key, points, times);
    }
    compare("the days", reported.0.iter(), &projected.0, report);
    Ok(())
}
