//! Accepts connections up to a limit, and ends them together: what TCP and agent sources share.
//!
//! ```text
//!  sender ──► Listener (actor) ──► one task a connection ──► Intake
//!              connections_max, beyond it refused
//! ```

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Context, StreamHandler};
use actix_rt::ArbiterHandle;
use futures_util::stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use weir_schema::Transport;

use crate::metrics::IngestMetrics;

/// Wait after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Silence after which the peer is asked by TCP whether it still is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A running source.
#[derive(Debug)]
pub struct SourceHandle {
    /// Where it listens.
    pub local_address: SocketAddr,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) tasks: Arc<Semaphore>,
    pub(crate) tasks_max: u32,
}

impl SourceHandle {
    /// Takes nothing more from the network, hands over what was taken, and returns when all tasks
    /// have ended.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        // Each task holds a permit; the semaphore is never closed.
        let _ = self.tasks.acquire_many(self.tasks_max).await;
    }
}

/// True once the source stops.
pub(crate) type Stopping = watch::Receiver<bool>;

/// Returns once the source stops.
pub(crate) async fn stopped(stopping: &mut Stopping) {
    // An error means that the handle is gone, and nobody can stop the source: it runs on.
    if stopping.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

type Serving = Pin<Box<dyn Future<Output = ()>>>;
type Serve = Rc<dyn Fn(TcpStream, IpAddr, Stopping) -> Serving>;

pub(crate) struct Listener {
    serve: Serve,
    transport: Transport,
    metrics: IngestMetrics,
    connections: Arc<Semaphore>,
    stopping: Stopping,
}

/// Starts a listener on the thread of `arbiter`; `serve` makes one connection's task.
pub(crate) fn start<F, S>(
    arbiter: &ArbiterHandle,
    listener: std::net::TcpListener,
    transport: Transport,
    connections_max: usize,
    metrics: IngestMetrics,
    serve: F,
) -> io::Result<SourceHandle>
where
    F: Fn(TcpStream, IpAddr, Stopping) -> S + Send + 'static,
    S: Future<Output = ()> + 'static,
{
    listener.set_nonblocking(true)?;
    let local_address = listener.local_addr()?;
    let (stop, stopping) = watch::channel(false);
    let tasks_max = u32::try_from(connections_max.clamp(1, 1 << 20)).unwrap_or(1 << 20);
    let tasks = Arc::new(Semaphore::new(tasks_max as usize));
    let connections = Arc::clone(&tasks);
    let started = arbiter.spawn_fn(move || {
        // `from_std` fails only where no reactor runs; an arbiter has one.
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot listen"),
        };
        let serve: Serve = Rc::new(move |stream, peer, stopping| {
            Box::pin(serve(stream, peer, stopping)) as Serving
        });
        Listener::create(move |ctx| {
            let stopping_accept = stopping.clone();
            let accepted = stream::unfold((listener, stopping_accept), accept_next);
            Listener::add_stream(accepted, ctx);
            Listener {
                serve,
                transport,
                metrics,
                connections,
                stopping,
            }
        });
    });
    if !started {
        return Err(io::Error::other("the listener's thread has ended"));
    }
    Ok(SourceHandle {
        local_address,
        stop,
        tasks,
        tasks_max,
    })
}

type Accepting = (TcpListener, Stopping);
type Accepted = (TcpStream, SocketAddr);

async fn accept_next((listener, mut stopping): Accepting) -> Option<(Accepted, Accepting)> {
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => return None,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => return Some((accepted, (listener, stopping))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl StreamHandler<Accepted> for Listener {
    fn handle(&mut self, (stream, peer): Accepted, _: &mut Self::Context) {
        let name = self.transport.name();
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            let refused = &self.metrics.network.connections_refused;
            refused.with_label_values(&[name]).inc();
            return;
        };
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        // Without it a dead peer is only noticed later.
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let open = self.metrics.network.connections.with_label_values(&[name]);
        let serving = (self.serve)(stream, peer.ip(), self.stopping.clone());
        open.inc();
        actix_rt::spawn(async move {
            serving.await;
            open.dec();
            drop(permit);
        });
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
