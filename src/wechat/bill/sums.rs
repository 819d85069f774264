//! The last line of a bill, held against the lines: a line that is not there is money that nobody
//! misses.

use rust_decimal::Decimal;

use crate::payments::{BillDisagreement, BillSummary};

/// What one sum comes to, by the lines.
#[derive(Debug)]
pub(super) struct Sum {
    /// What the column is called, or was.
    names: &'static [&'static str],
    /// None: more than can be counted.
    found: Option<Decimal>,
}

impl Sum {
    pub(super) fn count(names: &'static [&'static str], count: usize) -> Self {
        let found = u64::try_from(count).ok().map(Decimal::from);
        Self { names, found }
    }

    pub(super) fn fen(names: &'static [&'static str], fen: impl Iterator<Item = i64>) -> Self {
        let sum: i128 = fen.map(i128::from).sum();
        let found = Decimal::try_from_i128_with_scale(sum, 2).ok();
        Self { names, found }
    }

    pub(super) fn yuan(
        names: &'static [&'static str],
        mut yuan: impl Iterator<Item = Decimal>,
    ) -> Self {
        let found = yuan.try_fold(Decimal::ZERO, Decimal::checked_add);
        Self { names, found }
    }
}

/// The sums that are not the lines'. A column that is not there says nothing; one that is no number
/// disagrees. Counts may be written `20.0`.
pub(super) fn compare(sums: &[Sum], summary: &BillSummary) -> Vec<BillDisagreement> {
    sums.iter()
        .filter_map(|sum| {
            let named = |(name, _): &&(String, String)| sum.names.contains(&name.as_str());
            let (column, said) = summary.0.iter().find(named)?;
            let agrees =
                sum.found.is_some() && Decimal::from_str_exact(said.trim()).ok() == sum.found;
            (!agrees).then(|| BillDisagreement {
                column: column.clone(),
                said: said.clone(),
                found: sum.found.unwrap_or_default(),
            })
        })
        .collect()
}
