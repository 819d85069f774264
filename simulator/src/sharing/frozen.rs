//! A payment whose money is frozen until it is shared or unfrozen.

use std::time::Instant;

use http::StatusCode;
use time::{Duration, OffsetDateTime};

use super::super::answer::Refusal;
use super::super::lock::lock;
use super::super::merchants::MerchantRules;
use super::super::orders::OrderState;
use super::super::state::Shared;
use super::book::{Book, Moment};

/// So long the money of a payment stays frozen; then it is the merchant's.
const FROZEN: Duration = Duration::days(30);

/// A payment whose money can be shared.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) transaction_id: String,
    pub(super) out_trade_no: String,
    pub(super) mchid: String,
    pub(super) partner: bool,
    pub(super) total_fen: i64,
    pub(super) paid: Moment,
}

impl Frozen {
    /// The payment of that number. To WeChat an unknown one is simply not to be shared.
    pub(super) fn find(shared: &Shared, transaction_id: &str) -> Result<Self, Refusal> {
        let refused = || {
            let status = StatusCode::BAD_REQUEST;
            Refusal::new(status, "INVALID_REQUEST", "非分账订单不支持分账")
        };
        let orders = lock(&shared.orders);
        let order = orders.by_transaction(transaction_id).ok_or_else(refused)?;
        let OrderState::Paid { paid_at, .. } = &order.state else {
            return Err(refused());
        };
        if !order.profit_sharing {
            return Err(refused());
        }
        Ok(Self {
            transaction_id: transaction_id.to_owned(),
            out_trade_no: order.out_trade_no.to_string(),
            mchid: order.party.receiver(&shared.keys).to_owned(),
            partner: order.party.sub_mchid().is_some(),
            total_fen: order.total_fen,
            paid: Moment {
                now: *paid_at,
                instant: order.paid_instant.unwrap_or_else(Instant::now),
            },
        })
    }

    /// What may still be shared, in fen; `refunded_fen` went back to the user or is on its way.
    pub(super) fn unsplit_fen(
        &self,
        book: &Book,
        rules: MerchantRules,
        refunded_fen: i64,
        now: OffsetDateTime,
    ) -> i64 {
        if book.is_unfrozen(&self.transaction_id) || now - self.paid.now >= FROZEN {
            return 0;
        }
        let kept = self.total_fen.saturating_sub(refunded_fen).max(0);
        kept.saturating_sub(rules.fee_fen(kept))
            .saturating_sub(book.spoken_for_fen(&self.transaction_id))
            .max(0)
    }
}
