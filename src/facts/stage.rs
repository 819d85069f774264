//! The kinds of activities that risk decides on.

use crate::primitives::coded;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

coded! {
    /// A kind of activity that risk decides on before it is done. Code and name never change:
    /// stored decisions carry the code, rule files the name.
    #[derive(
        Debug,
        Clone,
        Copy,
        PartialEq,
        Eq,
        PartialOrd,
        Ord,
        Hash,
        Serialize,
        Deserialize,
        utoipa::ToSchema,
    )]
    pub enum Stage {
        /// Someone logs in.
        #[serde(rename = "login")]
        Login = 1 => "login",
        /// A customer is about to pay.
        #[serde(rename = "payment.create")]
        PaymentCreate = 2 => "payment.create",
        /// Points are about to be credited: for a payment, or by a back end.
        #[serde(rename = "points.credit")]
        PointsCredit = 3 => "points.credit",
        /// Points are about to be spent or held.
        #[serde(rename = "redeem")]
        Redeem = 4 => "redeem",
        /// Money is about to go back.
        #[serde(rename = "refund")]
        Refund = 5 => "refund",
    }
}

/// A word that is not a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stage is login, payment.create, points.credit, redeem or refund")]
pub struct UnknownStage;

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        Self::from_name(text).ok_or(UnknownStage)
    }
}
