//! Starts the HTTP server on a listener and ends it, streams first.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer, web};
use prometheus::Registry;
use socket2::SockRef;
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, watch};

use crate::crowd::{Crowd, Shares};
use crate::metrics::WebMetrics;
use crate::ports::{Alerts, EventIntake, Feed, Finding, Health, Rules, Sinks, Taps};
use crate::{guard, routes};

/// A connection that has not sent its request's head by then is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that is being closed is cut by then, whatever its other end still sends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// An idle connection is kept so long for the next request.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A connection whose other end takes nothing for so long is ended by the kernel, with whatever it
/// held: a stream's or a tap's seat, an answer, its place among the connections.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// What is still open so long after a stop is cut.
const STOP_TIMEOUT_SECONDS: u64 = 5;
/// Connections of one worker; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 512;
/// Connections of one address: a quarter of all that two workers take.
const CONNECTIONS_OF_PEER: usize = 256;
/// Connections that wait to be taken.
const BACKLOG_MAX: u32 = 256;
/// Threads of one worker that may wait for the ledger or read event bodies.
const BLOCKING_THREADS_MAX: usize = 8;
/// Two cores are all that HTTP may take; the graph needs the others.
const WORKERS_MAX: usize = 2;
/// A token longer than this is not looked at.
const TOKEN_BYTES_MAX: usize = 512;

/// The token that opens every route, kept as its hash only.
#[derive(Clone)]
pub struct Token(blake3::Hash);

impl Token {
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()))
    }

    /// Compares in a time that tells nothing about the token.
    pub(crate) fn is(&self, presented: &[u8]) -> bool {
        presented.len() <= TOKEN_BYTES_MAX
            && bool::from(blake3::hash(presented).as_bytes().ct_eq(self.0.as_bytes()))
    }
}

/// What the web is joined to.
#[derive(Clone)]
pub struct Ports {
    pub alerts: Arc<dyn Alerts>,
    pub feed: Arc<dyn Feed>,
    pub intake: Arc<dyn EventIntake>,
    pub rules: Arc<dyn Rules>,
    pub sinks: Arc<dyn Sinks>,
    /// Writes changes as findings of OCSF.
    pub finding: Finding,
    pub taps: Arc<dyn Taps>,
    pub health: Arc<dyn Health>,
    /// What `/metrics` shows; the web adds its own counters to it.
    pub registry: Registry,
}

/// How the web serves.
#[derive(Clone)]
pub struct WebOptions {
    pub token: Token,
    /// Tenant of events that come in over HTTP.
    pub tenant: String,
    /// Threads, 1 or 2.
    pub workers: usize,
    /// Alert streams open at once; one more is refused. Each costs a connection and one chunk.
    pub streams_max: usize,
    /// A stream is never silent for longer.
    pub heartbeat: Duration,
    /// A connection whose other end takes nothing for so long is closed.
    pub stall: Duration,
    /// Connections of one address, or of one IPv6 network of 64 bits; one more is closed at once.
    pub connections_of_peer: usize,
    /// Certificate and key of HTTPS; `None`: HTTP is plain.
    pub tls: Option<rustls::ServerConfig>,
}

impl WebOptions {
    #[must_use]
    pub fn new(token: Token) -> Self {
        Self {
            token,
            tenant: "default".into(),
            workers: WORKERS_MAX,
            streams_max: 64,
            heartbeat: Duration::from_secs(15),
            stall: STALL_TIMEOUT,
            connections_of_peer: CONNECTIONS_OF_PEER,
            tls: None,
        }
    }
}

/// What handlers share.
pub(crate) struct State {
    pub(crate) ports: Ports,
    pub(crate) options: WebOptions,
    pub(crate) metrics: WebMetrics,
    pub(crate) streams: Arc<Semaphore>,
    /// Bodies of events in memory at once.
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) shares_of_bodies: Shares,
    /// Short bodies of all other kinds.
    pub(crate) small_bodies: Arc<Semaphore>,
    /// Journals that are being uploaded.
    pub(crate) uploads: Arc<Semaphore>,
    /// Channels of acknowledgements.
    pub(crate) channels: crate::collect::Channels,
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Ends a server.
#[derive(Clone)]
pub struct WebHandle {
    server: ServerHandle,
    stop: Arc<watch::Sender<bool>>,
}

impl WebHandle {
    /// Ends the streams, answers what was asked, then closes everything.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        self.server.stop(true).await;
    }
}

/// Serves on `listener`. The server runs while its future is polled; signals are the caller's.
pub fn serve(
    listener: TcpListener,
    ports: Ports,
    mut options: WebOptions,
) -> std::io::Result<(Server, WebHandle)> {
    let metrics = WebMetrics::register(&ports.registry).map_err(std::io::Error::other)?;
    // Connections have it of their listener: the HTTP library lets nobody at them later.
    SockRef::from(&listener).set_tcp_user_timeout(Some(options.stall))?;
    let (stop, stopped) = watch::channel(false);
    let tls = options.tls.take();
    let workers = options.workers.clamp(1, WORKERS_MAX);
    let crowd = Crowd::new(
        options.connections_of_peer,
        metrics.connections_refused.clone(),
    );
    let state = web::Data::new(State {
        streams: Arc::new(Semaphore::new(
            options.streams_max.min(Semaphore::MAX_PERMITS),
        )),
        bodies: Arc::new(Semaphore::new(crate::events::BODIES_MAX)),
        shares_of_bodies: Shares::of(crate::events::BODIES_MAX),
        small_bodies: Arc::new(Semaphore::new(crate::collect::SMALL_BODIES_MAX)),
        uploads: Arc::new(Semaphore::new(crate::collect::UPLOADS_MAX)),
        channels: crate::collect::Channels::default(),
        ports,
        options,
        metrics,
        stopped,
    });
    let app = move || {
        App::new()
            .app_data(state.clone())
            .wrap(actix_web::middleware::from_fn(guard::guard))
            .configure(routes::configure)
    };
    let server = HttpServer::new(app)
        .on_connect(move |stream, data| crowd.meet(stream, data))
        .workers(workers)
        .worker_max_blocking_threads(BLOCKING_THREADS_MAX)
        .max_connections(CONNECTIONS_MAX)
        .backlog(BACKLOG_MAX)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(CLOSE_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(STOP_TIMEOUT_SECONDS)
        .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        None => server.listen(listener)?,
    }
    .run();
    let handle = WebHandle {
        server: server.handle(),
        stop: Arc::new(stop),
    };
    Ok((server, handle))
}
