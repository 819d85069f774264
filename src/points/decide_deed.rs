//! The end of a deed's review: let in or let go.
//!
//! Whoever keeps the queue of reviews calls [`want_decision`] and [`decide_in`] inside its own operation, so that its row, the deed and the entries are one commit.

use super::{
    Deed, DeedError, DeedKind, DeedState, PointsMove, ask::note, deed_entries as entries,
    deed_store::Deeds, end_hold::want_deed,
};
use crate::{
    audit::Actor,
    db::{Cx, Wanted, WorkingSet},
    primitives::DeedId,
};

/// What [`decide_in`] reads. Ask again after each load.
pub fn want_decision(want: &mut Wanted, set: &WorkingSet, deed: DeedId) {
    want_deed(want, set, deed);
}

/// Who asked for a deed whose decision is wanted ([`want_decision`]).
pub(crate) fn asked_by(set: &WorkingSet, deed: DeedId) -> Option<&Actor> {
    set.get::<Deeds>(deed).map(|deed| &deed.created_by)
}

/// Ends the review of a deed, inside `decide` of whoever keeps the queue.
///
/// | | let in | let go |
/// |---|---|---|
/// | award | posted, repays a debt | voided |
/// | redemption at once | posted: spent | voided |
/// | hold | stays pending and is a hold from now on | voided |
///
/// Refused with [`DeedError::State`] when it is not under review (any more).
pub fn decide_in(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    deed: DeedId,
    approve: bool,
    by: &Actor,
) -> Result<Deed, DeedError> {
    let deed = set.get::<Deeds>(deed).cloned();
    let deed = deed.ok_or(DeedError::NotFound)?;
    let decided = if approve {
        let decided = deed.let_in(cx.now())?;
        match (decided.kind, decided.state) {
            (DeedKind::Award, _) => entries::award_at_last(set, cx, &decided)?,
            (DeedKind::Deduct | DeedKind::Redeem | DeedKind::Return, DeedState::Done) => {
                entries::capture(set, cx, &decided)?;
            }
            (
                DeedKind::Deduct | DeedKind::Redeem | DeedKind::Return,
                DeedState::Held
                | DeedState::Released
                | DeedState::Expired
                | DeedState::UnderReview
                | DeedState::Refused,
            ) => {}
        }
        decided
    } else {
        let decided = deed.let_go(cx.now())?;
        entries::drop_pending(set, cx, &decided)?;
        if decided.kind == DeedKind::Award {
            entries::moved(cx, &decided, PointsMove::LetGo, decided.points);
        }
        decided
    };
    note(set, cx, &decided, by);
    set.put::<Deeds>(decided.id, decided.clone());
    Ok(decided)
}
