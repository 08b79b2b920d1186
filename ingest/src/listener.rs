//! Accepts connections up to limits, shakes hands, and ends them together: what all stream sources share.
//!
//! ```text
//!  sender ──► Listener (actor) ──► one task a connection: TLS, then the source's own ──► Intake
//!              connections_max, per address per_peer_max; beyond them refused
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Context, StreamHandler};
use actix_rt::ArbiterHandle;
use futures_util::stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::rustls::{self, AlertDescription};
use weir_schema::Transport;

use crate::certificate;
use crate::close_reason::{CloseReason, RefusalReason};
use crate::metrics::IngestMetrics;
use crate::stream::{MaybeTlsStream, Peer};
use crate::tls::TlsServer;

/// Wait after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Silence after which the peer is asked by TCP whether it still is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Between two lines in the log about connections that failed: a flood of them is no flood of lines.
const WARN_PERIOD: Duration = Duration::from_secs(10);

/// How many connections a source takes, and how long each may take to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections beyond it are closed at once and counted.
    pub connections_max: usize,
    /// As many of one address (of an IPv6 network of 64 bits): one sender cannot keep out the others.
    pub per_peer_max: usize,
    /// A handshake of TLS must be done so long after the connection was taken.
    pub handshake_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            per_peer_max: 256,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

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
pub(crate) type StopSignal = watch::Receiver<bool>;

/// Returns once the source stops.
pub(crate) async fn wait_for_stop(stop_signal: &mut StopSignal) {
    // An error means that the handle is gone, and nobody can stop the source: it runs on.
    if stop_signal.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns at the deadline, if there is one.
pub(crate) async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

type ServeFuture = Pin<Box<dyn Future<Output = CloseReason>>>;
type ServeFn = Rc<dyn Fn(MaybeTlsStream, Peer, StopSignal) -> ServeFuture>;

/// What a source listens with.
pub(crate) struct ListenerSetup {
    pub listener: std::net::TcpListener,
    pub transport: Transport,
    pub limits: ConnectionLimits,
    /// `None`: connections are plain.
    pub tls: Option<TlsServer>,
    pub metrics: IngestMetrics,
}

struct Listener {
    serve: ServeFn,
    context: Rc<ListenerContext>,
    connections: Arc<Semaphore>,
    per_peer: Rc<RefCell<HashMap<IpAddr, usize>>>,
    stop_signal: StopSignal,
}

/// What a connection's task needs of its listener.
struct ListenerContext {
    transport: Transport,
    limits: ConnectionLimits,
    tls: Option<TlsServer>,
    metrics: IngestMetrics,
    /// When a failure was told last.
    last_warning: RefCell<Option<Instant>>,
}

/// Starts a listener on the thread of `arbiter`; `serve` makes one connection's task.
pub(crate) fn start<F, S>(
    arbiter: &ArbiterHandle,
    setup: ListenerSetup,
    serve: F,
) -> io::Result<SourceHandle>
where
    F: Fn(MaybeTlsStream, Peer, StopSignal) -> S + Send + 'static,
    S: Future<Output = CloseReason> + 'static,
{
    let ListenerSetup {
        listener,
        transport,
        limits,
        tls,
        metrics,
    } = setup;
    listener.set_nonblocking(true)?;
    let local_address = listener.local_addr()?;
    let (stop, stop_signal) = watch::channel(false);
    let connections_max = limits.connections_max.clamp(1, 1 << 20);
    let tasks_max = u32::try_from(connections_max).unwrap_or(1 << 20);
    let tasks = Arc::new(Semaphore::new(tasks_max as usize));
    let connections = Arc::clone(&tasks);
    let started = arbiter.spawn_fn(move || {
        // `from_std` fails only where no reactor runs; an arbiter has one.
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot listen"),
        };
        let serve: ServeFn = Rc::new(move |stream, peer, stop_signal| {
            Box::pin(serve(stream, peer, stop_signal)) as ServeFuture
        });
        Listener::create(move |ctx| {
            let stopping_accept = stop_signal.clone();
            let accepted = stream::unfold((listener, stopping_accept), accept_next);
            Listener::add_stream(accepted, ctx);
            Listener {
                serve,
                context: Rc::new(ListenerContext {
                    transport,
                    limits,
                    tls,
                    metrics,
                    last_warning: RefCell::default(),
                }),
                connections,
                per_peer: Rc::default(),
                stop_signal,
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

type Accepting = (TcpListener, StopSignal);
type Accepted = (TcpStream, SocketAddr);

async fn accept_next((listener, mut stop_signal): Accepting) -> Option<(Accepted, Accepting)> {
    loop {
        tokio::select! {
            biased;
            () = wait_for_stop(&mut stop_signal) => return None,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => return Some((accepted, (listener, stop_signal))),
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
    fn handle(&mut self, (stream, from): Accepted, _: &mut Self::Context) {
        let context = Rc::clone(&self.context);
        let (transport, metrics) = (context.transport, context.metrics.clone());
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            return metrics.count_refused_connection(transport, RefusalReason::Limit);
        };
        let network = peer_network(from.ip());
        let Some(peer_slot) = PeerSlot::take(&self.per_peer, network, context.limits.per_peer_max)
        else {
            return metrics.count_refused_connection(transport, RefusalReason::PeerLimit);
        };
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        // Without it a dead peer is only noticed later.
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let open = &metrics.network.connections.open;
        let open = open.with_label_values(&[transport.name()]);
        let serve = Rc::clone(&self.serve);
        let stop_signal = self.stop_signal.clone();
        open.inc();
        actix_rt::spawn(async move {
            let closed = match context.connect(stream, from.ip(), &stop_signal).await {
                Ok((stream, peer)) => serve(stream, peer, stop_signal).await,
                Err(closed) => closed,
            };
            metrics.count_closed_connection(transport, closed);
            open.dec();
            drop((permit, peer_slot));
        });
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// What an attacker has of one network counts as one: all of an IPv6 network of 64 bits.
fn peer_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

/// One connection of a network, counted while it lives.
struct PeerSlot {
    all: Rc<RefCell<HashMap<IpAddr, usize>>>,
    network: IpAddr,
}

impl PeerSlot {
    fn take(
        all: &Rc<RefCell<HashMap<IpAddr, usize>>>,
        network: IpAddr,
        most: usize,
    ) -> Option<Self> {
        let mut counts = all.borrow_mut();
        let count = counts.entry(network).or_default();
        if *count >= most.max(1) {
            return None;
        }
        *count += 1;
        Some(Self {
            all: Rc::clone(all),
            network,
        })
    }
}

impl Drop for PeerSlot {
    fn drop(&mut self) {
        let mut counts = self.all.borrow_mut();
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

impl ListenerContext {
    async fn connect(
        &self,
        stream: TcpStream,
        address: IpAddr,
        stop_signal: &StopSignal,
    ) -> Result<(MaybeTlsStream, Peer), CloseReason> {
        let Some(tls) = &self.tls else {
            let names = Vec::new();
            return Ok((MaybeTlsStream::Plain(stream), Peer { address, names }));
        };
        let mut stop_signal = stop_signal.clone();
        let handshake = tokio::select! {
            () = wait_for_stop(&mut stop_signal) => return Err(CloseReason::Stopping),
            handshake = tokio::time::timeout(self.limits.handshake_timeout, tls.accept(stream)) => handshake,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let names = shown.and_then(|chain| chain.first());
                let names = names.map_or_else(Vec::new, |first| certificate::names(first));
                Ok((
                    MaybeTlsStream::Tls(Box::new(stream)),
                    Peer { address, names },
                ))
            }
            Ok(Err(error)) => {
                let closed = handshake_close_reason(&error);
                self.warn(address, closed, &error.to_string());
                Err(closed)
            }
            Err(_) => {
                self.warn(address, CloseReason::HandshakeSlow, "it took too long");
                Err(CloseReason::HandshakeSlow)
            }
        }
    }

    fn warn(&self, address: IpAddr, closed: CloseReason, why: &str) {
        let now = Instant::now();
        let mut last_warning = self.last_warning.borrow_mut();
        if last_warning.is_some_and(|last_warning| now < last_warning + WARN_PERIOD) {
            return;
        }
        *last_warning = Some(now);
        let (transport, reason) = (self.transport.name(), closed.name());
        tracing::warn!(
            transport, %address, reason, why,
            "a handshake of TLS failed; more within ten seconds are only counted"
        );
    }
}

fn handshake_close_reason(error: &io::Error) -> CloseReason {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            CloseReason::CertificateRefused
        }
        Some(rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate,
        )) => CloseReason::CertificateDisliked,
        Some(_) => CloseReason::HandshakeFailed, // No TLS, or nothing in common.
        None => CloseReason::HandshakeCut,
    }
}
