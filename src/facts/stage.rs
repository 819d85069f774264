//! The kinds of activities that risk decides on.

use crate::primitives::coded;

coded! {
    /// A kind of activity that risk decides on before it is done. Code and name never change:
    /// stored decisions carry the code, rule files the name.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Stage: Serde, Display {
        /// Someone logs in.
        Login = 1 => "login",
        /// A customer is about to pay.
        PaymentCreate = 2 => "payment.create",
        /// Points are about to be credited: for a payment, or by a back end.
        PointsCredit = 3 => "points.credit",
        /// Points are about to be spent or held.
        Redeem = 4 => "redeem",
        /// Money is about to go back.
        Refund = 5 => "refund",
    }
}
