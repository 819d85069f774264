//! Payments: from the order to the money and the points.
//!
//! ```text
//!             prepay                pay (callback or query)
//!  created ───────────▶ prepaid ───────────────────────────▶ paid
//!     │                    │                                   ▲
//!     │ close              │ close           pay: the callback may come
//!     ▼                    ▼                 before we noted the ticket
//!   closed ◀───────────────┘                  (created ──▶ paid)
//! ```
//!
//! | state \ event | prepay | pay | close |
//! |---|---|---|---|
//! | created | prepaid | paid | closed |
//! | prepaid | prepaid (a fresh ticket) | paid | closed |
//! | paid | refused | before, by the same WeChat transaction; else refused | refused |
//! | closed | refused | refused: an alarm | before |
//!
//! # Creating
//!
//! `CreateOrder` writes the order and the caller's idempotency key in one commit. WeChat is asked for a ticket after that commit, and `RecordPrepay` notes it.
//! Killed in between, the order stays *created*; the caller repeats with the same key, finds the order and gets a ticket for it, since WeChat gives a fresh ticket for
//! the same number and the same parameters. Two callers with one key at once get the same order; there is nothing in flight that a 409 would have to protect.
//!
//! # Settling
//!
//! [`SettlePayment`] is the heart: order paid + CNY transfer + points transfer + lot + callback as received + the commit's events, in one transaction, exactly once. What guards it is
//! the order's version, and behind that the key of the journal entry, which is derived from the order. A second callback finds the order paid by the same WeChat
//! transaction and changes nothing. A notice that is soundly signed and still wrong (amount, shop, unknown order, another transaction) is stored with an alarm and never credited.
//!
//! Tables owned: `payment_orders`, `payment_order_history` and `merchant_days` (projected), `callback_events`, `callback_alarms`; `idempotency_keys` is shared with the
//! ordinary transactions.

mod callback;
mod confirm;
mod create;
mod error;
mod gateway;
mod list;
mod order;
mod settle;
mod store;

use std::sync::Arc;

pub use callback::{NoticeFailure, Taken, take_notice};
pub use confirm::confirm;
pub use create::{CreatePayment, CreatedPayment, create_payment};
pub use error::PaymentError;
pub use gateway::{
    ChannelOrder, Gateway, Notice, NoticeBody, NoticeError, NoticeHeaders, Outcome, PaidNotice,
    PayParameters, PrepayRequest, Refusal, RefusalKind,
};
pub use list::{
    Alarm, By, DayTotals, HistoryRow, OrderView, find_order, history, list_alarms, list_orders,
    merchant_totals,
};
pub use order::{Applied, InvalidTransition, Order, OrderEvent, OrderState, OrderStateKind};
pub use settle::{SettlePayment, Settled};
pub(crate) use store::{ORDER_COLUMNS, read_order};

use crate::{db::Db, points::RuleBook};

/// What the use cases of this slice work with.
#[derive(Debug, Clone)]
pub struct Payments {
    pub db: Db,
    pub gateway: Arc<dyn Gateway>,
    pub rules: RuleBook,
}
