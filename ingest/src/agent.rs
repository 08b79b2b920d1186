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

use crate::close_reason::CloseReason;
use crate::deliveries::ID_BYTES_MAX;
use crate::intake::{Intake, PendingReceipt};
use crate::journal::{CommitReceipt, ReceiveClock, SubmitError};
use crate::listener::{
    self, ConnectionLimits, ListenerSetup, SourceHandle, StopSignal, wait_for_stop,
};
use crate::metrics::IngestMetrics;
use crate::sources::{BatchOrigin, SourceTable};
use crate::stream::{MaybeTlsStream, Peer};
use crate::tls::TlsServer;

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
struct AgentContext {
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
        let context = AgentContext {
            options,
            token_check,
            intake,
            sources,
            clock,
            metrics: metrics.clone(),
        };
        let setup = ListenerSetup {
            listener,
            transport: Transport::Agent,
            limits: options.connections,
            tls,
            metrics,
        };
        listener::start(arbiter, setup, move |stream, peer, stop_signal| {
            serve(context.clone(), stream, peer, stop_signal)
        })
    }
}

/// Why a connection ends.
enum SessionEnd {
    /// Without a word.
    Closed(CloseReason),
    Refused(&'static str, String),
}

impl SessionEnd {
    fn protocol(hint: impl Into<String>) -> Self {
        Self::Refused(refusal::PROTOCOL, hint.into())
    }
}

impl From<io::Error> for SessionEnd {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "agent connection broke");
        Self::Closed(CloseReason::Broken)
    }
}

impl From<SubmitError> for SessionEnd {
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

async fn serve(
    context: AgentContext,
    stream: MaybeTlsStream,
    peer: Peer,
    stop_signal: StopSignal,
) -> CloseReason {
    if let MaybeTlsStream::Plain(stream) = &stream {
        // Acknowledgements are small and awaited.
        let _ = stream.set_nodelay(true);
    }
    let (read, write) = tokio::io::split(stream);
    let mut writer = MessageWriter {
        write,
        timeout: context.options.message_timeout,
    };
    let reader = MessageReader::new(read, context.options.message_timeout);
    match run_session(&context, reader, &mut writer, &peer, stop_signal).await {
        Ok(()) => CloseReason::Sender,
        Err(SessionEnd::Closed(closed)) => closed,
        Err(SessionEnd::Refused(code, hint)) => {
            let refusals = &context.metrics.network.agent_refusals;
            refusals.with_label_values(&[code]).inc();
            tracing::warn!(code, hint, "agent connection refused");
            // The refusal is a courtesy; the connection ends anyway.
            let _ = writer.send(&agent::encode_refusal(code, &hint)).await;
            let _ = timeout(writer.timeout, writer.write.shutdown()).await;
            match code {
                refusal::UNAVAILABLE => CloseReason::Stopping,
                _ => CloseReason::Protocol, // Refused for what was sent.
            }
        }
    }
}

async fn run_session(
    context: &AgentContext,
    mut reader: MessageReader,
    writer: &mut MessageWriter,
    peer: &Peer,
    mut stop_signal: StopSignal,
) -> Result<(), SessionEnd> {
    let hello = timeout(
        context.options.message_timeout,
        reader.next(HELLO_BYTES_MAX),
    );
    let hello = match hello.await {
        Err(_) | Ok(Err(SessionEnd::Closed(CloseReason::Slow))) => {
            return Err(SessionEnd::Closed(CloseReason::Silent));
        }
        Ok(hello) => hello?,
    };
    let Some(hello) = hello else {
        return Ok(());
    };
    let mut session = Session::open(context, &hello, peer).await?;
    writer
        .send(&agent::encode_ack(session.next_sequence))
        .await?;
    let mut pending: FuturesOrdered<PendingReceipt> = FuturesOrdered::new();
    let mut is_reading = true;
    while is_reading || !pending.is_empty() {
        let has_room = pending.len() < IN_FLIGHT_MAX;
        tokio::select! {
            biased;
            Some(answer) = pending.next() => {
                let mut accepted = session.record(answer)?;
                // One acknowledgement stands for all that are ready.
                while let Some(Some(answer)) = pending.next().now_or_never() {
                    accepted = session.record(answer)?;
                }
                let next = accepted.next_sequence.unwrap_or(session.next_sequence);
                writer.send(&agent::encode_ack(next)).await?;
            }
            () = wait_for_stop(&mut stop_signal), if is_reading => is_reading = false,
            message = reader.next(MESSAGE_BYTES_MAX), if is_reading && has_room => match message? {
                None => is_reading = false,
                Some(message) => pending.extend(session.enqueue(&message).await?),
            },
        }
    }
    if *stop_signal.borrow() {
        let hint = SubmitError::Stopped.to_string();
        return Err(SessionEnd::Refused(refusal::UNAVAILABLE, hint));
    }
    Ok(())
}

/// A connection whose token was accepted.
struct Session<'a> {
    context: &'a AgentContext,
    origin: BatchOrigin,
    agent: String,
    spool: u64,
    next_sequence: u64,
}

impl<'a> Session<'a> {
    async fn open(
        context: &'a AgentContext,
        bytes: &[u8],
        peer: &Peer,
    ) -> Result<Self, SessionEnd> {
        let message = read_message(bytes)?;
        let Some(hello) = message.body_as_hello() else {
            return Err(SessionEnd::protocol("the first message must be a hello"));
        };
        let id = hello.agent();
        let printable = id.bytes().all(|byte| byte.is_ascii_graphic());
        if id.is_empty() || id.len() > ID_BYTES_MAX || !printable {
            return Err(SessionEnd::protocol(
                "an agent id has 1 to 255 printable characters without space",
            ));
        }
        if !(context.token_check)(id, hello.token()) {
            let hint = "the token is not accepted; ask the server's operator for one";
            return Err(SessionEnd::Refused(refusal::UNAUTHORIZED, hint.to_owned()));
        }
        let (transport, names) = (Transport::Agent, &peer.names);
        let sources = &context.sources;
        let origin = sources.resolve_certified(transport, peer.address, Some(id), names);
        let (agent, spool) = (id.to_owned(), hello.spool());
        let next_sequence = context
            .intake
            .next_sequence(&origin.tenant, &agent, spool)
            .await?;
        Ok(Self {
            context,
            origin,
            agent,
            spool,
            next_sequence,
        })
    }

    /// `None` for a batch without events, which needs no answer.
    async fn enqueue(&self, bytes: &[u8]) -> Result<Option<PendingReceipt>, SessionEnd> {
        let message = read_message(bytes)?;
        let Some(batch) = message.body_as_event_batch() else {
            return Err(SessionEnd::protocol(
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
        let received = self.context.clock.now();
        let batch = self.origin.batch(received, Some(delivery), frames);
        Ok(Some(self.context.intake.enqueue(vec![batch]).await?))
    }

    fn record(
        &mut self,
        answer: Result<CommitReceipt, SubmitError>,
    ) -> Result<CommitReceipt, SessionEnd> {
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

fn read_message(bytes: &[u8]) -> Result<agent::Message<'_>, SessionEnd> {
    let message = agent::decode_message(bytes)
        .map_err(|_| SessionEnd::protocol("the message is malformed"))?;
    match message.body_type() {
        Body::Hello | Body::EventBatch | Body::Ack | Body::Refusal => Ok(message),
        // A newer agent's message.
        _ => Err(SessionEnd::protocol("the message is of no kind known here")),
    }
}

fn frames(batch: &EventBatch<'_>) -> Result<Frames, SessionEnd> {
    let events = batch.events();
    if events.len() > BATCH_EVENTS_MAX {
        let hint = format!("a batch has at most {BATCH_EVENTS_MAX} events");
        return Err(SessionEnd::protocol(hint));
    }
    // Offsets may all lead to the same bytes: without this, a small message takes much memory.
    let bytes: usize = events.iter().map(|payload| payload.event().len()).sum();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(SessionEnd::protocol(
            "the events are larger than their message",
        ));
    }
    let frames = events.iter().map(|payload| payload.event().bytes());
    Ok(frames.collect())
}

struct MessageWriter {
    write: WriteHalf<MaybeTlsStream>,
    timeout: Duration,
}

impl MessageWriter {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), SessionEnd> {
        let written = async {
            self.write.write_all(bytes).await?;
            self.write.flush().await
        };
        let written = timeout(self.timeout, written).await;
        written.map_err(|_| SessionEnd::Closed(CloseReason::Unread))??;
        Ok(())
    }
}

/// Reads length-prefixed messages. Dropping a read loses nothing: the bytes stay here.
struct MessageReader {
    read: ReadHalf<MaybeTlsStream>,
    buffer: BytesMut,
    timeout: Duration,
    /// When the message that has begun must be whole.
    deadline: Option<Instant>,
}

impl MessageReader {
    fn new(read: ReadHalf<MaybeTlsStream>, timeout: Duration) -> Self {
        Self {
            read,
            buffer: BytesMut::new(),
            timeout,
            deadline: None,
        }
    }

    /// The next message without its prefix; `None` where the stream ended, mid-message or not.
    async fn next(&mut self, bytes_max: usize) -> Result<Option<BytesMut>, SessionEnd> {
        loop {
            let mut needed = 4;
            if let Some((prefix, _)) = self.buffer.split_first_chunk::<4>() {
                let length = u32::from_le_bytes(*prefix) as usize;
                if length > bytes_max {
                    let hint = format!("a message here has at most {bytes_max} bytes");
                    return Err(SessionEnd::protocol(hint));
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
                    .map_err(|_| SessionEnd::Closed(CloseReason::Slow))??,
            };
            if length == 0 {
                return Ok(None);
            }
        }
    }
}
