//! What orders say of their refunds, against the refunds: invariants 5, 6 and 9.
//!
//! The database adds the refunds up, order by order along their index; that is merged with the orders as they are read.

use sqlx::MySqlConnection;

use super::{
    Invariant, Report,
    pages::{Cursor, RefundsByOrder, RefundsOfOrder},
};
use crate::{
    db::DbError,
    payments::{Late, Order, OrderSharing, OrderStateKind, PointsReview},
    primitives::Money,
};

/// The refunds of each order, read beside the orders.
#[derive(Default)]
pub(super) struct RefundedPass {
    sums: Cursor<RefundsByOrder>,
}

impl RefundedPass {
    /// Takes the next order, in the order of their ids.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        order: &Order,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let mut sums = RefundsOfOrder {
            order: order.id,
            count: 0,
            ever: 0,
            asked: 0,
            done: 0,
            points: 0,
            late: 0,
            waiting: 0,
            booked: 0,
            booked_points: 0,
        };
        while let Some(next) = self.sums.peek(conn).await?
            && next.order <= order.id
        {
            self.sums.next(conn).await?;
            if next.order == order.id {
                sums = next;
            } else {
                without_order(&next, report);
            }
        }
        money(order, &sums, report);
        points(order, report, &sums);
        let shared = matches!(order.sharing, OrderSharing::Under | OrderSharing::Done);
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
        Ok(())
    }

    /// After the last order.
    pub(super) async fn finish(
        mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
    ) -> Result<(), DbError> {
        while let Some(next) = self.sums.next(conn).await? {
            without_order(&next, report);
        }
        Ok(())
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
    let within = sums.asked <= order.amount.get() && sums.done <= sums.asked;
    report.expect(Invariant::PaidOrdersAreSettledOnce, within, || {
        format!("{} of {:?} is refunded {sums:?}", order.id, order.amount)
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
    // Whatever became of that refund: a shop or an operator settles what is left by an ordinary one.
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
    let fits = in_proportion(earned, amount, asked, back, sums.ever);
    let let_go = order.review == PointsReview::LetGo;
    report.expect(Invariant::PointsFollowTheRule, fits || let_go, || {
        format!(
            "{}: {back} of {earned} points go back for {asked} of {amount} fen",
            order.id
        )
    });
    // What was never credited is not taken back. A refund that awaits approval may say otherwise until it sets out.
    report.expect(
        Invariant::PointsFollowTheRule,
        !let_go || sums.booked_points == 0,
        || {
            format!(
                "{}: {} points go back, and they were let go",
                order.id, sums.booked_points
            )
        },
    );
    // A refund that sets out ends the review.
    let open = order.review == PointsReview::Open;
    report.expect(
        Invariant::PointsFollowTheRule,
        !open || sums.booked == 0,
        || {
            format!(
                "{} is under review, and {} refunds set out",
                order.id, sums.booked
            )
        },
    );
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

/// Whether the points that go back are the part of those earned that the money is: all for all, nothing for nothing, else within a point for each refund that was
/// ever asked for. A refund is rounded over the sum of those before it, and any of these may be dropped later, with the points that it was rounded to.
fn in_proportion(earned: i64, amount: i64, asked: i64, back: i64, refunds: i64) -> bool {
    if asked == amount {
        return back == earned;
    }
    if asked == 0 {
        return back == 0;
    }
    let [earned, amount, asked, back, refunds] =
        [earned, amount, asked, back, refunds].map(i128::from);
    (back * amount - earned * asked).abs() <= refunds * amount
}

#[cfg(test)]
mod tests {
    use super::in_proportion;

    #[test]
    fn points_go_back_in_the_proportion_of_the_money() {
        assert!(in_proportion(10, 1_000, 1_000, 10, 3));
        assert!(!in_proportion(10, 1_000, 1_000, 9, 3));
        assert!(in_proportion(10, 1_000, 0, 0, 3));
        assert!(!in_proportion(10, 1_000, 0, 1, 3));
        assert!(in_proportion(10, 1_000, 450, 4, 1));
        assert!(in_proportion(10, 1_000, 450, 5, 1));
        assert!(!in_proportion(10, 1_000, 450, 6, 1));
        assert!(in_proportion(10, 1_000, 450, 6, 2));
        assert!(in_proportion(i64::MAX, i64::MAX, 7, 7, 1), "no overflow");
    }
}
