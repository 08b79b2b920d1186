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
/// Connections of one worker; others wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 512;
/// Connections that wait to be accepted.
const BACKLOG_MAX: u32 = 256;
/// Threads of one worker that wait for ports or decode event bodies.
const BLOCKING_THREADS_MAX: usize = 8;

/// Stops a running server.
#[derive(Clone)]
pub struct WebHandle {
    server: ServerHandle,
    stop: Arc<watch::Sender<bool>>,
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
    let limiter = ConnectionLimiter::new(
        options.connections_per_peer,
        metrics.connections_refused.clone(),
    );
    let state = web::Data::new(AppState::new(ports, options, metrics, stopped));
    let app = move || {
        App::new()
            .app_data(state.clone())
            .wrap(actix_web::middleware::from_fn(guard::guard))
            .configure(routes::configure)
    };
    let server = HttpServer::new(app)
        .on_connect(move |stream, data| limiter.accept(stream, data))
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
