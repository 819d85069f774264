//! The load: requests that are written beforehand, over as many connections as wanted, each waiting
//! for its answer before the next.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use super::report::Measured;

/// Sends every request once; anything but `status` is an error.
pub(crate) async fn run(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    connections: usize,
    status: u16,
) -> Measured {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 16 * 1024];
                let (mut latencies, mut errors) = (Vec::new(), 0);
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sent = Instant::now();
                    let answer = ask(&mut stream, request, &mut buffer).await.unwrap();
                    latencies.push(sent.elapsed().as_micros() as u32);
                    if answer.status != status {
                        errors += 1;
                    }
                }
                (latencies, errors)
            })
        })
        .collect();
    gather(workers, started).await
}

/// What all workers measured together: how long each operation took, and how many went wrong.
pub(crate) async fn gather(
    workers: Vec<JoinHandle<(Vec<u32>, usize)>>,
    started: Instant,
) -> Measured {
    let connections = workers.len();
    let (mut latencies_us, mut errors) = (Vec::new(), 0);
    for worker in workers {
        let (latencies, wrong) = worker.await.unwrap();
        latencies_us.extend(latencies);
        errors += wrong;
    }
    Measured {
        connections,
        latencies_us,
        errors,
        took: started.elapsed(),
        cpu: None,
    }
}

/// What there is to know of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The connection ends with it.
    pub(crate) closes: bool,
}

/// Sends one request and reads its answer whole.
pub(crate) async fn ask(
    stream: &mut TcpStream,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> io::Result<Answer> {
    stream.write_all(request).await?;
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let Some(head) = find(&buffer[..filled], b"\r\n\r\n") else {
            continue;
        };
        let length = content_length(&buffer[..head]);
        if filled >= head + 4 + length {
            let status = std::str::from_utf8(&buffer[9..12]).unwrap();
            return Ok(Answer {
                status: status.parse().unwrap(),
                closes: find(&buffer[..head], b"\r\nconnection: close").is_some(),
            });
        }
        if buffer.len() < head + 4 + length {
            buffer.resize(head + 4 + length, 0);
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let lower = head.to_ascii_lowercase();
    find(&lower, NAME).map_or(0, |at| {
        lower[at + NAME.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
