//! A network between the service and the database that falls silent: nothing is closed, nothing is
//! refused, nothing arrives.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_util::sync::CancellationToken;

/// A proxy in front of a server's socket.
#[derive(Debug, Clone)]
pub(crate) struct SilentProxy {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Cancelled: what was connected under it hears and says nothing any more, for ever.
    line: CancellationToken,
    silent: bool,
    /// Cancelled: whoever was held in silence is released, so that the server learns of it.
    over: CancellationToken,
    /// What was said into the silence, over all connections.
    unheard: Vec<u8>,
}

impl SilentProxy {
    /// Puts a proxy in front of the server: `options` lead through it from now on.
    pub(crate) fn before(options: &mut MySqlConnectOptions) -> Self {
        let socket = options.get_socket().unwrap().clone();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        *options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(port)
            .username(options.get_username())
            .database(options.get_database().unwrap())
            .ssl_mode(MySqlSslMode::Disabled);
        let proxy = Self {
            state: Arc::new(Mutex::new(State {
                line: CancellationToken::new(),
                silent: false,
                over: CancellationToken::new(),
                unheard: Vec::new(),
            })),
        };
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(proxy.clone().accept(listener, socket));
        proxy
    }

    /// From now on nothing comes through, over no connection, also not over those that are made
    /// now: they are accepted, and that is all.
    pub(crate) fn falls_silent(&self) {
        let mut state = self.state.lock().unwrap();
        state.line.cancel();
        state.silent = true;
    }

    /// New connections come through again. Those that met the silence stay silent.
    pub(crate) fn speaks(&self) {
        let mut state = self.state.lock().unwrap();
        state.line = CancellationToken::new();
        state.silent = false;
    }

    /// Whether something with these words was said into the silence. Only what a connection says
    /// for the first time has words: after that it goes by a number.
    pub(crate) fn swallowed(&self, words: &str) -> bool {
        let state = self.state.lock().unwrap();
        let mut said = state.unheard.windows(words.len());
        said.any(|said| said == words.as_bytes())
    }

    /// Ends every connection that met the silence: the server rolls back what it still held for
    /// them, and nobody waits for its locks.
    pub(crate) fn hangs_up(&self) {
        self.state.lock().unwrap().over.cancel();
    }

    async fn accept(self, listener: TcpListener, socket: PathBuf) {
        let mut held = Vec::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (line, silent, over) = {
                let state = self.state.lock().unwrap();
                (state.line.clone(), state.silent, state.over.clone())
            };
            if silent {
                held.push(client);
                continue;
            }
            tokio::spawn(self.clone().carry(client, socket.clone(), (line, over)));
        }
    }

    /// Carries bytes both ways until one side closes. On a dead line it keeps both sides open and
    /// carries nothing.
    async fn carry(
        self,
        mut client: TcpStream,
        socket: PathBuf,
        (line, over): (CancellationToken, CancellationToken),
    ) {
        let Ok(mut server) = UnixStream::connect(socket).await else {
            return;
        };
        let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            tokio::select! {
                biased;
                () = line.cancelled() => break,
                read = client.read(&mut up) => match read {
                    Ok(length @ 1..) => if server.write_all(&up[..length]).await.is_err() { return },
                    Ok(0) | Err(_) => return,
                },
                read = server.read(&mut down) => match read {
                    Ok(length @ 1..) => if client.write_all(&down[..length]).await.is_err() { return },
                    Ok(0) | Err(_) => return,
                },
            }
        }
        let listening = async {
            while let Ok(length @ 1..) = client.read(&mut up).await {
                self.state
                    .lock()
                    .unwrap()
                    .unheard
                    .extend_from_slice(&up[..length]);
            }
        };
        // Whoever hangs up in the silence is not heard either.
        tokio::join!(over.cancelled(), async {
            tokio::select! {
                () = over.cancelled() => {}
                () = listening => {}
            }
        });
    }
}
