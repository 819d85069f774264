//! What a customer has, as customers and back ends are shown it.

use crate::{ledger::Balance, payments::PointsShortfall};

/// The numbers of a balance under a tenant's policy: the same for whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct ShownBalance {
    pub(in crate::http) posted: i64,
    pub(in crate::http) held: i64,
    pub(in crate::http) available: i64,
    pub(in crate::http) pending: i64,
    pub(in crate::http) debt: i64,
}

impl ShownBalance {
    /// Where the policy is `negative` a debt is taken off the balance. Who owes has nothing that
    /// could be spent, so `available`, when it is above zero, is under every policy what a points
    /// transaction may take.
    pub(in crate::http) fn new(balance: &Balance, shortfall: PointsShortfall) -> Self {
        let debt = balance.debt.get();
        let owed = match shortfall {
            PointsShortfall::Negative => debt,
            PointsShortfall::Debt | PointsShortfall::Refuse => 0,
        };
        Self {
            posted: balance.posted.get().saturating_sub(owed),
            held: balance.held.get(),
            available: balance.available.get().saturating_sub(owed),
            pending: balance.pending.get(),
            debt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Points;

    #[test]
    fn a_debt_is_taken_off_the_balance_only_where_the_policy_says_so() {
        let points = |units| Points::parse(units).unwrap();
        let balance = Balance {
            posted: points(5),
            held: points(5),
            available: points(0),
            pending: points(0),
            debt: points(7),
        };
        let shown = |shortfall| {
            let shown = ShownBalance::new(&balance, shortfall);
            (shown.posted, shown.available, shown.debt)
        };
        assert_eq!(shown(PointsShortfall::Debt), (5, 0, 7));
        assert_eq!(shown(PointsShortfall::Refuse), (5, 0, 7));
        assert_eq!(shown(PointsShortfall::Negative), (-2, -7, 7));
    }
}
