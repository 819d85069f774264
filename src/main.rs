//! `zhangfang`: parses the command line and hands over. `zhangfang --help` tells the rest.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use zhangfang::cli::{Cli, conclude, run};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => {
            let error = anyhow::Error::new(error).context("the runtime did not start");
            conclude("zhangfang", Err(error))
        }
    }
}
