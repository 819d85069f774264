//! For back ends of third parties: they award, deduct, redeem and hold customers' points, each
//! under its own references. A back end is known by the name in its token
//! (`zhangfang token --role service --name merchant-crm`), which is the source of all that it does.

mod points_transaction;

pub(super) mod award_points;
pub(super) mod customer_balance;
pub(super) mod deduct_points;
pub(super) mod end_hold;
pub(super) mod get_points_transaction;
pub(super) mod hold_points;
pub(super) mod list_points_transactions;
pub(super) mod redeem_points;
pub(super) mod return_points;
