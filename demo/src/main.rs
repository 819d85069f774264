//! `zhangfang-demo`: parses the command line and hands over. `--help` says the rest.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use zhangfang::cli::conclude;
use zhangfang_demo::Demo;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let demo = Demo::parse();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| anyhow::Error::new(error).context("the runtime did not start"))
        .and_then(|runtime| runtime.block_on(demo.run()));
    conclude("zhangfang-demo", done)
}
