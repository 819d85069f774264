//! A database that is there and is no use: silent, demoted, torn in the middle of a packet; and
//! operations that cannot be written, or panic.

mod culprits;
mod demoted;
mod galera;
mod parked;
mod silence;
mod torn;
