//! What can go wrong with a refund, as the caller sees it.

use super::{BookingError, RefundStateKind};
use crate::{
    db::{DbError, Inconsistent, SubmitError},
    ledger::LedgerError,
    primitives::{Money, Points, RefundNo},
    risk::Stop,
};

#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    #[error("order not found")]
    OrderNotFound,
    #[error("refund not found")]
    NotFound,
    #[error("the order is not paid")]
    NotPaid,
    /// WeChat says that somebody else refunded something of it, and not how much.
    #[error("something was refunded elsewhere, and how much is not known")]
    RefundedElsewhere,
    #[error("a refund's number is 1 to 64 letters, digits and _-|*@")]
    BadNumber,
    #[error("only {left} can still be refunded")]
    ExceedsRefundable { left: Money },
    #[error("a refund is of more than nothing")]
    NothingToRefund,
    #[error("an order is refunded at most 50 times")]
    TooMany,
    #[error("the payment is more than a year old")]
    TooOld,
    #[error("a reason is 1 to 80 bytes")]
    BadReason,
    #[error("{due} points would have to come back and {available} are there")]
    PointsSpent { due: Points, available: Points },
    #[error("the refund is {} already", .0.name())]
    AlreadyDecided(RefundStateKind),
    #[error("a second person must decide")]
    SamePerson,
    #[error("the order would give back more than this person decides")]
    AboveYourLimit,
    #[error("only an abnormal refund can be redirected")]
    NotAbnormal,
    #[error("the merchant is suspended")]
    MerchantSuspended,
    #[error("the refund is {}: it cannot be withdrawn", .0.name())]
    NotWithdrawable(RefundStateKind),
    #[error("WeChat is being told of the refund, or was a moment ago")]
    CallInProgress,
    /// Of the same caller, who is told which refund the key is about, if it may be seen.
    #[error("the key was used for another request")]
    KeyReused(Option<RefundNo>),
    /// WeChat said no; its code is for logs.
    #[error("WeChat refuses: {0}")]
    ChannelRefused(String),
    /// WeChat's answer does not fit the refund or its order. The code is stable.
    #[error("WeChat's answer is wrong: {0}")]
    AnswerMismatch(&'static str),
    #[error("WeChat does not answer")]
    ChannelUnknown,
    #[error("the books refuse the refund")]
    Booking(#[from] BookingError),
    #[error("risk stops the refund")]
    Stopped(#[from] Stop),
    #[error("database failure")]
    Db(#[from] DbError),
}

impl From<Inconsistent> for RefundError {
    fn from(inconsistent: Inconsistent) -> Self {
        Self::Booking(inconsistent.into())
    }
}

impl From<LedgerError> for RefundError {
    fn from(error: LedgerError) -> Self {
        Self::Booking(error.into())
    }
}

impl From<SubmitError<Self>> for RefundError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Refused(refusal) => refusal,
            SubmitError::Db(error) => Self::Db(error),
        }
    }
}
