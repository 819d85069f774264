//! The operators' desk: the policy of the day before it, and after it what a person would look at.

use std::collections::HashSet;

use serde::Serialize;

use super::{
    answer::{Exception, PaymentPolicy},
    patience::ApiError,
    visit::{End, Visit},
    world::World,
};

/// Refunds above this wait for a second person. Low, so that some do.
const REVIEW_ABOVE_FEN: i64 = 10_000;
/// What a merchant's clerk gives back alone.
const CLERK_MAX_FEN: i64 = 5_000;
/// More pages than a day of the demo fills.
const PAGES_MAX: usize = 50;

/// The policies of the day, and the one to put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policies {
    before: PaymentPolicy,
}

/// What the desk found after the day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct DeskReport {
    /// An unverified callback was played again: what the service did. None when there was none.
    pub(super) unverified: Option<String>,
    /// A callback that had settled a payment was played again: what the service did. None when
    /// there was none.
    pub(super) settled: Option<String>,
    /// Of the day's late payments, those that are on the list of exceptions, dealt with by the
    /// policy.
    pub(super) late_payments: usize,
    /// Abnormal refunds of the day that are on that list.
    pub(super) abnormal_refunds: usize,
    /// Exceptions of the day that somebody had to say something about, and now has.
    pub(super) resolved: usize,
}

impl Policies {
    /// Remembers the policy in force. One that a killed demo has left is not the tenant's.
    pub(super) async fn remember(world: World<'_>) -> Result<Self, ApiError> {
        let standing = world.service.policy(&world.operators.admin).await?;
        let left_by_us = [1, 30].map(|minutes| of_the_day(minutes, standing.version));
        let before = if left_by_us.contains(&standing) {
            the_defaults()
        } else {
            standing
        };
        Ok(Self { before })
    }

    /// With so many minutes to pay.
    pub(super) async fn put(world: World<'_>, order_minutes: u32) -> Result<(), ApiError> {
        let admin = &world.operators.admin;
        let policy = of_the_day(order_minutes, 0);
        world.service.set_policy(admin, &policy).await.map(|_| ())
    }

    pub(super) async fn put_back(&self, world: World<'_>) -> Result<(), ApiError> {
        let admin = &world.operators.admin;
        world
            .service
            .set_policy(admin, &self.before)
            .await
            .map(|_| ())
    }
}

fn of_the_day(order_minutes: u32, version: u32) -> PaymentPolicy {
    PaymentPolicy {
        version,
        order_minutes,
        clerk_refund_max_fen: CLERK_MAX_FEN,
        refund_review_above_fen: REVIEW_ABOVE_FEN,
        ..the_defaults()
    }
}

/// What a tenant has that never set one.
fn the_defaults() -> PaymentPolicy {
    PaymentPolicy {
        version: 0,
        order_minutes: 30,
        late_payment: "refund".to_owned(),
        points_shortfall: "debt".to_owned(),
        clerk_refund_max_fen: 20_000,
        clerk_refund_day_max_fen: 100_000,
        refund_review_above_fen: 500_000,
        fee_ppm: 6_000,
    }
}

/// Plays two callbacks again, and goes through the exceptions of the day.
pub(super) async fn look_through(
    world: World<'_>,
    visits: &[Visit],
) -> Result<DeskReport, ApiError> {
    let mut report = DeskReport {
        unverified: replay(world, "unverified").await?,
        settled: replay(world, "settled").await?,
        ..DeskReport::default()
    };
    let (mut late, mut abnormal) = (HashSet::new(), HashSet::new());
    for visit in visits {
        let Some(order_no) = visit.order_no.as_deref() else {
            continue;
        };
        if visit.end == End::PaidLate {
            late.insert(order_no);
        }
        if visit.refund.as_ref().is_some_and(|seen| seen.redirected) {
            abnormal.insert(order_no);
        }
    }
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        if late.is_empty() && abnormal.is_empty() {
            break;
        }
        let admin = &world.operators.admin;
        let page = world.service.exceptions(admin, cursor.as_deref()).await?;
        for exception in &page.items {
            let Some(order_no) = exception.order_no.as_deref() else {
                continue;
            };
            match exception.kind.as_str() {
                "late_payment" if late.remove(order_no) => {
                    report.late_payments += usize::from(exception.resolution.is_some());
                }
                "refund_abnormal" if abnormal.remove(order_no) => {
                    report.abnormal_refunds += 1;
                    report.resolved += usize::from(resolve(world, exception).await?);
                }
                _ => {}
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(report)
}

/// Says what was done about it, unless somebody has.
async fn resolve(world: World<'_>, exception: &Exception) -> Result<bool, ApiError> {
    if exception.resolution.is_some() {
        return Ok(false);
    }
    let key = format!("{}-resolve-{}", world.run, exception.id);
    let (admin, named) = (
        &world.operators.admin,
        (key.as_str(), exception.id.as_str()),
    );
    let said = world
        .service
        .resolve_exception(admin, named, "改退商户账户，由商户另行退还顾客")
        .await;
    match said {
        Ok(()) => Ok(true),
        Err(error) if error.is("exception_already_resolved") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Plays the newest callback of which this became once more. A refusal is an answer too.
async fn replay(world: World<'_>, outcome: &str) -> Result<Option<String>, ApiError> {
    let admin = &world.operators.admin;
    let Some(callback) = world.service.newest_callback(admin, outcome).await? else {
        return Ok(None);
    };
    match world.service.replay(admin, &callback.id).await {
        Ok(replayed) => Ok(Some(replayed.outcome)),
        Err(ApiError::Refused { code, .. }) => Ok(Some(code)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhangfang::payments::PolicyTerms;

    #[test]
    fn the_defaults_are_the_service_s() {
        let (ours, terms) = (the_defaults(), PolicyTerms::default());
        assert_eq!(ours.order_minutes, terms.order_minutes);
        assert_eq!(ours.late_payment, terms.late_payment.name());
        assert_eq!(ours.points_shortfall, terms.points_shortfall.name());
        assert_eq!(ours.clerk_refund_max_fen, terms.clerk_refund_max.get());
        assert_eq!(
            ours.clerk_refund_day_max_fen,
            terms.clerk_refund_day_max.get()
        );
        assert_eq!(
            ours.refund_review_above_fen,
            terms.refund_review_above.get()
        );
        assert_eq!(ours.fee_ppm, terms.fee_ppm);
    }

    #[test]
    fn a_policy_is_put_with_every_term_and_without_a_version() {
        let put = serde_json::to_value(of_the_day(1, 7)).unwrap();
        let terms = put.as_object().unwrap();
        assert_eq!(terms.len(), 7);
        assert!(!terms.contains_key("version"));
        assert_eq!(put["order_minutes"], 1);
    }
}
