//! Deciding on points that wait for a review: a person, the time-out, or refunds that came first.
//!
//! What a review is and who may decide it, [`risk`](crate::risk) says; what the decision does to
//! the points is done here, above everything that can be reviewed. A decision is one commit: the
//! review's row, the entry that posts or voids the pending one, the order, the audit line and the
//! events. It is guarded by the versions of the review and the order and by the resolution's key,
//! so two at once decide once.
//!
//! | outcome | pending entry | debt | order's review |
//! |---|---|---|---|
//! | approved, timed out and released | posted; if refunds withhold a part, voided, and the rest posted by an entry of its own | repaid out of these points, an entry of its own | credited |
//! | rejected, timed out and voided | voided | stays | voided |
//! | superseded: refunds took all of it | voided | stays | voided |
//!
//! # Refunds of points under review
//!
//! A refund does not wait for the review, nor does it end it: it **withholds** its part of the
//! points, in the proportion of the money, from the moment at which it is initiated
//! (`refunds.points_withheld`, summed up on the order as
//! [`RefundSums::withheld`](super::RefundSums::withheld)). Nothing is booked for that, since
//! nothing was credited: the pending entry stays whole until the review is decided, and credits
//! what is not withheld then. What becomes of a withheld part, the refund says when it ends:
//!
//! | the refund \ the review | open | credited | voided |
//! |---|---|---|---|
//! | arrives | taken back: the review is about less; when nothing is left it is superseded | taken back | stays voided |
//! | fails, or is closed | the review's again, as if nothing had been | credited, by an entry of its own, and repays a debt | voided, with the others |
//!
//! - **A second refund** withholds its own part. Parts are of the sum of all refunds asked for, so
//!   pieces withhold what the whole would, and a refund too small for a point withholds none. After
//!   the points are credited refunds take points back as ever; after they are voided there are none
//!   to take.
//! - **A refund that awaits a second person** withholds nothing: it does when it is initiated, from
//!   what the review has come to by then.
//! - **What people see**: the review's `points` are those that it may come to release, those of
//!   refunds under way included, for these may still fail; above a limit two people must agree to
//!   all of them. The customer's pending points are the pending entry: all of it until the
//!   decision.
//! - **A refund that somebody else made** (`foreign_refund.rs`) withholds its part from the first
//!   statement on, as if what of ours cannot arrive beside it were gone already. So for a while
//!   more may be withheld than was earned; then the review credits nothing, and whichever of the
//!   refunds fails gives back what is above what the others withhold.
//! - **Reported** as points voided
//!   ([`PointsMove::Voided`](crate::points::PointsMove::Voided)), and returned to the total cap of
//!   the rule, when it is certain that nobody gets them.
//! - **Crash safety**: each step is one commit, and what is under way is in the rows of the refund
//!   and the review: the refund's job and the review's time-out go on from there, in either order,
//!   and come to the same sum.

mod decide;
mod points;
mod refunds;

pub use decide::{DecideReview, ReviewCommand, decide_review, time_out_review};
#[cfg(test)]
pub(super) use decide::{timing_out, turning};
pub(super) use refunds::{refund_arrived, refund_failed, want_review, withhold};
