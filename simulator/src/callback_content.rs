//! The content of a callback: a payment, the end of a refund, or a movement of shared money.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::clock::beijing;
use super::faults::Fault;
use super::keys::KeySet;
use super::refunds::{Refund, RefundState};
use super::transaction::{Notice, Party, Transaction};

/// What one callback tells a merchant.
#[derive(Debug, Clone)]
pub(super) enum CallbackContent {
    Payment(Notice),
    Refund(Refund),
    /// To the receiver's side: this event has the same `event_type` as a payment.
    Share(ShareMovement),
}

/// The fields of a callback that stand around the encrypted part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heading {
    pub(super) event_type: &'static str,
    pub(super) summary: &'static str,
    pub(super) original_type: &'static str,
}

impl CallbackContent {
    pub(super) fn heading(&self) -> Heading {
        let refund = |event_type, summary| Heading {
            event_type,
            summary,
            original_type: "refund",
        };
        match self {
            Self::Payment(_) => Heading {
                event_type: "TRANSACTION.SUCCESS",
                summary: "支付成功",
                original_type: "transaction",
            },
            Self::Share(_) => Heading {
                event_type: "TRANSACTION.SUCCESS",
                summary: "分账",
                original_type: "profitsharing",
            },
            Self::Refund(content) => match content.state {
                RefundState::Success { .. } => refund("REFUND.SUCCESS", "退款成功"),
                RefundState::Abnormal => refund("REFUND.ABNORMAL", "退款异常"),
                // A refund that is being processed is not told of, so closed is what is left.
                RefundState::Closed | RefundState::Processing => {
                    refund("REFUND.CLOSED", "退款关闭")
                }
            },
        }
    }

    /// Returns the merchant's number of the payment, refund or share, for the log.
    pub(super) fn number(&self) -> &str {
        match self {
            Self::Payment(notice) => &notice.out_trade_no,
            Self::Refund(refund) => &refund.out_refund_no,
            Self::Share(share) => &share.out_order_no,
        }
    }

    pub(super) fn without_attach(mut self) -> Self {
        match &mut self {
            Self::Payment(notice) => notice.attach = None,
            Self::Refund(_) | Self::Share(_) => {}
        }
        self
    }

    /// Returns the part that is encrypted. With `WrongAmount` or `WrongMerchant` it is not what
    /// happened.
    pub(super) fn plaintext(&self, keys: &KeySet, fault: Option<Fault>) -> Vec<u8> {
        let content = if fault == Some(Fault::WrongAmount) {
            Cow::Owned(self.of_one_fen_more())
        } else if fault == Some(Fault::WrongMerchant) {
            Cow::Owned(self.of_another_merchant())
        } else {
            Cow::Borrowed(self)
        };
        let text = match &*content {
            Self::Payment(notice) => serde_json::to_vec(&Transaction::paid(keys, notice)),
            Self::Refund(refund) => serde_json::to_vec(&RefundContent::of(keys, refund)),
            Self::Share(share) => serde_json::to_vec(&share_content(keys, share)),
        };
        text.expect("a struct of text and numbers is JSON")
    }

    fn of_one_fen_more(&self) -> Self {
        let mut lie = self.clone();
        match &mut lie {
            Self::Payment(notice) => notice.total_fen = notice.total_fen.saturating_add(1),
            Self::Refund(refund) => refund.refund_fen = refund.refund_fen.saturating_add(1),
            Self::Share(share) => share.amount_fen = share.amount_fen.saturating_add(1),
        }
        lie
    }

    fn of_another_merchant(&self) -> Self {
        let mut lie = self.clone();
        let mchid = match &mut lie {
            Self::Payment(notice) => match &mut notice.party {
                Party::Partner { sub_mchid, .. } => Some(sub_mchid),
                Party::Direct { .. } => None,
            },
            Self::Refund(refund) => refund.sub_mchid.as_mut(),
            Self::Share(share) => share.sub_mchid.as_mut(),
        };
        if let Some(mchid) = mchid {
            // The last digit becomes another one.
            let last = mchid.pop();
            mchid.push(if last == Some('7') { '8' } else { '7' });
        }
        lie
    }
}

/// A movement of shared money, of which the receiver's side gets a callback; with the answer that
/// the sharing merchant got.
#[derive(Debug, Clone)]
pub(super) struct ShareMovement {
    pub(super) sub_mchid: Option<String>,
    pub(super) transaction_id: String,
    pub(super) order_id: String,
    pub(super) out_order_no: String,
    pub(super) account: String,
    pub(super) amount_fen: i64,
    pub(super) at: OffsetDateTime,
    pub(super) answer: Value,
}

/// A share in the words of a callback 分账动账通知.
fn share_content(keys: &KeySet, share: &ShareMovement) -> Value {
    let mut body = json!({
        "transaction_id": share.transaction_id,
        "order_id": share.order_id,
        "out_order_no": share.out_order_no,
        "receiver": {
            "type": "MERCHANT_ID",
            "account": share.account,
            "amount": share.amount_fen,
            "description": "分账",
        },
        "success_time": beijing(share.at),
    });
    match &share.sub_mchid {
        Some(mchid) => {
            body["sp_mchid"] = json!(keys.sp_mchid());
            body["sub_mchid"] = json!(mchid);
        }
        None => body["mchid"] = json!(keys.sp_mchid()),
    }
    body
}

/// A refund in the words of a callback. (The answer to a query says `status` instead.)
#[derive(Debug, Serialize)]
struct RefundContent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    transaction_id: &'a str,
    out_trade_no: &'a str,
    refund_id: &'a str,
    out_refund_no: &'a str,
    refund_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_time: Option<String>,
    user_received_account: &'static str,
    amount: RefundNewsAmount,
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion_detail: Option<Value>,
}

#[derive(Debug, Serialize)]
struct RefundNewsAmount {
    total: i64,
    refund: i64,
    payer_total: i64,
    payer_refund: i64,
}

impl<'a> RefundContent<'a> {
    fn of(keys: &'a KeySet, refund: &'a Refund) -> Self {
        let partner = refund.sub_mchid.is_some();
        Self {
            mchid: (!partner).then(|| keys.sp_mchid()),
            sp_mchid: partner.then(|| keys.sp_mchid()),
            sub_mchid: refund.sub_mchid.as_deref(),
            transaction_id: &refund.transaction_id,
            out_trade_no: &refund.out_trade_no,
            refund_id: &refund.refund_id,
            out_refund_no: &refund.out_refund_no,
            refund_status: refund.state.word(),
            success_time: match refund.state {
                RefundState::Success { at } => Some(beijing(at)),
                RefundState::Processing | RefundState::Closed | RefundState::Abnormal => None,
            },
            user_received_account: refund.destination.word(),
            amount: RefundNewsAmount {
                total: refund.total_fen,
                refund: refund.refund_fen,
                payer_total: refund.total_fen.saturating_sub(refund.coupon_fen),
                payer_refund: refund.refund_fen.saturating_sub(refund.discount_fen),
            },
            promotion_detail: refund.promotion(),
        }
    }
}
