//! Ways in which a customer's points move, as statistics tell them apart.

/// What happened to points. The number and the word are for ever: events carry the one, the API the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PointsMove {
    /// Earned by a payment.
    Earned,
    /// Given by a back end.
    Awarded,
    /// Taken back by a refund.
    TakenBack,
    /// Taken by a back end.
    Deducted,
    /// Spent.
    Redeemed,
    /// They expired.
    Expired,
    /// Held for a review; they may still become earned or awarded.
    Held,
    /// Held, and voided by the review.
    Voided,
    /// Given back by the back end that had spent or taken them.
    Returned,
}

impl PointsMove {
    pub const ALL: [Self; 9] = [
        Self::Earned,
        Self::Awarded,
        Self::TakenBack,
        Self::Deducted,
        Self::Redeemed,
        Self::Expired,
        Self::Held,
        Self::Voided,
        Self::Returned,
    ];

    pub const fn code(self) -> u8 {
        match self {
            Self::Earned => 1,
            Self::Awarded => 2,
            Self::TakenBack => 3,
            Self::Deducted => 4,
            Self::Redeemed => 5,
            Self::Expired => 6,
            Self::Held => 7,
            Self::Voided => 8,
            Self::Returned => 9,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.code() == code)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Earned => "earned",
            Self::Awarded => "awarded",
            Self::TakenBack => "taken_back",
            Self::Deducted => "deducted",
            Self::Redeemed => "redeemed",
            Self::Expired => "expired",
            Self::Held => "held",
            Self::Voided => "voided",
            Self::Returned => "returned",
        }
    }
}
