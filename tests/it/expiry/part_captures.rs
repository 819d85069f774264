//! A part of a hold is spent after the lots that it holds have expired.

use std::sync::Arc;

use zhangfang::{
    audit::Actor,
    customers,
    payments::PointsParties,
    points::{
        self, End, Instruction, PointsCommand, PointsError, PointsService, PointsTransaction,
        Reference, RulesCache, Source,
    },
    primitives::{CustomerId, Points, PointsTransactionId, Secret},
    risk::Risk,
};

use super::{Calendar, at, day, rounds};

/// A back end and a customer.
pub(super) struct Counter {
    pub(super) calendar: Calendar,
    pub(super) service: PointsService,
    pub(super) who: CustomerId,
}

pub(super) fn source() -> Source {
    Source::parse("merchant-crm").unwrap()
}

impl Counter {
    pub(super) async fn open() -> Self {
        let calendar = Calendar::open(at("2026-11-21T12:00:00")).await;
        let db = calendar.db().clone();
        let openid = Secret::new("o-holder".to_owned());
        let customers = customers::recognise(&db, calendar.app.tenant.id, &openid);
        let who = customers.await.unwrap();
        let service = PointsService {
            rules: RulesCache::start(db.clone()),
            risk: Risk::off(),
            parties: Arc::new(PointsParties),
            db,
        };
        Self {
            calendar,
            service,
            who,
        }
    }

    pub(super) async fn ask(
        &self,
        instruction: Instruction,
        points: i64,
        reference: &str,
    ) -> Result<PointsTransaction, PointsError> {
        let command = PointsCommand {
            tenant: self.calendar.app.tenant.id,
            customer: self.who,
            instruction,
            points: Points::parse(points).unwrap(),
            source: source(),
            reference: Reference::parse(reference).unwrap(),
            reason: "兑换".to_owned(),
            order: None,
            merchant: None,
            by: Actor::operator("test"),
        };
        Ok(points::execute(&self.service, command).await?.transaction)
    }

    pub(super) async fn award(&self, points: i64, until: &str) {
        let expired_from = Some(day(until));
        let award = Instruction::Award { expired_from };
        self.ask(award, points, until).await.unwrap();
    }

    /// For ten days.
    pub(super) async fn hold(&self, points: i64) -> PointsTransactionId {
        let hold = Instruction::Hold { minutes: 14_400 };
        self.ask(hold, points, "h").await.unwrap().id
    }

    pub(super) async fn capture(
        &self,
        hold: PointsTransactionId,
        points: i64,
    ) -> Result<PointsTransaction, PointsError> {
        let whose = (self.calendar.app.tenant.id, source());
        let end = End::Capture {
            points: Some(Points::parse(points).unwrap()),
        };
        points::end_hold(&self.service, whose, hold, end, Actor::operator("test")).await
    }

    pub(super) async fn has(&self) -> (i64, i64) {
        self.calendar.has(self.who).await
    }

    /// Ten minutes after midnight; the runs of that night.
    pub(super) async fn night(&self, of: &str) {
        self.calendar.clock.set(at(&format!("{of}T00:10:00")));
        assert_eq!(rounds(self.calendar.db()).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_hold_is_spent_from_lots_that_have_expired_and_the_rest_is_swept() {
    let counter = Counter::open().await;
    counter.award(6, "2026-11-23").await;
    let hold = counter.hold(6).await;
    counter.night("2026-11-23").await;
    assert_eq!(counter.has().await, (6, 6), "the hold protects them");

    let captured = counter.capture(hold, 4).await.unwrap();
    assert_eq!(captured.captured.get(), 4);
    assert_eq!(counter.has().await, (2, 0));
    // Repeated, it gives the same answer; another part is too late.
    assert_eq!(counter.capture(hold, 4).await.unwrap(), captured);
    assert!(matches!(
        counter.capture(hold, 2).await,
        Err(PointsError::State(_))
    ));
    // What is left has expired for everybody.
    let more = counter.ask(Instruction::Redeem, 1, "r").await;
    assert!(
        matches!(more, Err(PointsError::Insufficient { available }) if available.is_zero()),
        "{more:?}"
    );
    counter.night("2026-11-24").await;
    assert_eq!(counter.has().await, (0, 0));
    assert_eq!(counter.calendar.expired().await, (1, 1, 2));
    counter.calendar.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_hold_may_use_goes_first_and_younger_holds_keep_theirs() {
    let counter = Counter::open().await;
    counter.award(10, "2026-11-23").await;
    counter.award(5, "2026-11-30").await;
    let hold = counter.hold(8).await;
    counter.night("2026-11-23").await;
    assert_eq!(counter.has().await, (13, 8), "as many stay as are held");
    counter.capture(hold, 5).await.unwrap();
    let lots = |of: &[(&str, i64)]| -> Vec<(String, i64)> {
        of.iter()
            .map(|(on, left)| ((*on).to_owned(), *left))
            .collect()
    };
    let left = lots(&[("2026-11-23", 3), ("2026-11-30", 5)]);
    assert_eq!(counter.calendar.lots(counter.who).await, left);
    // All that has not expired can be spent, and no more.
    assert!(counter.ask(Instruction::Deduct, 6, "d6").await.is_err());
    counter.ask(Instruction::Deduct, 5, "d5").await.unwrap();
    counter.night("2026-11-24").await;
    assert_eq!(counter.has().await, (0, 0));
    counter.calendar.app.finish().await;
}
