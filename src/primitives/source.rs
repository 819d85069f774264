//! Where new ids come from: a source that callers are given, so that tests can give another.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Where the random part of ids, codes and nonces comes from.
pub trait IdSource: fmt::Debug + Send + Sync + 'static {
    fn random(&self) -> u64;
}

/// Drawn from the operating system's generator, per thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn random(&self) -> u64 {
        rand::rng().next_u64()
    }
}

/// Ids that follow from a seed, for tests.
#[derive(Debug)]
pub struct SeededIds(Mutex<StdRng>);

impl SeededIds {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl IdSource for SeededIds {
    fn random(&self) -> u64 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_u64()
    }
}
