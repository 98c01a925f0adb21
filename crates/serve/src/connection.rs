//! Connections to clients that may be slow: the system holds little for each, and one that takes nothing, or asks nothing,
//! for too long is given up.

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

/// Bytes that the system holds for a client. It tells of room when about a third of them were taken: with the megabytes of
/// its own choice a client that reads slowly would look like one that reads nothing.
const HELD: usize = 64 << 10;
/// No request is waited for longer: hyper adds the time to the clock, which has an end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Serves all who connect until `close`, and then those that are being answered.
pub async fn serve(mut listener: Patient, router: Router, mut close: oneshot::Receiver<()>) {
    let patience = listener.patience;
    let (open, closing) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (stream, _) = listener.accept() => {
                connections.spawn(answer(stream, router.clone(), patience, closing.clone()));
            }
            // What has ended is forgotten.
            Some(_) = connections.join_next() => (),
            _ = &mut close => break,
        }
    }
    drop(listener);
    drop(open);
    while connections.join_next().await.is_some() {}
}

/// Answers on a connection until the client leaves, until the head of a request, the first or a later one, is not there in
/// time, or until `closing` has lost its sender and nothing is being answered.
async fn answer(stream: Connection, router: Router, patience: Duration, mut closing: watch::Receiver<()>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience.min(LONGEST));
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        // However it ended: there is nobody left to tell.
        _ = served.as_mut() => return,
        _ = closing.changed() => (),
    }
    served.as_mut().graceful_shutdown();
    let _ = served.await;
}

/// Accepts connections that fail when a client takes nothing for so long.
pub struct Patient {
    listener: TcpListener,
    patience: Duration,
}

impl Patient {
    /// On this socket, with this patience.
    pub fn new(listener: TcpListener, patience: Duration) -> Patient {
        Patient { listener, patience }
    }
}

impl Listener for Patient {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Without it the system holds small packets back for tens of milliseconds: each token is one.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_send_buffer_size(HELD);
        (Connection { stream, patience: self.patience, stalled: None }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection on which writing fails when nothing could be written for too long. Reading is not limited here.
pub struct Connection {
    stream: TcpStream,
    patience: Duration,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// What writing came to; having waited for too long is an error.
    fn limited(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.limited(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.limited(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Read;

    /// Writes until that fails: how much was written, and why it failed.
    async fn fill(connection: &mut Connection) -> (usize, io::ErrorKind) {
        let mut all = 0;
        loop {
            let portion = [0u8; 4096];
            match poll_fn(|context| Pin::new(&mut *connection).poll_write(context, &portion)).await {
                Ok(written) => all += written,
                Err(error) => return (all, error.kind()),
            }
        }
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up_and_what_was_written_before_reaches_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut client, written) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut listener = Patient::new(listener, Duration::from_millis(50));
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut connection, _) = listener.accept().await;
            let (written, why) = fill(&mut connection).await;
            assert_eq!(why, io::ErrorKind::TimedOut);
            (client, written)
        });
        let mut taken = Vec::new();
        client.read_to_end(&mut taken).unwrap();
        assert_eq!(taken.len(), written);
    }
}
