//! The kinds of activities that risk decides on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A kind of activity that risk decides on before it is done. Code and name never change: stored decisions carry the code, rule files the name.
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
    Login,
    /// A customer is about to pay.
    #[serde(rename = "payment.create")]
    PaymentCreate,
    /// Points are about to be credited: for a payment, or by a back end.
    #[serde(rename = "points.credit")]
    PointsCredit,
    /// Points are about to be spent or held.
    #[serde(rename = "redeem")]
    Redeem,
    /// Money is about to go back.
    #[serde(rename = "refund")]
    Refund,
}

/// A word that is not a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stage is login, payment.create, points.credit, redeem or refund")]
pub struct UnknownStage;

impl Stage {
    pub const ALL: [Self; 5] = [
        Self::Login,
        Self::PaymentCreate,
        Self::PointsCredit,
        Self::Redeem,
        Self::Refund,
    ];

    pub const fn code(self) -> u8 {
        match self {
            Self::Login => 1,
            Self::PaymentCreate => 2,
            Self::PointsCredit => 3,
            Self::Redeem => 4,
            Self::Refund => 5,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.code() == code)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::PaymentCreate => "payment.create",
            Self::PointsCredit => "points.credit",
            Self::Redeem => "redeem",
            Self::Refund => "refund",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        let found = Self::ALL.into_iter().find(|stage| stage.name() == text);
        found.ok_or(UnknownStage)
    }
}
