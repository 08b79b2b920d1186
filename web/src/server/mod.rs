//! Starts and stops the HTTP server.

mod connections;
mod guard;
mod retained_body;
mod routes;

pub use routes::ROUTES;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer, web};
use socket2::SockRef;
use tokio::sync::watch;
use weir_schema::PlaceLimits;

use crate::metrics::WebMetrics;
use crate::ports::WebPorts;
use crate::state::{AppState, WORKERS_MAX, WebOptions};
use connections::ConnectionLimiter;

/// Time within which a connection has to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which a closing connection is cut, even if its peer still sends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time that an idle connection waits for its next request.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Time after a stop at which open connections are cut.
const STOP_TIMEOUT_SECONDS: u64 = 5;
/// Connections of the listener for health and metrics.
const HEALTH_CONNECTIONS_MAX: usize = 64;
/// Connections that wait to be accepted.
const BACKLOG_MAX: u32 = 256;
/// Threads of one worker that wait for ports or decode event bodies.
const BLOCKING_THREADS_MAX: usize = 8;

/// Most descriptors that HTTP needs for a number of connections, health included.
///
/// Each connection has a second handle, by which it is ended. A worker may hold as many connections
/// as are allowed in all, until the refused ones have ended.
#[must_use]
pub const fn descriptors_max(connections_max: usize) -> usize {
    (WORKERS_MAX + 1) * connections_max + 2 * HEALTH_CONNECTIONS_MAX
}

/// Stops a running server.
#[derive(Clone)]
pub struct WebHandle {
    server: ServerHandle,
    stop: Arc<watch::Sender<bool>>,
    state: web::Data<AppState>,
}

impl WebHandle {
    /// Ends the streams, answers pending requests, then closes all connections.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        self.server.stop(true).await;
    }
}

/// Starts a server on `listener`.
///
/// It runs while the returned future is polled. It handles no signals; the caller does.
pub fn serve(
    listener: TcpListener,
    ports: WebPorts,
    mut options: WebOptions,
) -> std::io::Result<(Server, WebHandle)> {
    let metrics = WebMetrics::register(&ports.registry).map_err(std::io::Error::other)?;
    // Connections inherit the timeout from their listener; the HTTP library does not expose them.
    SockRef::from(&listener).set_tcp_user_timeout(Some(options.stall_timeout))?;
    let (stop, stopped) = watch::channel(false);
    let tls = options.tls.take();
    let workers = options.workers.clamp(1, WORKERS_MAX);
    let limits = options.connections;
    let state = web::Data::new(AppState::new(ports, options, metrics, stopped));
    let server = HttpListener {
        listener,
        tls,
        workers,
        limits,
    };
    let server = server.start(&state, routes::configure)?;
    let handle = WebHandle {
        server: server.handle(),
        stop: Arc::new(stop),
        state,
    };
    Ok((server, handle))
}

impl WebHandle {
    /// Starts a listener for health and metrics alone, with a worker and connections of its own, so
    /// that no load on the other listener delays them.
    pub fn serve_health(&self, listener: TcpListener) -> std::io::Result<(Server, Self)> {
        SockRef::from(&listener).set_tcp_user_timeout(Some(self.state.options.stall_timeout))?;
        let server = HttpListener {
            listener,
            tls: None,
            workers: 1,
            limits: PlaceLimits::with_default_shares(HEALTH_CONNECTIONS_MAX),
        };
        let server = server.start(&self.state, routes::configure_health)?;
        let handle = Self {
            server: server.handle(),
            ..self.clone()
        };
        Ok((server, handle))
    }
}

/// An HTTP listener before its start.
struct HttpListener {
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    workers: usize,
    limits: PlaceLimits,
}

impl HttpListener {
    fn start(
        self,
        state: &web::Data<AppState>,
        configure: fn(&mut web::ServiceConfig),
    ) -> std::io::Result<Server> {
        let metrics = &state.metrics;
        let (refused, closed) = (&metrics.connections_refused, &metrics.connections_closed);
        let limiter = ConnectionLimiter::new(self.limits, refused.clone(), closed.clone());
        let state = state.clone();
        let app = move || {
            App::new()
                .app_data(state.clone())
                .wrap(actix_web::middleware::from_fn(guard::guard))
                .configure(configure)
        };
        let server = HttpServer::new(app)
            .on_connect(move |stream, data| limiter.accept(stream, data))
            .workers(self.workers)
            .worker_max_blocking_threads(BLOCKING_THREADS_MAX)
            // The limiter decides before a worker has so many that it accepts no more.
            .max_connections(self.limits.places_max + 1)
            .backlog(BACKLOG_MAX)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(STOP_TIMEOUT_SECONDS)
            .disable_signals();
        let server = match self.tls {
            Some(tls) => server.listen_rustls_0_23(self.listener, tls)?,
            None => server.listen(self.listener)?,
        };
        Ok(server.run())
    }
}
