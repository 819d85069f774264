//! Profit sharing 分账: what a merchant gives of a payment to others.
//!
//! A payment that was asked for with `settle_info.profit_sharing` is frozen: the merchant cannot
//! use the money until it is shared or unfrozen, or thirty days have passed. What is left to share
//! is what was paid, less the fee, less what went back to the user, less what is shared or being
//! shared. So a refund takes from the unshared money first; where that does not suffice, the
//! merchant's balance pays, and `return-orders` brings shared money back into it beforehand.
//!
//! | call | answer |
//! |---|---|
//! | `POST receivers/add`, `receivers/delete` | who may be paid; repeatable |
//! | `POST orders`, `GET orders/{out_order_no}` | `PROCESSING`, 30 s later `FINISHED` |
//! | `POST orders/unfreeze` | the rest is the merchant's own; final |
//! | `POST return-orders`, `GET return-orders/{out_return_no}` | a merchant gives back |
//! | `GET transactions/{transaction_id}/amounts` | what is left to share |
//! | `GET merchant-configs/{sub_mchid}` | how much of an order may be shared |
//!
//! Direct mode has the same paths without `sub_mchid`. A number is unique over all merchants, as
//! `out_trade_no` is. Names are encrypted anew by every request, so "the same parameters" compares
//! them in the clear. Rules: pay.weixin.qq.com/doc/v3/partner/4012690683 and its neighbours; the
//! Chinese messages are those that WeChat's staff explain in their list of frequent questions.

pub(super) mod book;
mod fate;
mod frozen;
mod receivers;
pub(super) mod request;
mod returns;
pub(super) mod route;
pub(super) mod share;

pub use fate::{ForcedReceiver, ReturnFailure, ShareFailure, ShareResult, SharingFaults};
