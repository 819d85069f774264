//! Ways in which a customer's points move, as statistics tell them apart.

use crate::primitives::coded;

coded! {
    /// What happened to points. The number and the word are for ever: events carry the one, the API
    /// the other.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum PointsMove {
        /// Earned by a payment.
        Earned = 1 => "earned",
        /// Given by a back end.
        Awarded = 2 => "awarded",
        /// Taken back by a refund.
        TakenBack = 3 => "taken_back",
        /// Taken by a back end.
        Deducted = 4 => "deducted",
        /// Spent.
        Redeemed = 5 => "redeemed",
        /// They expired.
        Expired = 6 => "expired",
        /// Held for a review; they may still become earned or awarded.
        Held = 7 => "held",
        /// Held, and voided by the review.
        Voided = 8 => "voided",
        /// Given back by the back end that had spent or taken them.
        Returned = 9 => "returned",
    }
}
