//! What a statement can hold as a value.

use super::Sql;
use crate::primitives::{BusinessDay, Money, Points, TenantId, Timestamp};

/// A value that writes its own literal. `None` is `NULL`; a tuple is a row value, `(a,b)`.
pub trait SqlValue {
    fn write(&self, sql: &mut Sql);
}

/// Bytes that are mostly text: see [`Sql::blob`].
#[derive(Debug, Clone, Copy)]
pub struct Blob<'a>(pub &'a [u8]);

/// `$value` is written by a method of [`Sql`].
macro_rules! values {
    ($($kind:ty: |$sql:ident, $value:ident| $write:expr;)+) => {$(
        impl SqlValue for $kind {
            fn write(&self, $sql: &mut Sql) {
                let $value = self;
                $write;
            }
        }
    )+};
}

macro_rules! ids {
    ($($id:ident)+) => {
        values! { $(crate::primitives::$id: |sql, id| sql.bytes(id.bytes());)+ }
    };
}

macro_rules! integers {
    ($($kind:ty)+) => {
        values! { $($kind: |sql, number| sql.int(*number);)+ }
    };
}

integers! { u8 u16 i16 u32 i32 i64 }

ids! {
    AccountId ChallengeId CustomerId DecisionId EntryId ExceptionId Id MerchantId OrderId
    PointsTransactionId ReceiverId RefundId ReviewId SharingId SharingPartId SharingReturnId StaffId
}

values! {
    bool: |sql, flag| sql.int(u8::from(*flag));
    str: |sql, text| sql.text(text);
    String: |sql, text| sql.text(text);
    [u8]: |sql, bytes| sql.bytes(bytes);
    Blob<'_>: |sql, blob| sql.blob(blob.0);
    Timestamp: |sql, at| sql.time(*at);
    BusinessDay: |sql, day| sql.day(*day);
    Money: |sql, amount| sql.int(amount.get());
    Points: |sql, points| sql.int(points.get());
    TenantId: |sql, tenant| sql.int(tenant.0);
}

impl<const N: usize> SqlValue for [u8; N] {
    fn write(&self, sql: &mut Sql) {
        sql.bytes(self);
    }
}

impl<T: SqlValue + ?Sized> SqlValue for &T {
    fn write(&self, sql: &mut Sql) {
        (**self).write(sql);
    }
}

impl<T: SqlValue> SqlValue for Option<T> {
    fn write(&self, sql: &mut Sql) {
        match self {
            Some(value) => value.write(sql),
            None => _ = sql.push("NULL"),
        }
    }
}

impl<A: SqlValue, B: SqlValue> SqlValue for (A, B) {
    fn write(&self, sql: &mut Sql) {
        sql.push("(")
            .value(&self.0)
            .push(",")
            .value(&self.1)
            .push(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_write_their_literals() {
        let mut sql = Sql::default();
        sql.values([Some(1_u8), None]).push(" ");
        sql.value("it's").push(" ").value([7_u8; 2]).push(" ");
        sql.values([(TenantId(1), true)]).push(" ");
        sql.value(Blob(b"plain")).push(" ").value(Blob(&[0xff]));
        assert_eq!(
            sql.into_statement().0,
            "1,NULL 'it''s' x'0707' (1,1) _binary'plain' x'ff'"
        );
    }
}
