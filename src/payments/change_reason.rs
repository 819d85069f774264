//! Why an order's row changed.

use crate::primitives::coded;

coded! {
    /// Told with the change and kept in the order's history, beside the person if it was one.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ChangeReason {
        /// The customer scanned and asked to pay; or closed the order.
        Customer = 1 => "customer",
        /// The merchant did it.
        Merchant = 2 => "merchant",
        /// WeChat gave a prepay id.
        Prepay = 3 => "prepay",
        /// A callback reported it.
        Callback = 4 => "callback",
        /// A query found it.
        Query = 5 => "query",
        /// The order's time was over.
        Expiry = 6 => "expiry",
        /// It was closed at WeChat.
        ClosedAtWechat = 7 => "closed_at_wechat",
        /// An operator did it.
        Operator = 8 => "operator",
        /// A refund arrived.
        RefundArrived = 9 => "refund_arrived",
        /// It was paid after it had been closed; the money goes back.
        LateRefunded = 10 => "late_refunded",
        /// It was paid after it had been closed, and counts.
        LateReopened = 11 => "late_reopened",
        /// A refund was asked for.
        RefundAsked = 12 => "refund_asked",
        /// A refund was rejected, or WeChat did not make it.
        RefundDropped = 13 => "refund_dropped",
        /// The sharing of its money moved on.
        Sharing = 14 => "sharing",
        /// The review of its points was decided, or a refund ended it.
        Reviewed = 15 => "reviewed",
        /// Its merchant was suspended before it was paid.
        MerchantSuspended = 16 => "merchant_suspended",
        /// WeChat tells of a refund that somebody else made.
        RefundedElsewhere = 20 => "refunded_elsewhere",
    }
}
