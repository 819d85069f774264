//! Looks for changed keys and merchant accounts of the channel.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::runner::{Job, Rest, pause};
use crate::{app::App, db::DbError};

const PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Accounts(pub(super) App);

impl Job for Accounts {
    const NAME: &'static str = "accounts";
    const REST: Rest = Rest::of(Duration::ZERO);

    /// They were read at the start: it rests first.
    async fn round(&mut self, stop: &CancellationToken) -> Result<bool, DbError> {
        pause(stop, PAUSE).await;
        self.0.refresh_accounts().await;
        Ok(false)
    }
}
