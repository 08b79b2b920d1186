//! The source for syslog over RELP. It acknowledges a line once the line is durable.
//!
//! ```text
//!  sender ── open ──────────► negotiates version and commands
//!        ◄── rsp 200 ────────
//!        ── syslog ... ─────► buffered (256 KiB, 4,000 frames; then not read), journaled, synced
//!        ◄── rsp 200 ... ────
//!        ── close ──────────► answered after all lines before it
//!        ◄── rsp 200, serverclose
//! ```
//!
//! If the journal fails, the server does not answer: a sender keeps unanswered lines and sends them
//! again, whereas `500` would make it drop them. `500` answers protocol errors and ends the connection.
//! If the answer to a journaled line is lost, the line arrives twice: RELP lines have no identity that
//! outlives a connection.

mod frame;

mod offer;

#[doc(hidden)]
pub mod fuzz;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use weir_schema::{Frames, PlaceUse, Transport};

use crate::batcher::Batcher;
use crate::close_reason::CloseReason;
use crate::framing::FramingCounts;
use crate::intake::Intake;
use crate::journal::ReceiveClock;
use crate::listener::{
    self, Connection, ListenerSetup, SourceHandle, StopSignal, wait_for_stop, wait_until,
};
use crate::metrics::IngestMetrics;
use crate::places::Place;
use crate::sources::SourceTable;
use crate::stream::{MaybeTlsStream, Peer};
use crate::tcp::{ReadDeadline, StreamContext, TcpOptions};
use crate::tls::TlsServer;
use frame::{RelpFrame, RelpFramer, SERVER_CLOSE, write_response};

/// Size of the read buffer of a connection, as for TCP.
const READ_BYTES: usize = 32 << 10;

/// Most unanswered lines besides those in flight. Empty lines do not count toward the batcher's limits.
const UNANSWERED_MAX: usize = 8_000;

/// A sender that reads no answer for this long is considered gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Source of syslog over RELP. It uses TLS if configured.
pub struct RelpSource;

impl RelpSource {
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
        let transport = Transport::Relp;
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
            let session = Session::new(context.clone(), &connection.peer);
            session.serve(connection)
        })
    }
}

/// One RELP connection.
struct Session {
    context: StreamContext,
    framer: RelpFramer,
    frames: Vec<RelpFrame>,
    batcher: Batcher,
    read_deadline: ReadDeadline,
    /// Transaction numbers of the buffered lines.
    buffered_numbers: Vec<u32>,
    /// Transaction numbers of the lines in flight to the journal.
    in_flight_numbers: Vec<u32>,
    /// Responses to be written.
    output: Vec<u8>,
    /// Responses to be written after all others, before the connection ends.
    final_responses: Vec<u8>,
    is_open: bool,
    /// Reason why the connection ends; once it is set, nothing more is read.
    close_reason: Option<CloseReason>,
}

impl Session {
    fn new(context: StreamContext, peer: &Peer) -> Self {
        Self {
            batcher: context.batcher(peer),
            framer: RelpFramer::new(context.options.frame_bytes_max),
            frames: Vec::new(),
            read_deadline: ReadDeadline::new(context.options),
            buffered_numbers: Vec::new(),
            in_flight_numbers: Vec::new(),
            output: Vec::new(),
            final_responses: Vec::new(),
            is_open: false,
            close_reason: None,
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
        if let MaybeTlsStream::Plain(stream) = &stream {
            // Responses are small, and the sender waits for them.
            let _ = stream.set_nodelay(true);
        }
        let mut buffer = vec![0; READ_BYTES];
        let closed = loop {
            self.start_submission(&stop_signal);
            let unread = self.write(&mut stream).await;
            // Even if the write failed, wait for the lines in flight, so that they are counted.
            self.close_reason = self.close_reason.or(unread);
            if let Some(closed) = self.close_reason
                && self.buffered_numbers.is_empty()
                && !self.batcher.has_in_flight()
            {
                break closed;
            }
            place.touch(self.place_use());
            self.step(&mut stream, &mut buffer, &mut place, &mut stop_signal)
                .await;
        };
        self.output.append(&mut self.final_responses);
        self.output.extend_from_slice(SERVER_CLOSE);
        // The sender may be gone.
        if self.write(&mut stream).await.is_none() {
            let _ = timeout(WRITE_TIMEOUT, stream.shutdown()).await;
        }
        closed
    }

    /// How the session uses its place: a sender that waits for answers is not idle.
    fn place_use(&self) -> PlaceUse {
        if self.batcher.has_in_flight() {
            PlaceUse::Held
        } else if self.is_open {
            PlaceUse::Open
        } else {
            PlaceUse::Unproven
        }
    }

    /// Waits for the first of: the submission in flight, the sender, the stop, an eviction, the
    /// deadline.
    async fn step(
        &mut self,
        stream: &mut MaybeTlsStream,
        buffer: &mut [u8],
        place: &mut Place,
        stop_signal: &mut StopSignal,
    ) {
        let is_reading = self.close_reason.is_none();
        let has_room = self.batcher.has_room() && self.buffered_numbers.len() < UNANSWERED_MAX;
        if !has_room {
            self.read_deadline.restart();
        }
        let (deadline, why) = self.read_deadline.deadline();
        tokio::select! {
            biased;
            is_journaled = self.batcher.wait_in_flight(), if self.batcher.has_in_flight() => {
                let numbers = std::mem::take(&mut self.in_flight_numbers);
                if is_journaled {
                    self.acknowledge(&numbers);
                } else {
                    // The sender keeps all lines without a response, including later ones.
                    self.buffered_numbers.clear();
                    self.close_reason = Some(CloseReason::Stopping);
                }
            }
            () = wait_for_stop(stop_signal), if is_reading => self.close_reason = Some(CloseReason::Stopping),
            closed = place.evicted(), if is_reading => self.close_reason = Some(closed),
            read = stream.read(buffer), if is_reading && has_room => match read {
                Ok(0) => self.close_reason = Some(CloseReason::Sender),
                Ok(length) => self.push_bytes(&buffer[..length]),
                Err(error) => {
                    tracing::debug!(%error, "connection failed");
                    self.close_reason = Some(CloseReason::Broken);
                }
            },
            () = wait_until(deadline), if is_reading && has_room => self.close_reason = Some(why),
        }
    }

    /// Starts the next submission. If only empty lines are buffered, acknowledges them.
    fn start_submission(&mut self, stop_signal: &StopSignal) {
        if self.batcher.start_submission(stop_signal) {
            self.in_flight_numbers = std::mem::take(&mut self.buffered_numbers);
        } else if !self.batcher.has_in_flight() {
            let numbers = std::mem::take(&mut self.buffered_numbers);
            self.acknowledge(&numbers);
        }
    }

    fn acknowledge(&mut self, numbers: &[u32]) {
        for number in numbers {
            write_response(&mut self.output, *number, "200 OK");
        }
    }

    /// Writes the pending responses. Returns the reason if it fails.
    async fn write(&mut self, stream: &mut MaybeTlsStream) -> Option<CloseReason> {
        if self.output.is_empty() {
            return None;
        }
        let output = std::mem::take(&mut self.output);
        if matches!(
            self.close_reason,
            Some(CloseReason::Broken | CloseReason::Unread)
        ) {
            return self.close_reason;
        }
        let written = async {
            stream.write_all(&output).await?;
            stream.flush().await
        };
        match timeout(WRITE_TIMEOUT, written).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(CloseReason::Broken),
            Err(_) => Some(CloseReason::Unread),
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        let outcome = self.framer.push(bytes, &mut self.frames);
        let mut lines = Frames::new();
        let mut counts = FramingCounts::default();
        let frames = std::mem::take(&mut self.frames);
        let completed = frames.len();
        for frame in frames {
            if self.close_reason.is_some() {
                // Frames after `close` or an error get no response, so they are sent again.
                break;
            }
            self.handle(frame, &mut lines, &mut counts);
        }
        self.context
            .metrics
            .count_framing(self.context.transport, counts);
        self.batcher.append(&mut lines);
        if let (Err(error), None) = (outcome, self.close_reason) {
            // If the frame has a number, a `500` makes its sender drop the line. Otherwise the line
            // would end every later connection as well.
            let number = self.framer.number();
            self.refuse(number, &format!("500 not RELP: {error}"));
        }
        self.read_deadline.started = self.is_open;
        self.read_deadline
            .record_read(completed, self.framer.is_mid_frame());
    }

    fn handle(&mut self, frame: RelpFrame, lines: &mut Frames, counts: &mut FramingCounts) {
        let number = frame.transaction;
        match (frame.command.as_str(), self.is_open) {
            ("syslog", true) => {
                self.buffered_numbers.push(number);
                counts.truncated += u64::from(frame.skipped > 0);
                counts.skipped_bytes += frame.skipped;
                if frame.data.is_empty() {
                    counts.empty += 1;
                } else {
                    lines.push(&frame.data);
                }
            }
            ("open", false) => match offer::negotiate(&frame.data) {
                Ok(response) => {
                    self.is_open = true;
                    write_response(&mut self.output, number, response);
                }
                Err(response) => self.refuse(number, response),
            },
            ("close", _) => {
                write_response(&mut self.final_responses, number, "200 OK");
                self.close_reason = Some(CloseReason::Sender);
            }
            ("open", true) => self.refuse(number, "500 the session is already open"),
            ("syslog", false) => self.refuse(number, "500 the session must be opened first"),
            _ => self.refuse(number, "500 unknown command"),
        }
    }

    fn refuse(&mut self, number: impl Into<Option<u32>>, why: &str) {
        tracing::debug!(why, "RELP connection refused");
        if let Some(number) = number.into() {
            write_response(&mut self.final_responses, number, why);
        }
        self.close_reason = Some(CloseReason::Protocol);
    }
}
