//! Payments and refunds: orders, their settlement in money and points, and what is given back.
//!
//! # Orders
//!
//! ```text
//!             prepay               pay (callback or query)         refunds arrive
//!  created ──────────▶ prepaid ──────────────────────────▶ paid ──────────────────▶ partly_refunded
//!     │                   │                                 ▲ │                            │
//!     │ close, expire     │                                 │ └──────▶ refunded ◀──────────┘
//!     ▼                   ▼            pay late             │
//!   closed, expired ────────────────────────────────────────┘
//! ```
//!
//! | state \ event | prepay | pay | pay late | close | expire |
//! |---|---|---|---|---|---|
//! | created | prepaid | paid | refused | closed | expired |
//! | prepaid | prepaid (a fresh prepay id) | paid | refused | closed | expired |
//! | paid, `partly_refunded`, refunded | refused | before, by the same WeChat transaction; else refused | refused | refused | refused |
//! | closed, expired | refused | refused | paid | before | before |
//!
//! Every change of the row is recorded with its actor and reason ([`ChangeReason`]);
//! [`order_history()`] returns all of them in one answer.
//!
//! ## Creating
//!
//! The order and the caller's idempotency key are one commit. WeChat is asked for a prepay id after
//! it, and the prepay id is noted. Killed in between, the order stays *created*; the caller repeats
//! with the same key, finds the order and gets a prepay id for it, since WeChat gives a fresh
//! prepay id for the same number and the same parameters (which is why the order keeps its
//! description). The same happens when a prepay id is older than its two hours. Two callers with
//! one key at once get the same order, so no 409 is needed. An order can also be shown by the
//! merchant as a picture ([`collect_payment`], Native); its customer is known only when it is paid.
//!
//! ## Settling
//!
//! [`SettlePayment`] does all of it in one transaction, exactly once: the order becomes paid, CNY
//! and points are transferred, the lot, the callback as received and the events are stored. The
//! order's version guards it, and so does the key of the journal entry, which is derived from the
//! order. A second callback finds the order paid by the same WeChat transaction and changes
//! nothing. A notice that is authentic but mismatched (amount, merchant, unknown order, another
//! transaction) is stored with an alarm and never credited. An implausible payment time (before the
//! order, or in the future) is not used: the money settles under the nearest plausible time, an
//! exception is raised, and the points wait for a review by a person (`plausible.rs`). The points
//! also wait when WeChat reports with the payment that some of it was refunded.
//!
//! ## Points that risk holds
//!
//! Risk is asked before a settlement is submitted (`credit.rs`, with what `recent_orders.rs` knows
//! of the order). Whatever it says the money settles; the points are credited with it, or are
//! pending in an entry of their own (`PointsHeld`) until a person or a time-out decides
//! ([`decide_review`], [`time_out_review`]), or there are none. Held points count against the cap
//! of the day on which they were earned, whatever becomes of them; a debt is repaid when they are
//! credited. A refund withholds its part of them, which is the review's again should it fail.
//! `reviews/` has the tables.
//!
//! ## No callback, and the end of an order's time
//!
//! An order without a callback is queried at growing intervals and closed when it expires: query,
//! close, and query again if WeChat says that it is paid (`watch.rs`, `close.rs`,
//! `query_order.rs`). An order is never closed here before it is closed at WeChat. Should WeChat
//! take money for it all the same, that is an exception which people see, and by the tenant's
//! [`Policy`] the order counts after all or the money goes back at once; either way it is in the
//! books.
//!
//! The open orders of a merchant that was suspended are closed in the same way, by whoever looks at
//! their watches next; [`expedite_open_orders`] makes that now. One that is paid before WeChat has
//! closed it is settled like any other: the money is there. Such a merchant's people send no
//! refunds on their way; an operator does.
//!
//! # Refunds
//!
//! ```text
//!                        agree                                       WeChat has it
//!  awaiting_approval ──────────────▶ (returning ──▶) accepted ──────────────────────▶ processing ──▶ succeeded
//!        │ disagree                                     │                              │   │  ▲
//!        ▼                                              ▼ refused                      │   ▼  │ redirected
//!     rejected                                        failed              closed ◀─────┘  abnormal
//! ```
//!
//! *Returning* and *accepted* can be withdrawn by people (`withdraw_refund.rs`), once WeChat has
//! said that it has nothing of it.
//!
//! | event | CNY | points |
//! |---|---|---|
//! | accepted | Dr merchant payable / Cr refunds in transit | what has expired unspent is taken, if no sweep has done it; what is to be taken is held; of that, what was spent is a shortfall (Dr customer debt / Cr customer points) |
//! | succeeded | Dr refunds in transit / Cr channel receivable | Dr customer points / Cr points issued, from the lot of the payment first, then first expiring first |
//! | closed, failed, withdrawn | Dr refunds in transit / Cr merchant payable | released; what is owed is repaid out of them |
//!
//! - **How many points**: in proportion to the amount, on the sum of all refunds of the order and
//!   rounded down, so pieces give back what the whole does. What is taken is returned to the total
//!   cap of the rule, and not to the cap of a day.
//! - **Points that expired** in the payment's lot unspent count as given back, each point once and
//!   up to what the refund is due ([`PointsBack`]): nobody owes what they never had the use of. The
//!   lot counts what expired in it and what refunds have claimed of that, so that payments which
//!   filled one lot share it; a refund that fails releases its claim. A refund that comes before
//!   the night's sweep does the sweep for this customer, and so comes to the same.
//! - **Spent points**: by policy the customer owes them (the next points that come in repay it),
//!   shown beside the balance (*debt*) or in it (*negative*), or the refund is refused. The books
//!   themselves never go below zero.
//! - **Four eyes**: above a limit a refund awaits a second person; the amount is reserved, nothing
//!   is booked. Limits are about what the order gives back in all, and for clerks about what they
//!   give back alone in a day (`request_refund.rs`).
//! - **Fees**: WeChat gives its fee back with the refund, in proportion; what it is, the bill says.
//!   [`Policy::fee`] is the expectation until then.
//! - **One refund number**: the refund is sent to WeChat after the commit. Without an answer it is
//!   sent again with its number, by this process or, if that died, by a job. A refusal proves only
//!   that this attempt did nothing, so a query decides before a refund is marked failed.
//! - **Stuck refunds** are reported once, by an exception (`stuck.rs`), and retried at growing
//!   intervals until a person ends them.
//! - **The sum of the refunds** is kept in the order's row, whose version makes two concurrent
//!   refunds conflict.
//! - **Foreign refunds**: what was refunded at WeChat without this program is booked as it is
//!   (`foreign_refund.rs`). Which statuses WeChat may report in which state, and what proves that
//!   it does not have a refund, is in `apply_refund.rs`; what they must match, in
//!   `refund_update.rs`.
//!
//! # Risk
//!
//! Risk is asked before an order is made (`payment.create`) and before a refund is (`refund`), and
//! its decision is stored in the commit of what it is about, or by itself when nothing was made:
//! once for each. A repeated idempotency key returns the first result without asking risk again.
//!
//! | | a customer pays | a merchant shows an order | a refund |
//! |---|---|---|---|
//! | allow | made | made | as the policy says |
//! | verify | not made: a challenge, and again with the same key | nobody is there to answer: as review | as review |
//! | review | made; the points will wait ([`PointsReview::Wanted`]) | the same | awaits a second person, whatever its amount |
//! | block | not made | not made | not made |
//!
//! What is not made, stopped or refused, is not counted
//! ([`Evaluation::conclude`](crate::risk::Evaluation::conclude)); killed between the two, risk has
//! counted one too many until the counter's window has passed, and nothing else has happened. The
//! tenant's own refunds of late payments are not asked about.
//!
//! # Callbacks
//!
//! One handler serves all callbacks; the content says which kind it is. A callback is stored in the
//! commit that applies it. Rejected ones are stored with their reason and an alarm. So are those
//! with a valid signature that cannot be parsed, which are answered so that WeChat sends them
//! again, and unverified ones, up to a limit a minute. Any stored callback can be replayed
//! ([`replay_callback`]).
//!
//! Tables owned: `payment_orders`, `payment_order_history` and `merchant_days` (`projection.rs`),
//! `order_watches`, `scan_positions`, `refunds`, `refund_history`, `refund_redirects`,
//! `foreign_refunds`, `staff_refunds`, `payment_policies`, `payment_exceptions`, `callback_events`,
//! `callback_alarms`; `idempotency_keys` is shared with the ordinary transactions.

mod apply_refund;
pub(crate) mod booking;
mod booking_error;
mod callback_outcome;
mod callbacks;
mod change_reason;
mod channel;
mod close;
mod collect;
mod confirm;
mod create;
mod credit;
mod error;
mod exception;
mod find;
mod foreign_refund;
mod in_memory;
mod list;
mod note_foreign_refund;
mod order;
mod order_history;
mod payer;
mod plausible;
mod points_back;
#[cfg(test)]
mod points_model_tests;
mod points_parties;
mod points_records;
mod policy;
mod projection;
mod query_order;
mod query_problem;
mod received_callback;
mod recent_orders;
mod redirect_refund;
mod refund;
mod refund_error;
mod refund_rows;
mod refund_update;
mod request_refund;
mod reviews;
mod risk_checks;
mod search;
mod settle;
mod settle_error;
mod store;
mod stuck;
mod submit_refund;
mod time_scale;
mod views;
mod waiting_refunds;
mod watch;
mod withdraw_refund;

use std::sync::Arc;

#[cfg(test)]
pub(crate) use apply_refund::refund_update_operation;
pub use booking_error::BookingError;
pub use callback_outcome::CallbackOutcome;
pub use callbacks::{
    CallbackError, HandledCallback, ReplayError, StoredCallback, find_callback, handle_callback,
    list_callbacks, replay_callback,
};
pub use change_reason::ChangeReason;
pub use channel::{
    AbnormalRefund, BankCard, Bill, BillContent, BillDisagreement, BillKind, BillLines,
    BillSummary, ChannelMode, ChannelOrder, ChannelOutcome, ChannelRefund, FundLine, Notice,
    NoticeBody, NoticeError, NoticeHeaders, OneChannel, OurAccount, PaidNotice, PayParameters,
    PaymentChannel, PaymentChannels, PrepayRequest, RefundCall, RefundLine, RefundNotice,
    RefundStatus, Refusal, RefusalKind, TradeLine, TradeState, UnreadableBill,
};
pub(crate) use channel::{is_out_refund_no, is_plain};
pub use close::{CloseBy, close_payment};
pub use collect::{CollectPayment, NativePayment, collect_payment};
pub use confirm::{confirm, confirm_for_operator};
pub use create::{CreatePayment, CreatedPayment, create_payment};
pub use error::PaymentError;
pub use exception::{
    ExceptionError, ExceptionFilter, ExceptionKind, PaymentException, ResolveException,
    list_exceptions, raise_exception, settle_exception,
};
pub use find::{RefundStep, find_refund, list_refunds, refund_history, refunds_of};
pub use in_memory::put_order_in_memory;
pub use list::{
    Alarm, DayTotals, HistoryRow, OrderOfTenant, OrderScope, OrderWithMerchant, PaymentNumber,
    find_order, find_order_of_any_tenant, history, list_alarms, list_orders, merchant_totals,
};
pub use note_foreign_refund::{NoteForeignRefund, note_foreign_refund};
pub use order::{
    Applied, InvalidTransition, Late, Order, OrderEvent, OrderSharing, OrderState, OrderStateKind,
    OrderTerms, PayMethod, Payment, PointsReview, PrepayId, RefundSums,
};
pub use order_history::{OrderHistory, order_history};
pub use points_back::PointsBack;
pub use points_parties::PointsParties;
pub use points_records::{PointsRecord, list_points_records};
pub use policy::{
    LatePayment, PointsShortfall, Policy, PolicyCache, PolicyError, PolicyTerms, SetPolicy,
};
pub use projection::project_payments;
pub(crate) use query_order::look_for_others;
pub use recent_orders::RecentOrders;
pub use redirect_refund::{Redirect, RedirectOutcome, find_redirect, redirect_refund};
pub(crate) use refund::pause_seconds;
pub use refund::{
    Attempts, InvalidRefundTransition, Progress, Refund, RefundOrigin, RefundOriginKind,
    RefundState, RefundStateKind, WithdrawalRequest,
};
pub use refund_error::RefundError;
pub use refund_update::RefundUpdateOutcome;
#[cfg(test)]
pub(crate) use request_refund::in_memory::ask as ask_in_memory;
pub use request_refund::{
    DecideRefund, RefundBy, RefundRole, RequestRefund, decide_refund, request_refund,
};
pub use reviews::{DecideReview, ReviewCommand, decide_review, time_out_review};
pub use search::Search;
pub use settle::{SettleOutcome, SettlePayment};
pub use settle_error::SettleError;
pub(crate) use store::{
    ORDER_COLUMNS, Orders, REFUND_COLUMNS, REFUND_WIDTH, Refunds, read_order, read_refund,
};
pub(crate) use stuck::{
    ATTEMPTS_MAX, note_short_sharing, note_stuck_refund, note_stuck_sharing, resolve_stuck_sharing,
};
use submit_refund::submit_if_new;
pub use submit_refund::{ClaimedRefund, claim_refunds, reconcile_refund, retry_refund};
pub(crate) use time_scale::ARRIVAL_WINDOW_SECONDS;
pub use time_scale::TimeScale;
pub use views::{
    AlarmView, DecisionView, EntryView, ExceptionView, FiredRuleView, NextQueryView,
    PaymentHistoryView, PaymentView, RedirectView, RefundHistoryView, RefundView, ReviewView,
    TimelineStep, TransferView, timeline,
};
pub(crate) use waiting_refunds::{
    WaitingRefund, claim_waiting_refunds, expedite_returning_refunds, postpone_waiting_refund,
};
pub use watch::{
    NextQuery, Watch, claim_watches, expedite_open_orders, reconcile_order, watch_open_orders,
};
#[cfg(test)]
pub(crate) use withdraw_refund::withdraw_in_memory;
pub use withdraw_refund::{WithdrawRefund, withdraw_refund};

use crate::{db::Db, merchants::MerchantCache, points::RulesCache, risk::Risk};

/// What the use cases of this slice work with.
#[derive(Debug, Clone)]
pub struct Payments {
    pub db: Db,
    pub channels: Arc<dyn PaymentChannels>,
    pub rules: RulesCache,
    pub policies: PolicyCache,
    pub risk: Risk,
    /// What risk wants to know of merchants.
    pub merchants: MerchantCache,
    /// What risk must know of orders that are about to be settled.
    pub recent: RecentOrders,
    pub time_scale: TimeScale,
}
