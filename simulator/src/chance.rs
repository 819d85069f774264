//! Chance: how likely something is, and the generator that decides.

use aws_lc_rs::digest::{SHA256, digest};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// A probability in thousandths: 0 never, 1000 always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PerMille(u16);

impl PerMille {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(1000);

    /// `thousandths` of 1000; more than that means always.
    pub const fn new(thousandths: u16) -> Self {
        Self(if thousandths > 1000 {
            1000
        } else {
            thousandths
        })
    }

    pub(super) fn happens(self, rng: &mut StdRng) -> bool {
        rng.random_range(0..1000) < self.0
    }
}

impl TryFrom<u16> for PerMille {
    type Error = &'static str;

    fn try_from(thousandths: u16) -> Result<Self, Self::Error> {
        if thousandths > 1000 {
            Err("a probability is 0 to 1000 per mille")
        } else {
            Ok(Self(thousandths))
        }
    }
}

impl From<PerMille> for u16 {
    fn from(value: PerMille) -> Self {
        value.0
    }
}

/// Chance for one thing alone: the same in every run under the same seed.
pub(super) fn own_rng(seed: u64, name: &str) -> StdRng {
    let text = [&seed.to_be_bytes(), name.as_bytes()].concat();
    let mut own_seed = [0; 32];
    own_seed.copy_from_slice(digest(&SHA256, &text).as_ref());
    StdRng::from_seed(own_seed)
}
