//! Every statement on `risk_reviews`.

use sqlx::{Row as _, mysql::MySqlRow};

use super::review::{
    CLAIM_SECONDS, ReviewDecision, ReviewKind, ReviewRow, ReviewState, ReviewStateKind,
    ReviewStatus,
};
use crate::{
    audit::Actor,
    db::{
        Change, ClaimTime, Columns, Db, DbError, DueClaim, LoadRows, RecordRows, Recorder, RowSet,
        Sql, Tx, Work,
    },
    facts::Stage,
    primitives::{CustomerId, MerchantId, Money, PageLimit, Points, ReviewId, TenantId, Timestamp},
};

/// `risk_reviews`: loaded, inserted, and changed only if the version is still the one that was
/// loaded.
#[derive(Debug)]
pub struct Reviews;

pub(crate) const REVIEW_COLUMNS: &str = "v.id, v.tenant_id, v.kind, v.stage, v.entry_id, v.customer_id, v.merchant_id, v.points, v.amount_fen, v.source, v.rules, \
     v.state, v.claimed_by, v.claimed_at, v.first_approver, v.decided_by, v.decided_at, v.note, v.due_at, v.version, v.created_at";

/// Columns as in [`REVIEW_COLUMNS`].
pub(crate) fn read_review(row: &MySqlRow) -> Result<ReviewRow, sqlx::Error> {
    let broken = |what: &'static str| sqlx::Error::Decode(what.into());
    let code = |column: usize| -> Result<u8, sqlx::Error> {
        u8::try_from(row.try_get::<i8, _>(column)?).map_err(|_| broken("a negative code"))
    };
    let actor = |column: usize| -> Result<Option<Actor>, sqlx::Error> { row.try_get(column) };
    let kind = ReviewStateKind::from_code(code(11)?).ok_or(broken("risk_reviews.state"))?;
    let state = match kind {
        ReviewStateKind::Open => ReviewState::Open,
        ReviewStateKind::Claimed => ReviewState::Claimed {
            by: actor(12)?.ok_or(broken("risk_reviews.claimed_by"))?,
            at: row.try_get(13)?,
        },
        ReviewStateKind::Approved => ReviewState::Approved,
        ReviewStateKind::Rejected => ReviewState::Rejected,
        ReviewStateKind::TimedOutReleased => ReviewState::TimedOut { released: true },
        ReviewStateKind::TimedOutVoided => ReviewState::TimedOut { released: false },
        ReviewStateKind::Superseded => ReviewState::Superseded,
    };
    let decided = match (actor(15)?, row.try_get::<Option<Timestamp>, _>(16)?) {
        (Some(by), Some(at)) => Some(ReviewDecision { by, at }),
        (Some(_) | None, _) => None,
    };
    let amount: Option<i64> = row.try_get(8)?;
    Ok(ReviewRow {
        id: row.try_get(0)?,
        tenant: TenantId(row.try_get(1)?),
        kind: ReviewKind::from_code(code(2)?).ok_or(broken("risk_reviews.kind"))?,
        stage: Stage::from_code(code(3)?).ok_or(broken("risk_reviews.stage"))?,
        entry: row.try_get(4)?,
        customer: row.try_get(5)?,
        merchant: row.try_get(6)?,
        points: Points::parse(row.try_get(7)?).map_err(|_| broken("risk_reviews.points"))?,
        amount: amount
            .map(Money::parse)
            .transpose()
            .map_err(|_| broken("risk_reviews.amount_fen"))?,
        source: row.try_get(9)?,
        rules: row.try_get(10)?,
        state,
        first_approver: actor(14)?,
        decided,
        note: row.try_get(17)?,
        due_at: row.try_get(18)?,
        version: row.try_get(19)?,
        created_at: row.try_get(20)?,
    })
}

impl RowSet for Reviews {
    type Key = ReviewId;
    type Row = ReviewRow;
    const LOCK_ORDER: u8 = 29;
}

impl LoadRows for Reviews {
    fn load(keys: &[ReviewId], sql: &mut Sql) {
        sql.push("SELECT /* risk.load_reviews */ ")
            .push(REVIEW_COLUMNS)
            .push(" FROM risk_reviews v WHERE v.id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(ReviewId, ReviewRow), sqlx::Error> {
        let review = read_review(row)?;
        Ok((review.id, review))
    }
}

impl RecordRows for Reviews {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        out.insert(
            "INSERT /* risk.insert_reviews */ INTO risk_reviews",
            new,
            |row, change| {
                let review = change.after;
                row.set("id", review.id).set("tenant_id", review.tenant);
                row.set("kind", review.kind.code());
                row.set("stage", review.stage.code());
                row.set("entry_id", review.entry);
                row.set("customer_id", review.customer);
                row.set("merchant_id", review.merchant);
                row.set("amount_fen", review.amount);
                row.set("source", &review.source);
                row.set("rules", &review.rules);
                row.set("created_at", review.created_at);
                row.set("due_at", review.due_at);
                mutable_columns(row, review);
            },
        );
        for change in known {
            let review = change.after;
            let mut sql = Sql::update("UPDATE /* risk.update_review */ risk_reviews SET ", |row| {
                mutable_columns(row, review);
                // While it is open only the job moves it.
                if review.due_at.is_none() {
                    row.set("due_at", review.due_at);
                }
            });
            sql.push(" WHERE id = ").value(review.id);
            sql.push(" AND version = ")
                .value(change.before.map_or(0, |before| before.version));
            out.statement(&sql, Some(1));
        }
    }
}

fn mutable_columns(row: &mut Columns<'_>, review: &ReviewRow) {
    let claim = match &review.state {
        ReviewState::Claimed { by, at } => Some((by, *at)),
        ReviewState::Open
        | ReviewState::Approved
        | ReviewState::Rejected
        | ReviewState::TimedOut { .. }
        | ReviewState::Superseded => None,
    };
    let decided = review.decided.as_ref();
    row.set("points", review.points);
    row.set("state", review.state.kind().code());
    row.set("claimed_by", claim.map(|(by, _)| by));
    row.set("claimed_at", claim.map(|(_, at)| at));
    row.set("first_approver", &review.first_approver);
    row.set("decided_by", decided.map(|decided| &decided.by));
    row.set("decided_at", decided.map(|decided| decided.at));
    row.set("note", &review.note);
    row.set("version", review.version);
}

/// Which reviews a list shows: those that fit everything that is given.
#[derive(Debug, Clone, Default)]
pub struct ReviewFilter {
    /// A claim older than [`CLAIM_SECONDS`] counts as open.
    pub state: Option<ReviewStatus>,
    pub stage: Option<Stage>,
    pub customer: Option<CustomerId>,
    pub merchant: Option<MerchantId>,
    /// Only what this person has claimed.
    pub claimed_by: Option<Actor>,
}

/// Returns up to `limit.probe()` reviews of a tenant that are older than `before`, those of the
/// newest orders and points transactions first.
pub async fn list_reviews(
    db: &Db,
    tenant: TenantId,
    filter: &ReviewFilter,
    before: Option<ReviewId>,
    limit: PageLimit,
) -> Result<Vec<ReviewRow>, DbError> {
    let claimed_after = db.now().plus_seconds(-CLAIM_SECONDS);
    let claimed = ReviewStateKind::Claimed.code();
    let mut sql = Sql::new("SELECT /* risk.list_reviews */ ");
    sql.push(REVIEW_COLUMNS)
        .push(" FROM risk_reviews v WHERE v.tenant_id = ")
        .int(tenant.0);
    if let Some(before) = before {
        sql.push(" AND v.id < ").bytes(before.bytes());
    }
    if let Some(status) = filter.state {
        let kinds = ReviewStateKind::ALL.into_iter();
        sql.push(" AND (v.state IN (");
        let kinds = kinds.filter(|kind| kind.status() == status);
        sql.values(kinds.map(ReviewStateKind::code)).push(")");
        if status == ReviewStatus::Claimed {
            sql.push(" AND v.claimed_at > ").time(claimed_after);
        }
        if status == ReviewStatus::Open {
            sql.push(" OR v.state = ").int(claimed);
            sql.push(" AND v.claimed_at <= ").time(claimed_after);
        }
        sql.push(")");
    }
    if let Some(stage) = filter.stage {
        sql.push(" AND v.stage = ").int(stage.code());
    }
    if let Some(customer) = filter.customer {
        sql.push(" AND v.customer_id = ").bytes(customer.bytes());
    }
    if let Some(merchant) = filter.merchant {
        sql.push(" AND v.merchant_id = ").bytes(merchant.bytes());
    }
    if let Some(by) = &filter.claimed_by {
        sql.push(" AND v.state = ").int(claimed);
        sql.push(" AND v.claimed_by = ").text(&by.to_string());
        sql.push(" AND v.claimed_at > ").time(claimed_after);
    }
    sql.push(" ORDER BY v.id DESC LIMIT ").int(limit.probe());
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(|row| Ok(read_review(row)?)).collect()
}

/// One review of a tenant.
pub async fn find_review(
    db: &Db,
    tenant: TenantId,
    id: ReviewId,
) -> Result<Option<ReviewRow>, DbError> {
    let mut sql = Sql::new("SELECT /* risk.find_review */ ");
    sql.push(REVIEW_COLUMNS)
        .push(" FROM risk_reviews v WHERE v.id = ")
        .bytes(id.bytes())
        .push(" AND v.tenant_id = ")
        .int(tenant.0);
    let row = sqlx::raw_sql(sql.into_statement())
        .fetch_optional(db.pool())
        .await?;
    Ok(row.as_ref().map(read_review).transpose()?)
}

/// Reviews that one claim takes at most.
const CLAIM: u32 = 32;
const LEASE_SECONDS: i64 = 60;

const DUE: DueClaim = DueClaim {
    select: "/* risk.due_reviews */ SELECT id FROM risk_reviews WHERE due_at <= ? ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[],
    update: "UPDATE /* risk.claim_due_reviews */ risk_reviews SET due_at = ",
    where_id: " WHERE id IN (",
};

/// Reviews whose time is over, taken for a minute.
#[derive(Debug)]
pub struct ClaimDueReviews;

impl Work for ClaimDueReviews {
    const NAME: &'static str = "risk.claim_due_reviews";
    type Reply = Vec<ReviewId>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<ReviewId>, DbError> {
        let now = tx.now();
        let until = now.plus_seconds(LEASE_SECONDS);
        let due: Vec<(ReviewId,)> = DUE
            .claim(tx, ClaimTime { now, until }, CLAIM, |(id,): &(ReviewId,)| {
                *id.bytes()
            })
            .await?;
        Ok(due.into_iter().map(|(id,)| id).collect())
    }
}
