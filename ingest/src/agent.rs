//! The server side of the agent protocol: hello, batches, and acknowledgements after the sync.
//!
//! ```text
//!  agent ── Hello ──────────► token checked, spool looked up
//!        ◄── Ack(next) ──────
//!        ── EventBatch ... ─► enqueued in order (at most IN_FLIGHT_MAX), journaled, synced
//!        ◄── Ack(next) ...───
//!        ◄── Refusal ──────── and the connection ends
//! ```
//!
//! If the journal fails, the batch is refused as `unavailable`. The agent still has it, and reconnects.

mod message;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use subtle::ConstantTimeEq;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use weir_schema::agent::{BATCH_EVENTS_MAX, Body, EventBatch, MESSAGE_BYTES_MAX, refusal};
use weir_schema::{Delivery, Frames, PlaceUse, Transport, agent};

use crate::close_reason::CloseReason;
use crate::deliveries::ID_BYTES_MAX;
use crate::intake::{Intake, PendingReceipt};
use crate::journal::{CommitReceipt, ReceiveClock, SubmitError};
use crate::listener::{
    self, Connection, ConnectionLimits, ListenerSetup, SourceHandle, StopSignal, wait_for_stop,
    wait_until,
};
use crate::metrics::IngestMetrics;
use crate::places::Place;
use crate::sources::{BatchOrigin, SourceTable};
use crate::stream::{MaybeTlsStream, Peer};
use crate::tls::TlsServer;
use message::{MessageReader, MessageWriter};

/// Most batches of a connection that wait for their sync. The connection is not read meanwhile.
const IN_FLIGHT_MAX: usize = 8;

/// Limits of an agent source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentSourceOptions {
    /// Limits of the connections. Each may buffer a message of 4 MiB.
    pub connections: ConnectionLimits,
    /// Time from the accept of a connection, or the end of its handshake, to the end of its hello.
    pub hello_timeout: Duration,
    /// Time from the first byte of a message to its last, and time to write an answer.
    pub message_timeout: Duration,
    /// A connection without a message for this long is closed; `None` keeps it open.
    pub idle_timeout: Option<Duration>,
}

impl Default for AgentSourceOptions {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits::with_connections_max(256),
            hello_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(30),
            idle_timeout: Some(Duration::from_secs(600)),
        }
    }
}

/// Decides whether the agent of an id (first) may connect with a token (second). It must take the same
/// time for every token.
pub type TokenCheck = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// Compares two tokens in constant time; only their lengths can be inferred from the time.
#[must_use]
pub fn tokens_equal(expected: &str, got: &str) -> bool {
    expected.as_bytes().ct_eq(got.as_bytes()).into()
}

/// Source of events from agents.
pub struct AgentSource;

#[derive(Clone)]
/// The parts that the connections of the source share.
struct AgentContext {
    options: AgentSourceOptions,
    token_check: TokenCheck,
    intake: Intake,
    sources: Arc<SourceTable>,
    clock: Arc<dyn ReceiveClock>,
    metrics: IngestMetrics,
}

impl AgentSource {
    /// Starts to accept connections of `listener`, on the thread of `arbiter`.
    #[allow(clippy::too_many_arguments)] // The topology passes these parts one by one.
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
        listener::start(arbiter, setup, move |connection| {
            serve(context.clone(), connection)
        })
    }
}

/// Reason why a session ends.
enum SessionEnd {
    /// The server closes the connection without a refusal.
    Closed(CloseReason),
    /// The server sends a refusal with a code and a hint.
    Refused(&'static str, String),
}

impl SessionEnd {
    fn protocol(hint: impl Into<String>) -> Self {
        Self::Refused(refusal::PROTOCOL, hint.into())
    }
}

impl From<io::Error> for SessionEnd {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "agent connection failed");
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

async fn serve(context: AgentContext, connection: Connection) -> CloseReason {
    let Connection {
        stream,
        peer,
        mut place,
        stop_signal,
    } = connection;
    if let MaybeTlsStream::Plain(stream) = &stream {
        // Acknowledgements are small, and the sender waits for them.
        let _ = stream.set_nodelay(true);
    }
    let (read, write) = tokio::io::split(stream);
    let mut writer = MessageWriter {
        write,
        timeout: context.options.message_timeout,
    };
    let reader = MessageReader::new(read, context.options.message_timeout);
    let ended = run_session(
        &context,
        reader,
        &mut writer,
        &peer,
        &mut place,
        stop_signal,
    );
    match ended.await {
        Ok(()) => CloseReason::Sender,
        Err(SessionEnd::Closed(closed)) => closed,
        Err(SessionEnd::Refused(code, hint)) => {
            let refusals = &context.metrics.network.agent_refusals;
            refusals.with_label_values(&[code]).inc();
            tracing::warn!(code, hint, "agent connection refused");
            // The connection ends, whether or not the refusal is written.
            let _ = writer.send(&agent::encode_refusal(code, &hint)).await;
            let _ = timeout(writer.timeout, writer.write.shutdown()).await;
            match code {
                refusal::UNAVAILABLE => CloseReason::Stopping,
                _ => CloseReason::Protocol, // All other codes refuse a message.
            }
        }
    }
}

async fn run_session(
    context: &AgentContext,
    mut reader: MessageReader,
    writer: &mut MessageWriter,
    peer: &Peer,
    place: &mut Place,
    mut stop_signal: StopSignal,
) -> Result<(), SessionEnd> {
    let hello = reader.hello(context.options.hello_timeout, place).await?;
    let Some(hello) = hello else {
        return Ok(());
    };
    let mut session = Session::open(context, &hello, peer).await?;
    place.touch(PlaceUse::Open);
    writer
        .send(&agent::encode_ack(session.next_sequence))
        .await?;
    let mut pending: FuturesOrdered<PendingReceipt> = FuturesOrdered::new();
    let mut is_reading = true;
    while is_reading || !pending.is_empty() {
        let has_room = pending.len() < IN_FLIGHT_MAX;
        place.touch(match pending.is_empty() {
            true => PlaceUse::Open,
            false => PlaceUse::Held,
        });
        let idle = context.options.idle_timeout.filter(|_| pending.is_empty());
        let idle = idle.map(|idle| Instant::now() + idle);
        tokio::select! {
            biased;
            closed = place.evicted(), if is_reading => {
                // The agent has all events that are not acknowledged, and sends them again.
                return Err(SessionEnd::Closed(closed));
            }
            Some(result) = pending.next() => {
                let mut receipt = session.record(result)?;
                // One acknowledgement covers all receipts that are ready.
                while let Some(Some(result)) = pending.next().now_or_never() {
                    receipt = session.record(result)?;
                }
                let next = receipt.next_sequence.unwrap_or(session.next_sequence);
                writer.send(&agent::encode_ack(next)).await?;
            }
            () = wait_for_stop(&mut stop_signal), if is_reading => is_reading = false,
            message = reader.next(MESSAGE_BYTES_MAX), if is_reading && has_room => match message? {
                None => is_reading = false,
                Some(message) => pending.extend(session.enqueue(&message).await?),
            },
            () = wait_until(idle), if is_reading => {
                return Err(SessionEnd::Closed(CloseReason::Idle));
            }
        }
    }
    if *stop_signal.borrow() {
        let hint = SubmitError::Stopped.to_string();
        return Err(SessionEnd::Refused(refusal::UNAVAILABLE, hint));
    }
    Ok(())
}

/// The session of an authenticated agent.
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

    /// Enqueues a batch; `None` for a batch without events, which needs no answer.
    async fn enqueue(&self, bytes: &[u8]) -> Result<Option<PendingReceipt>, SessionEnd> {
        let message = read_message(bytes)?;
        let Some(batch) = message.body_as_event_batch() else {
            return Err(SessionEnd::protocol(
                "after the hello, an agent may only send batches",
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
        result: Result<CommitReceipt, SubmitError>,
    ) -> Result<CommitReceipt, SessionEnd> {
        let receipt = result?;
        if receipt.conflicts > 0 {
            let (agent, spool) = (&self.agent, self.spool);
            tracing::warn!(
                agent,
                spool,
                events = receipt.conflicts,
                "an agent reused sequence numbers for other events; both are journaled"
            );
        }
        if let Some(next) = receipt.next_sequence {
            self.next_sequence = next;
        }
        Ok(receipt)
    }
}

fn read_message(bytes: &[u8]) -> Result<agent::Message<'_>, SessionEnd> {
    let message = agent::decode_message(bytes)
        .map_err(|_| SessionEnd::protocol("the message is malformed"))?;
    match message.body_type() {
        Body::Hello | Body::EventBatch | Body::Ack | Body::Refusal => Ok(message),
        // The message of a newer agent.
        _ => Err(SessionEnd::protocol("unknown type of message")),
    }
}

fn frames(batch: &EventBatch<'_>) -> Result<Frames, SessionEnd> {
    let events = batch.events();
    if events.len() > BATCH_EVENTS_MAX {
        let hint = format!("a batch has at most {BATCH_EVENTS_MAX} events");
        return Err(SessionEnd::protocol(hint));
    }
    // All offsets may point to the same bytes, so a small message could claim much memory.
    let bytes: usize = events.iter().map(|payload| payload.event().len()).sum();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(SessionEnd::protocol(
            "the events are larger than their message",
        ));
    }
    let frames = events.iter().map(|payload| payload.event().bytes());
    Ok(frames.collect())
}
