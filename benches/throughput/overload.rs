//! Three times as many callbacks as the service can settle: whether it goes on settling as many as
//! before, and how soon the others are told no.
//!
//! Nobody waits for an answer before the next callback is sent: each has its time, and goes over a
//! connection that is free, or a new one. A latency is counted from that time.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use super::{
    load,
    report::{Measured, Report},
    stage::Stage,
};

const TIMES: f64 = 3.0;
/// What the service settles by itself is measured at as many.
const CONNECTIONS: usize = 512;
/// More than these the generator cannot open: it has no more files.
const OPEN_MAX: usize = 8_000;
/// How often it looks whose time has come.
const TICK: Duration = Duration::from_millis(1);

/// What became of what was offered.
#[derive(Debug, Default)]
struct Outcome {
    settled: Vec<u32>,
    refused: Vec<u32>,
    /// Neither: the connection broke, or something else was answered.
    broken: usize,
    unsent: usize,
    /// Connections at one time, at most.
    open: usize,
    /// When the last one was settled.
    last: Option<Instant>,
}

/// `alone`: callbacks that show what it can; `offered`: those that are too many.
pub(crate) async fn measure((alone, offered): (usize, usize), report: &mut Report) {
    let stage = Stage::set(alone + offered).await;
    let usual = stage.settle(0..alone, CONNECTIONS.min(alone)).await;
    report.add("overload_before", &usual);
    let callbacks = stage.callbacks(alone..alone + offered).await;
    let rate = usual.per_second() * TIMES;
    let before = stage.used().await;
    let began = Instant::now();
    let outcome = offer(stage.address, callbacks, rate).await;
    let took = outcome.last.map_or(Duration::ZERO, |last| last - began);
    let cpu = stage.used().await - before;
    let Outcome {
        settled,
        refused,
        broken,
        unsent,
        open,
        ..
    } = outcome;
    let (kept, all) = (settled.len(), settled.len() + refused.len());
    let settled = Measured {
        connections: open,
        latencies_us: settled,
        errors: broken,
        took,
        cpu: Some(cpu),
    };
    report.add("overload_settled", &settled);
    let goodput = settled.per_second() / usual.per_second() * 100.0;
    let refused = Measured {
        connections: open,
        latencies_us: refused,
        errors: 0,
        took,
        cpu: None,
    };
    report.add("overload_refused", &refused);
    report.add_value("overload_goodput", goodput, "% of the rate before");
    eprintln!(
        "  {rate:.0}/s were offered, {TIMES} times the rate before: {kept} settled, {} refused, {broken} broken, {unsent} never sent",
        all - kept,
    );
    stage.strike().await;
}

async fn offer(address: SocketAddr, callbacks: Vec<Vec<u8>>, rate: f64) -> Outcome {
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let free: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let open = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let (mut sent, mut most) = (Vec::new(), 0);
    let mut ticks = tokio::time::interval(TICK);
    let mut callbacks = callbacks.into_iter().enumerate().peekable();
    while callbacks.peek().is_some() {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * rate) as usize;
        while let Some((number, callback)) = callbacks.next_if(|(number, _)| *number <= due) {
            if open.load(Ordering::Relaxed) >= OPEN_MAX {
                outcome.lock().unwrap().unsent += 1;
                continue;
            }
            let now_open = open.fetch_add(1, Ordering::Relaxed) + 1;
            most = most.max(now_open);
            let scheduled = began + Duration::from_secs_f64(number as f64 / rate);
            let (outcome, free, open) =
                (Arc::clone(&outcome), Arc::clone(&free), Arc::clone(&open));
            sent.push(tokio::spawn(async move {
                let answered = send(address, &free, &callback).await;
                open.fetch_sub(1, Ordering::Relaxed);
                let now = Instant::now();
                let latency = (now - scheduled).as_micros() as u32;
                let mut outcome = outcome.lock().unwrap();
                match answered {
                    Ok(204) => {
                        outcome.settled.push(latency);
                        outcome.last = Some(now);
                    }
                    Ok(429 | 503) => outcome.refused.push(latency),
                    Ok(_) | Err(_) => outcome.broken += 1,
                }
            }));
        }
    }
    for task in sent {
        task.await.unwrap();
    }
    let mut outcome = std::mem::take(&mut *outcome.lock().unwrap());
    outcome.open = most;
    outcome
}

async fn send(
    address: SocketAddr,
    free: &Mutex<Vec<TcpStream>>,
    callback: &[u8],
) -> io::Result<u16> {
    let known = free.lock().unwrap().pop();
    let mut stream = if let Some(stream) = known {
        stream
    } else {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream
    };
    let mut buffer = vec![0; 4 * 1024];
    let answer = load::ask(&mut stream, callback, &mut buffer).await?;
    if !answer.closes {
        free.lock().unwrap().push(stream);
    }
    Ok(answer.status)
}
