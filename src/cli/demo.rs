//! Everything at once, to look at. (Place holder: its author replaces the file.)

use anyhow::bail;

use crate::config::Source;

/// Run everything with a simulated WeChat and show what happens.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {}

impl Demo {
    #[expect(clippy::unused_async, reason = "the shape of every command")]
    pub(super) async fn run(self, _: &Source) -> anyhow::Result<()> {
        bail!("demo is not written yet")
    }
}
