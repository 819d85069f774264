//! The hot tables of payments: how to load and write many rows at once.

mod callbacks;
mod codes;
mod exceptions;
mod orders;
mod refunds;
mod staff_refunds;

use sqlx::{Row as _, mysql::MySqlRow};

pub(crate) use callbacks::{AlarmRow, Alarms, CallbackRow, Callbacks};
pub(crate) use codes::{CodeKey, Codes};
pub(crate) use exceptions::{
    ExceptionRow, Exceptions, ForeignNumberKnown, StuckResolved, StuckResolvedRow,
};
pub(crate) use orders::{ORDER_COLUMNS, ORDER_WIDTH, Orders, read_order};
pub(crate) use refunds::{
    ForeignRefunds, ForeignRow, REFUND_COLUMNS, REFUND_WIDTH, RefundSteps, Refunds, StepRow,
    calling_until, read_refund,
};
pub(crate) use staff_refunds::{StaffRefundDay, StaffRefunds};

use crate::primitives::Id;

fn read_id(row: &MySqlRow, column: usize) -> Result<Id, sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map(Id::from_bytes)
        .map_err(|_| sqlx::Error::Decode("an id of a strange length".into()))
}

fn optional_id(row: &MySqlRow, column: usize) -> Result<Option<Id>, sqlx::Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let id = bytes.map(|bytes| bytes.try_into().map(Id::from_bytes));
    id.transpose()
        .map_err(|_| sqlx::Error::Decode("an id of a strange length".into()))
}
