//! What each merchant has at WeChat: payments come in; refunds, shares and withdrawals go out.
//!
//! A merchant is named by its `sub_mchid`, in direct mode by its `mchid`.
//! Fees are not taken here: they are a matter of bills.

use std::collections::HashMap;

/// Balances in fen by merchant. A merchant that nothing was said of has nothing.
#[derive(Debug, Default)]
pub(super) struct Funds(HashMap<String, i64>);

impl Funds {
    pub(super) fn balance_fen(&self, mchid: &str) -> i64 {
        self.0.get(mchid).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, mchid: &str, amount_fen: i64) {
        let balance = self.0.entry(mchid.to_owned()).or_default();
        *balance = balance.saturating_add(amount_fen);
    }

    /// Takes the whole amount or nothing, and says which.
    #[must_use]
    pub(super) fn take(&mut self, mchid: &str, amount_fen: i64) -> bool {
        let left = self.balance_fen(mchid).saturating_sub(amount_fen);
        if left < 0 {
            return false;
        }
        self.set(mchid, left);
        true
    }

    pub(super) fn set(&mut self, mchid: &str, balance_fen: i64) {
        self.0.insert(mchid.to_owned(), balance_fen);
    }

    /// Every merchant that ever had something, sorted by its number.
    pub(super) fn all(&self) -> Vec<(String, i64)> {
        let mut all: Vec<_> = self.0.iter().map(|(k, v)| (k.clone(), *v)).collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_cannot_give_what_it_has_not() {
        let mut funds = Funds::default();
        assert!(!funds.take("1", 1));
        funds.add("1", 100);
        assert!(!funds.take("1", 101));
        assert!(!funds.take("2", 1));
        assert!(funds.take("1", 100));
        assert_eq!(funds.all(), [("1".to_owned(), 0)]);
    }
}
