//! Profit sharing (分账): parts of a payment that go to others than the merchant.
//!
//! # Words
//!
//! A **receiver** may get shares of one merchant's payments: another `mchid` (with service
//! providers usually the tenant's own, `SERVICE_PROVIDER`), or a person. A **rule** says for a
//! merchant which receivers get how many millionths; versions are kept and the newest is in force.
//! The **sharing** of a payment ([`PaymentShare`], one per order) has a **part** per receiver. A
//! **return** brings some of a part back before a refund. What is not shared is **released**: until
//! then WeChat keeps the whole payment frozen.
//!
//! # States
//!
//! ```text
//! order.sharing   wanted ────────────▶ under ──────────────────────────────▶ done
//!
//! sharing                   ┌▶ asked ──▶ processing ──▶ done   (every part final)
//!                  start ───┤    │           │
//!                           │    └─ refused ─┴──▶ releasing ──▶ done
//!                           └▶ releasing (nothing to share)
//!
//! part            pending ──▶ succeeded | failed
//! return          asked ──▶ processing ──▶ succeeded | failed        (asked ──▶ succeeded | failed)
//! refund          returning ──▶ accepted   (every return of its round final, or none needed)
//!                 returning ──▶ withdrawn  (by people; a round that is open goes on, for the merchant)
//! ```
//!
//! *Asked* is repeated with the same number until WeChat confirms that it has it; *processing* is
//! queried. A refusal proves only that this attempt did nothing, and a query that finds nothing
//! only that nothing has landed yet. So every call is recorded before it is made (`calls`), and a
//! refused share is undone in the books only when every earlier call is known to have done nothing,
//! or is too old for WeChat to take. "Too little is left to share" is final only after
//! [`SHARE_ATTEMPTS_MAX`] attempts. For a release it means that nothing is frozen any more, as
//! after a full refund, and the sharing is done.
//!
//! # Amounts
//!
//! The base is the payment less every refund that counts against the order. A part is its
//! millionths of the base less the fee that WeChat is expected to keep of it, rounded down, and all
//! parts together are at most what WeChat says can still be shared. The rule is the one in force
//! when the sharing starts, not when the order was made. (Pure: `amounts`.)
//!
//! Refunds requested before the sharing take nothing from it: they come out of what was never
//! shared. When later refunds reach *n* of the base, *n / base* of each part must have come back,
//! rounded down over the sum; so many small refunds take no more than one large one, and a full
//! refund takes all. A refund that is dropped after its shares came back no longer counts, so the
//! next one takes less.
//!
//! # When a share does not come back
//!
//! The refund goes on. The customer's right to the money does not depend on the receiver, so the
//! merchant bears the part, in the books as at WeChat, and an exception `sharing_failed` stays open
//! until a person has seen to it. This is so when WeChat says that the return failed, when it
//! refuses it for certain, when the receiver's account has held too little for
//! [`RETURN_ATTEMPTS_MAX`] attempts, and for parts of persons, which WeChat cannot take back (each
//! refund notes that). The next refund of the order tries again for a merchant's part, since what
//! failed does not count as returned. Without a proven outcome the refund waits: no return is
//! marked failed while its outcome is unknown.
//!
//! # When WeChat did what was recorded as refused
//!
//! It should not be possible, but it is handled: by a late answer of an attempt, by the query
//! before a release, and by the query of an operator who retries. A part that arrived after it had
//! been marked failed is booked to its receiver by one more entry; a return that arrived after it
//! had been marked failed is booked as a return. An exception `sharing_contradiction` says so, and
//! the sharing is **stopped**: no refund of its order goes on until an operator has retried it,
//! which asks WeChat about everything that is marked failed once more.
//!
//! # Books
//!
//! | entry | cause | transfer |
//! |---|---|---|
//! | sent | sharing | per part: Dr merchant payable / Cr sharing in transit |
//! | outcome | part | succeeded: Dr sharing in transit / Cr receiver payable; failed: Dr sharing in transit / Cr merchant payable |
//! | landed | part that was marked failed | Dr merchant payable / Cr receiver payable |
//! | returned | return | Dr receiver payable / Cr merchant payable |
//!
//! # Invariants
//!
//! - An order has at most one sharing (a unique key), and one exactly when its `sharing` is *under*
//!   or *done*; *done* exactly when the sharing is.
//! - Sharing in transit is the sum of the pending parts. A final part has one outcome entry, and
//!   one more if it landed late; a pending one none.
//! - The parts are at most the base. Of a part, what was asked back and did not fail is at most its
//!   amount; a succeeded return has one entry, any other none.
//! - At most one refund per order is in its round of returns (`sharings.refund_id`); the others
//!   wait.
//!
//! # Rows and their guards
//!
//! `sharings` (36), `sharing_parts` (37) and `sharing_returns` (38) are written in that order after
//! the order, its refunds and the exceptions. The version of the sharing's row guards its parts and
//! returns: whoever changes one rewrites it.
//!
//! How paid orders get here: the relay reads every payment's event anyway and puts the orders that
//! are to be shared into `sharing_dues`. A scan over orders by age, as for those that nobody pays,
//! would miss an order that is paid late; an index on the orders would cost every order something.
//! Settling a payment costs nothing either way.
//!
//! # Crash safety
//!
//! - before `StartSharing` is committed: the due row's lease runs out, another job takes it;
//! - between the commit and the call, or the call and noting its answer: `next_attempt_at` is due,
//!   a job repeats the call with the same number;
//! - between two returns of a round: the refund's `next_attempt_at` is due; what is final stays,
//!   the others are repeated;
//! - two jobs at once: both make the same call with the same number, and the second answer finds
//!   the parts final and changes nothing. A refusal that one of them gets proves nothing while the
//!   other's call is under way.
//!
//! Tables owned: `sharing_receivers`, `sharing_rules`, `sharing_rule_parts`, `sharings`,
//! `sharing_parts`, `sharing_returns`, `sharing_dues`; and the column `merchants.sharing`, which
//! follows the rule in force.

mod amounts;
mod apply_return;
mod apply_share;
mod booking;
mod calls;
mod change_receiver;
mod channel;
mod due;
mod error;
mod find;
#[cfg(test)]
mod money_model_tests;
mod receiver;
mod retry;
mod rule;
mod share;
mod start;
mod start_return;
mod store;
mod submit_return;
mod submit_share;

use std::sync::Arc;

pub use calls::Calls;
pub use change_receiver::{AddReceiver, register_receiver, remove_receiver};
pub use channel::{
    ChannelPart, ChannelReturn, ChannelShare, PartResult, ReceiverCall, ReceiverKind, ReturnCall,
    ReturnResult, ShareCall, SharePart, SharingChannel, SharingChannels,
};
pub use due::{Due, claim_dues, note_paid};
pub use error::SharingError;
pub use find::{SharingView, find_sharing, list_sharings, sharing_causes};
pub use receiver::{Receiver, ReceiverForm, ReceiverState, list_receivers};
pub use retry::retry_sharing;
pub use rule::{
    NewRulePart, NewSharingRule, RULE_PARTS_MAX, RulePart, SharingRule, find_rule, set_rule,
};
pub use share::{
    Part, PartReturn, PartState, PaymentShare, ReturnState, ShareState, ShareStateKind,
};
pub use start::start_sharing;
pub use submit_return::{RETURN_ATTEMPTS_MAX, claim_returns, reconcile_return};
pub use submit_share::{DueSharing, SHARE_ATTEMPTS_MAX, claim_sharings, reconcile_sharing};

use crate::payments::Payments;

/// What the use cases of this slice work with.
#[derive(Debug, Clone)]
pub struct Sharing {
    pub payments: Payments,
    pub channels: Arc<dyn SharingChannels>,
}
