//! The source for syslog over TCP and TLS. It stops reading while the journal is behind.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use weir_schema::{Frames, PlaceUse, Transport};

use crate::batcher::Batcher;
use crate::close_reason::CloseReason;
use crate::framing::{FRAME_BYTES_MAX, Framer};
use crate::intake::Intake;
use crate::journal::ReceiveClock;
use crate::listener::{
    self, Connection, ConnectionLimits, ListenerSetup, SourceHandle, StopSignal, wait_for_stop,
    wait_until,
};
use crate::metrics::IngestMetrics;
use crate::places::Place;
use crate::sources::SourceTable;
use crate::stream::{MaybeTlsStream, Peer};
use crate::tls::TlsServer;

pub use crate::batcher::BATCH_FRAMES_MAX;

/// Size of the read buffer of a connection: some 250 lines, and small enough for a thousand connections.
const READ_BYTES: usize = 32 << 10;

/// Most bytes that are converted to frames at once; the rest waits until the batcher has room. A whole
/// read of one-byte lines would be four times the frames that may be buffered.
const PIECE_BYTES: usize = 4 << 10;

/// Longest wait for a shutdown that the sender does not read.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits of a source of syslog over TCP, TLS or RELP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    pub connections: ConnectionLimits,
    /// Longest frame; longer ones are truncated.
    pub frame_bytes_max: usize,
    /// A connection is closed if its first byte does not arrive in this time, because senders connect
    /// to send. With RELP, the session must be open by then.
    pub first_byte_timeout: Duration,
    /// Time from the first byte of a frame to its last; `None` for no limit.
    pub frame_age_max: Option<Duration>,
    /// A connection that is silent for this long is closed; `None` keeps it open.
    pub idle_timeout: Option<Duration>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits::default(),
            frame_bytes_max: FRAME_BYTES_MAX,
            first_byte_timeout: Duration::from_secs(10),
            frame_age_max: Some(Duration::from_secs(60)),
            idle_timeout: Some(Duration::from_secs(600)),
        }
    }
}

/// Source of syslog over TCP, octet-counted or in lines. It uses TLS (RFC 5425) if configured.
pub struct TcpSource;

/// The parts that the connections of a source share.
#[derive(Clone)]
pub(crate) struct StreamContext {
    pub options: TcpOptions,
    pub transport: Transport,
    pub intake: Intake,
    pub sources: Arc<SourceTable>,
    pub clock: Arc<dyn ReceiveClock>,
    pub metrics: IngestMetrics,
}

impl StreamContext {
    /// Creates the batcher of a connection of `peer`.
    pub fn batcher(&self, peer: &Peer) -> Batcher {
        let origin =
            self.sources
                .resolve_certified(self.transport, peer.address, None, &peer.names);
        let clock = Arc::clone(&self.clock);
        Batcher::new(origin, self.intake.clone(), clock, self.metrics.clone())
    }
}

impl TcpSource {
    /// Starts to accept connections of `listener`, on the thread of `arbiter`.
    #[allow(clippy::too_many_arguments)] // The topology passes these parts one by one.
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
        let context = StreamContext {
            options,
            transport,
            intake,
            sources,
            clock,
            metrics: metrics.clone(),
        };
        let setup = ListenerSetup {
            listener,
            transport,
            limits: options.connections,
            tls,
            metrics,
        };
        listener::start(arbiter, setup, move |connection| {
            let protocol = TcpConnection::new(context.clone(), &connection.peer);
            protocol.serve(connection)
        })
    }
}

/// Tracks when a connection must be closed because its sender is silent or slow.
pub(crate) struct ReadDeadline {
    options: TcpOptions,
    last_read: Instant,
    /// Whether the first byte arrived; with RELP, whether the session is open.
    pub started: bool,
    /// When the incomplete frame started.
    frame_start: Option<Instant>,
}

impl ReadDeadline {
    pub fn new(options: TcpOptions) -> Self {
        Self {
            options,
            last_read: Instant::now(),
            started: false,
            frame_start: None,
        }
    }

    /// Records a read that completed `completed` frames; `is_mid_frame` if another one has started.
    pub fn record_read(&mut self, completed: usize, is_mid_frame: bool) {
        let now = Instant::now();
        if self.started {
            self.last_read = now;
        }
        self.frame_start = match self.frame_start {
            _ if !is_mid_frame => None,
            Some(since) if completed == 0 => Some(since),
            _ => Some(now),
        };
    }

    /// Restarts all timeouts, because the server did not read the connection.
    pub fn restart(&mut self) {
        let now = Instant::now();
        self.last_read = now;
        self.frame_start = self.frame_start.map(|_| now);
    }

    /// When to close the connection, and the reason.
    pub fn deadline(&self) -> (Option<Instant>, CloseReason) {
        let slow = self.frame_start.zip(self.options.frame_age_max);
        let slow = slow.map(|(since, age)| (since + age, CloseReason::Slow));
        let silent = if self.started {
            let idle = self.options.idle_timeout;
            idle.map(|idle| (self.last_read + idle, CloseReason::Idle))
        } else {
            Some((
                self.last_read + self.options.first_byte_timeout,
                CloseReason::Silent,
            ))
        };
        let first = slow.into_iter().chain(silent).min_by_key(|(at, _)| *at);
        first.map_or((None, CloseReason::Idle), |(at, why)| (Some(at), why))
    }
}

/// One connection of syslog over TCP or TLS.
pub(crate) struct TcpConnection {
    context: StreamContext,
    pub(crate) buffer: Vec<u8>,
    /// The part of the buffer that was read and is not yet converted to frames.
    pub(crate) uncut: Range<usize>,
    framer: Framer,
    frames: Frames,
    pub(crate) batcher: Batcher,
    read_deadline: ReadDeadline,
}

impl TcpConnection {
    pub(crate) fn new(context: StreamContext, peer: &Peer) -> Self {
        Self {
            batcher: context.batcher(peer),
            buffer: vec![0; READ_BYTES],
            uncut: 0..0,
            framer: Framer::new(context.options.frame_bytes_max),
            frames: Frames::new(),
            read_deadline: ReadDeadline::new(context.options),
            context,
        }
    }

    async fn serve(mut self, connection: Connection) -> CloseReason {
        let Connection {
            mut stream,
            mut place,
            mut stop_signal,
            ..
        } = connection;
        let closed = self.read(&mut stream, &mut place, &mut stop_signal).await;
        let mut buffer = std::mem::take(&mut self.buffer);
        self.push_bytes(&buffer[self.uncut.clone()]);
        match closed {
            CloseReason::Stopping => stream.drain(&mut buffer, |bytes| self.push_bytes(bytes)),
            _ => {
                // A sender that still reads sees an orderly end of the connection.
                let _ = timeout(SHUTDOWN_TIMEOUT, stream.shutdown()).await;
                drop(stream);
            }
        }
        drop(buffer);
        self.framer.finish(&mut self.frames);
        self.buffer_frames();
        self.batcher.wait_in_flight().await;
        self.batcher.start_submission(&stop_signal);
        self.batcher.wait_in_flight().await;
        closed
    }

    async fn read(
        &mut self,
        stream: &mut MaybeTlsStream,
        place: &mut Place,
        stop_signal: &mut StopSignal,
    ) -> CloseReason {
        loop {
            // If bytes are left uncut, the batcher has no room.
            let has_room = self.batcher.has_room();
            if !has_room {
                self.read_deadline.restart();
            }
            place.touch(self.place_use());
            let (deadline, why) = self.read_deadline.deadline();
            tokio::select! {
                biased;
                _ = self.batcher.wait_in_flight(), if self.batcher.has_in_flight() => {}
                () = wait_for_stop(stop_signal) => return CloseReason::Stopping,
                closed = place.evicted() => return closed,
                read = stream.read(&mut self.buffer), if has_room => match read {
                    Ok(0) => return CloseReason::Sender,
                    Ok(length) => self.uncut = 0..length,
                    Err(error) => {
                        tracing::debug!(%error, "connection failed");
                        return CloseReason::Broken;
                    }
                },
                () = wait_until(deadline), if has_room => return why,
            }
            while self.cut_frames() | self.batcher.start_submission(stop_signal) {}
        }
    }

    /// How the connection uses its place: a sender that the server does not read is not idle.
    fn place_use(&self) -> PlaceUse {
        if self.batcher.has_in_flight() {
            PlaceUse::Held
        } else if self.read_deadline.started {
            PlaceUse::Open
        } else {
            PlaceUse::Unproven
        }
    }

    /// Converts the bytes read to frames while the batcher has room; returns whether it converted any.
    pub(crate) fn cut_frames(&mut self) -> bool {
        let buffer = std::mem::take(&mut self.buffer);
        let from = self.uncut.start;
        while self.batcher.has_room() && !self.uncut.is_empty() {
            let Range { start, end } = self.uncut;
            let middle = end.min(start + PIECE_BYTES);
            self.push_bytes(&buffer[start..middle]);
            self.uncut = middle..end;
        }
        self.buffer = buffer;
        self.uncut.start > from
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        self.framer.push(bytes, &mut self.frames);
        self.read_deadline.started = true;
        self.read_deadline
            .record_read(self.frames.len(), self.framer.is_mid_frame());
        self.buffer_frames();
    }

    fn buffer_frames(&mut self) {
        let counts = self.framer.take_counts();
        self.context
            .metrics
            .count_framing(self.context.transport, counts);
        self.batcher.append(&mut self.frames);
    }
}
