//! What the slices make of the events of commits.

use crate::{
    db::{DbError, Tx},
    deliveries::{self, DeliveryCause, SettingsCache},
    outbox::{self, CommittedEvent, Event},
    payments, points,
    primitives::{OrderId, Timestamp},
    sharing,
};

/// The events of one commit.
pub(super) fn unpack(events: &[u8], at: Timestamp) -> Result<Vec<CommittedEvent>, DbError> {
    let events = outbox::unpack(events).map_err(|_| DbError::Inconsistent("unreadable events"))?;
    let events = events.into_iter();
    Ok(events.map(|event| CommittedEvent { at, event }).collect())
}

/// Writes what events tell; the position is for the caller to move.
pub(super) async fn project(
    tx: &mut Tx,
    settings: &SettingsCache,
    events: &[CommittedEvent],
) -> Result<(), DbError> {
    let all = || events.iter().map(|committed| &committed.event);
    let due: Vec<DeliveryCause> = all().filter_map(DeliveryCause::of).collect();
    deliveries::plan(tx, settings, &due).await?;
    let settled = all().filter_map(Event::settled);
    let paid: Vec<OrderId> = settled.map(|settled| settled.order).collect();
    sharing::note_paid(tx, &paid).await?;
    payments::project_payments(tx, events).await?;
    points::project_points(tx, events).await
}
