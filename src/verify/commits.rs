//! The chain of commits, what it covers, and the events in it: invariants 10 and 11.

use std::collections::{HashMap, HashSet};

use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use super::{
    Invariant, Progress, Report,
    arrivals::{self, Arrivals},
    points_days::Moves,
    readable::{RowKey, readable, reason},
};
use crate::{
    db::{DbError, Sql, batch::seal},
    ledger::{TRANSFER_COLUMNS, Transfer, read_transfer},
    outbox::{self, Event},
    primitives::{CommitterId, EntryId, EntryKind, OrderId, Timestamp},
};

struct Commit {
    seq: u64,
    at: Timestamp,
    events: Vec<u8>,
    seal: Vec<u8>,
}

/// What the commits of one committer, or of all, come to.
#[derive(Debug, Clone, Copy, Default)]
struct CommitTotals {
    /// Transfers sealed.
    covered: u64,
    /// Changes of orders.
    moves: u64,
    arrivals: Arrivals,
}

/// Returns the refunds that the events report as arrived, and adds up the moves of points that they
/// report.
pub(super) async fn check(
    conn: &mut MySqlConnection,
    moves: &mut Moves,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<Arrivals, DbError> {
    let committers: Vec<(u32,)> = sqlx::query_as(
        "/* verify.committers */ SELECT DISTINCT committer FROM commits ORDER BY committer",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut all = CommitTotals::default();
    for (committer,) in committers {
        let reported = walk(conn, CommitterId(committer), moves, report, progress).await?;
        all.covered += reported.covered;
        all.moves += reported.moves;
        all.arrivals.join(reported.arrivals);
    }
    coverage(conn, all.covered, report).await?;
    promised_events(conn, all.moves, report).await?;
    Ok(all.arrivals)
}

/// Walks one committer's sequence.
async fn walk(
    conn: &mut MySqlConnection,
    committer: CommitterId,
    moves: &mut Moves,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<CommitTotals, DbError> {
    let relayed: Option<i64> =
        sqlx::query_scalar("/* verify.relay_position */ SELECT seq FROM relay_positions WHERE relay = 'orders' AND committer = ?")
            .bind(committer)
            .fetch_optional(&mut *conn)
            .await?;
    let relayed = relayed.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
    let (mut previous, mut last) = ([0_u8; 32], 0_u64);
    let mut sum = CommitTotals::default();
    loop {
        let page = read_page(conn, committer, last, report).await?;
        if page.is_empty() {
            break;
        }
        progress.advance(u64::try_from(page.len()).unwrap_or(0));
        let mut reported = Vec::new();
        for commit in &page {
            let Ok(events) = outbox::unpack(&commit.events) else {
                report.violated(
                    Invariant::ChainIsUnbroken,
                    format!("commit {}/{}: unreadable events", committer.0, commit.seq),
                );
                reported.push(Vec::new());
                continue;
            };
            reported.push(events);
        }
        reported
            .iter()
            .flatten()
            .for_each(|event| moves.add_event(event));
        let transfers = load_transfers(conn, &reported, report).await?;
        for (commit, events) in page.iter().zip(&reported) {
            report.expect(Invariant::ChainIsUnbroken, commit.seq == last + 1, || {
                format!(
                    "committer {}: commit {} follows {last}",
                    committer.0, commit.seq
                )
            });
            let entries: HashSet<EntryId> = events.iter().filter_map(Event::entry).collect();
            let mut sealed: Vec<&Transfer> = entries
                .iter()
                .filter_map(|entry| transfers.get(entry))
                .flatten()
                .collect();
            sealed.sort_unstable_by_key(|transfer| transfer.id);
            sum.covered += u64::try_from(sealed.len()).unwrap_or(0);
            let mut sealing = seal(&previous, committer, commit.seq, commit.at, &commit.events);
            for transfer in sealed {
                transfer.seal(&mut sealing);
            }
            let intact = sealing.finish().as_ref() == commit.seal.as_slice();
            if !intact {
                name_broken_rows(committer, commit, events, &transfers, report);
            }
            previous = commit.seal.as_slice().try_into().unwrap_or([0; 32]);
            last = commit.seq;
        }
        sum.moves += check_events(conn, &page, &reported, relayed, &transfers, report).await?;
        let arrivals = arrivals::check_events(conn, reported.iter().flatten(), report).await?;
        sum.arrivals.join(arrivals);
    }
    report.expect(Invariant::EventsMatchChanges, relayed <= last, || {
        format!(
            "the relay claims to have read commit {relayed} of committer {}, which ends at {last}",
            committer.0
        )
    });
    Ok(sum)
}

async fn read_page(
    conn: &mut MySqlConnection,
    committer: CommitterId,
    after: u64,
    report: &mut Report,
) -> Result<Vec<Commit>, DbError> {
    let mut sql = Sql::new(
        "SELECT /* verify.commits */ committer, seq, committed_at, events, seal FROM commits WHERE committer = ",
    );
    sql.int(committer.0).push(" AND seq > ");
    sql.int(i64::try_from(after).unwrap_or(i64::MAX));
    sql.push(" ORDER BY seq LIMIT 100");
    let rows = sqlx::raw_sql(sql.into_statement()).fetch_all(conn).await?;
    let mut commits = Vec::with_capacity(rows.len());
    for row in &rows {
        let seq: i64 = row.try_get(1)?;
        let seq = u64::try_from(seq).unwrap_or(u64::MAX);
        let commit = read_commit(row, seq).unwrap_or_else(|error| {
            report.unreadable(RowKey("commits", 2).name(row), reason(row, &error));
            // In its place in the chain, which is broken there.
            Commit {
                seq,
                at: Timestamp::from_micros(0),
                events: Vec::new(),
                seal: Vec::new(),
            }
        });
        commits.push(commit);
    }
    Ok(commits)
}

fn read_commit(row: &MySqlRow, seq: u64) -> Result<Commit, sqlx::Error> {
    Ok(Commit {
        seq,
        at: row.try_get(2)?,
        events: row.try_get(3)?,
        seal: row.try_get(4)?,
    })
}

async fn load_transfers(
    conn: &mut MySqlConnection,
    reported: &[Vec<Event>],
    report: &mut Report,
) -> Result<HashMap<EntryId, Vec<Transfer>>, DbError> {
    let entries: Vec<EntryId> = reported.iter().flatten().filter_map(Event::entry).collect();
    let mut found: HashMap<EntryId, Vec<Transfer>> = HashMap::new();
    for entries in entries.chunks(2_000) {
        let mut sql = Sql::new("SELECT /* verify.sealed */ ");
        sql.push(TRANSFER_COLUMNS)
            .push(" FROM transfers WHERE entry_id IN (");
        sql.values(entries).push(") ORDER BY entry_id, leg");
        let rows = sqlx::raw_sql(sql.into_statement())
            .fetch_all(&mut *conn)
            .await?;
        for transfer in readable(&rows, RowKey("transfers", 2), report, read_transfer) {
            found.entry(transfer.id.entry).or_default().push(transfer);
        }
    }
    Ok(found)
}

/// The seal covers a batch; what the events say of amounts narrows it down to the row.
fn name_broken_rows(
    committer: CommitterId,
    commit: &Commit,
    events: &[Event],
    transfers: &HashMap<EntryId, Vec<Transfer>>,
    report: &mut Report,
) {
    let mut suspects: Vec<EntryId> = Vec::new();
    for event in events {
        let Some(entry) = event.entry() else { continue };
        let legs = transfers.get(&entry).map_or(&[][..], Vec::as_slice);
        if !says(event, legs, transfers) {
            suspects.push(entry);
        }
    }
    if suspects.is_empty() {
        suspects = events.iter().filter_map(Event::entry).take(20).collect();
    }
    report.looked_at(Invariant::ChainIsUnbroken, 1);
    report.violated(
        Invariant::ChainIsUnbroken,
        format!(
            "commit {}/{} is not what was sealed; look at {suspects:?}",
            committer.0, commit.seq
        ),
    );
}

/// Whether the transfers are what the event says. Points that a payment earned are the second leg
/// of its settlement, or wait in an entry of their own, which was written with it.
fn says(event: &Event, legs: &[Transfer], transfers: &HashMap<EntryId, Vec<Transfer>>) -> bool {
    if let Some(settled) = event.settled() {
        let money = legs
            .first()
            .is_some_and(|leg| leg.amount == settled.amount.get());
        let held = EntryId::of(settled.order.id(), EntryKind::PointsHeld);
        let held = transfers.get(&held).and_then(|legs| legs.first());
        let earned = legs.get(1).or(held).map_or(0, |leg| leg.amount);
        return money && earned == settled.points.get() && legs.len() <= 3;
    }
    event.entry().is_none() || !legs.is_empty()
}

/// Every event has its change: the order is at least that far, the entry is there, and what the
/// relay has read is projected.
async fn check_events(
    conn: &mut MySqlConnection,
    page: &[Commit],
    reported: &[Vec<Event>],
    relayed: u64,
    transfers: &HashMap<EntryId, Vec<Transfer>>,
    report: &mut Report,
) -> Result<u64, DbError> {
    let mut moved: Vec<(OrderId, u32, u8, bool)> = Vec::new();
    for (commit, events) in page.iter().zip(reported) {
        let projected = commit.seq <= relayed;
        for event in events {
            if let Some(step) = event.step() {
                moved.push((step.order, step.version, step.state, projected));
            }
            if let Some(entry) = event.entry() {
                let legs = transfers.get(&entry).map_or(&[][..], Vec::as_slice);
                report.expect(
                    Invariant::EventsMatchChanges,
                    says(event, legs, transfers),
                    || format!("{entry} is not what its event says"),
                );
            }
        }
    }
    for chunk in moved.chunks(2_000) {
        let versions = order_versions(conn, chunk, report).await?;
        let history = history_states(conn, chunk, report).await?;
        for (order, version, state, projected) in chunk {
            let known = versions.get(order).is_some_and(|known| known >= version);
            report.expect(Invariant::EventsMatchChanges, known, || {
                format!("{order} is told to be at version {version} and is not")
            });
            if *projected {
                let right = history.get(&(*order, *version)) == Some(state);
                report.expect(Invariant::EventsMatchChanges, right, || {
                    format!("the relay skipped version {version} of {order}")
                });
            }
        }
    }
    Ok(u64::try_from(moved.len()).unwrap_or(0))
}

type Moved = [(OrderId, u32, u8, bool)];

async fn order_versions(
    conn: &mut MySqlConnection,
    moved: &Moved,
    report: &mut Report,
) -> Result<HashMap<OrderId, u32>, DbError> {
    let mut sql = Sql::new(
        "SELECT /* verify.order_versions */ id, version FROM payment_orders WHERE id IN (",
    );
    sql.values(moved.iter().map(|(order, ..)| order)).push(")");
    let rows = sqlx::raw_sql(sql.into_statement()).fetch_all(conn).await?;
    let of = RowKey("payment_orders", 1);
    let versions = readable(&rows, of, report, |row| {
        Ok((row.try_get(0)?, row.try_get(1)?))
    });
    Ok(versions.into_iter().collect())
}

async fn history_states(
    conn: &mut MySqlConnection,
    moved: &Moved,
    report: &mut Report,
) -> Result<HashMap<(OrderId, u32), u8>, DbError> {
    let mut sql = Sql::new(
        "SELECT /* verify.history_states */ order_id, version, state FROM payment_order_history WHERE order_id IN (",
    );
    sql.values(moved.iter().map(|(order, ..)| order)).push(")");
    let rows = sqlx::raw_sql(sql.into_statement()).fetch_all(conn).await?;
    let of = RowKey("payment_order_history", 2);
    let states = readable(&rows, of, report, |row| {
        let state: i8 = row.try_get(2)?;
        Ok((
            (row.try_get(0)?, row.try_get(1)?),
            u8::try_from(state).unwrap_or(0),
        ))
    });
    Ok(states.into_iter().collect())
}

/// Every transfer belongs to a commit. The totals tell; only when they differ is the odd one looked
/// for.
async fn coverage(
    conn: &mut MySqlConnection,
    covered: u64,
    report: &mut Report,
) -> Result<(), DbError> {
    let (transfers,): (i64,) =
        sqlx::query_as("/* verify.transfer_count */ SELECT COUNT(*) FROM transfers")
            .fetch_one(&mut *conn)
            .await?;
    report.looked_at(Invariant::ChainIsUnbroken, 1);
    if u64::try_from(transfers) == Ok(covered) {
        return Ok(());
    }
    let mut known: HashSet<EntryId> = HashSet::new();
    let commits: Vec<(Vec<u8>,)> =
        sqlx::query_as("/* verify.all_events */ SELECT events FROM commits")
            .fetch_all(&mut *conn)
            .await?;
    for (events,) in commits {
        known.extend(
            outbox::unpack(&events)
                .unwrap_or_default()
                .iter()
                .filter_map(Event::entry),
        );
    }
    let entries: Vec<(EntryId,)> =
        sqlx::query_as("/* verify.all_entries */ SELECT DISTINCT entry_id FROM transfers")
            .fetch_all(&mut *conn)
            .await?;
    let present: HashSet<EntryId> = entries.into_iter().map(|(entry,)| entry).collect();
    for entry in present.difference(&known) {
        report.violated(
            Invariant::ChainIsUnbroken,
            format!("{entry} belongs to no commit"),
        );
    }
    for entry in known.difference(&present) {
        report.violated(
            Invariant::ChainIsUnbroken,
            format!("{entry} is sealed in a commit and gone from the books"),
        );
    }
    report.violated(
        Invariant::ChainIsUnbroken,
        format!("{transfers} transfers in the books, {covered} covered by commits"),
    );
    Ok(())
}

/// Every change has its event: an order at version n was told n times.
async fn promised_events(
    conn: &mut MySqlConnection,
    moves: u64,
    report: &mut Report,
) -> Result<(), DbError> {
    let (versions,): (i64,) =
        sqlx::query_as("/* verify.version_sum */ SELECT CAST(COALESCE(SUM(version), 0) AS SIGNED) FROM payment_orders").fetch_one(&mut *conn).await?;
    report.expect(
        Invariant::EventsMatchChanges,
        u64::try_from(versions) == Ok(moves),
        || format!("orders changed {versions} times and {moves} changes were told"),
    );
    Ok(())
}

/// An entry of the kind that settles an order.
pub(super) fn is_settlement(entry: EntryId) -> bool {
    entry.kind() == Some(EntryKind::Settlement) && !entry.is_resolution()
}
