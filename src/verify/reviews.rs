//! Points held for a review: orders, their reviews, their entries and what risk had said, against
//! each other. Invariants 6 and 9.
//!
//! The entries of one order come in one row, its settlement first, so what is kept in memory is the
//! held entries of one order, four at most.
//!
//! | order's review | `PointsHeld` | its resolution | `DebtRepaid` | `risk_reviews` |
//! |---|---|---|---|---|
//! | no, wanted | none | none | none | none |
//! | open | pending, of exactly what was earned | none | none | open or claimed |
//! | credited | the same | posted; if refunds withhold a part, voided, and the rest a `HeldPartCredited` | perhaps, no more than came in | approved, or timed out and released |
//! | voided | the same | voided | none | rejected, superseded, or timed out and voided |

use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

use super::{
    Invariant, Progress, Report,
    pages::{Cursor, Paged, RefundsOfOrder},
    readable::RowKey,
    refunds::Leg,
};
use crate::{
    db::{DbError, Sql},
    facts::Stage,
    ledger::{AccountKind, Phase, Transfer},
    payments::{Order, Payment, PointsReview},
    primitives::{AccountId, DecisionId, EntryId, EntryKind, Id, PointsTransactionId},
    risk::{Action, REVIEW_COLUMNS, ReviewKind, ReviewRow, read_review},
};

/// Reviews of orders and decisions on their points, read beside the orders and their entries.
#[derive(Default)]
pub(super) struct ReviewPass {
    reviews: Cursor<OrderReviews>,
    decisions: Cursor<CreditDecisions>,
    /// The order whose entries are coming.
    current: Option<Current>,
}

struct Current {
    order: Order,
    review: Option<ReviewRow>,
    /// What risk said of the points, if it was asked.
    action: Option<Action>,
    entries: Vec<Vec<Transfer>>,
    /// Of the points held, in points: withheld by refunds, and by those that arrived.
    withheld: i64,
    withheld_done: i64,
}

impl ReviewPass {
    /// Takes the next order, in the order of their ids; before its entries, if it has any.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        order: &Order,
        report: &mut Report,
    ) -> Result<(), DbError> {
        self.flush(report);
        let mut review = None;
        while let Some(next) = self.reviews.peek(conn, report).await?
            && next.id.cause() <= order.id.id()
        {
            self.reviews.next(conn, report).await?;
            if next.id.cause() == order.id.id() {
                review = Some(next);
            } else {
                without_order(&next, report);
            }
        }
        let mut action = None;
        while let Some((id, said)) = self.decisions.peek(conn, report).await?
            && id.cause() <= order.id.id()
        {
            self.decisions.next(conn, report).await?;
            // Of others (points transactions) something else is to be said.
            if id.cause() == order.id.id() {
                action = Some(said);
            }
        }
        self.current = Some(Current {
            order: order.clone(),
            review,
            action,
            entries: Vec::new(),
            withheld: 0,
            withheld_done: 0,
        });
        Ok(())
    }

    /// What the refunds of the order come to that was taken last.
    pub(super) fn refunded(&mut self, sums: &RefundsOfOrder) {
        if let Some(current) = &mut self.current {
            current.withheld = sums.withheld_ever;
            current.withheld_done = sums.withheld_done;
        }
    }

    /// Whether risk said that the order that was taken last earns nothing.
    pub(super) fn is_blocked(&self) -> bool {
        let action = self.current.as_ref().and_then(|current| current.action);
        action == Some(Action::Block)
    }

    /// Takes the next entry, whatever its kind.
    pub(super) async fn gather(
        &mut self,
        conn: &mut MySqlConnection,
        entry: &[Transfer],
        report: &mut Report,
    ) -> Result<(), DbError> {
        let id = entry[0].id.entry;
        let is_debt = id.kind() == Some(EntryKind::DebtRepaid);
        let is_held = matches!(
            id.kind(),
            Some(EntryKind::PointsHeld | EntryKind::HeldPartCredited)
        );
        if !is_debt && !is_held {
            return Ok(());
        }
        if let Some(current) = &mut self.current
            && current.order.id.id() == id.cause()
        {
            current.entries.push(entry.to_vec());
            return Ok(());
        }
        if !(is_debt && is_of_points_transaction(conn, id.cause()).await?) {
            report.violated(
                Invariant::PointsFollowTheRule,
                format!("{id} is of an order that is not settled, or of none"),
            );
        }
        Ok(())
    }

    /// After the last order and entry.
    pub(super) async fn finish(
        mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
        progress: &mut dyn Progress,
    ) -> Result<(), DbError> {
        self.flush(report);
        while let Some(review) = self.reviews.next(conn, report).await? {
            without_order(&review, report);
        }
        progress.advance(self.reviews.rows_since_last());
        Ok(())
    }

    fn flush(&mut self, report: &mut Report) {
        if let Some(current) = self.current.take() {
            current.check(report);
        }
    }
}

fn without_order(review: &ReviewRow, report: &mut Report) {
    report.violated(
        Invariant::HistoryIsAllowed,
        format!("{} is of an order that does not exist", review.id),
    );
}

/// A debt is repaid when a review credits points; what is not an order's is a points transaction's,
/// which looks at the entry itself.
async fn is_of_points_transaction(conn: &mut MySqlConnection, cause: Id) -> Result<bool, DbError> {
    let found: Option<i64> = sqlx::query_scalar(
        "/* verify.debt_of_points_transaction */ SELECT CAST(1 AS SIGNED) FROM points_transactions WHERE id = ?",
    )
    .bind(PointsTransactionId::new(cause))
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

impl Current {
    fn check(&self, report: &mut Report) {
        let resolution = match self.order.review {
            PointsReview::No | PointsReview::Wanted => {
                self.not_held(report);
                return;
            }
            PointsReview::Open => None,
            PointsReview::Credited if self.withheld == 0 => Some(Phase::Post),
            PointsReview::Credited | PointsReview::Voided => Some(Phase::Void),
        };
        let order = &self.order;
        let Some(payment) = order
            .state
            .payment()
            .filter(|payment| !payment.points.is_zero())
        else {
            report.violated(
                Invariant::PointsFollowTheRule,
                format!(
                    "{} is {} of its points, and has none",
                    order.id,
                    order.review.name()
                ),
            );
            return;
        };
        self.held(payment, resolution, report);
        self.reviewed(payment, report);
    }

    /// Points that were credited at once, or not at all.
    fn not_held(&self, report: &mut Report) {
        let order = &self.order;
        let earned = order.state.payment().map(|payment| payment.points);
        let earned = earned.unwrap_or_default();
        let sound = self.entries.is_empty() && self.review.is_none();
        report.expect(Invariant::HistoryIsAllowed, sound, || {
            format!(
                "{} is {} of a review, and has {} held entries and {:?}",
                order.id,
                order.review.name(),
                self.entries.len(),
                self.review.as_ref().map(|review| review.id)
            )
        });
        let wanted = order.review == PointsReview::Wanted;
        let allowed = match self.action {
            Some(Action::Block | Action::Review | Action::Verify) => false,
            Some(Action::Allow) | None => !wanted,
        };
        report.expect(
            Invariant::PointsFollowTheRule,
            earned.is_zero() || allowed,
            || {
                format!(
                    "{} was credited {earned} at once, and risk said {:?}",
                    order.id, self.action
                )
            },
        );
    }

    fn find(&self, entry: EntryId) -> &[Transfer] {
        let found = self.entries.iter().find(|legs| legs[0].id.entry == entry);
        found.map_or(&[], Vec::as_slice)
    }

    fn held(&self, payment: &Payment, resolution: Option<Phase>, report: &mut Report) {
        let order = &self.order;
        let Some(customer) = order.customer else {
            report.violated(
                Invariant::PointsFollowTheRule,
                format!("{} holds points for nobody", order.id),
            );
            return;
        };
        report.expect(
            Invariant::PointsFollowTheRule,
            self.action != Some(Action::Block),
            || format!("{} holds points that risk had blocked", order.id),
        );
        let theirs = AccountId::customer_points(customer);
        let pending = Leg {
            phase: Phase::Pending,
            debit: AccountId::of_tenant(order.tenant, AccountKind::PointsIssued),
            credit: theirs,
            amount: payment.points.get(),
        };
        let held = EntryId::of(order.id.id(), EntryKind::PointsHeld);
        let due = resolution.map(|phase| Leg { phase, ..pending });
        let rest = payment.points.get().saturating_sub(self.withheld).max(0);
        let released = order.review == PointsReview::Credited;
        let part = EntryId::of(order.id.id(), EntryKind::HeldPartCredited);
        let due_part = (released && self.withheld > 0 && rest > 0).then_some(Leg {
            phase: Phase::Posted,
            amount: rest,
            ..pending
        });
        for (entry, due) in [
            (held, Some(pending)),
            (held.resolution(), due),
            (part, due_part),
        ] {
            let found = self.find(entry);
            let legs: Vec<Leg> = found.iter().map(Leg::of).collect();
            let lots = found.iter().all(|leg| {
                leg.lot == Some(payment.points_expired_from) && leg.tenant == order.tenant
            });
            let right = legs.iter().copied().eq(due) && lots;
            report.expect(Invariant::PointsFollowTheRule, right, || {
                format!(
                    "{} is {} of its points: {entry} is {legs:?} where {due:?} is due",
                    order.id,
                    order.review.name()
                )
            });
        }
        let repaid = self.find(EntryId::of(order.id.id(), EntryKind::DebtRepaid));
        let repays = |leg: &Transfer| {
            leg.phase == Phase::Posted
                && leg.debit == theirs
                && leg.credit == AccountId::customer_debt(customer)
                && leg.amount <= rest
        };
        let right = match repaid {
            [] => true,
            [leg] => released && repays(leg),
            [_, ..] => false,
        };
        report.expect(Invariant::PointsFollowTheRule, right, || {
            format!(
                "{} is {} of its points, and repays {:?}",
                order.id,
                order.review.name(),
                repaid.iter().map(Leg::of).collect::<Vec<_>>()
            )
        });
    }

    /// A review is about what refunds that arrived have left; once it is decided, about no less
    /// than what no refund withholds.
    fn is_about(&self, review: &ReviewRow, payment: &Payment) -> bool {
        let (points, held) = (review.points.get(), payment.points.get());
        if review.is_decided() {
            let rest = held.saturating_sub(self.withheld).max(0);
            (rest..=held).contains(&points)
        } else {
            points == held.saturating_sub(self.withheld_done)
        }
    }

    fn reviewed(&self, payment: &Payment, report: &mut Report) {
        let order = &self.order;
        let Some(review) = &self.review else {
            report.violated(
                Invariant::HistoryIsAllowed,
                format!("{} is {} without a review", order.id, order.review.name()),
            );
            return;
        };
        let released = match order.review {
            PointsReview::No | PointsReview::Wanted | PointsReview::Open => None,
            PointsReview::Credited => Some(true),
            PointsReview::Voided => Some(false),
        };
        let agrees =
            review.state.released() == released && review.is_decided() == review.due_at.is_none();
        report.expect(Invariant::HistoryIsAllowed, agrees, || {
            format!(
                "{} is {} and {} is {:?}",
                order.id,
                order.review.name(),
                review.id,
                review.state
            )
        });
        let same = review.tenant == order.tenant
            && Some(review.customer) == order.customer
            && review.merchant == Some(order.merchant)
            && review.amount == Some(order.amount)
            && self.is_about(review, payment)
            && review.entry == EntryId::of(order.id.id(), EntryKind::PointsHeld);
        report.expect(Invariant::HistoryIsAllowed, same, || {
            format!("{} is of other points than {} holds", review.id, order.id)
        });
    }
}

/// `risk_reviews` of orders, by id.
struct OrderReviews;

impl Paged for OrderReviews {
    type Item = ReviewRow;
    const ROW: RowKey = RowKey("risk_reviews", 1);

    fn after(last: Option<&ReviewRow>, sql: &mut Sql) {
        sql.push("SELECT /* verify.reviews */ ")
            .push(REVIEW_COLUMNS)
            .push(" FROM risk_reviews v WHERE v.kind = ")
            .int(ReviewKind::Order.code());
        if let Some(last) = last {
            sql.push(" AND v.id > ").bytes(last.id.bytes());
        }
        sql.push(" ORDER BY v.id");
    }

    fn read(row: &MySqlRow) -> Result<ReviewRow, sqlx::Error> {
        read_review(row)
    }
}

/// `risk_decisions` on points, by id.
struct CreditDecisions;

impl Paged for CreditDecisions {
    type Item = (DecisionId, Action);
    const ROW: RowKey = RowKey("risk_decisions", 1);

    fn after(last: Option<&Self::Item>, sql: &mut Sql) {
        sql.push(
            "SELECT /* verify.credit_decisions */ id, action FROM risk_decisions WHERE stage = ",
        )
        .int(Stage::PointsCredit.code());
        if let Some((last, _)) = last {
            sql.push(" AND id > ").bytes(last.bytes());
        }
        sql.push(" ORDER BY id");
    }

    fn read(row: &MySqlRow) -> Result<Self::Item, sqlx::Error> {
        let action = u8::try_from(row.try_get::<i8, _>(1)?).ok();
        let action = action.and_then(Action::from_code);
        let action = action.ok_or(sqlx::Error::Decode("risk_decisions.action".into()))?;
        Ok((row.try_get(0)?, action))
    }
}
