//! What was booked, in words.

use serde::Serialize;

use crate::{
    ledger::{AccountKind, Transfer},
    payments::OrderHistory,
    primitives::{AccountId, RefundId, RefundNo, Timestamp},
};

/// The transfers with one cause.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = JournalEntry)]
pub struct EntryView {
    #[schema(example = "je_019a8b3e5c5f7a0e8b6f1d2c3e4f2a01")]
    pub entry_id: String,
    /// Why it exists: `settlement`, `refund_accepted`, `refund_clawback`, `refund_outcome`,
    /// `sharing_sent`, ..
    #[schema(example = "settlement")]
    pub kind: &'static str,
    /// Which refund caused it; the payment itself when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refund_no: Option<RefundNo>,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub transfers: Vec<TransferView>,
}

/// An amount of one asset from one account to another.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = JournalTransfer)]
pub struct TransferView {
    /// `posted`, `pending`, `post` (a pending one, done) or `void` (a pending one, undone).
    #[schema(example = "posted")]
    pub phase: &'static str,
    /// What the account is for.
    #[schema(example = "channel_receivable")]
    pub debit: &'static str,
    #[schema(example = "merchant_payable")]
    pub credit: &'static str,
    /// Fen or points, as `asset` says.
    #[schema(example = 1200)]
    pub amount: i64,
    /// `cny_fen` or `points`.
    #[schema(example = "cny_fen")]
    pub asset: &'static str,
    /// The customer's posted points after it, when it moves these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points_after: Option<i64>,
}

impl From<&Transfer> for TransferView {
    fn from(transfer: &Transfer) -> Self {
        let name = |account: AccountId| account.kind().map_or("unknown", AccountKind::name);
        Self {
            phase: transfer.phase.name(),
            debit: name(transfer.debit),
            credit: name(transfer.credit),
            amount: transfer.amount,
            asset: transfer
                .debit
                .kind()
                .map_or("unknown", |kind| kind.asset().name()),
            points_after: transfer.balance_after,
        }
    }
}

/// The transfers by entry, in the order in which they were written.
pub(super) fn entries(history: &OrderHistory) -> Vec<EntryView> {
    history
        .transfers
        .chunk_by(|one, next| one.id.entry == next.id.entry)
        .filter_map(|legs| legs.first().map(|first| (first, legs)))
        .map(|(first, legs)| {
            let cause = RefundId::new(first.id.entry.cause());
            let refund = history
                .refunds
                .iter()
                .find(|(refund, _)| refund.id == cause);
            EntryView {
                entry_id: first.id.entry.to_string(),
                kind: first.id.entry.kind().map_or("unknown", |kind| kind.name()),
                refund_no: refund.map(|(refund, _)| refund.no()),
                at: first.at,
                transfers: legs.iter().map(TransferView::from).collect(),
            }
        })
        .collect()
}
