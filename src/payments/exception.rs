//! What a person should look at: handled by policy, or by nobody yet.

use sqlx::{FromRow, Row as _, mysql::MySqlRow};

use crate::{
    audit::{self, Actor, AuditAction, SystemActor},
    db::{Db, DbError, Sql, Tx, Work},
    primitives::{
        ExceptionId, Lane, Length, OrderId, PageLimit, RefundId, TenantId, Text, Timestamp, coded,
    },
};

coded! {
    /// The kinds, each with a stable name.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ExceptionKind: Serde {
        /// An order was paid after it had been closed.
        LatePayment => "late_payment",
        /// A second WeChat transaction pays an order that is paid.
        PaidTwice => "paid_twice",
        /// WeChat's answer to a query does not fit the order.
        AnswerMismatch => "answer_mismatch",
        /// WeChat made a refund that was not asked for here.
        ForeignRefund => "foreign_refund",
        /// WeChat says of a refund what cannot follow from what it said before.
        RefundContradiction => "refund_contradiction",
        /// WeChat refuses a refund.
        RefundRefused => "refund_refused",
        /// The customer's bank does not take the money.
        RefundAbnormal => "refund_abnormal",
        /// A share or its return did not go through.
        SharingFailed => "sharing_failed",
        /// WeChat shared what it had refused, or brought back what was called lost: refunds of the
        /// order wait until somebody has looked.
        SharingContradiction => "sharing_contradiction",
        /// What happened is in the books, and not in histories, totals and messages: it could not
        /// be projected.
        NotProjected => "not_projected",
        /// A refund is stuck: WeChat does not take it, or does not say what became of it.
        RefundStuck => "refund_stuck",
        /// WeChat does not say what became of an order.
        OrderStuck => "order_stuck",
        /// A payment that is to be shared is not, and nothing has ended that either.
        SharingStuck => "sharing_stuck",
        /// WeChat dates something long before its order, or in the future.
        ImplausibleTime => "implausible_time",
    }
}

/// An exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentException {
    pub id: ExceptionId,
    pub kind: String,
    pub order: Option<OrderId>,
    pub refund: Option<RefundId>,
    pub detail: String,
    pub resolution: Option<String>,
    pub resolved_by: Option<Actor>,
    pub resolved_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl<'r> FromRow<'r, MySqlRow> for PaymentException {
    fn from_row(row: &'r MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            order: row.try_get("order_id")?,
            refund: row.try_get("refund_id")?,
            detail: row.try_get("detail")?,
            resolution: row.try_get("resolution")?,
            resolved_by: row.try_get("resolved_by")?,
            resolved_at: row.try_get("resolved_at")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

const COLUMNS: &str =
    "id, kind, order_id, refund_id, detail, resolution, resolved_by, resolved_at, created_at";

/// Which exceptions are listed. All of it must fit; what is absent fits everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExceptionFilter {
    /// Only those that nobody has resolved.
    pub open: bool,
    pub kind: Option<ExceptionKind>,
    pub order: Option<OrderId>,
}

/// Up to `limit.probe()` exceptions, newest first, older than `before`.
pub async fn list_exceptions(
    db: &Db,
    tenant: TenantId,
    filter: &ExceptionFilter,
    before: Option<ExceptionId>,
    limit: PageLimit,
) -> Result<Vec<PaymentException>, DbError> {
    let before = before.map_or([0xff; 16], |id| *id.bytes());
    let mut sql = Sql::new("SELECT /* payments.list_exceptions */ ");
    sql.push(COLUMNS)
        .push(" FROM payment_exceptions WHERE tenant_id = ")
        .int(tenant.0)
        .push(" AND id < ")
        .bytes(&before);
    if filter.open {
        sql.push(" AND resolved_at IS NULL");
    }
    if let Some(kind) = filter.kind {
        sql.push(" AND kind = ").text(kind.name());
    }
    if let Some(order) = filter.order {
        sql.push(" AND order_id = ").bytes(order.bytes());
    }
    sql.push(" ORDER BY id DESC LIMIT ").int(limit.probe());
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    rows.iter()
        .map(|row| PaymentException::from_row(row).map_err(DbError::from))
        .collect()
}

/// Raises an exception outside of any operation.
pub async fn raise_exception(
    tx: &mut Tx,
    tenant: TenantId,
    kind: ExceptionKind,
    detail: &str,
) -> Result<(), DbError> {
    let (id, now) = (ExceptionId::new(tx.new_id(Lane(0))), tx.now());
    sqlx::query("/* payments.raise_exception */ INSERT INTO payment_exceptions (id, tenant_id, kind, detail, created_at) VALUES (?, ?, ?, ?, ?)")
        .bind(id)
        .bind(tenant)
        .bind(kind.name())
        .bind(detail)
        .bind(now)
        .execute(tx.conn())
        .await?;
    metrics::counter!("payment_exceptions_total", "kind" => kind.name()).increment(1);
    Ok(())
}

/// Resolves an exception whose cause has gone by itself.
pub async fn settle_exception(
    tx: &mut Tx,
    tenant: TenantId,
    kind: ExceptionKind,
    detail: &str,
    resolution: &str,
) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query("/* payments.settle_exception */ UPDATE payment_exceptions SET resolution = ?, resolved_by = ?, resolved_at = ? \
         WHERE tenant_id = ? AND kind = ? AND detail = ? AND resolved_at IS NULL")
        .bind(resolution)
        .bind(Actor::System(SystemActor::Tenant))
        .bind(now)
        .bind(tenant)
        .bind(kind.name())
        .bind(detail)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Every exception of an order, oldest first.
pub(super) async fn exceptions_of(
    db: &Db,
    tenant: TenantId,
    order: OrderId,
) -> Result<Vec<PaymentException>, DbError> {
    let statement = format!(
        "/* payments.exceptions_of */ SELECT {COLUMNS} FROM payment_exceptions WHERE order_id = ? AND tenant_id = ? ORDER BY id"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(order)
        .bind(tenant)
        .fetch_all(db.pool())
        .await?)
}

/// Resolves the exceptions of an order that makes progress again. What a person resolved before
/// stays as it is.
pub(super) async fn resolve_of_order(
    db: &Db,
    order: OrderId,
    kind: ExceptionKind,
) -> Result<(), DbError> {
    db.run(ResolveOfOrder { order, kind }).await
}

#[derive(Debug)]
struct ResolveOfOrder {
    order: OrderId,
    kind: ExceptionKind,
}

impl Work for ResolveOfOrder {
    const NAME: &'static str = "payments.resolve_of_order";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        resolve(tx, self.order, self.kind).await
    }
}

pub(super) async fn resolve(
    tx: &mut Tx,
    order: OrderId,
    kind: ExceptionKind,
) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* payments.resolve_of_order */ UPDATE payment_exceptions SET resolution = 'it got on', resolved_by = ?, resolved_at = ? \
         WHERE order_id = ? AND kind = ? AND resolved_at IS NULL",
    )
    .bind(Actor::System(SystemActor::Progress))
    .bind(now)
    .bind(order)
    .bind(kind.name())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An exception that cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ExceptionError {
    #[error("exception not found")]
    NotFound,
    #[error("the exception is resolved already")]
    AlreadyResolved,
    #[error("a resolution is 1 to 200 characters")]
    BadResolution,
    #[error("database failure")]
    Db(#[from] DbError),
}

/// A person has looked at it and says what was done.
#[derive(Debug)]
pub struct ResolveException {
    pub tenant: TenantId,
    pub id: ExceptionId,
    pub resolution: String,
    pub by: Actor,
}

impl Work for ResolveException {
    const NAME: &'static str = "payments.resolve_exception";
    type Reply = PaymentException;
    type Error = ExceptionError;

    async fn run(&self, tx: &mut Tx) -> Result<PaymentException, ExceptionError> {
        let resolution = Text::parse(&self.resolution, Length::Characters(1, 200))
            .map_err(|_| ExceptionError::BadResolution)?;
        let now = tx.now();
        let changed = sqlx::query(
            "/* payments.resolve_exception */ UPDATE payment_exceptions SET resolution = ?, resolved_by = ?, resolved_at = ? \
             WHERE id = ? AND tenant_id = ? AND resolved_at IS NULL",
        )
        .bind(resolution.as_str())
        .bind(&self.by)
        .bind(now)
        .bind(self.id)
        .bind(self.tenant)
        .execute(tx.conn())
        .await
        .map_err(DbError::from)?;
        let statement = format!(
            "/* payments.get_exception */ SELECT {COLUMNS} FROM payment_exceptions WHERE id = ? AND tenant_id = ?"
        );
        let exception: Option<PaymentException> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(self.id)
            .bind(self.tenant)
            .fetch_optional(tx.conn())
            .await
            .map_err(DbError::from)?;
        let exception = exception.ok_or(ExceptionError::NotFound)?;
        if changed.rows_affected() == 0 {
            return Err(ExceptionError::AlreadyResolved);
        }
        let action = AuditAction::ExceptionResolved {
            resolution: resolution.into_string(),
        };
        audit::record(tx, self.tenant, &self.by, action, self.id).await?;
        Ok(exception)
    }
}
