//! Every statement on `risk_reviews`.

use sqlx::{Row as _, mysql::MySqlRow};

use super::review::{
    CLAIM_SECONDS, ReviewDecision, ReviewKind, ReviewRow, ReviewState, ReviewStateKind,
    ReviewStatus,
};
use crate::{
    audit::Actor,
    db::{
        Change, ClaimTime, Db, DbError, DueClaim, LoadRows, RecordRows, Recorder, RowSet, Sql, Tx,
        Work,
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
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
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
        out.rows(
            "INSERT /* risk.insert_reviews */ INTO risk_reviews (id, tenant_id, kind, stage, entry_id, customer_id, merchant_id, points, amount_fen, source, rules, \
             created_at, state, claimed_by, claimed_at, first_approver, decided_by, decided_at, note, version, due_at) VALUES ",
            new,
            "",
            true,
            |sql, change| {
                let review = change.after;
                sql.push("(").bytes(review.id.bytes()).push(",").int(review.tenant.0);
                sql.push(",").int(review.kind.code()).push(",").int(review.stage.code());
                sql.push(",").bytes(review.entry.bytes()).push(",").bytes(review.customer.bytes());
                sql.push(",").option(review.merchant, |sql, id| { sql.bytes(id.bytes()); });
                sql.push(",").int(review.points.get()).push(",");
                sql.option(review.amount.map(Money::get), |sql, fen| { sql.int(fen); });
                sql.push(",").text(&review.source).push(",").text(&review.rules);
                sql.push(",").time(review.created_at);
                push_mutable_columns(sql, review, |sql, _| { sql.push(","); });
                sql.push(",").option(review.due_at, |sql, at| { sql.time(at); }).push(")");
            },
        );
        for change in known {
            let review = change.after;
            let mut sql = Sql::new("UPDATE /* risk.update_review */ risk_reviews SET ");
            push_mutable_columns(&mut sql, review, |sql, name| {
                sql.push(name);
            });
            sql.push(", points = ").int(review.points.get());
            // While it is open only the job moves it.
            if review.due_at.is_none() {
                sql.push(", due_at = NULL");
            }
            sql.push(" WHERE id = ").bytes(review.id.bytes());
            sql.push(" AND version = ")
                .int(change.before.map_or(0, |before| before.version));
            out.statement(&sql, Some(1));
        }
    }
}

/// Every column that changes, with what `before` writes before each; it is given the words of an
/// update.
fn push_mutable_columns(
    sql: &mut Sql,
    review: &ReviewRow,
    before: impl Fn(&mut Sql, &'static str),
) {
    let text = |sql: &mut Sql, text: Option<&str>| {
        sql.option(text, |sql, text| {
            sql.text(text);
        });
    };
    let claim = match &review.state {
        ReviewState::Claimed { by, at } => Some((by, *at)),
        ReviewState::Open
        | ReviewState::Approved
        | ReviewState::Rejected
        | ReviewState::TimedOut { .. }
        | ReviewState::Superseded => None,
    };
    before(sql, "state = ");
    sql.int(review.state.kind().code());
    before(sql, ", claimed_by = ");
    text(sql, claim.map(|(by, _)| by.to_string()).as_deref());
    before(sql, ", claimed_at = ");
    sql.option(claim, |sql, (_, at)| {
        sql.time(at);
    });
    before(sql, ", first_approver = ");
    let first = review.first_approver.as_ref().map(Actor::to_string);
    text(sql, first.as_deref());
    let decided = review.decided.as_ref();
    before(sql, ", decided_by = ");
    text(
        sql,
        decided.map(|decided| decided.by.to_string()).as_deref(),
    );
    before(sql, ", decided_at = ");
    sql.option(decided, |sql, decided| {
        sql.time(decided.at);
    });
    before(sql, ", note = ");
    text(sql, review.note.as_deref());
    before(sql, ", version = ");
    sql.int(review.version);
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
        sql.list(kinds.filter(|kind| kind.status() == status), |sql, kind| {
            sql.int(kind.code());
        });
        sql.push(")");
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
