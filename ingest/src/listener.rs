//! Accepts the connections of all stream sources up to limits, and performs the TLS handshake.
//!
//! ```text
//!  sender ──► Listener (actor) ──► one task per connection: TLS, then the protocol ──► Intake
//!              a place each; when all are taken, one gives way or the new one is refused
//! ```

use std::cell::{Cell, RefCell};
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
use tokio::time::Instant;
use tokio_rustls::rustls::{self, AlertDescription};
use weir_schema::Transport;

use crate::certificate;
use crate::close_reason::{CloseReason, RefusalReason};
use crate::metrics::IngestMetrics;
pub use crate::places::ConnectionLimits;
use crate::places::{Place, Places};
use crate::stream::{MaybeTlsStream, Peer};
use crate::tls::TlsServer;

/// Wait after a failed accept. Usually no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Silence after which TCP probes whether the peer is alive.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Shortest time between two log lines about failed handshakes, so that failures do not flood the log.
const WARN_PERIOD: Duration = Duration::from_secs(10);

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
type ServeFn = Rc<dyn Fn(Connection) -> ServeFuture>;

/// A connection that is ready for its protocol.
pub(crate) struct Connection {
    pub stream: MaybeTlsStream,
    pub peer: Peer,
    pub place: Place,
    pub stop_signal: StopSignal,
}

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
    /// Limits the tasks, those of evicted connections included.
    tasks: Arc<Semaphore>,
    places: Places,
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
    /// Time of the last log line about a refused connection.
    last_refusal: Cell<Option<Instant>>,
}

/// Starts a listener on the thread of `arbiter`. `serve` creates the task of a connection.
pub(crate) fn start<F, S>(
    arbiter: &ArbiterHandle,
    setup: ListenerSetup,
    serve: F,
) -> io::Result<SourceHandle>
where
    F: Fn(Connection) -> S + Send + 'static,
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
        last_refusal: Cell::default(),
    };
    let (stop, stop_signal) = watch::channel(false);
    let tasks_max = limits.descriptors_max().clamp(1, 1 << 20);
    let tasks_max = u32::try_from(tasks_max).unwrap_or(1 << 20);
    let tasks = Arc::new(Semaphore::new(tasks_max as usize));
    let permits = Arc::clone(&tasks);
    let started = arbiter.spawn_fn(move || {
        // `from_std` fails only where no reactor runs; an arbiter has one.
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot listen"),
        };
        let serve: ServeFn = Rc::new(move |connection| Box::pin(serve(connection)) as ServeFuture);
        let actor = Listener {
            serve,
            context: Rc::new(context),
            tasks: permits,
            places: Places::new(limits.places),
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
        // Evicted connections that do not end keep their tasks, so the places alone bound nothing.
        let Ok(permit) = Arc::clone(&self.tasks).try_acquire_owned() else {
            return context.refuse(address.ip(), RefusalReason::Limit);
        };
        let mut place = match self.places.enter(address.ip()) {
            Ok(place) => place,
            Err(reason) => return context.refuse(address.ip(), reason),
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
            let connected = tokio::select! {
                biased;
                closed = place.evicted() => Err(closed),
                connected = context.connect(stream, address.ip(), &stop_signal) => connected,
            };
            let closed = match connected {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        stream,
                        peer,
                        place,
                        stop_signal,
                    };
                    serve(connection).await
                }
                Err(closed) => closed,
            };
            metrics.count_closed_connection(transport, closed);
            open.dec();
            drop(permit);
        });
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
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

    /// Counts a connection that is closed at once, and logs the first of ten seconds.
    fn refuse(&self, address: IpAddr, reason: RefusalReason) {
        self.metrics
            .count_refused_connection(self.transport, reason);
        let now = Instant::now();
        if self
            .last_refusal
            .get()
            .is_some_and(|last| now < last + WARN_PERIOD)
        {
            return;
        }
        self.last_refusal.set(Some(now));
        tracing::warn!(
            transport = self.transport.name(), %address, reason = reason.name(),
            "refused a connection: all are taken and in use; raise `connections.max`, or look at \
             who holds them; further refusals within ten seconds are only counted"
        );
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
