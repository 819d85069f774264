//! What a day leaves behind, to be summed up and checked.

use super::{
    books::{Closing, Opening},
    day::Day,
    measure::Latencies,
    patience::Repeated,
    tenant::Tenant,
};

/// What a day leaves behind.
#[derive(Debug)]
pub(super) struct DayRecord<'a> {
    pub(super) seed: u64,
    pub(super) planned: usize,
    pub(super) tenant: &'a Tenant,
    pub(super) day: &'a Day,
    pub(super) logins: &'a Latencies,
    pub(super) opening: &'a Opening,
    /// None when the books could not be read at the end.
    pub(super) closing: Option<&'a Closing>,
    pub(super) repeated: Repeated,
    pub(super) crossed_midnight: bool,
}
