//! What can go wrong with a payment, as the caller sees it.

use super::InvalidTransition;
use crate::{
    db::{DbError, SubmitError},
    primitives::{Money, OrderNo},
    risk::Stop,
};

#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    #[error("no such collection code")]
    CodeUnknown,
    #[error("the collection code is disabled")]
    CodeDisabled,
    #[error("the merchant does not take payments")]
    MerchantNotActive,
    #[error("this code leaves the amount to the customer: state it")]
    AmountRequired,
    #[error("this code is for {expected}")]
    AmountNotAllowed { expected: Money },
    #[error("an amount is between {min} and {max}")]
    AmountOutOfRange { min: Money, max: Money },
    /// Of the same caller, who is told which order the key made, if it may be seen.
    #[error("the key was used for another request")]
    KeyReused(Option<OrderNo>),
    #[error("order not found")]
    OrderNotFound,
    #[error("order {0} is closed")]
    OrderClosed(OrderNo),
    #[error("order {0} can no longer be paid")]
    OrderExpired(OrderNo),
    #[error("order {0} is paid already")]
    AlreadyPaid(OrderNo),
    /// WeChat said no; its code is for logs.
    #[error("WeChat refuses the payment: {0}")]
    ChannelRefused(String),
    /// Somebody is entering the password at this moment.
    #[error("order {0} is being paid")]
    PaymentInProgress(OrderNo),
    /// WeChat's answer does not fit the order. The code is stable.
    #[error("WeChat's answer is wrong: {0}")]
    AnswerMismatch(&'static str),
    /// Nobody knows what WeChat did, and why not: no answer, or one that cannot be verified or
    /// read. Repeat with the same key.
    #[error("WeChat is not understood: {0}")]
    ChannelUnknown(String),
    #[error("risk stops the payment")]
    Stopped(#[from] Stop),
    /// Cannot happen: the state is checked before. It is logged as an error.
    #[error("the order does not take it")]
    Transition(#[from] InvalidTransition),
    #[error("database failure")]
    Db(#[from] DbError),
}

impl From<SubmitError<Self>> for PaymentError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Refused(refusal) => refusal,
            SubmitError::Db(error) => Self::Db(error),
        }
    }
}
