//! Orders without a database: for benchmarks, which have no other way to one.

use super::{Order, store::Orders};
use crate::db::Memory;

/// Puts an order among the committed rows, as it stands.
pub fn put_order_in_memory(memory: &mut Memory, order: Order) {
    memory.overwrite::<Orders>(order.id, order);
}
