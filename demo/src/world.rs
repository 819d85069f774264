//! The world of the demo: the service, WeChat, the customers and operators.

use tokio_util::sync::CancellationToken;

use super::{
    patience::ApiError,
    service::{Person, Service},
    tenant::{Operators, Tenant},
    wechat::Wechat,
};

/// What every step of the demo works with.
#[derive(Debug, Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) service: &'a Service,
    pub(super) wechat: &'a Wechat,
    pub(super) customers: &'a [Person],
    pub(super) tenant: &'a Tenant,
    pub(super) operators: &'a Operators,
    /// Names this run in idempotency keys, so that the same seed makes new orders.
    pub(super) run: &'a str,
    /// Whether anything goes wrong at WeChat today.
    pub(super) troubled: bool,
    pub(super) ending: &'a CancellationToken,
}

impl World<'_> {
    /// For what happens before anything is paid: ended there, there is nothing to report.
    pub(super) fn go_on(&self) -> Result<(), ApiError> {
        if self.ending.is_cancelled() {
            return Err(ApiError::Up("ended before the first payment".to_owned()));
        }
        Ok(())
    }
}
