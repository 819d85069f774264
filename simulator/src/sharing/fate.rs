//! What becomes of shared and returned money, and how a test decides it.

use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::super::chance::PerMille;

/// Why a receiver got nothing: `fail_reason` of a part that is `CLOSED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ShareFailure {
    /// The receiver's account cannot take money.
    AccountAbnormal,
    /// The receiver was deleted between the request and its end.
    NoRelation,
    /// The receiver is thought dangerous.
    ReceiverHighRisk,
    /// The receiver never proved a name.
    ReceiverRealNameNotVerified,
    /// The merchant may not share any more.
    NoAuth,
    /// The receiver has had as much this month as a person may.
    ReceiverReceiptLimit,
    /// The merchant's account cannot give money.
    PayerAccountAbnormal,
}

impl ShareFailure {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AccountAbnormal => "ACCOUNT_ABNORMAL",
            Self::NoRelation => "NO_RELATION",
            Self::ReceiverHighRisk => "RECEIVER_HIGH_RISK",
            Self::ReceiverRealNameNotVerified => "RECEIVER_REAL_NAME_NOT_VERIFIED",
            Self::NoAuth => "NO_AUTH",
            Self::ReceiverReceiptLimit => "RECEIVER_RECEIPT_LIMIT",
            Self::PayerAccountAbnormal => "PAYER_ACCOUNT_ABNORMAL",
        }
    }
}

/// Why money did not come back: `fail_reason` of a return that is `FAILED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReturnFailure {
    /// The receiver's account cannot give money.
    AccountAbnormal,
    /// The receiver has spent it.
    BalanceNotEnough,
    /// It took too long.
    TimeOutClosed,
    /// The merchant's account cannot take money.
    PayerAccountAbnormal,
}

impl ReturnFailure {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AccountAbnormal => "ACCOUNT_ABNORMAL",
            Self::BalanceNotEnough => "BALANCE_NOT_ENOUGH",
            Self::TimeOutClosed => "TIME_OUT_CLOSED",
            Self::PayerAccountAbnormal => "PAYER_ACCOUNT_ABNORMAL",
        }
    }
}

/// How a part is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareResult {
    /// The receiver gets the money.
    Success,
    /// The part is closed for this reason.
    Closed(ShareFailure),
}

/// What is decided beforehand about one account, whatever the switches say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForcedReceiver {
    /// How every part for this account ends.
    pub share: Option<ShareResult>,
    /// Why every return from this account fails; `None`: as the switches say.
    pub return_failure: Option<ReturnFailure>,
    /// The name that WeChat knows the account by; another one sent for it is refused. `None`:
    /// whatever name the merchant sends is right.
    pub name: Option<String>,
}

/// How often shared money does not arrive. Drawn from the seed, the number and the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SharingFaults {
    /// See [`ShareFailure::AccountAbnormal`].
    pub account_abnormal: PerMille,
    /// See [`ShareFailure::ReceiverHighRisk`].
    pub receiver_high_risk: PerMille,
    /// See [`ShareFailure::ReceiverRealNameNotVerified`].
    pub real_name_not_verified: PerMille,
    /// See [`ShareFailure::ReceiverReceiptLimit`].
    pub receipt_limit: PerMille,
    /// See [`ReturnFailure::AccountAbnormal`].
    pub return_account_abnormal: PerMille,
    /// See [`ReturnFailure::TimeOutClosed`].
    pub return_timed_out: PerMille,
}

impl SharingFaults {
    /// Every switch draws, so that one does not change what another does; the first that hits wins.
    pub(super) fn draw_share(self, rng: &mut StdRng) -> ShareResult {
        let switches = [
            (self.account_abnormal, ShareFailure::AccountAbnormal),
            (self.receiver_high_risk, ShareFailure::ReceiverHighRisk),
            (
                self.real_name_not_verified,
                ShareFailure::ReceiverRealNameNotVerified,
            ),
            (self.receipt_limit, ShareFailure::ReceiverReceiptLimit),
        ];
        let drawn = switches.map(|(share, failure)| share.happens(rng).then_some(failure));
        let hit = drawn.into_iter().flatten().next();
        hit.map_or(ShareResult::Success, ShareResult::Closed)
    }

    pub(super) fn draw_return(self, rng: &mut StdRng) -> Option<ReturnFailure> {
        let switches = [
            (self.return_account_abnormal, ReturnFailure::AccountAbnormal),
            (self.return_timed_out, ReturnFailure::TimeOutClosed),
        ];
        let drawn = switches.map(|(share, failure)| share.happens(rng).then_some(failure));
        drawn.into_iter().flatten().next()
    }
}
