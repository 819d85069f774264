//! A back end returns points that have expired meanwhile.

use zhangfang::{
    audit::Actor,
    points::{self, Instruction, PointsTransaction, Reference, ReturnCommand},
    primitives::{Points, PointsTransactionId},
};

use super::{
    at,
    part_captures::{Counter, source},
};

impl Counter {
    async fn redeem(&self, points: i64, reference: &str) -> PointsTransactionId {
        self.ask(Instruction::Redeem, points, reference)
            .await
            .unwrap()
            .id
    }

    async fn give_back(
        &self,
        of: PointsTransactionId,
        points: i64,
        reference: &str,
    ) -> PointsTransaction {
        let command = ReturnCommand {
            tenant: self.calendar.app.tenant.id,
            of,
            points: Points::parse(points).unwrap(),
            source: source(),
            reference: Reference::parse(reference).unwrap(),
            reason: "取消".to_owned(),
            by: Actor::operator("test"),
        };
        points::return_points(&self.service, command)
            .await
            .unwrap()
            .transaction
    }

    async fn available(&self) -> i64 {
        let tenant = self.calendar.app.tenant.id;
        let balance = points::balance(self.calendar.db(), tenant, self.who).await;
        balance.unwrap().available.get()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_have_expired_goes_back_into_its_lot_and_expires_with_the_next_run() {
    let counter = Counter::open().await;
    counter.award(6, "2026-11-23").await;
    counter.award(6, "2026-11-30").await;
    let spent = counter.redeem(9, "r").await;
    counter.night("2026-11-23").await;
    assert_eq!(counter.has().await, (3, 0));
    // The late ones first; of the early ones nothing can be spent any more.
    counter.give_back(spent, 5, "b1").await;
    assert_eq!(
        (counter.has().await, counter.available().await),
        ((8, 0), 6)
    );
    counter.give_back(spent, 4, "b2").await;
    assert_eq!(
        (counter.has().await, counter.available().await),
        ((12, 0), 6)
    );
    let lots = counter.calendar.lots(counter.who).await;
    assert_eq!(
        lots,
        [("2026-11-23".to_owned(), 6), ("2026-11-30".to_owned(), 6)]
    );
    assert!(counter.calendar.app.verify().await.is_clean());
    counter.night("2026-11-24").await;
    assert_eq!(counter.has().await, (6, 0));
    counter.calendar.app.finish().await;
}

/// The row of the lot is long forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_returned_long_after_its_day_does_no_harm() {
    let counter = Counter::open().await;
    counter.award(6, "2026-11-23").await;
    let spent = counter.redeem(6, "r").await;
    counter.calendar.clock.set(at("2027-02-01T00:10:00"));
    assert_eq!(super::rounds(counter.calendar.db()).await, 1);
    assert_eq!(
        counter
            .calendar
            .app
            .count("SELECT COUNT(*) FROM points_lots")
            .await,
        0
    );
    counter.give_back(spent, 6, "b").await;
    assert_eq!(
        (counter.has().await, counter.available().await),
        ((6, 0), 0)
    );
    counter.night("2027-02-02").await;
    assert_eq!(counter.has().await, (0, 0));
    counter.calendar.app.finish().await;
}
