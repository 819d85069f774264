//! What WeChat has agreed with each merchant: its fee, and how much of an order may be shared.

use std::collections::HashMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::lock::lock;

/// The terms of one merchant: a sub-merchant, or in direct mode the merchant itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MerchantRules {
    /// WeChat's fee in hundredths of a per cent: 60 is 0.60 %. At most 10000.
    pub fee_basis_points: u16,
    /// How much of an order may be shared in hundredths of a per cent: 3000 is 30 %, WeChat's
    /// default. At most 10000.
    pub max_ratio: u16,
}

impl Default for MerchantRules {
    fn default() -> Self {
        Self {
            fee_basis_points: 60,
            max_ratio: 3000,
        }
    }
}

impl MerchantRules {
    /// The fee on `amount_fen`, rounded half up to the fen, as it is settled.
    pub(super) fn fee_fen(self, amount_fen: i64) -> i64 {
        let exact = i128::from(amount_fen) * i128::from(self.fee_basis_points.min(WHOLE));
        i64::try_from((exact + 5_000) / 10_000).unwrap_or(amount_fen)
    }

    /// How much of an order of `amount_fen` may go to others, rounded down to the fen.
    pub(super) fn shareable_fen(self, amount_fen: i64) -> i64 {
        let exact = i128::from(amount_fen) * i128::from(self.max_ratio.min(WHOLE));
        i64::try_from(exact / 10_000).unwrap_or(amount_fen)
    }
}

const WHOLE: u16 = 10_000;

/// The merchants with terms of their own; all others have the default.
#[derive(Debug, Default)]
pub(super) struct Merchants(Mutex<HashMap<String, MerchantRules>>);

impl Merchants {
    pub(super) fn rules(&self, mchid: &str) -> MerchantRules {
        lock(&self.0).get(mchid).copied().unwrap_or_default()
    }

    pub(super) fn set(&self, mchid: &str, rules: MerchantRules) {
        lock(&self.0).insert(mchid.to_owned(), rules);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fee_is_rounded_half_up_and_the_shareable_part_down() {
        let rules = MerchantRules::default();
        // 0.6 % of 0.83 yuan is 0.498 fen, of 0.84 yuan 0.504.
        assert_eq!((rules.fee_fen(83), rules.fee_fen(84)), (0, 1));
        assert_eq!(rules.fee_fen(1250), 8); // 7.5
        assert_eq!(rules.fee_fen(0), 0);
        assert_eq!(rules.fee_fen(i64::MAX), 55_340_232_221_128_655);
        assert_eq!(rules.shareable_fen(1_283), 384); // 384.9
        let free = MerchantRules {
            fee_basis_points: 0,
            max_ratio: u16::MAX,
        };
        assert_eq!((free.fee_fen(1_000), free.shareable_fen(1_000)), (0, 1_000));
    }
}
