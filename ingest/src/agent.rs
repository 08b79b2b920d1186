//! The server's side of the agent protocol: hello, batches, acknowledgements after the sync.
//!
//! ```text
//!  agent ── Hello ──────────► token checked, spool looked up
//!        ◄── Ack(next) ──────
//!        ── EventBatch ... ─► enqueued in order (at most IN_FLIGHT_MAX), journaled, synced
//!        ◄── Ack(next) ...───
//!        ◄── Refusal ──────── and the connection ends
//! ```
//!
//! Where the journal fails, the batch is refused as `unavailable`: the agent has it still and comes
//! again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use bytes::{Buf, BytesMut};
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout};
use weir_schema::agent::{BATCH_EVENTS_MAX, Body, EventBatch, MESSAGE_BYTES_MAX, refusal};
use weir_schema::{Delivery, Frames, Transport, agent};

use crate::deliveries::ID_BYTES_MAX;
use crate::ended::Closed;
use crate::intake::{Intake, PendingReceipt};
use crate::journal::{CommitReceipt, ReceiveClock, SubmitError};
use crate::listener::{self, ConnectionLimits, Door, SourceHandle, Stopping, stopped};
use crate::metrics::IngestMetrics;
use crate::sources::{BatchOrigin, SourceTable};
use crate::tls::TlsServer;
use crate::wire::{Peer, Wire};

/// Largest first message: id and token, from who is not known yet.
const HELLO_BYTES_MAX: usize = 4 << 10;

/// Batches of a connection that wait for their sync; then it is not read.
const IN_FLIGHT_MAX: usize = 8;

/// Room made for a message at a time, so that a length alone claims no memory.
const READ_BYTES: usize = 64 << 10;

/// Limits of an agent source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentSourceOptions {
    /// Each connection may hold a message of 4 MiB.
    pub connections: ConnectionLimits,
    /// A message, hello included, must be whole so long after its first byte, and an answer
    /// written.
    pub message_timeout: Duration,
}

impl Default for AgentSourceOptions {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits {
                connections_max: 256,
                ..ConnectionLimits::default()
            },
            message_timeout: Duration::from_secs(30),
        }
    }
}

/// Whether an agent (first) may connect with a token (second). Must take the same time for every
/// token.
pub type TokenCheck = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// Compares two tokens in a time that tells nothing but their lengths.
#[must_use]
pub fn tokens_equal(expected: &str, got: &str) -> bool {
    expected.as_bytes().ct_eq(got.as_bytes()).into()
}

/// Events from agents.
pub struct AgentSource;

#[derive(Clone)]
struct Shared {
    options: AgentSourceOptions,
    token_check: TokenCheck,
    intake: Intake,
    sources: Arc<SourceTable>,
    clock: Arc<dyn ReceiveClock>,
    metrics: IngestMetrics,
}

impl AgentSource {
    /// Starts to accept on `listener`, on the thread of `arbiter`.
    #[allow(clippy::too_many_arguments)] // All are parts that the topology names one by one.
    pub fn start(
        arbiter: &ArbiterHandle,
        listener: std::net::TcpListener,
        options: AgentSourceOptions,
        tls: Option<TlsServer>,
        token_check: TokenCheck,
        intake: Intake,
        sources: Arc<SourceTable>,
        clock: Arc<dyn ReceiveClock>,
        metrics: IngestMetrics,
    ) -> io::Result<SourceHandle> {
        let shared = Shared {
            options,
            token_check,
            intake,
            sources,
            clock,
            metrics: metrics.clone(),
        };
        let door = Door {
            listener,
            transport: Transport::Agent,
            limits: options.connections,
            tls,
            metrics,
        };
        listener::start(arbiter, door, move |wire, peer, stopping| {
            serve(shared.clone(), wire, peer, stopping)
        })
    }
}

/// Why a connection ends.
enum End {
    /// Without a word.
    Closed(Closed),
    Refused(&'static str, String),
}

impl End {
    fn protocol(hint: impl Into<String>) -> Self {
        Self::Refused(refusal::PROTOCOL, hint.into())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "agent connection broke");
        Self::Closed(Closed::Broken)
    }
}

impl From<SubmitError> for End {
    fn from(error: SubmitError) -> Self {
        let code = match error {
            SubmitError::Gap { .. } => refusal::GAP,
            SubmitError::Invalid(_) | SubmitError::Conflict => refusal::PROTOCOL,
            SubmitError::Fault(_) | SubmitError::Busy | SubmitError::Stopped => {
                refusal::UNAVAILABLE
            }
        };
        Self::Refused(code, error.to_string())
    }
}

async fn serve(shared: Shared, wire: Wire, peer: Peer, stopping: Stopping) -> Closed {
    if let Wire::Plain(stream) = &wire {
        // Acknowledgements are small and awaited.
        let _ = stream.set_nodelay(true);
    }
    let (read, write) = tokio::io::split(wire);
    let mut writer = Writer {
        write,
        timeout: shared.options.message_timeout,
    };
    let reader = MessageReader::new(read, shared.options.message_timeout);
    match converse(&shared, reader, &mut writer, &peer, stopping).await {
        Ok(()) => Closed::Sender,
        Err(End::Closed(closed)) => closed,
        Err(End::Refused(code, hint)) => {
            let refusals = &shared.metrics.network.agent_refusals;
            refusals.with_label_values(&[code]).inc();
            tracing::warn!(code, hint, "agent connection refused");
            // The refusal is a courtesy; the connection ends anyway.
            let _ = writer.send(&agent::encode_refusal(code, &hint)).await;
            let _ = timeout(writer.timeout, writer.write.shutdown()).await;
            match code {
                refusal::UNAVAILABLE => Closed::Stopping,
                _ => Closed::Protocol, // Refused for what was sent.
            }
        }
    }
}

async fn converse(
    shared: &Shared,
    mut reader: MessageReader,
    writer: &mut Writer,
    peer: &Peer,
    mut stopping: Stopping,
) -> Result<(), End> {
    let hello = timeout(shared.options.message_timeout, reader.next(HELLO_BYTES_MAX));
    let hello = match hello.await {
        Err(_) | Ok(Err(End::Closed(Closed::Slow))) => return Err(End::Closed(Closed::Silent)),
        Ok(hello) => hello?,
    };
    let Some(hello) = hello else {
        return Ok(());
    };
    let mut session = Session::open(shared, &hello, peer).await?;
    writer
        .send(&agent::encode_ack(session.next_sequence))
        .await?;
    let mut answers: FuturesOrdered<PendingReceipt> = FuturesOrdered::new();
    let mut reading = true;
    while reading || !answers.is_empty() {
        let has_room = answers.len() < IN_FLIGHT_MAX;
        tokio::select! {
            biased;
            Some(answer) = answers.next() => {
                let mut accepted = session.note(answer)?;
                // One acknowledgement stands for all that are ready.
                while let Some(Some(answer)) = answers.next().now_or_never() {
                    accepted = session.note(answer)?;
                }
                let next = accepted.next_sequence.unwrap_or(session.next_sequence);
                writer.send(&agent::encode_ack(next)).await?;
            }
            () = stopped(&mut stopping), if reading => reading = false,
            message = reader.next(MESSAGE_BYTES_MAX), if reading && has_room => match message? {
                None => reading = false,
                Some(message) => answers.extend(session.enqueue(&message).await?),
            },
        }
    }
    if *stopping.borrow() {
        let hint = SubmitError::Stopped.to_string();
        return Err(End::Refused(refusal::UNAVAILABLE, hint));
    }
    Ok(())
}

/// A connection whose token was accepted.
struct Session<'a> {
    shared: &'a Shared,
    origin: BatchOrigin,
    agent: String,
    spool: u64,
    next_sequence: u64,
}

impl<'a> Session<'a> {
    async fn open(shared: &'a Shared, bytes: &[u8], peer: &Peer) -> Result<Self, End> {
        let message = read_message(bytes)?;
        let Some(hello) = message.body_as_hello() else {
            return Err(End::protocol("the first message must be a hello"));
        };
        let id = hello.agent();
        let printable = id.bytes().all(|byte| byte.is_ascii_graphic());
        if id.is_empty() || id.len() > ID_BYTES_MAX || !printable {
            return Err(End::protocol(
                "an agent id has 1 to 255 printable characters without space",
            ));
        }
        if !(shared.token_check)(id, hello.token()) {
            let hint = "the token is not accepted; ask the server's operator for one";
            return Err(End::Refused(refusal::UNAUTHORIZED, hint.to_owned()));
        }
        let (transport, names) = (Transport::Agent, &peer.names);
        let sources = &shared.sources;
        let origin = sources.resolve_certified(transport, peer.address, Some(id), names);
        let (agent, spool) = (id.to_owned(), hello.spool());
        let next_sequence = shared
            .intake
            .next_sequence(&origin.tenant, &agent, spool)
            .await?;
        Ok(Self {
            shared,
            origin,
            agent,
            spool,
            next_sequence,
        })
    }

    /// `None` for a batch without events, which needs no answer.
    async fn enqueue(&self, bytes: &[u8]) -> Result<Option<PendingReceipt>, End> {
        let message = read_message(bytes)?;
        let Some(batch) = message.body_as_event_batch() else {
            return Err(End::protocol(
                "after the hello, an agent sends batches only",
            ));
        };
        let frames = frames(&batch)?;
        if frames.is_empty() {
            return Ok(None);
        }
        let delivery = Delivery::Agent {
            agent: self.agent.clone(),
            spool: self.spool,
            first_sequence: batch.first_sequence(),
        };
        let received = self.shared.clock.now();
        let batch = self.origin.batch(received, Some(delivery), frames);
        Ok(Some(self.shared.intake.enqueue(vec![batch]).await?))
    }

    fn note(&mut self, answer: Result<CommitReceipt, SubmitError>) -> Result<CommitReceipt, End> {
        let accepted = answer?;
        if accepted.conflicts > 0 {
            let (agent, spool) = (&self.agent, self.spool);
            tracing::warn!(
                agent,
                spool,
                events = accepted.conflicts,
                "an agent sent other bytes under numbers it had used; both are kept"
            );
        }
        if let Some(next) = accepted.next_sequence {
            self.next_sequence = next;
        }
        Ok(accepted)
    }
}

fn read_message(bytes: &[u8]) -> Result<agent::Message<'_>, End> {
    let message = agent::decode_message(bytes).map_err(|_| End::protocol("the message is malformed"))?;
    match message.body_type() {
        Body::Hello | Body::EventBatch | Body::Ack | Body::Refusal => Ok(message),
        // A newer agent's message.
        _ => Err(End::protocol("the message is of no kind known here")),
    }
}

fn frames(batch: &EventBatch<'_>) -> Result<Frames, End> {
    let events = batch.events();
    if events.len() > BATCH_EVENTS_MAX {
        let hint = format!("a batch has at most {BATCH_EVENTS_MAX} events");
        return Err(End::protocol(hint));
    }
    // Offsets may all lead to the same bytes: without this, a small message takes much memory.
    let bytes: usize = events.iter().map(|payload| payload.event().len()).sum();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(End::protocol("the events are larger than their message"));
    }
    let frames = events.iter().map(|payload| payload.event().bytes());
    Ok(frames.collect())
}

struct Writer {
    write: WriteHalf<Wire>,
    timeout: Duration,
}

impl Writer {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        let written = async {
            self.write.write_all(bytes).await?;
            self.write.flush().await
        };
        let written = timeout(self.timeout, written).await;
        written.map_err(|_| End::Closed(Closed::Unread))??;
        Ok(())
    }
}

/// Reads length-prefixed messages. Dropping a read loses nothing: the bytes stay here.
struct MessageReader {
    read: ReadHalf<Wire>,
    buffer: BytesMut,
    timeout: Duration,
    /// When the message that has begun must be whole.
    deadline: Option<Instant>,
}

impl MessageReader {
    fn new(read: ReadHalf<Wire>, timeout: Duration) -> Self {
        Self {
            read,
            buffer: BytesMut::new(),
            timeout,
            deadline: None,
        }
    }

    /// The next message without its prefix; `None` where the stream ended, mid-message or not.
    async fn next(&mut self, bytes_max: usize) -> Result<Option<BytesMut>, End> {
        loop {
            let mut needed = 4;
            if let Some((prefix, _)) = self.buffer.split_first_chunk::<4>() {
                let length = u32::from_le_bytes(*prefix) as usize;
                if length > bytes_max {
                    let hint = format!("a message here has at most {bytes_max} bytes");
                    return Err(End::protocol(hint));
                }
                needed += length;
                if self.buffer.len() >= needed {
                    self.buffer.advance(4);
                    self.deadline = None;
                    return Ok(Some(self.buffer.split_to(length)));
                }
            }
            if !self.buffer.is_empty() && self.deadline.is_none() {
                self.deadline = Some(Instant::now() + self.timeout);
            }
            let missing = needed.saturating_sub(self.buffer.len());
            self.buffer.reserve(missing.min(READ_BYTES));
            let read = self.read.read_buf(&mut self.buffer);
            let length = match self.deadline {
                None => read.await?,
                Some(deadline) => tokio::time::timeout_at(deadline, read)
                    .await
                    .map_err(|_| End::Closed(Closed::Slow))??,
            };
            if length == 0 {
                return Ok(None);
            }
        }
    }
}
