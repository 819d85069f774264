//! For everybody: what a scanned code stands for, and whether the service is well.

pub(super) mod code_page;
pub(super) mod health;
pub(super) mod resolve_code;
