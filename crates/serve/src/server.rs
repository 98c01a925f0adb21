//! The server's life: listen, load, answer, stop.
//!
//! One thread runs the HTTP side, a second owns the worker. While the model loads, everything is answered by 503; stopping
//! refuses what is new and what waits, and gives what is being computed some time to end.

use crate::connection::{self, Patient};
use crate::engine::{self, Halt, Launch, Model};
use crate::queue::{KEPT, Queue};
use crate::router::{Site, router};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use tokometer_core::engine::Failed;

/// How often it is looked whether all is done, while stopping.
const LOOK: Duration = Duration::from_millis(20);
/// How long answers that are complete may take to reach slow readers, while stopping.
const FLUSH: Duration = Duration::from_secs(2);
/// How long a worker that was loaded is waited for. One that has not left by then dies with the process.
const LEAVE: Duration = Duration::from_secs(8);

/// Tokens by which engines may round a context up, and events that are no tokens.
const ROUNDED: usize = 1024;

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model's name in `/v1/models` and in requests.
    pub model: String,
    /// The key that clients must send; `None`: none.
    pub api_key: Option<String>,
    /// Prompts that may wait for their turn.
    pub queue: usize,
    /// Bytes of a request's body.
    pub body_limit: usize,
    /// How long a body may take to come.
    pub body_time: Duration,
    /// How long a client may take nothing of what there is for it, or let the head of its request wait.
    pub client_time: Duration,
    /// How long what is being computed may go on after the server was asked to stop.
    pub grace: Duration,
}

impl Settings {
    /// The defaults for a model of that name.
    pub fn new(model: impl Into<String>) -> Settings {
        Settings {
            model: model.into(),
            api_key: None,
            queue: 256,
            body_limit: 64 << 20,
            body_time: Duration::from_secs(60),
            client_time: Duration::from_secs(60),
            grace: Duration::from_secs(30),
        }
    }
}

/// Why the server could not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine did not start, or could not load the model.
    #[error("the model cannot be served: {0}")]
    Engine(Failed),
    /// The system refused something.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Stops a server, from any thread; clones stop the same one.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    level: AtomicU8,
    told: Notify,
}

impl Stop {
    /// Finish what is being computed and refuse the rest. A second time: give up what is being computed, too.
    pub fn stop(&self) {
        self.0.level.fetch_add(1, Ordering::SeqCst);
        // Kept for whoever begins to wait later.
        self.0.told.notify_one();
    }

    async fn asked(&self) {
        while self.0.level.load(Ordering::SeqCst) == 0 {
            self.0.told.notified().await;
        }
    }

    fn is_urgent(&self) -> bool {
        self.0.level.load(Ordering::SeqCst) > 1
    }
}

/// Serves until `stop` says so. `ready` is called once, when the model has answered.
///
/// # Errors
/// The model cannot be loaded, or the system refuses to serve on this socket.
pub fn serve(
    listener: TcpListener,
    launch: Launch,
    settings: Settings,
    stop: &Stop,
    ready: impl FnOnce(&Model),
) -> Result<(), Error> {
    let io = |doing| move |source| Error::Io { doing, source };
    let (queue, jobs) = Queue::new(settings.queue, kept(&launch));
    let (stopping, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let site = Arc::new(Site { settings, model: OnceLock::new(), queue, stopping, answered });
    let halt = Arc::new(Halt::default());
    let (loaded, loading) = oneshot::channel();
    let worker_halt = Arc::clone(&halt);
    // One thread starts every worker: a worker dies with the thread that started it.
    let worker = std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || engine::run(&launch, &jobs, &worker_halt, loaded))
        .map_err(io("start a thread"))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("start the HTTP server"))?;
    listener.set_nonblocking(true).map_err(io("use the socket"))?;
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(io("use the socket"))?;
        run(listener, &site, &halt, loading, stop, ready).await
    });
    // Clients that are still there are given up, and with them what waits for them to take something.
    drop(runtime);
    // What was being loaded when somebody stopped it is not waited for.
    let is_loaded = site.model.get().is_some();
    site.queue.close();
    let began = Instant::now();
    while is_loaded && !worker.is_finished() && began.elapsed() < LEAVE {
        std::thread::sleep(LOOK);
    }
    served
}

/// Events that are kept for a client: where several are computed at once, none may hold up the others, so a whole answer is.
fn kept(launch: &Launch) -> usize {
    match launch.load.sequences {
        Some(2..) => KEPT.max(launch.load.ctx_tokens as usize + ROUNDED),
        _ => KEPT,
    }
}

async fn run(
    listener: tokio::net::TcpListener,
    site: &Arc<Site>,
    halt: &Halt,
    loading: oneshot::Receiver<Result<Model, Failed>>,
    stop: &Stop,
    ready: impl FnOnce(&Model),
) -> Result<(), Error> {
    let (close, closed) = oneshot::channel::<()>();
    let listener = Patient::new(listener, site.settings.client_time);
    let http = tokio::spawn(connection::serve(listener, router(Arc::clone(site)), closed));
    let loaded = tokio::select! {
        loaded = loading => loaded,
        () = stop.asked() => return Ok(()),
    };
    let model = match loaded {
        Ok(Ok(model)) => model,
        Ok(Err(failed)) => return Err(Error::Engine(failed)),
        Err(_) => {
            let source = std::io::Error::other("the thread of the engine ended");
            return Err(Error::Io { doing: "load the model", source });
        }
    };
    ready(site.model.get_or_init(|| model));
    stop.asked().await;
    site.stopping.store(true, Ordering::SeqCst);
    halt.drain.store(true, Ordering::SeqCst);
    let _ = timeout(site.settings.grace, done(site, || stop.is_urgent())).await;
    halt.cut.store(true, Ordering::SeqCst);
    let _ = timeout(FLUSH, done(site, || false)).await;
    let _ = close.send(());
    let _ = timeout(FLUSH, http).await;
    Ok(())
}

/// Until nothing waits or is computed, or it is not waited for any longer.
async fn done(site: &Site, or: impl Fn() -> bool) {
    while site.queue.active() > 0 && !or() {
        sleep(LOOK).await;
    }
}
