//! The load: requests that are written beforehand, over as many connections as wanted, each waiting
//! for its answer before the next.

use std::{
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
                    stream.write_all(request).await.unwrap();
                    let answered = read_answer(&mut stream, &mut buffer).await;
                    latencies.push(sent.elapsed().as_micros() as u32);
                    if answered != status {
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

/// Reads one answer whole; its status.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> u16 {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the service hung up");
        filled += read;
        let Some(head) = find(&buffer[..filled], b"\r\n\r\n") else {
            continue;
        };
        let status: u16 = std::str::from_utf8(&buffer[9..12])
            .unwrap()
            .parse()
            .unwrap();
        let length = content_length(&buffer[..head]);
        if filled >= head + 4 + length {
            return status;
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
