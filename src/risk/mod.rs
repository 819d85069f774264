//! Risk: rules that people steer. Facts in, a decision with its reasons out.

mod counter;
mod decision;
mod handle;
mod store;

pub use counter::{Ask, Counter, Measure, Measured, Per, Thing};
pub use decision::{Action, Decision, Effect, Fired, Ruling, UnknownAction};
pub use handle::Risk;
