//! What orders say of their refunds, against the refunds: invariants 5, 6 and 9.
//!
//! The database adds the refunds up, order by order along their index; that is merged with the
//! orders as they are read.

use sqlx::{MySqlConnection, Row as _};

use super::{
    Invariant, Report,
    pages::{Cursor, RefundsByOrder, RefundsOfOrder},
};
use crate::{
    db::{DbError, Sql},
    payments::{Late, Order, OrderSharing, OrderStateKind, PointsReview, RefundStateKind},
    primitives::Money,
};

/// The refunds of each order, read beside the orders.
#[derive(Default)]
pub(super) struct RefundedPass {
    sums: Cursor<RefundsByOrder>,
}

impl RefundedPass {
    /// Takes the next order, in the order of their ids. Returns what its refunds come to.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        order: &Order,
        report: &mut Report,
    ) -> Result<RefundsOfOrder, DbError> {
        let mut sums = RefundsOfOrder {
            order: order.id,
            count: 0,
            ever: 0,
            asked: 0,
            done: 0,
            points: 0,
            late: 0,
            waiting: 0,
            withheld: 0,
            withheld_ever: 0,
            withheld_done: 0,
            taken: 0,
            returned: 0,
            elsewhere: 0,
        };
        while let Some(next) = self.sums.peek(conn, report).await?
            && next.order <= order.id
        {
            self.sums.next(conn, report).await?;
            if next.order == order.id {
                sums = next;
            } else {
                without_order(&next, report);
            }
        }
        money(order, &sums, report);
        points(order, report, &sums);
        let shared = matches!(order.sharing, OrderSharing::InProgress | OrderSharing::Done);
        report.expect(
            Invariant::HistoryIsAllowed,
            shared || sums.waiting == 0,
            || {
                format!(
                    "{} refunds of {} wait for shares, and nothing was shared",
                    sums.waiting, order.id
                )
            },
        );
        Ok(sums)
    }

    /// After the last order.
    pub(super) async fn finish(
        mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
    ) -> Result<(), DbError> {
        while let Some(next) = self.sums.next(conn, report).await? {
            without_order(&next, report);
        }
        given_back(conn, report).await
    }
}

fn without_order(sums: &RefundsOfOrder, report: &mut Report) {
    report.violated(
        Invariant::PaidOrdersAreSettledOnce,
        format!(
            "{} refunds of {}, which does not exist",
            sums.count, sums.order
        ),
    );
}

fn money(order: &Order, sums: &RefundsOfOrder, report: &mut Report) {
    let said = &order.refunds;
    let counted = said.asked.get() == sums.asked
        && said.done.get() == sums.done
        && i64::from(said.count) == sums.count;
    report.expect(Invariant::PaidOrdersAreSettledOnce, counted, || {
        format!(
            "{} says {said:?} of its refunds, which are {sums:?}",
            order.id
        )
    });
    // What others made has happened. A refund of ours beside which it does not fit counts against
    // the order until WeChat has refused it, and one of theirs until it is known to be closed: its
    // notice goes to whoever made it. So the order bounds what arrives and what is asked for here;
    // all together it is at most twice what was paid (`Order::add_foreign_refund`).
    let ours = sums.asked.saturating_sub(sums.elsewhere);
    let amount = order.amount.get();
    let within = ours <= amount
        && sums.asked <= amount.saturating_mul(2)
        && sums.done <= amount
        && sums.done <= sums.asked;
    report.expect(Invariant::PaidOrdersAreSettledOnce, within, || {
        format!("{} of {:?} is refunded {sums:?}", order.id, order.amount)
    });
    // As long as it is not known how much others gave back, nothing explains it: refunds of ours
    // have failed, if there are any, and nothing more was asked for.
    let explained = !said.unknown || (order.state.kind().is_paid() && sums.asked == 0);
    report.expect(Invariant::PaidOrdersAreSettledOnce, explained, || {
        format!(
            "{} is refunded elsewhere by an unknown amount, and {} fen of it are asked for here",
            order.id, sums.asked
        )
    });
    let kind = order.state.kind();
    let fits = match kind {
        OrderStateKind::Paid => said.done == Money::ZERO,
        OrderStateKind::PartlyRefunded => said.done > Money::ZERO && said.done < order.amount,
        OrderStateKind::Refunded => said.done == order.amount,
        OrderStateKind::Created
        | OrderStateKind::Prepaid
        | OrderStateKind::Closed
        | OrderStateKind::Expired => sums.count == 0,
    };
    report.expect(Invariant::PaidOrdersAreSettledOnce, fits, || {
        format!(
            "{} of {:?} is {} with {:?} refunded by {} refunds",
            order.id,
            order.amount,
            kind.name(),
            said.done,
            sums.count
        )
    });
    // Whatever became of that refund: a merchant or an operator settles what is left by an ordinary
    // one.
    let late = order.state.payment().map(|payment| payment.late) == Some(Late::Refunded);
    report.expect(
        Invariant::PaidOrdersAreSettledOnce,
        sums.late == i64::from(late),
        || {
            format!(
                "{} has {} refunds for being late, and {} due",
                order.id,
                sums.late,
                i64::from(late)
            )
        },
    );
}

fn points(order: &Order, report: &mut Report, sums: &RefundsOfOrder) {
    let Some(payment) = order.state.payment() else {
        return;
    };
    let (earned, back) = (payment.points.get(), order.refunds.points.get());
    report.expect(Invariant::PointsFollowTheRule, back == sums.points, || {
        format!(
            "{} says that {back} points go back, and its refunds say {}",
            order.id, sums.points
        )
    });
    let (asked, amount) = (order.refunds.asked.get(), order.amount.get());
    let fits = in_proportion(earned, amount, asked, back, (sums.ever, sums.elsewhere > 0));
    let voided = order.review == PointsReview::Voided;
    report.expect(Invariant::PointsFollowTheRule, fits || voided, || {
        format!(
            "{}: {back} of {earned} points go back for {asked} of {amount} fen",
            order.id
        )
    });
    // What was never credited is not taken back. A refund that awaits approval may say otherwise
    // until it is initiated.
    let open = order.review == PointsReview::Open;
    report.expect(
        Invariant::PointsFollowTheRule,
        !(voided || open) || sums.taken == 0,
        || {
            format!(
                "{}: {} points are taken, and they are {}",
                order.id,
                sums.taken,
                order.review.name()
            )
        },
    );
    let withheld = order.refunds.withheld.get();
    // Beside what others made, what of ours cannot arrive any more is still withheld.
    let most = if sums.elsewhere > 0 {
        earned.saturating_mul(2)
    } else {
        earned
    };
    let fits = withheld == sums.withheld && sums.withheld_ever <= most;
    report.expect(Invariant::PointsFollowTheRule, fits, || {
        format!(
            "{} says that {withheld} of {earned} points are withheld from its review, and its refunds say {} and ever {}",
            order.id, sums.withheld, sums.withheld_ever
        )
    });
    report.expect(
        Invariant::PointsFollowTheRule,
        payment.late != Late::Refunded || earned == 0,
        || {
            format!(
                "{} was late, went back at once, and earned {earned}",
                order.id
            )
        },
    );
}

/// What lots say that refunds counted as given back, of what expired, is what those that count
/// against their orders say: each point once. The database adds up. A row that was forgotten, after
/// no refund of what filled the lot was possible any more, says nothing.
async fn given_back(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    let mut sql = Sql::new(
        "SELECT /* verify.given_back */ COALESCE(HEX(sums.customer_id), 'NOBODY'), COALESCE(CAST(sums.lot AS CHAR), 'no day'), CAST(SUM(sums.said) AS SIGNED), CAST(SUM(sums.counted) AS SIGNED) FROM ( \
           SELECT o.customer_id, o.points_expired_from AS lot, r.points_expired AS said, 0 AS counted, 0 AS there FROM refunds r JOIN payment_orders o ON o.id = r.order_id \
           WHERE r.points_expired > 0 AND r.state IN (",
    );
    let on_the_table = RefundStateKind::ALL.into_iter();
    let on_the_table = on_the_table.filter(|kind| kind.counts_against_order());
    sql.values(on_the_table.map(RefundStateKind::code));
    sql.push(
        ") UNION ALL \
           SELECT CONCAT(SUBSTR(l.account_id, 1, 15), x'00'), l.expired_from, 0, l.given_back, 1 FROM points_lots l WHERE l.expired > 0) sums \
         GROUP BY sums.customer_id, sums.lot HAVING SUM(sums.said) <> SUM(sums.counted) AND MAX(sums.there) = 1 LIMIT 1000",
    );
    let odd = sqlx::raw_sql(sql.into_statement()).fetch_all(conn).await?;
    report.looked_at(Invariant::PointsFollowTheRule, 1);
    for row in odd {
        let (customer, lot): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (said, counted): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        report.violated(
            Invariant::PointsFollowTheRule,
            format!(
                "the lot of {lot} of customer {} counts {counted} points as given back of what expired, and refunds say {said}",
                customer.to_lowercase()
            ),
        );
    }
    Ok(())
}

/// Whether the points that go back are the part of those earned that the money is: all for all,
/// nothing for nothing, else within a point for each refund that was ever asked for. A refund is
/// rounded over the sum of those before it, and any of these may be dropped later, with the points
/// that it was rounded to. One that somebody else made beside ours is rounded over what of ours can
/// still arrive.
fn in_proportion(
    earned: i64,
    amount: i64,
    asked: i64,
    back: i64,
    (refunds, elsewhere): (i64, bool),
) -> bool {
    if asked == amount && !elsewhere {
        return back == earned;
    }
    if asked == 0 {
        return back == 0;
    }
    let [earned, amount, asked, back, refunds] =
        [earned, amount, asked, back, refunds].map(i128::from);
    let refunds = refunds + i128::from(elsewhere);
    (back * amount - earned * asked).abs() <= refunds * amount
}

#[cfg(test)]
mod tests {
    use super::in_proportion;

    #[test]
    fn points_go_back_in_the_proportion_of_the_money() {
        assert!(in_proportion(10, 1_000, 1_000, 10, (3, false)));
        assert!(in_proportion(10, 999, 999, 11, (3, true)));
        assert!(in_proportion(10, 1_000, 1_300, 13, (2, true)));
        assert!(!in_proportion(1_000, 1_000, 1_300, 1_000, (2, true)));
        assert!(!in_proportion(10, 1_000, 1_000, 9, (3, false)));
        assert!(in_proportion(10, 1_000, 0, 0, (3, false)));
        assert!(!in_proportion(10, 1_000, 0, 1, (3, false)));
        assert!(in_proportion(10, 1_000, 450, 4, (1, false)));
        assert!(in_proportion(10, 1_000, 450, 5, (1, false)));
        assert!(!in_proportion(10, 1_000, 450, 6, (1, false)));
        assert!(in_proportion(10, 1_000, 450, 6, (2, false)));
        assert!(
            in_proportion(i64::MAX, i64::MAX, 7, 7, (1, false)),
            "no overflow"
        );
    }
}
