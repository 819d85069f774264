//! Taking what is due, and writing down what came of it. Between the two lies the call, with no
//! transaction open.

use super::{ATTEMPTS_MAX, Attempt, AttemptResult, Delivery, DeliveryState, LEASE_SECONDS, store};
use crate::db::{DbError, Tx, Work};

/// Claims up to `limit` deliveries that are due. Other processes skip them until the lease ends.
#[derive(Debug)]
pub struct ClaimDue {
    pub limit: u32,
}

impl Work for ClaimDue {
    const NAME: &'static str = "deliveries.claim_due";
    /// As they are now, their attempt counted.
    type Reply = Vec<Delivery>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Delivery>, DbError> {
        let now = tx.now();
        let lost = Attempt::Retry("the last attempt was cut off".to_owned());
        let mut claimed = Vec::new();
        for delivery in store::lock_due(tx, self.limit).await? {
            if delivery.attempts < ATTEMPTS_MAX {
                claimed.push(delivery);
            } else {
                // Whoever made the last attempt did not live to tell.
                let result = AttemptResult::after(&lost, delivery.attempts, now);
                store::record(tx, &delivery, &result).await?;
            }
        }
        store::claim(tx, &claimed, now.plus_seconds(LEASE_SECONDS)).await?;
        for delivery in &mut claimed {
            delivery.attempts = delivery.attempts.saturating_add(1);
        }
        Ok(claimed)
    }
}

/// Writes down what came of an attempt.
#[derive(Debug)]
pub struct RecordAttempt {
    /// As it was claimed.
    pub delivery: Delivery,
    pub attempt: Attempt,
}

impl Work for RecordAttempt {
    const NAME: &'static str = "deliveries.record_attempt";
    /// What became of it; none when somebody else has taken it over since, whose result counts
    /// then.
    type Reply = Option<DeliveryState>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Option<DeliveryState>, DbError> {
        let result = AttemptResult::after(&self.attempt, self.delivery.attempts, tx.now());
        let recorded = store::record(tx, &self.delivery, &result).await?;
        Ok(recorded.then_some(result.state))
    }
}
