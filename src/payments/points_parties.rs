//! What a points command names: whether it exists, and whose it is.

use futures_util::future::{BoxFuture, FutureExt as _};
use sqlx::Row as _;

use crate::{
    customers::CustomerStatus,
    db::{Db, DbError},
    points::{OrderParties, Parties, PartyLookup, PointsCommand},
    primitives::{CustomerId, MerchantId},
};

/// Finds customers, merchants and orders, for points.
#[derive(Debug, Clone, Copy)]
pub struct PointsParties;

impl PartyLookup for PointsParties {
    fn find<'a>(
        &'a self,
        db: &'a Db,
        command: &'a PointsCommand,
    ) -> BoxFuture<'a, Result<Parties, DbError>> {
        find(db, command).boxed()
    }
}

/// One statement says what of a command does not exist.
async fn find(db: &Db, command: &PointsCommand) -> Result<Parties, DbError> {
    let row = sqlx::query(
        "/* payments.find_points_parties */ SELECT c.status, m.id, o.customer_id, o.merchant_id FROM (SELECT 1) one \
         LEFT JOIN customers c ON c.id = ? AND c.tenant_id = ? LEFT JOIN merchants m ON m.id = ? AND m.tenant_id = ? \
         LEFT JOIN payment_orders o ON o.id = ? AND o.tenant_id = ?",
    )
    .bind(command.customer)
    .bind(command.tenant)
    .bind(command.merchant)
    .bind(command.tenant)
    .bind(command.order)
    .bind(command.tenant)
    .fetch_one(db.pool())
    .await?;
    let status: Option<String> = row.try_get(0)?;
    let merchant: Option<MerchantId> = row.try_get(1)?;
    let customer_of_order: Option<CustomerId> = row.try_get(2)?;
    let merchant_of_order: Option<MerchantId> = row.try_get(3)?;
    Ok(Parties {
        customer_active: status.map(|status| status == CustomerStatus::Active.name()),
        merchant_exists: merchant.is_some(),
        order: merchant_of_order.map(|merchant| OrderParties {
            customer: customer_of_order,
            merchant,
        }),
    })
}
