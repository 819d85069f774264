//! What an operation keeps of the callback that it came by.

use bytes::Bytes;

use super::{
    CallbackOutcome,
    store::{AlarmRow, Alarms, CallbackRow, Callbacks},
};
use crate::{
    db::{Cx, Wanted, WorkingSet},
    primitives::{Id, TenantId},
};

/// A callback as received.
#[derive(Debug, Clone)]
pub(super) struct ReceivedCallback {
    pub(super) tenant: TenantId,
    pub(super) id: Id,
    pub(super) body: Bytes,
}

impl ReceivedCallback {
    /// Wants what [`ReceivedCallback::reject`] asks for.
    pub(super) fn want(&self, want: &mut Wanted) {
        want.row::<Alarms>(self.id);
        want.row::<Callbacks>(self.id);
    }

    /// What is kept of it, as far as anybody looked.
    pub(super) fn kept<'s>(&self, set: &'s WorkingSet) -> Option<&'s CallbackRow> {
        set.get_loaded::<Callbacks>(self.id)
    }

    /// Keeps it with what became of it.
    pub(super) fn keep(
        &self,
        set: &mut WorkingSet,
        cx: &Cx<'_>,
        outcome: CallbackOutcome,
        reason: Option<&'static str>,
    ) {
        let row = CallbackRow {
            tenant: self.tenant,
            outcome,
            received_at: cx.now(),
            body: self.body.clone(),
            reason: reason.map(Into::into),
            headers: None,
        };
        set.put::<Callbacks>(self.id, row);
    }

    /// Keeps it as rejected, and raises its alarm once. False if it was rejected for this reason
    /// before, so that whoever must know was told. One that failed before, or was rejected for
    /// another reason, is judged anew when it is played again.
    ///
    /// Where nobody has looked for it, since the order was paid earlier in this batch, it is taken
    /// for new; if it is not, the keys refuse the batch, and alone it is asked for.
    pub(super) fn reject(
        &self,
        set: &mut WorkingSet,
        cx: &Cx<'_>,
        reason: &'static str,
        alarm: impl FnOnce() -> AlarmRow,
    ) -> bool {
        let kept = self.kept(set);
        if kept.is_some_and(|kept| kept.was_rejected_for(reason)) {
            return false;
        }
        self.raise(set, alarm());
        self.keep(set, cx, CallbackOutcome::Rejected, Some(reason));
        true
    }

    /// The alarm that was raised for it, as far as anybody looked.
    pub(super) fn alarm<'s>(&self, set: &'s WorkingSet) -> Option<&'s AlarmRow> {
        set.get_loaded::<Alarms>(self.id)
    }

    /// Raises its alarm, unless it has one that says as much.
    pub(super) fn raise(&self, set: &mut WorkingSet, alarm: AlarmRow) {
        if alarm.says_more_than(self.alarm(set)) {
            set.put::<Alarms>(self.id, alarm);
        }
    }
}
