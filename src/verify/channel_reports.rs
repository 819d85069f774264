//! What WeChat has reported is in the books or in front of a person: invariant 17.
//!
//! Others act at WeChat too, and its reports come in any order. What was not requested here (a
//! foreign refund, a payment of a closed order, a share that had been called failed) is booked as
//! it is, and an exception is raised once. What cannot be booked is rejected with an alarm. A call
//! of ours that may still arrive is not forgotten, since an answer in the meantime proves nothing.
//! The other invariants would hold even if all of this were lost. Each rule below is a query whose
//! rows are violations; all of them hold at every instant.
//!
//! A report is a row, open or resolved: an exception for what is about an order of
//! ours, an alarm for a callback. Their texts are not checked.

use sqlx::MySqlConnection;

use super::{
    Invariant, Report,
    liveness::{Rule, Subject, ask},
};
use crate::db::DbError;

const RULES: [Rule; 11] = [
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.origin <> 0 AND NOT EXISTS (SELECT 1 FROM payment_exceptions e \
                WHERE e.order_id = r.order_id AND e.refund_id = r.id AND e.kind IN ('foreign_refund', 'refund_contradiction'))",
        violation: "was made elsewhere, and was not reported",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r LEFT JOIN foreign_refunds f ON f.refund_id = r.id AND f.tenant_id = r.tenant_id \
                WHERE r.origin <> 0 AND f.refund_id IS NULL",
        violation: "was made elsewhere, and its number is not known as its own: reported again, it would be another",
    },
    Rule {
        of: Subject::Refund,
        select: "f.refund_id FROM foreign_refunds f LEFT JOIN refunds r ON r.id = f.refund_id AND r.origin <> 0 WHERE r.id IS NULL",
        violation: "has the number of a refund that was made elsewhere, and is none",
    },
    Rule {
        of: Subject::Order,
        select: "o.id FROM payment_orders o WHERE o.late <> 0 AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = o.id AND e.kind = 'late_payment')",
        violation: "was paid after it had been closed, and was not reported",
    },
    Rule {
        of: Subject::Part,
        select: "p.id FROM sharing_parts p JOIN sharings s ON s.id = p.sharing_id WHERE p.late = 1 \
                AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = s.order_id AND e.kind = 'sharing_contradiction')",
        violation: "arrived after it had been called failed, and was not reported",
    },
    Rule {
        of: Subject::Sharing,
        select: "s.id FROM sharings s WHERE s.stopped = 1 \
                AND NOT EXISTS (SELECT 1 FROM payment_exceptions e WHERE e.order_id = s.order_id AND e.kind = 'sharing_contradiction')",
        violation: "is stopped by what WeChat said, and was not reported",
    },
    Rule {
        of: Subject::Callback,
        select: "c.id FROM callback_events c WHERE c.outcome IN ($callback.rejected, $callback.failed) AND NOT EXISTS (SELECT 1 FROM callback_alarms a WHERE a.event_id = c.id)",
        violation: "is authentic, was not acted on and has no alarm",
    },
    Rule {
        of: Subject::Callback,
        select: "a.event_id FROM callback_alarms a WHERE NOT EXISTS (SELECT 1 FROM callback_events c WHERE c.id = a.event_id)",
        violation: "has an alarm, and was not stored",
    },
    Rule {
        of: Subject::Refund,
        select: "r.id FROM refunds r WHERE r.state IN ($refund.rejected, $refund.succeeded, $refund.closed, $refund.failed, $refund.withdrawn) AND r.calling_until IS NOT NULL",
        violation: "has ended, and a call to WeChat may be under way",
    },
    Rule {
        of: Subject::Sharing,
        select: "s.id FROM sharings s WHERE s.state <> $share.asked AND s.may_arrive_until IS NOT NULL",
        violation: "was answered, and a call of which nothing is known may still be taken",
    },
    Rule {
        of: Subject::Return,
        select: "b.id FROM sharing_returns b WHERE b.state <> $return.asked AND b.may_arrive_until IS NOT NULL",
        violation: "was answered, and a call of which nothing is known may still be taken",
    },
];

pub(super) async fn check(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    let said: i64 = sqlx::query_scalar(
        "/* verify.channel_reports */ SELECT CAST((SELECT COUNT(*) FROM callback_events) + (SELECT COUNT(*) FROM callback_alarms) + (SELECT COUNT(*) FROM foreign_refunds) \
         + (SELECT COUNT(*) FROM refunds) + (SELECT COUNT(*) FROM sharings) + (SELECT COUNT(*) FROM sharing_parts) + (SELECT COUNT(*) FROM sharing_returns) AS SIGNED)",
    )
    .fetch_one(&mut *conn)
    .await?;
    let invariant = Invariant::ChannelReportsAreRecorded;
    report.looked_at(invariant, u64::try_from(said).unwrap_or(0));
    for rule in &RULES {
        ask(conn, rule, None, (invariant, report)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::codes;

    #[test]
    fn every_rule_names_only_states_that_are_known() {
        for rule in &RULES {
            assert!(codes::knows(rule.select), "{}", rule.select);
        }
    }
}
