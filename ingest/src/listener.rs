//! Accepts the connections of all stream sources up to limits, and performs the TLS handshake.
//!
//! ```text
//!  sender ──► Listener (actor) ──► one task per connection: TLS, then the protocol ──► Intake
//!              connections_max, per address per_peer_max; refuses more
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

/// Wait after a failed accept. Usually no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Silence after which TCP probes whether the peer is alive.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Shortest time between two log lines about failed handshakes, so that failures do not flood the log.
const WARN_PERIOD: Duration = Duration::from_secs(10);

/// Limits of the number of connections of a source, and of their handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Most connections. Further ones are closed at once and counted.
    pub connections_max: usize,
    /// Most connections from one IPv4 address or one IPv6 /64 network. One sender cannot use up the
    /// connections of the others.
    pub per_peer_max: usize,
    /// Time from the accept of a connection to the end of its TLS handshake.
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

/// Handle of a running source.
#[derive(Debug)]
pub struct SourceHandle {
    /// Address on which the source listens.
    pub local_address: SocketAddr,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) tasks: Arc<Semaphore>,
    pub(crate) tasks_max: u32,
}

impl SourceHandle {
    /// Stops reading from the network, submits the frames that were read, and returns when all tasks
    /// have ended.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        // Each task holds a permit; the semaphore is never closed.
        let _ = self.tasks.acquire_many(self.tasks_max).await;
    }
}

/// Becomes true when the source stops.
pub(crate) type StopSignal = watch::Receiver<bool>;

/// Waits until the source stops.
pub(crate) async fn wait_for_stop(stop_signal: &mut StopSignal) {
    // An error means that the handle was dropped. Nothing can stop the source then, so it keeps running.
    if stop_signal.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until the deadline; forever if there is none.
pub(crate) async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

type ServeFuture = Pin<Box<dyn Future<Output = CloseReason>>>;
type ServeFn = Rc<dyn Fn(MaybeTlsStream, Peer, StopSignal) -> ServeFuture>;

/// The socket, limits and metrics of a listener, for [`start`].
pub(crate) struct ListenerSetup {
    pub listener: std::net::TcpListener,
    pub transport: Transport,
    pub limits: ConnectionLimits,
    /// `None` for plain connections.
    pub tls: Option<TlsServer>,
    pub metrics: IngestMetrics,
}

/// The actor that accepts the connections of one source.
struct Listener {
    serve: ServeFn,
    context: Rc<ListenerContext>,
    connections: Arc<Semaphore>,
    per_peer: Rc<RefCell<HashMap<IpAddr, usize>>>,
    stop_signal: StopSignal,
}

/// The state of a listener that the tasks of its connections share.
struct ListenerContext {
    transport: Transport,
    limits: ConnectionLimits,
    tls: Option<TlsServer>,
    metrics: IngestMetrics,
    /// Time of the last log line about a failed handshake.
    last_warning: RefCell<Option<Instant>>,
}

/// Starts a listener on the thread of `arbiter`. `serve` creates the task of a connection.
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
    let context = ListenerContext {
        transport,
        limits,
        tls,
        metrics,
        last_warning: RefCell::default(),
    };
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
        let actor = Listener {
            serve,
            context: Rc::new(context),
            connections,
            per_peer: Rc::default(),
            stop_signal,
        };
        actor.accept_from(listener);
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

impl Listener {
    /// Starts the actor.
    fn accept_from(self, listener: TcpListener) {
        Self::create(move |ctx| {
            let acceptor = Acceptor {
                listener,
                stop_signal: self.stop_signal.clone(),
            };
            Self::add_stream(stream::unfold(acceptor, Acceptor::next), ctx);
            self
        });
    }
}

/// Accepts connections until the source stops.
struct Acceptor {
    listener: TcpListener,
    stop_signal: StopSignal,
}

/// An accepted connection before its TLS handshake.
struct AcceptedStream {
    stream: TcpStream,
    address: SocketAddr,
}

impl Acceptor {
    async fn next(mut self) -> Option<(AcceptedStream, Self)> {
        loop {
            tokio::select! {
                biased;
                () = wait_for_stop(&mut self.stop_signal) => return None,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        return Some((AcceptedStream { stream, address }, self));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl StreamHandler<AcceptedStream> for Listener {
    fn handle(&mut self, accepted: AcceptedStream, _: &mut Self::Context) {
        let AcceptedStream { stream, address } = accepted;
        let context = Rc::clone(&self.context);
        let (transport, metrics) = (context.transport, context.metrics.clone());
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            return metrics.count_refused_connection(transport, RefusalReason::Limit);
        };
        let network = peer_network(address.ip());
        let Some(peer_slot) =
            PeerSlot::acquire(&self.per_peer, network, context.limits.per_peer_max)
        else {
            return metrics.count_refused_connection(transport, RefusalReason::PeerLimit);
        };
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        // If this fails, a dead peer is only detected later.
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let open = &metrics.network.connections.open;
        let open = open.with_label_values(&[transport.name()]);
        let serve = Rc::clone(&self.serve);
        let stop_signal = self.stop_signal.clone();
        open.inc();
        actix_rt::spawn(async move {
            let closed = match context.connect(stream, address.ip(), &stop_signal).await {
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

/// The network whose connections are counted together: an IPv4 address or an IPv6 /64 network. An
/// attacker often owns all addresses of a /64 network.
fn peer_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

/// Counts one connection of a network until it is dropped.
struct PeerSlot {
    all: Rc<RefCell<HashMap<IpAddr, usize>>>,
    network: IpAddr,
}

impl PeerSlot {
    fn acquire(
        all: &Rc<RefCell<HashMap<IpAddr, usize>>>,
        network: IpAddr,
        slots_max: usize,
    ) -> Option<Self> {
        let mut counts = all.borrow_mut();
        let count = counts.entry(network).or_default();
        if *count >= slots_max.max(1) {
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
                self.warn_handshake_failed(address, closed, &error.to_string());
                Err(closed)
            }
            Err(_) => {
                self.warn_handshake_failed(
                    address,
                    CloseReason::HandshakeSlow,
                    "the handshake timed out",
                );
                Err(CloseReason::HandshakeSlow)
            }
        }
    }

    fn warn_handshake_failed(&self, address: IpAddr, closed: CloseReason, why: &str) {
        let now = Instant::now();
        let mut last_warning = self.last_warning.borrow_mut();
        if last_warning.is_some_and(|last| now < last + WARN_PERIOD) {
            return;
        }
        *last_warning = Some(now);
        let (transport, reason) = (self.transport.name(), closed.name());
        tracing::warn!(
            transport, %address, reason, why,
            "TLS handshake failed; further failures within ten seconds are only counted"
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
        )) => CloseReason::ServerCertificateRefused,
        Some(_) => CloseReason::HandshakeFailed, // No TLS, or no common version or cipher.
        None => CloseReason::HandshakeCut,
    }
}
