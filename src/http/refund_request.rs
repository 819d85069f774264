//! What merchants and operators say of refunds: asking for one, and deciding on one.

use serde::Deserialize;

use super::{extract::Keyed, problem::Problem};
use crate::{
    auth::Principal,
    payments::{DecideRefund, RefundBy, RefundError},
    primitives::{Length, Money, RefundNo, Text},
};

/// WeChat takes 80 bytes of a reason (`docs/wechat-pay.md` §5), and a note is kept in the same
/// room.
const NOTE_BYTES_MAX: usize = 80;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundRequest {
    /// Absent: all that can still be refunded.
    #[schema(example = 1200, minimum = 1)]
    #[serde(default)]
    amount_fen: Option<i64>,
    /// Shown to the customer. At most 80 bytes, which are 26 Chinese characters.
    #[schema(example = "缺货", min_length = 1, max_length = 80)]
    reason: String,
}

impl RefundRequest {
    pub(super) fn amount(&self) -> Result<Option<Money>, Problem> {
        let amount = self.amount_fen.map(Money::parse).transpose();
        amount.map_err(|_| RefundError::NothingToRefund.into())
    }

    pub(super) fn reason(&self) -> &str {
        self.reason.trim()
    }
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveRefundRequest {
    /// Anything worth keeping, at most 80 bytes.
    #[schema(example = "已与顾客电话确认", max_length = 80)]
    #[serde(default)]
    note: String,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectRefundRequest {
    /// Why not, at most 80 bytes.
    #[schema(example = "商品已使用", min_length = 1, max_length = 80)]
    reason: String,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WithdrawRefundRequest {
    /// Why, at most 80 bytes. No personal data: it is kept for years.
    #[schema(
        example = "商户账户余额不足，改为线下退款",
        min_length = 1,
        max_length = 80
    )]
    reason: String,
}

impl WithdrawRefundRequest {
    pub(super) fn reason(&self) -> Result<String, Problem> {
        let reason = Text::parse(&self.reason, Length::Bytes(1, NOTE_BYTES_MAX));
        Ok(reason.map_err(|_| RefundError::BadReason)?.into_string())
    }
}

/// What a second person says of a refund that waits.
pub(super) trait RefundVerdict {
    const AGREES: bool;

    /// What is kept with the decision: at most [`NOTE_BYTES_MAX`], and for a rejection not nothing.
    fn note(&self) -> Result<String, Problem>;
}

impl RefundVerdict for ApproveRefundRequest {
    const AGREES: bool = true;

    fn note(&self) -> Result<String, Problem> {
        let note = Text::parse(&self.note, Length::Bytes(0, NOTE_BYTES_MAX));
        note.map(Text::into_string)
            .map_err(|_| Problem::field("note", "at most 80 bytes of text in one line"))
    }
}

impl RefundVerdict for RejectRefundRequest {
    const AGREES: bool = false;

    fn note(&self) -> Result<String, Problem> {
        let reason = Text::parse(&self.reason, Length::Bytes(1, NOTE_BYTES_MAX));
        Ok(reason.map_err(|_| RefundError::BadReason)?.into_string())
    }
}

impl<V: RefundVerdict> Keyed<V> {
    /// The caller's decision on this refund.
    pub(super) fn decision(
        &self,
        caller: &Principal,
        refund: RefundNo,
        by: RefundBy,
    ) -> Result<DecideRefund, Problem> {
        Ok(DecideRefund {
            tenant: caller.tenant(),
            refund: refund.id(),
            agree: V::AGREES,
            note: self.body.note()?,
            by,
            claim: self.claim(caller),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_optional_and_never_negative() {
        let amount = |json: &str| {
            let request: RefundRequest = serde_json::from_str(json).unwrap();
            request
                .amount()
                .map(|amount| amount.map(Money::get))
                .map_err(|problem| problem.code)
        };
        assert_eq!(amount(r#"{"reason":"x"}"#), Ok(None));
        assert_eq!(amount(r#"{"reason":"x","amount_fen":5}"#), Ok(Some(5)));
        assert_eq!(
            amount(r#"{"reason":"x","amount_fen":-5}"#),
            Err("field_invalid")
        );
        assert!(serde_json::from_str::<RefundRequest>(r#"{"reason":"x","amount":5}"#).is_err());
    }

    #[test]
    fn a_rejection_says_why_and_both_fit_into_their_room() {
        let reject = |reason: &str| {
            RejectRefundRequest {
                reason: reason.to_owned(),
            }
            .note()
        };
        assert!(reject("  ").is_err());
        assert!(reject(&"退".repeat(26)).is_ok());
        assert!(reject(&"退".repeat(27)).is_err());
        let approve = |note: &str| {
            ApproveRefundRequest {
                note: note.to_owned(),
            }
            .note()
        };
        assert_eq!(approve("").unwrap(), "");
        assert!(approve(&"退".repeat(27)).is_err());
    }
}
