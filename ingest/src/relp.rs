//! Syslog over RELP: a line is answered once it is on the disk.
//!
//! ```text
//!  sender ── open ──────────► versions and commands agreed on
//!        ◄── rsp 200 ────────
//!        ── syslog ... ─────► gathered (256 KiB, 4,000 frames; then it is not read), journaled, synced
//!        ◄── rsp 200 ... ────
//!        ── close ──────────► what came before it is answered first
//!        ◄── rsp 200, serverclose
//! ```
//!
//! Where the journal fails there is no answer: a sender keeps what is not answered, and sends it
//! again, while `500` would make it forget the line. `500` is for what is not the protocol, and ends
//! the connection. A line that was journaled and whose answer was lost comes twice: RELP gives lines
//! no identity that outlives a connection.

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
use weir_schema::{Frames, Transport};

use crate::ended::Closed;
use crate::framing::FramingCounts;
use crate::gather::Gather;
use crate::intake::Intake;
use crate::journal::ReceiveClock;
use crate::listener::{self, Door, SourceHandle, Stopping, expired, stopped};
use crate::metrics::IngestMetrics;
use crate::sources::SourceTable;
use crate::tcp::{Patience, Shared, TcpOptions};
use crate::tls::TlsServer;
use crate::wire::{Peer, Wire};
use frame::{Frame, RelpFramer, SERVER_CLOSE, answer};

/// As of TCP: one read, per connection.
const READ_BYTES: usize = 32 << 10;

/// Lines that wait for their answer besides what is under way: for empty ones, which weigh nothing
/// among what has gathered.
const UNANSWERED_MAX: usize = 8_000;

/// A sender that reads no answer for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Syslog over RELP; within TLS where it is told how.
pub struct RelpSource;

impl RelpSource {
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
        let transport = Transport::Relp;
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
            let session = Session::new(shared.clone(), &peer);
            session.serve(wire, stopping)
        })
    }
}

struct Session {
    shared: Shared,
    framer: RelpFramer,
    frames: Vec<Frame>,
    gather: Gather,
    patience: Patience,
    /// Numbers of the lines that have gathered.
    waiting: Vec<u32>,
    /// Numbers of those that are on their way to the disk.
    under_way: Vec<u32>,
    /// Answers to be written.
    out: Vec<u8>,
    /// Said when everything else is answered: why nothing more is read.
    last_words: Vec<u8>,
    opened: bool,
    /// Why it ends; nothing more is read.
    ending: Option<Closed>,
}

impl Session {
    fn new(shared: Shared, peer: &Peer) -> Self {
        Self {
            gather: shared.gather(peer),
            framer: RelpFramer::new(shared.options.frame_bytes_max),
            frames: Vec::new(),
            patience: Patience::new(shared.options),
            waiting: Vec::new(),
            under_way: Vec::new(),
            out: Vec::new(),
            last_words: Vec::new(),
            opened: false,
            ending: None,
            shared,
        }
    }

    async fn serve(mut self, mut wire: Wire, mut stopping: Stopping) -> Closed {
        if let Wire::Plain(stream) = &wire {
            // Answers are small and awaited.
            let _ = stream.set_nodelay(true);
        }
        let mut buffer = vec![0; READ_BYTES];
        let closed = loop {
            self.hand_over(&stopping);
            let unread = self.write(&mut wire).await;
            // What is under way is journaled all the same; who counts must know of it.
            self.ending = self.ending.or(unread);
            if let Some(closed) = self.ending
                && self.waiting.is_empty()
                && !self.gather.is_under_way()
            {
                break closed;
            }
            self.step(&mut wire, &mut buffer, &mut stopping).await;
        };
        self.out.append(&mut self.last_words);
        self.out.extend_from_slice(SERVER_CLOSE);
        // A sender that has gone does not hear it.
        if self.write(&mut wire).await.is_none() {
            let _ = timeout(WRITE_TIMEOUT, wire.shutdown()).await;
        }
        closed
    }

    /// Waits for what comes first: the disk, the sender, the stop, a deadline.
    async fn step(&mut self, wire: &mut Wire, buffer: &mut [u8], stopping: &mut Stopping) {
        let reading = self.ending.is_none();
        let has_room = self.gather.has_room() && self.waiting.len() < UNANSWERED_MAX;
        if !has_room {
            self.patience.pardon();
        }
        let (deadline, why) = self.patience.deadline();
        tokio::select! {
            biased;
            taken = self.gather.finished(), if self.gather.is_under_way() => {
                let numbers = std::mem::take(&mut self.under_way);
                if taken {
                    self.answer_all(&numbers);
                } else {
                    // Without an answer the sender keeps them; what came after them, too.
                    self.waiting.clear();
                    self.ending = Some(Closed::Stopping);
                }
            }
            () = stopped(stopping), if reading => self.ending = Some(Closed::Stopping),
            read = wire.read(buffer), if reading && has_room => match read {
                Ok(0) => self.ending = Some(Closed::Sender),
                Ok(length) => self.take(&buffer[..length]),
                Err(error) => {
                    tracing::debug!(%error, "connection broke");
                    self.ending = Some(Closed::Broken);
                }
            },
            () = expired(deadline), if reading && has_room => self.ending = Some(why),
        }
    }

    /// Begins the next submission, or answers lines of which nothing is to be journaled.
    fn hand_over(&mut self, stopping: &Stopping) {
        if self.gather.deliver(stopping) {
            self.under_way = std::mem::take(&mut self.waiting);
        } else if !self.gather.is_under_way() {
            let numbers = std::mem::take(&mut self.waiting);
            self.answer_all(&numbers);
        }
    }

    fn answer_all(&mut self, numbers: &[u32]) {
        for number in numbers {
            answer(&mut self.out, *number, "200 OK");
        }
    }

    /// Writes what there is to say; why not, if it cannot.
    async fn write(&mut self, wire: &mut Wire) -> Option<Closed> {
        if self.out.is_empty() {
            return None;
        }
        let out = std::mem::take(&mut self.out);
        if matches!(self.ending, Some(Closed::Broken | Closed::Unread)) {
            return self.ending;
        }
        let written = async {
            wire.write_all(&out).await?;
            wire.flush().await
        };
        match timeout(WRITE_TIMEOUT, written).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(Closed::Broken),
            Err(_) => Some(Closed::Unread),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let outcome = self.framer.push(bytes, &mut self.frames);
        let mut lines = Frames::new();
        let mut counts = FramingCounts::default();
        let frames = std::mem::take(&mut self.frames);
        let completed = frames.len();
        for frame in frames {
            if self.ending.is_some() {
                // Behind `close`, or what was refused: never answered, so it is sent again.
                break;
            }
            self.handle(frame, &mut lines, &mut counts);
        }
        self.shared.metrics.framing(self.shared.transport, counts);
        self.gather.take(&mut lines);
        if let (Err(fault), None) = (outcome, self.ending) {
            // Where it has a number, its sender forgets the line, which would end every connection.
            let number = self.framer.number();
            self.refuse(number, &format!("500 this is no RELP: {fault}"));
        }
        self.patience.begun = self.opened;
        self.patience.heard(completed, self.framer.is_within());
    }

    fn handle(&mut self, frame: Frame, lines: &mut Frames, counts: &mut FramingCounts) {
        let number = frame.transaction;
        match (frame.command.as_str(), self.opened) {
            ("syslog", true) => {
                self.waiting.push(number);
                counts.truncated += u64::from(frame.skipped > 0);
                counts.skipped_bytes += frame.skipped as u64;
                if frame.data.is_empty() {
                    counts.empty += 1;
                } else {
                    lines.push(&frame.data);
                }
            }
            ("open", false) => match offer::agree(&frame.data) {
                Ok(agreed) => {
                    self.opened = true;
                    answer(&mut self.out, number, agreed);
                }
                Err(why) => self.refuse(number, why),
            },
            ("close", _) => {
                answer(&mut self.last_words, number, "200 OK");
                self.ending = Some(Closed::Sender);
            }
            ("open", true) => self.refuse(number, "500 the session is open already"),
            ("syslog", false) => self.refuse(number, "500 the session must be opened first"),
            _ => self.refuse(number, "500 the command is not known here"), // Not offered either.
        }
    }

    fn refuse(&mut self, number: impl Into<Option<u32>>, why: &str) {
        tracing::debug!(why, "RELP connection refused");
        if let Some(number) = number.into() {
            answer(&mut self.last_words, number, why);
        }
        self.ending = Some(Closed::Protocol);
    }
}
