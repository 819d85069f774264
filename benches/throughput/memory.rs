//! How much memory the service takes while a thousand people use it at once, each over a connection
//! of their own.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{report::Report, stage::Stage};

pub(crate) const USERS: usize = 1_000;
const KIB_IN_MB: f64 = 1_000_000.0 / 1_024.0;

/// They read their balances, make payments, and pay: `(reads, payments made, payments settled)`.
pub(crate) async fn measure(
    (reads, made, settled): (usize, usize, usize),
    users: usize,
    report: &mut Report,
) {
    let stage = Stage::set(settled).await;
    let service = stage.service_pid();
    report.add_value("memory_at_rest", resident(service), "MB");
    let over = Arc::new(AtomicBool::new(false));
    let watching = {
        let over = Arc::clone(&over);
        tokio::task::spawn_blocking(move || {
            let mut most: f64 = 0.0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(resident(service));
                std::thread::sleep(Duration::from_millis(50));
            }
            most
        })
    };
    report.add("memory_balance_http", &stage.balance(reads, users).await);
    report.add(
        "memory_create_payment_http",
        &stage.create(0, made, users).await,
    );
    report.add("memory_settle_http", &stage.settle(0..settled, users).await);
    over.store(true, Ordering::Relaxed);
    let most = watching.await.unwrap();
    report.add_value("memory_most", most, "MB");
    report.add_value("memory_afterwards", resident(service), "MB");
    stage.strike().await;
}

/// What of a process is in memory now, in MB.
fn resident(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .unwrap()
        .parse()
        .unwrap();
    kib / KIB_IN_MB
}
