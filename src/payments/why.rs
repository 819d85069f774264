//! Why an order's row changed.

/// Told with the change and kept in the order's history, beside the person if it was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The customer scanned and asked to pay; or closed the order.
    Customer,
    /// The merchant did it.
    Merchant,
    /// WeChat gave a prepay id.
    Prepay,
    /// WeChat told.
    Callback,
    /// WeChat was asked.
    Query,
    /// The order's time was over.
    Expiry,
    /// It was closed at WeChat.
    ClosedAtWechat,
    /// An operator did it.
    Operator,
    /// A refund arrived.
    RefundArrived,
    /// It was paid after it had been closed; the money goes back.
    LateRefunded,
    /// It was paid after it had been closed, and counts.
    LateReopened,
    /// A refund was asked for.
    RefundAsked,
    /// A refund was rejected, or WeChat did not make it.
    RefundDropped,
    /// The sharing of its money moved on.
    Sharing,
    /// The review of its points was decided, or a refund ended it.
    Reviewed,
    /// Its merchant was suspended before it was paid.
    MerchantSuspended,
    /// WeChat tells of a refund that somebody else made.
    RefundedElsewhere,
}

impl Why {
    pub const ALL: [Self; 17] = [
        Self::Customer,
        Self::Merchant,
        Self::Prepay,
        Self::Callback,
        Self::Query,
        Self::Expiry,
        Self::ClosedAtWechat,
        Self::Operator,
        Self::RefundArrived,
        Self::LateRefunded,
        Self::LateReopened,
        Self::RefundAsked,
        Self::RefundDropped,
        Self::Sharing,
        Self::Reviewed,
        Self::MerchantSuspended,
        Self::RefundedElsewhere,
    ];

    /// The number in events and in the history.
    pub const fn code(self) -> u8 {
        match self {
            Self::Customer => 1,
            Self::Merchant => 2,
            Self::Prepay => 3,
            Self::Callback => 4,
            Self::Query => 5,
            Self::Expiry => 6,
            Self::ClosedAtWechat => 7,
            Self::Operator => 8,
            Self::RefundArrived => 9,
            Self::LateRefunded => 10,
            Self::LateReopened => 11,
            Self::RefundAsked => 12,
            Self::RefundDropped => 13,
            Self::Sharing => 14,
            Self::Reviewed => 15,
            Self::MerchantSuspended => 16,
            Self::RefundedElsewhere => 20,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.code() == code)
    }

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Merchant => "merchant",
            Self::Prepay => "prepay",
            Self::Callback => "callback",
            Self::Query => "query",
            Self::Expiry => "expiry",
            Self::ClosedAtWechat => "closed_at_wechat",
            Self::Operator => "operator",
            Self::RefundArrived => "refund_arrived",
            Self::LateRefunded => "late_refunded",
            Self::LateReopened => "late_reopened",
            Self::RefundAsked => "refund_asked",
            Self::RefundDropped => "refund_dropped",
            Self::Sharing => "sharing",
            Self::Reviewed => "reviewed",
            Self::MerchantSuspended => "merchant_suspended",
            Self::RefundedElsewhere => "refunded_elsewhere",
        }
    }
}
