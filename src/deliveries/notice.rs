//! Planning notices of points that will expire.

use super::{DeliveryId, DeliveryKind, DeliverySubject, delivery::NewDelivery, store};
use crate::{
    db::{DbError, Tx, Work},
    primitives::{BusinessDay, CustomerId, Points, TenantId, Timestamp},
};

/// Nobody wants to be told at midnight: seconds after it (UTC+8) between which notices go out.
const FROM_SECONDS: i64 = 10 * 3_600;
const TO_SECONDS: i64 = 20 * 3_600;
/// Over which they are spread at least.
const SPREAD_SECONDS: i64 = 3_600;

/// Points of a customer that expire on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiringPoints {
    pub customer: CustomerId,
    /// The first day on which they have expired (UTC+8).
    pub on: BusinessDay,
    pub points: Points,
}

/// Plans a notice for each of these, once per customer and day whoever plans it how often. They
/// fall due spread over the day, so that a million of them keep neither WeChat nor what is told of
/// payments waiting.
#[derive(Debug)]
pub struct PlanNotices {
    pub tenant: TenantId,
    pub expiring: Vec<ExpiringPoints>,
}

impl Work for PlanNotices {
    const NAME: &'static str = "deliveries.plan_notices";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let now = tx.now();
        let row = |expiring: &ExpiringPoints| {
            let ExpiringPoints {
                customer,
                on,
                points,
            } = *expiring;
            let id = DeliveryId::of_expiry(customer, on);
            NewDelivery {
                id,
                kind: DeliveryKind::ExpiryMessage,
                tenant: self.tenant,
                about: DeliverySubject::Expiry {
                    customer,
                    on,
                    points,
                },
                happened_at: on.start(),
                due_at: Some(due(now, id)),
            }
        };
        let mut rows: Vec<NewDelivery> = self.expiring.iter().map(row).collect();
        rows.sort_unstable_by_key(|row| row.id);
        rows.dedup_by_key(|row| row.id);
        store::insert_new(tx, &rows).await
    }
}

/// An instant of today, or soon if the day is nearly over; which, the id says, as good as by
/// chance.
fn due(now: Timestamp, id: DeliveryId) -> Timestamp {
    let midnight = now.business_day().start();
    let from = now.max(midnight.plus_seconds(FROM_SECONDS));
    let to = midnight
        .plus_seconds(TO_SECONDS)
        .max(from.plus_seconds(SPREAD_SECONDS));
    let span = to.seconds().saturating_sub(from.seconds()).max(1);
    let chance = i64::from(u16::from_be_bytes([id.bytes()[6], id.bytes()[7]]));
    from.plus_seconds(chance.saturating_mul(span) / (i64::from(u16::MAX) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Id, Lane};

    #[test]
    fn notices_go_out_by_day_and_spread_over_it() {
        let day = BusinessDay::parse("2026-11-21").unwrap();
        let at = |hour: i64| day.start().plus_seconds(hour * 3_600);
        let dues = |now: Timestamp| {
            let one = |number| {
                let customer = CustomerId::new(Id::mint(1, number, Lane(1)));
                due(now, DeliveryId::of_expiry(customer, day.plus_days(3)))
            };
            let mut dues: Vec<Timestamp> = (0..200).map(one).collect();
            dues.sort_unstable();
            (dues[0], dues[199])
        };
        let (first, last) = dues(at(0));
        assert!(first >= at(10) && first < at(11) && last > at(19) && last < at(20));
        let (first, last) = dues(at(15));
        assert!(first >= at(15) && last < at(20));
        let (first, last) = dues(at(23));
        assert!(first >= at(23) && last < at(24));
    }
}
