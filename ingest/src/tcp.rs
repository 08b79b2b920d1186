//! Syslog over TCP and over TLS: reads, frames, hands batches over; stops reading while the journal is behind.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use weir_schema::{Frames, Transport};

use crate::ended::Closed;
use crate::framing::{FRAME_BYTES_MAX, Framer};
use crate::gather::Gather;
use crate::intake::Intake;
use crate::journal::ReceiveClock;
use crate::listener::{self, ConnectionLimits, Door, SourceHandle, Stopping, expired, stopped};
use crate::metrics::IngestMetrics;
use crate::sources::SourceTable;
use crate::tls::TlsServer;
use crate::wire::{Peer, Wire};

pub use crate::gather::BATCH_FRAMES_MAX;

/// One read: some 250 lines; per connection, so small enough for a thousand of them.
const READ_BYTES: usize = 32 << 10;

/// So much of a read is cut into frames at a time, and the rest once there is room: of lines of one
/// byte a whole read would be four times the frames that may gather.
const PIECE_BYTES: usize = 4 << 10;

/// A word of goodbye that the sender does not read is not waited for.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits of a source of syslog over connections: TCP, TLS or RELP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    pub connections: ConnectionLimits,
    /// Longer frames are cut.
    pub frame_bytes_max: usize,
    /// A connection that sends nothing at first is closed after it: senders connect to send. Of RELP:
    /// one that does not open a session.
    pub first_byte_timeout: Duration,
    /// A frame must be whole so long after its first byte; `None`: it may take for ever.
    pub frame_age_max: Option<Duration>,
    /// A connection silent for so long is closed; `None`: never, as many senders lose a line with
    /// each connection that is closed on them.
    pub idle_timeout: Option<Duration>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits::default(),
            frame_bytes_max: FRAME_BYTES_MAX,
            first_byte_timeout: Duration::from_secs(60),
            frame_age_max: Some(Duration::from_secs(60)),
            idle_timeout: None,
        }
    }
}

/// Syslog over TCP, octet-counted or in lines; within TLS (RFC 5425) where it is told how.
pub struct TcpSource;

/// What the connections of a source share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub options: TcpOptions,
    pub transport: Transport,
    pub intake: Intake,
    pub sources: Arc<SourceTable>,
    pub clock: Arc<dyn ReceiveClock>,
    pub metrics: IngestMetrics,
}

impl Shared {
    /// What stands between the journal and a connection of `peer`.
    pub fn gather(&self, peer: &Peer) -> Gather {
        let origin =
            self.sources
                .resolve_certified(self.transport, peer.address, None, &peer.names);
        let clock = Arc::clone(&self.clock);
        Gather::new(origin, self.intake.clone(), clock, self.metrics.clone())
    }
}

impl TcpSource {
    /// Starts to accept on `listener`, on the thread of `arbiter`.
    #[allow(clippy::too_many_arguments)] // All are parts that the topology names one by one.
    pub fn start(
        arbiter: &ArbiterHandle,
        listener: std::net::TcpListener,
        options: TcpOptions,
        tls: Option<TlsServer>,
        intake: Intake,
        sources: Arc<SourceTable>,
        clock: Arc<dyn ReceiveClock>,
        metrics: IngestMetrics,
    ) -> io::Result<SourceHandle> {
        let transport = match &tls {
            Some(_) => Transport::Tls,
            None => Transport::Tcp,
        };
        let shared = Shared {
            options,
            transport,
            intake,
            sources,
            clock,
            metrics: metrics.clone(),
        };
        let door = Door {
            listener,
            transport,
            limits: options.connections,
            tls,
            metrics,
        };
        listener::start(arbiter, door, move |wire, peer, stopping| {
            let connection = Connection::new(shared.clone(), &peer);
            connection.serve(wire, stopping)
        })
    }
}

/// When a connection is to be closed for what it does not send.
pub(crate) struct Patience {
    options: TcpOptions,
    heard: Instant,
    /// The first byte came, or the session was opened.
    pub begun: bool,
    /// When the frame began that is not whole.
    within: Option<Instant>,
}

impl Patience {
    pub fn new(options: TcpOptions) -> Self {
        Self {
            options,
            heard: Instant::now(),
            begun: false,
            within: None,
        }
    }

    /// Bytes came, and `completed` frames with them; a frame is unfinished if `is_within`.
    pub fn heard(&mut self, completed: usize, is_within: bool) {
        let now = Instant::now();
        if self.begun {
            self.heard = now;
        }
        self.within = match self.within {
            _ if !is_within => None,
            Some(since) if completed == 0 => Some(since),
            _ => Some(now),
        };
    }

    /// The connection was not read for a while; that is not its sender's doing.
    pub fn pardon(&mut self) {
        let now = Instant::now();
        self.heard = now;
        self.within = self.within.map(|_| now);
    }

    /// When to close, and why.
    pub fn deadline(&self) -> (Option<Instant>, Closed) {
        let slow = self.within.zip(self.options.frame_age_max);
        let slow = slow.map(|(since, age)| (since + age, Closed::Slow));
        let silent = if self.begun {
            let idle = self.options.idle_timeout;
            idle.map(|idle| (self.heard + idle, Closed::Idle))
        } else {
            Some((self.heard + self.options.first_byte_timeout, Closed::Silent))
        };
        let first = slow.into_iter().chain(silent).min_by_key(|(at, _)| *at);
        first.map_or((None, Closed::Idle), |(at, why)| (Some(at), why))
    }
}

pub(crate) struct Connection {
    shared: Shared,
    pub(crate) buffer: Vec<u8>,
    /// What of the buffer was read and is not yet cut into frames.
    pub(crate) uncut: Range<usize>,
    framer: Framer,
    frames: Frames,
    pub(crate) gather: Gather,
    patience: Patience,
}

impl Connection {
    pub(crate) fn new(shared: Shared, peer: &Peer) -> Self {
        Self {
            gather: shared.gather(peer),
            buffer: vec![0; READ_BYTES],
            uncut: 0..0,
            framer: Framer::new(shared.options.frame_bytes_max),
            frames: Frames::new(),
            patience: Patience::new(shared.options),
            shared,
        }
    }

    async fn serve(mut self, mut wire: Wire, mut stopping: Stopping) -> Closed {
        let closed = self.read(&mut wire, &mut stopping).await;
        let mut buffer = std::mem::take(&mut self.buffer);
        self.take(&buffer[self.uncut.clone()]);
        match closed {
            Closed::Stopping => wire.drain(&mut buffer, |bytes| self.take(bytes)),
            _ => {
                // Whatever the reason, a sender that reads sees an end and not a cut.
                let _ = timeout(GOODBYE_TIMEOUT, wire.shutdown()).await;
                drop(wire);
            }
        }
        drop(buffer);
        self.framer.finish(&mut self.frames);
        self.hand_over();
        self.gather.finished().await;
        self.gather.deliver(&stopping);
        self.gather.finished().await;
        closed
    }

    async fn read(&mut self, wire: &mut Wire, stopping: &mut Stopping) -> Closed {
        loop {
            // Where something is left uncut, there is no room.
            let has_room = self.gather.has_room();
            if !has_room {
                self.patience.pardon();
            }
            let (deadline, why) = self.patience.deadline();
            tokio::select! {
                biased;
                _ = self.gather.finished(), if self.gather.is_under_way() => {}
                () = stopped(stopping) => return Closed::Stopping,
                read = wire.read(&mut self.buffer), if has_room => match read {
                    Ok(0) => return Closed::Sender,
                    Ok(length) => self.uncut = 0..length,
                    Err(error) => {
                        tracing::debug!(%error, "connection broke");
                        return Closed::Broken;
                    }
                },
                () = expired(deadline), if has_room => return why,
            }
            while self.cut() | self.gather.deliver(stopping) {}
        }
    }

    /// Cuts what was read into frames, as far as there is room; true where it cut any.
    pub(crate) fn cut(&mut self) -> bool {
        let buffer = std::mem::take(&mut self.buffer);
        let from = self.uncut.start;
        while self.gather.has_room() && !self.uncut.is_empty() {
            let Range { start, end } = self.uncut;
            let middle = end.min(start + PIECE_BYTES);
            self.take(&buffer[start..middle]);
            self.uncut = middle..end;
        }
        self.buffer = buffer;
        self.uncut.start > from
    }

    fn take(&mut self, bytes: &[u8]) {
        self.framer.push(bytes, &mut self.frames);
        self.patience.begun = true;
        self.patience
            .heard(self.frames.len(), self.framer.is_within());
        self.hand_over();
    }

    fn hand_over(&mut self) {
        let counts = self.framer.take_counts();
        self.shared.metrics.framing(self.shared.transport, counts);
        self.gather.take(&mut self.frames);
    }
}
