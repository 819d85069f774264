//! The ways in which a customer's points move, for events and statistics.

use crate::primitives::coded;

coded! {
    /// What happened to points. Events carry the code and the API the name, so neither changes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum PointsMove {
        Earned = 1 => "earned",
        Awarded = 2 => "awarded",
        /// Taken back by a refund.
        TakenBack = 3 => "taken_back",
        /// Taken by a back end.
        Deducted = 4 => "deducted",
        Redeemed = 5 => "redeemed",
        Expired = 6 => "expired",
        /// Held for a review, which may make them earned or awarded.
        Held = 7 => "held",
        /// Held for a review, which voided them.
        Voided = 8 => "voided",
        /// Given back by the back end that had taken them.
        Returned = 9 => "returned",
    }
}
