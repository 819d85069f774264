//! The stored form of decisions.
//!
//! # Form
//!
//! A format number ([`FORMAT`]), then the decision in postcard. A change of the decision gets a new
//! format, and [`unpack`] still reads the old one.
//!
//! A packed decision fits into its column ([`PACKED_MAX`]) whatever the rule file: at most 200
//! rules with ids of 40 bytes can fire and 64 counters have values, which leaves room for a few
//! words of each reason. If there is too little room for the reasons, all are cut to the same
//! length. Anything else that is too long or cannot be packed fails the operation that stores it,
//! and no other of its batch.

use std::{fmt, sync::Arc};

use super::{Decision, Effect, FiredRule};
use crate::{
    db::{Change, Columns, DbError, RecordRows, Recorder, RowSet, Sql, Tx},
    primitives::DecisionId,
};

/// The form in which decisions are packed.
const FORMAT: u8 = 1;
/// Bytes of `risk_decisions.decision`.
const PACKED_MAX: usize = 16_000;
/// What is said of a decision that cannot be stored.
pub(super) const CANNOT_PACK: &str = "a risk decision that cannot be stored";
/// Stands where a reason was cut.
const CUT: &str = "…";

/// A decision, and the bytes that are stored of it. They hold personal data, which `Debug` does not
/// show.
#[derive(Clone)]
pub(crate) struct PackedDecision {
    decision: Arc<Decision>,
    bytes: Arc<[u8]>,
}

/// A decision that has no stored form, or one too long: what no rule file can bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackError;

impl PackedDecision {
    pub(super) fn new(decision: &Arc<Decision>) -> Result<Self, PackError> {
        Ok(Self {
            decision: Arc::clone(decision),
            bytes: pack(decision)?.into(),
        })
    }
}

impl fmt::Debug for PackedDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decision.fmt(f)
    }
}

fn pack(decision: &Decision) -> Result<Vec<u8>, PackError> {
    let whole = encode(decision)?;
    if whole.len() <= PACKED_MAX {
        return Ok(whole);
    }
    let mut cut = decision.clone();
    let words: usize = cut.fired.iter().map(|fired| fired.reason.len()).sum();
    let room = PACKED_MAX.saturating_sub(whole.len().saturating_sub(words));
    let each = room.checked_div(cut.fired.len()).unwrap_or(0);
    cut.fired.iter_mut().for_each(|fired| shorten(fired, each));
    let cut = encode(&cut)?;
    if cut.len() > PACKED_MAX {
        return Err(PackError);
    }
    Ok(cut)
}

fn encode(decision: &Decision) -> Result<Vec<u8>, PackError> {
    postcard::to_extend(decision, vec![FORMAT]).map_err(|_| PackError)
}

/// Cuts the reason to `most` bytes, between two characters.
fn shorten(fired: &mut FiredRule, most: usize) {
    if fired.reason.len() > most {
        let kept = fired
            .reason
            .floor_char_boundary(most.saturating_sub(CUT.len()));
        fired.reason.truncate(kept);
        fired.reason.push_str(CUT);
    }
}

/// What was packed. None for bytes that are not a decision in a form that this program knows.
pub(super) fn unpack(bytes: &[u8]) -> Option<Decision> {
    match bytes.split_first()? {
        (&FORMAT, packed) => postcard::from_bytes(packed).ok(),
        _ => None,
    }
}

/// `risk_decisions`, written with the activity they are about. Never read by an operation.
#[derive(Debug)]
pub(crate) struct Decisions;

impl RowSet for Decisions {
    type Key = DecisionId;
    type Row = PackedDecision;
    const LOCK_ORDER: u8 = 22;
}

impl RecordRows for Decisions {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        out.insert(INSERT, changes, |row, change| {
            columns(row, change.key, change.after);
        });
    }
}

const INSERT: &str = "INSERT /* risk.insert_decisions */ INTO risk_decisions";

fn columns(row: &mut Columns<'_>, id: DecisionId, packed: &PackedDecision) {
    let decision = &packed.decision;
    let facts = &decision.facts;
    let fired = decision.fired.iter();
    let shadow = fired.filter(|fired| fired.effect == Effect::Shadow);
    let shadow = shadow.map(|fired| fired.action.code()).max().unwrap_or(0);
    row.set("id", id).set("tenant_id", facts.tenant);
    row.set("stage", facts.stage.code());
    row.set("action", decision.action.code());
    row.set("shadow", shadow);
    row.set("rule_set", decision.rule_set);
    row.set("decided_at", facts.at);
    row.set("customer_id", facts.customer);
    row.set("merchant_id", facts.merchant);
    row.set("amount_fen", facts.amount);
    row.set("points", facts.points);
    row.set("decision", &*packed.bytes);
}

/// Inserts the row of a decision in an ordinary transaction: a login moves neither money nor
/// points.
pub(super) async fn insert(
    tx: &mut Tx,
    id: DecisionId,
    decision: &Arc<Decision>,
) -> Result<(), DbError> {
    let packed = PackedDecision::new(decision).map_err(|_| DbError::Inconsistent(CANNOT_PACK))?;
    let sql = Sql::insert(INSERT, [packed], |row, packed| columns(row, id, &packed));
    sqlx::raw_sql(sql.into_statement())
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Device, Facts, Origin, Stage},
        primitives::{
            ChallengeId, CustomerId, Id, Lane, MerchantId, Money, Points, TenantId, Timestamp,
        },
        risk::{Action, CounterValues},
    };

    /// The longest that a rule file and an activity can bring about, with `rules` that fire.
    fn decision(rules: usize, reason: &str) -> Decision {
        let id = Id::from_bytes([0xff; 16]);
        let far = Timestamp::from_micros(253_402_300_799_000_000);
        Decision {
            rule_set: u32::MAX,
            action: Action::Block,
            facts: Facts {
                customer: Some(CustomerId::new(id)),
                merchant: Some(MerchantId::new(id)),
                amount: Money::parse(i64::MAX).ok(),
                points: Points::parse(1_000_000_000_000).ok(),
                origin: Origin {
                    address: Some("2001:db8::1".parse().unwrap()),
                    device: Some(Device::parse(&"d".repeat(64)).unwrap()),
                },
                own_merchant: true,
                source: Some("s".repeat(32)),
                ..Facts::new(Stage::PointsCredit, TenantId(u32::MAX), far)
            },
            measured: CounterValues(vec![Some(i64::MIN); 64]),
            fired: vec![
                FiredRule {
                    rule: "r".repeat(40),
                    action: Action::Block,
                    effect: Effect::Answered,
                    reason: reason.to_owned(),
                };
                rules
            ],
            answered: Some(ChallengeId::new(Id::mint(1, 1, Lane(1)))),
        }
    }

    #[test]
    fn what_is_packed_is_read_again_and_no_other_form_is() {
        let one = decision(3, "短时间内付款太多");
        let packed = pack(&one).unwrap();
        assert_eq!(unpack(&packed), Some(one));
        for form in [0, 2, 0xff] {
            let mut other = packed.clone();
            other[0] = form;
            assert_eq!(unpack(&other), None, "{form}");
        }
        assert_eq!(unpack(&[]), None);
        assert_eq!(unpack(&packed[..packed.len() - 1]), None);
    }

    #[test]
    fn reasons_are_cut_where_there_are_too_many_and_nothing_else_is() {
        for (rules, words) in [
            (1, 200),
            (16, 200),
            (200, 200),
            (200, 1),
            (120, 40),
            (200, 23),
        ] {
            for sign in ["a", "é", "账", "𠮷"] {
                let long = decision(rules, &sign.repeat(words));
                let packed = pack(&long).unwrap();
                assert!(packed.len() <= PACKED_MAX, "{rules} {words} {sign}");
                let mut read = unpack(&packed).unwrap();
                let uncut = encode(&long).unwrap().len();
                assert_eq!(read == long, uncut <= PACKED_MAX, "{rules} {words} {sign}");
                for (read, long) in read.fired.iter_mut().zip(&long.fired) {
                    let kept = read.reason.strip_suffix(CUT);
                    let kept = kept.unwrap_or(&read.reason);
                    assert!(long.reason.starts_with(kept) && !kept.is_empty());
                    read.reason.clone_from(&long.reason);
                }
                assert_eq!(read, long);
            }
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused_and_not_stored_by_halves() {
        let oversized = decision(1_000, "");
        assert_eq!(pack(&oversized), Err(PackError));
        assert!(PackedDecision::new(&Arc::new(oversized)).is_err());
    }
}
