//! How the simulator takes its locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. A panic under it leaves nothing half done that would matter here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
