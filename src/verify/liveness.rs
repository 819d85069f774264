//! Everything that is not final has somebody who moves it on: invariant 16.
//!
//! The other invariants hold in books in which nothing ever happens again. This one looks for what
//! nobody will touch: a refund without a time at which it is looked at, points under a review that
//! does not exist, an order that no scan will come to. Each rule below is a question to the
//! database whose answers are violations.
//!
//! Two kinds of rules. What must hold at every instant ([`ALWAYS`]) needs no clock. The rest
//! ([`RUNNING`]) says that nothing waits longer than whoever moves it on would let it, and is asked
//! only of a service that runs, by the database's clock: in books at rest nobody comes, and nothing
//! is wrong with that.
//!
//! | | bound | why so much |
//! |---|---|---|
//! | due and not taken | [`LATE`], an hour | jobs come every second; an hour is an outage |
//! | due later than anybody would say | [`AHEAD`], two hours | the longest pause is an hour; more was said by a clock that is ahead |
//! | committed and not projected | [`RELAY`], ten minutes | the relay looks five times a second |
//! | open, and not watched | an hour | the second scan comes after ten minutes |
//! | stuck, and not reported | twice what `payments/stuck.rs` allows | |
//! | held or open after its end | an hour | the job comes again each half minute, or minute |
//! | a sweep of points | two days | it takes minutes, and one tenant's waits for another's |
//! | attempts at one delivery | twenty | the tenth is the last, unless it cannot be noted |
//!
//! What was reported to people (exceptions) and what is no longer tried after many attempts
//! (deliveries that are parked) is where they see it: in lists by state. Here it must say why.
//!
//! # A job that fails each time
//!
//! Whoever takes what is due moves its time ahead, so that nobody else takes it meanwhile. What
//! fails each time it is taken is therefore never due for long, and *due and not taken* sees only
//! that nobody comes. So beside it each kind has a rule over something that a claim does not move:
//!
//! | what is taken | and fails each time: found by |
//! |---|---|
//! | refund, sharing, order to be shared, open order | the time in its state, its own age, when it was paid, when its time was over, beside its exceptions |
//! | shares that come back for a withdrawn refund | the time since it was withdrawn |
//! | hold of points | the end that its back end was given |
//! | review | its age: the end of an open one is not kept beside the claim, so more than a rule file may give it, and an hour |
//! | delivery | its attempts, which each claim counts |
//! | run of the expiry | when it was asked for |
//!
//! A hold that cannot be ended and a review that cannot time out are only in the log: it
//! means that the ledger refuses what it accepted, so books that other rules here find broken, and
//! there is no order whose exceptions a person would look at. That this check finds them has to be
//! enough.
//!
//! Where a rule asks for an exception it says of what: another exception of the same order says
//! nothing. And where an exception is raised again until the thing makes progress, one that
//! somebody resolved long ago is none.

use sqlx::{MySqlConnection, Row as _};

use super::{
    Invariant, Report, codes,
    readable::{RowKey, passed, readable_as},
};
use crate::{
    db::{DbError, Sql},
    primitives::{
        ExceptionId, ExpiryRunId, Id, OrderId, PointsTransactionId, RefundId, ReviewId, SharingId,
        SharingPartId, SharingReturnId, Timestamp,
    },
    risk::REVIEW_TIMEOUT_MAX,
};

/// Seconds after which what is due should have been taken.
const LATE: i64 = 3_600;
/// Seconds ahead beyond which nothing of this kind is made due.
const AHEAD: i64 = 7_200;
/// Seconds after which a commit should have been projected.
const RELAY: i64 = 600;

/// Whose id a rule answers with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    Order,
    Refund,
    Sharing,
    Part,
    Return,
    Review,
    PointsTransaction,
    Delivery,
    Run,
    Exception,
    Callback,
}

impl Subject {
    fn name(self, id: Id) -> String {
        match self {
            Self::Order => OrderId::new(id).to_string(),
            Self::Refund => RefundId::new(id).to_string(),
            Self::Sharing => SharingId::new(id).to_string(),
            Self::Part => SharingPartId::new(id).to_string(),
            Self::Return => SharingReturnId::new(id).to_string(),
            Self::Review => ReviewId::new(id).to_string(),
            Self::PointsTransaction => PointsTransactionId::new(id).to_string(),
            Self::Delivery => format!("delivery {}", hex::encode(id.bytes())),
            Self::Run => ExpiryRunId::new(id).to_string(),
            Self::Exception => ExceptionId::new(id).to_string(),
            Self::Callback => format!("callback {id}"),
        }
    }
}

/// Ids of what is stuck, and what to say of it.
pub(super) struct Rule {
    pub(super) of: Subject,
    /// After `SELECT id`. `$refund.accepted` becomes the number of that state ([`codes`]).
    pub(super) select: &'static str,
    pub(super) violation: &'static str,
}

/// What holds at every instant.
const ALWAYS: [Rule; 23] = [
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.state IN ($refund.returning, $refund.accepted, $refund.processing, $refund.abnormal) AND r.next_attempt_at IS NULL",
        violation: "is under way, and nobody looks at it again",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.state IN ($refund.awaiting_approval, $refund.rejected, $refund.succeeded, $refund.closed, $refund.failed) AND r.next_attempt_at IS NOT NULL",
        violation: "is over or waits for a person, and is looked at again",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r JOIN sharings s ON s.refund_id = r.id WHERE r.state = $refund.withdrawn AND r.next_attempt_at IS NULL",
        violation: "was withdrawn, and nobody asks for the shares that are coming back for it",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.state = $refund.abnormal AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = r.order_id AND e.refund_id = r.id AND e.kind = 'refund_abnormal')",
        violation: "waits for a person to say where it shall go, and was not reported",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.stuck = 1 AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = r.order_id AND e.refund_id = r.id AND e.kind = 'refund_stuck')",
        violation: "counts as reported, and has no exception",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r JOIN payment_exceptions e ON e.order_id = r.order_id AND e.refund_id = r.id WHERE e.kind = 'refund_stuck' AND e.resolved_at IS NULL AND r.stuck = 0",
        violation: "makes progress, and an open exception says that it is stuck",
    },
    Rule {
        of: Subject::Order,
        select: "o.id FROM payment_orders o WHERE o.refund_unknown = 1 AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = o.id AND e.kind = 'foreign_refund')",
        violation: "waits for a person to say what was refunded elsewhere, and was not reported",
    },
    Rule {
        of: Subject::Sharing,
        select: "s.id FROM sharings s WHERE s.state <> $share.done AND s.next_attempt_at IS NULL",
        violation: "is under way, and nobody looks at it again",
    },
    Rule {
        of: Subject::Sharing,
        select: "s.id FROM sharings s WHERE s.state = $share.done AND s.next_attempt_at IS NOT NULL",
        violation: "is done, and is looked at again",
    },
    Rule {
        of: Subject::Part,
        select: "p.id FROM sharing_parts p LEFT JOIN sharings s ON s.id = p.sharing_id WHERE p.state = $part.pending AND COALESCE(s.state IN ($share.asked, $share.processing) AND s.next_attempt_at IS NOT NULL, 0) = 0",
        violation: "is pending, and nobody asks what became of its sharing",
    },
    Rule {
        of: Subject::Return,
        select: "b.id FROM sharing_returns b LEFT JOIN refunds r ON r.id = b.refund_id WHERE b.state IN ($return.asked, $return.processing) AND COALESCE(r.state IN ($refund.returning, $refund.withdrawn) AND r.next_attempt_at IS NOT NULL, 0) = 0",
        violation: "is under way, and nobody asks what became of it",
    },
    Rule {
        of: Subject::Order,
        select: "o.id FROM payment_orders o WHERE o.state IN ($order.created, $order.prepaid) AND o.id <= (SELECT p.position FROM scan_positions p WHERE p.scan = 'old') AND NOT EXISTS (SELECT 1 FROM order_watches w WHERE w.order_id = o.id)",
        violation: "is open, both scans have passed it by, and nobody watches it",
    },
    Rule {
        of: Subject::Order,
        select: "o.id FROM payment_orders o WHERE o.review = $order_review.open AND NOT EXISTS (SELECT 1 FROM risk_reviews v WHERE v.id = CONCAT(SUBSTR(o.id, 1, 15), x'01') AND v.kind = $review_of.order AND v.state IN ($review.open, $review.claimed))",
        violation: "has points under a review that nobody decides",
    },
    Rule {
        of: Subject::PointsTransaction,
        select: "d.id FROM points_transactions d WHERE d.state = $points_transaction.under_review AND NOT EXISTS (SELECT 1 FROM risk_reviews v WHERE v.id = CONCAT(SUBSTR(d.id, 1, 15), x'01') AND v.kind = $review_of.points_transaction AND v.state IN ($review.open, $review.claimed))",
        violation: "is under a review that nobody decides",
    },
    Rule {
        of: Subject::Review,
        select: "v.id FROM risk_reviews v LEFT JOIN payment_orders o ON o.id = CONCAT(SUBSTR(v.id, 1, 15), x'00') WHERE v.kind = $review_of.order AND v.state IN ($review.open, $review.claimed) AND COALESCE(o.review, 0) <> $order_review.open",
        violation: "is open, and no order waits for it",
    },
    Rule {
        of: Subject::Review,
        select: "v.id FROM risk_reviews v LEFT JOIN points_transactions d ON d.id = CONCAT(SUBSTR(v.id, 1, 15), x'00') WHERE v.kind = $review_of.points_transaction AND v.state IN ($review.open, $review.claimed) AND COALESCE(d.state, 0) <> $points_transaction.under_review",
        violation: "is open, and no points transaction waits for it",
    },
    Rule {
        of: Subject::Review,
        select: "v.id FROM risk_reviews v WHERE (v.state IN ($review.open, $review.claimed)) <> (v.due_at IS NOT NULL)",
        violation: "is open without an end, or decided and due",
    },
    Rule {
        of: Subject::PointsTransaction,
        select: "d.id FROM points_transactions d WHERE (d.state = $points_transaction.held) <> (d.due_at IS NOT NULL) OR (d.state = $points_transaction.held AND d.hold_until IS NULL)",
        violation: "holds points without an end, or ends a hold that has ended",
    },
    Rule {
        of: Subject::Delivery,
        select: "d.id FROM deliveries d WHERE (d.state = 'pending') <> (d.next_attempt_at IS NOT NULL)",
        violation: "is pending and nobody delivers it, or is over and somebody does",
    },
    Rule {
        of: Subject::Delivery,
        select: "d.id FROM deliveries d WHERE d.state = 'parked' AND COALESCE(d.last_error, '') = ''",
        violation: "is parked, and nobody sees why",
    },
    Rule {
        of: Subject::Exception,
        select: "e.id FROM payment_exceptions e WHERE (e.resolved_at IS NULL) <> (e.resolution IS NULL) OR e.detail = ''",
        violation: "does not say what happened, or what was done about it",
    },
    Rule {
        of: Subject::Exception,
        select: "e.id FROM payment_exceptions e WHERE e.refund_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.id = e.refund_id)",
        violation: "is about a refund that does not exist",
    },
    Rule {
        of: Subject::Exception,
        select: "e.id FROM payment_exceptions e WHERE e.order_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM payment_orders o WHERE o.id = e.order_id)",
        violation: "is about an order that does not exist",
    },
];

/// What is not true before the relay has read everything.
const PROJECTED: [Rule; 1] = [Rule {
    of: Subject::Order,
    select: "o.id FROM payment_orders o WHERE o.sharing = $order_sharing.wanted AND o.paid_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sharing_dues d WHERE d.order_id = o.id)",
    violation: "is paid and to be shared, and nobody shares it",
}];

/// What holds while the service runs. `@late`, `@ahead` and so on become instants, `#hour` and so
/// on the ids of instants.
const RUNNING: [Rule; 19] = [
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.next_attempt_at < @late",
        violation: "is due for more than an hour, and nobody came",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.next_attempt_at > @ahead",
        violation: "is due later than anybody would have said",
    },
    Rule {
        of: Subject::Sharing,
        select: "s.id FROM sharings s WHERE s.next_attempt_at < @late",
        violation: "is due for more than an hour, and nobody came",
    },
    Rule {
        of: Subject::Sharing,
        select: "s.id FROM sharings s WHERE s.next_attempt_at > @ahead",
        violation: "is due later than anybody would have said",
    },
    Rule {
        of: Subject::Order,
        select: "w.order_id FROM order_watches w WHERE w.due_at < @late",
        violation: "is to be asked about for more than an hour, and nobody did",
    },
    Rule {
        of: Subject::Order,
        select: "w.order_id FROM order_watches w WHERE w.due_at > @ahead",
        violation: "is to be asked about later than anybody would have said",
    },
    Rule {
        of: Subject::Order,
        select: "d.order_id FROM sharing_dues d WHERE d.due_at < @late",
        violation: "is to be shared for more than an hour, and nobody did",
    },
    Rule {
        of: Subject::Order,
        select: "d.order_id FROM sharing_dues d WHERE d.due_at > @ahead",
        violation: "is to be shared later than anybody would have said",
    },
    Rule {
        of: Subject::PointsTransaction,
        // Whoever tries to end it moves `due_at`, and never this.
        select: "d.id FROM points_transactions d WHERE d.state = $points_transaction.held AND d.hold_until < @late",
        violation: "holds points for more than an hour after its end",
    },
    Rule {
        of: Subject::Review,
        select: "v.id FROM risk_reviews v WHERE v.state IN ($review.open, $review.claimed) AND (v.due_at < @late OR v.created_at < @review)",
        violation: "is open for more than an hour after its end",
    },
    Rule {
        of: Subject::Delivery,
        select: "d.id FROM deliveries d WHERE d.next_attempt_at < @late",
        violation: "is due for more than an hour, and nobody came",
    },
    Rule {
        of: Subject::Delivery,
        select: "d.id FROM deliveries d WHERE d.state = 'pending' AND d.attempts > 20",
        violation: "is tried more often than it may be: what becomes of it is not noted",
    },
    Rule {
        of: Subject::Run,
        select: "x.id FROM points_expiry_runs x WHERE x.open = 1 AND x.asked_at < @days",
        violation: "sweeps expired points for days, and does not come to an end",
    },
    Rule {
        of: Subject::Order,
        select: "o.id FROM payment_orders o WHERE o.state IN ($order.created, $order.prepaid) AND o.id < #hour AND NOT EXISTS (SELECT 1 FROM order_watches w WHERE w.order_id = o.id)",
        violation: "is open for more than an hour, and nobody watches it",
    },
    Rule {
        of: Subject::Order,
        // Told again at the next query, within an hour, while it stays so.
        select: "o.id FROM payment_orders o WHERE o.state IN ($order.created, $order.prepaid) AND o.expires_at < @days \
                AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = o.id AND e.refund_id IS NULL \
                AND e.kind IN ('order_stuck', 'answer_mismatch') AND (e.resolved_at IS NULL OR e.resolved_at > @hours))",
        violation: "is open for days after its time, and was not reported",
    },
    Rule {
        of: Subject::Refund,
        // Told once in a state, which `stuck` says, whether or not somebody has resolved it; or
        // that WeChat's answers are wrong, once in a state too.
        select: "r.id FROM refunds r WHERE ((r.state IN ($refund.returning, $refund.accepted) AND r.since < @hours) OR (r.state = $refund.processing AND r.since < @weeks)) AND r.stuck = 0 \
                AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = r.order_id AND e.refund_id = r.id \
                AND e.kind = 'answer_mismatch' AND e.created_at >= r.since)",
        violation: "is stuck for too long, and was not reported",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.state = $refund.withdrawn AND r.next_attempt_at IS NOT NULL AND r.since < @weeks",
        violation: "was withdrawn weeks ago, and shares are still on their way back for it",
    },
    Rule {
        of: Subject::Sharing,
        // Told again after a day at most, while it stays so.
        select: "s.id FROM sharings s WHERE s.state <> $share.done AND s.id < #days \
                AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = s.order_id \
                AND e.kind = 'sharing_stuck' AND (e.resolved_at IS NULL OR e.resolved_at > @days))",
        violation: "is stuck for days, and was not reported",
    },
    Rule {
        of: Subject::Order,
        // Told again within an hour, while it stays so. That it waits for somebody to say what was
        // refunded elsewhere is told by itself.
        select: "d.order_id FROM sharing_dues d JOIN payment_orders o ON o.id = d.order_id WHERE o.paid_at < @days AND o.refund_unknown = 0 \
                AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = o.id \
                AND e.kind = 'sharing_stuck' AND (e.resolved_at IS NULL OR e.resolved_at > @hours))",
        violation: "is to be shared for days, and was not reported",
    },
];

const MOVES: Invariant = Invariant::NothingIsStuck;

/// At most so many ids of one rule are named.
const NAMED: i64 = 20;

/// `running`: the service is at work, so that nothing may wait longer than its jobs would let it.
/// `relayed`: the relay has read everything.
pub(super) async fn check(
    conn: &mut MySqlConnection,
    running: bool,
    relayed: bool,
    report: &mut Report,
) -> Result<(), DbError> {
    let under_way: i64 = sqlx::query_scalar(codes::statement(
        "/* verify.under_way */ SELECT CAST((SELECT COUNT(*) FROM refunds WHERE state IN ($refund.awaiting_approval, $refund.returning, $refund.accepted, $refund.processing, $refund.abnormal)) \
         + (SELECT COUNT(*) FROM sharings WHERE state <> $share.done) \
         + (SELECT COUNT(*) FROM payment_orders WHERE state IN ($order.created, $order.prepaid) OR sharing = $order_sharing.wanted OR review = $order_review.open) \
         + (SELECT COUNT(*) FROM points_transactions WHERE state IN ($points_transaction.held, $points_transaction.under_review)) \
         + (SELECT COUNT(*) FROM risk_reviews WHERE state IN ($review.open, $review.claimed)) + (SELECT COUNT(*) FROM deliveries WHERE state IN ('pending', 'parked')) \
         + (SELECT COUNT(*) FROM points_expiry_runs x WHERE x.open = 1) \
         + (SELECT COUNT(*) FROM payment_exceptions) + (SELECT COUNT(*) FROM committers) AS SIGNED)",
    ))
    .fetch_one(&mut *conn)
    .await?;
    report.looked_at(
        Invariant::NothingIsStuck,
        u64::try_from(under_way).unwrap_or(0),
    );
    for rule in &ALWAYS {
        ask(conn, rule, None, (MOVES, report)).await?;
    }
    if relayed {
        for rule in &PROJECTED {
            ask(conn, rule, None, (MOVES, report)).await?;
        }
    }
    if !running {
        return Ok(());
    }
    let now: Timestamp = sqlx::query_scalar("/* verify.now */ SELECT UTC_TIMESTAMP(6)")
        .fetch_one(&mut *conn)
        .await?;
    for rule in &RUNNING {
        ask(conn, rule, Some(now), (MOVES, report)).await?;
    }
    relay(conn, now, report).await
}

/// Every answer breaks the invariant.
pub(super) async fn ask(
    conn: &mut MySqlConnection,
    rule: &Rule,
    now: Option<Timestamp>,
    (invariant, report): (Invariant, &mut Report),
) -> Result<(), DbError> {
    let mut sql = Sql::new("SELECT /* verify.liveness */ ");
    push(&mut sql, rule.select, now);
    sql.push(" LIMIT ").int(NAMED);
    let asked = sqlx::raw_sql(sql.into_statement()).fetch_all(conn).await;
    let rows = passed(rule.violation, asked.map_err(DbError::from), report)?;
    for row in rows.unwrap_or_default() {
        let id: Option<Vec<u8>> = row.try_get(0)?;
        let id = id.and_then(|id| id.try_into().ok()).map(Id::from_bytes);
        let name = id.map_or_else(|| "something".to_owned(), |id| rule.of.name(id));
        report.violated(invariant, format!("{name} {}", rule.violation));
    }
    Ok(())
}

/// The rule's text, with the instants and the numbers that it names.
fn push(sql: &mut Sql, text: &'static str, now: Option<Timestamp>) {
    const IDS: [(&str, i64); 2] = [("#hour", -3_600), ("#days", -3 * 86_400)];
    let instants = [
        ("@late", -LATE),
        ("@ahead", AHEAD),
        ("@hours", -7_200),
        ("@days", -2 * 86_400),
        ("@weeks", -14 * 86_400),
        ("@review", -i64::from(REVIEW_TIMEOUT_MAX) - LATE),
    ];
    let Some(now) = now else {
        codes::push(sql, text);
        return;
    };
    let mut rest = text;
    while let Some(index) = rest.find(['@', '#']) {
        let (before, from) = rest.split_at(index);
        codes::push(sql, before);
        let instant = instants.iter().find(|(name, _)| from.starts_with(name));
        let id = IDS.iter().find(|(name, _)| from.starts_with(name));
        rest = match (instant, id) {
            (Some((name, seconds)), _) => {
                sql.time(now.plus_seconds(*seconds));
                &from[name.len()..]
            }
            (None, Some((name, seconds))) => {
                let mut id = [0; 16];
                let millis = now.plus_seconds(*seconds).millis();
                id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
                sql.bytes(&id);
                &from[name.len()..]
            }
            (None, None) => {
                sql.push(from);
                ""
            }
        };
    }
    codes::push(sql, rest);
}

/// What is committed is projected soon. A relay that stands still leaves histories, totals and what
/// is to be told behind for ever, and every other check of these waits for it.
async fn relay(
    conn: &mut MySqlConnection,
    now: Timestamp,
    report: &mut Report,
) -> Result<(), DbError> {
    let rows = sqlx::query(
        "/* verify.relay_stands */ SELECT m.committer, m.seq, m.committed_at FROM committers c LEFT JOIN relay_positions p ON p.relay = 'orders' AND p.committer = c.id \
         JOIN commits m ON m.committer = c.id AND m.seq = LEAST(COALESCE(p.seq, 0), 9223372036854775806) + 1 WHERE m.committed_at < ? ORDER BY m.committer",
    )
    .bind(now.plus_seconds(-RELAY))
    .fetch_all(conn)
    .await?;
    let of = RowKey("a commit that is not projected", 0);
    let behind: Vec<(u32, i64, Timestamp)> = readable_as(&rows, of, report);
    for (committer, seq, at) in behind {
        report.violated(
            Invariant::NothingIsStuck,
            format!("commit {seq} of committer {committer}, of {at}, is not projected: the relay stands still"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_names_only_instants_that_are_known() {
        let now = Timestamp::from_micros(1_795_000_000_000_000);
        for rule in &RUNNING {
            let mut sql = Sql::new("");
            push(&mut sql, rule.select, Some(now));
            let text = format!("{sql:?}");
            assert!(!text.contains('@') && !text.contains('#'), "{text}");
        }
        for rule in ALWAYS.iter().chain(&PROJECTED) {
            assert!(!rule.select.contains(['@', '#']), "{}", rule.select);
        }
        for rule in ALWAYS.iter().chain(&PROJECTED).chain(&RUNNING) {
            assert!(codes::knows(rule.select), "{}", rule.select);
        }
    }
}
