//! Syslog over TCP and over TLS: reads, frames, hands batches over; stops reading while the journal is behind.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use weir_schema::{Frames, Transport};

use crate::batcher::Batcher;
use crate::close_reason::CloseReason;
use crate::framing::{FRAME_BYTES_MAX, Framer};
use crate::intake::Intake;
use crate::journal::ReceiveClock;
use crate::listener::{
    self, ConnectionLimits, ListenerSetup, SourceHandle, StopSignal, wait_for_stop, wait_until,
};
use crate::metrics::IngestMetrics;
use crate::sources::SourceTable;
use crate::stream::{MaybeTlsStream, Peer};
use crate::tls::TlsServer;

pub use crate::batcher::BATCH_FRAMES_MAX;

/// One read: some 250 lines; per connection, so small enough for a thousand of them.
const READ_BYTES: usize = 32 << 10;

/// So much of a read is cut into frames at a time, and the rest once there is room: of lines of one
/// byte a whole read would be four times the frames that may gather.
const PIECE_BYTES: usize = 4 << 10;

/// A word of goodbye that the sender does not read is not waited for.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

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
pub(crate) struct StreamContext {
    pub options: TcpOptions,
    pub transport: Transport,
    pub intake: Intake,
    pub sources: Arc<SourceTable>,
    pub clock: Arc<dyn ReceiveClock>,
    pub metrics: IngestMetrics,
}

impl StreamContext {
    /// What stands between the journal and a connection of `peer`.
    pub fn batcher(&self, peer: &Peer) -> Batcher {
        let origin =
            self.sources
                .resolve_certified(self.transport, peer.address, None, &peer.names);
        let clock = Arc::clone(&self.clock);
        Batcher::new(origin, self.intake.clone(), clock, self.metrics.clone())
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
        listener::start(arbiter, setup, move |stream, peer, stop_signal| {
            let connection = TcpConnection::new(context.clone(), &peer);
            connection.serve(stream, stop_signal)
        })
    }
}

/// When a connection is to be closed for what it does not send.
pub(crate) struct ReadDeadline {
    options: TcpOptions,
    last_read: Instant,
    /// The first byte came, or the session was opened.
    pub started: bool,
    /// When the frame began that is not whole.
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

    /// Bytes came, and `completed` frames with them; a frame is unfinished if `is_within`.
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

    /// The connection was not read for a while; that is not its sender's doing.
    pub fn restart(&mut self) {
        let now = Instant::now();
        self.last_read = now;
        self.frame_start = self.frame_start.map(|_| now);
    }

    /// When to close, and why.
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

pub(crate) struct TcpConnection {
    context: StreamContext,
    pub(crate) buffer: Vec<u8>,
    /// What of the buffer was read and is not yet cut into frames.
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

    async fn serve(
        mut self,
        mut stream: MaybeTlsStream,
        mut stop_signal: StopSignal,
    ) -> CloseReason {
        let closed = self.read(&mut stream, &mut stop_signal).await;
        let mut buffer = std::mem::take(&mut self.buffer);
        self.push_bytes(&buffer[self.uncut.clone()]);
        match closed {
            CloseReason::Stopping => stream.drain(&mut buffer, |bytes| self.push_bytes(bytes)),
            _ => {
                // Whatever the reason, a sender that reads sees an end and not a cut.
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
        stop_signal: &mut StopSignal,
    ) -> CloseReason {
        loop {
            // Where something is left uncut, there is no room.
            let has_room = self.batcher.has_room();
            if !has_room {
                self.read_deadline.restart();
            }
            let (deadline, why) = self.read_deadline.deadline();
            tokio::select! {
                biased;
                _ = self.batcher.wait_in_flight(), if self.batcher.has_in_flight() => {}
                () = wait_for_stop(stop_signal) => return CloseReason::Stopping,
                read = stream.read(&mut self.buffer), if has_room => match read {
                    Ok(0) => return CloseReason::Sender,
                    Ok(length) => self.uncut = 0..length,
                    Err(error) => {
                        tracing::debug!(%error, "connection broke");
                        return CloseReason::Broken;
                    }
                },
                () = wait_until(deadline), if has_room => return why,
            }
            while self.cut_frames() | self.batcher.start_submission(stop_signal) {}
        }
    }

    /// Cuts what was read into frames, as far as there is room; true where it cut any.
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
