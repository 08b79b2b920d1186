//! Syslog over TCP: reads, frames, hands batches over; stops reading while the journal is behind.
//!
//! One submission of a connection is under way while the next gathers; when as much has gathered as
//! may, the connection is not read, and TCP slows the sender down. Where the journal fails, the
//! submission is sent again until it is taken: nothing that was read is lost but by a crash.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use serde_bytes::ByteBuf;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use weir_schema::{Batch, Entry, Transport};

use crate::commit::{Refused, count_dropped};
use crate::framing::{FRAME_BYTES_MAX, Framer};
use crate::intake::Intake;
use crate::journal::{Clock, SubmitError};
use crate::listener::{self, SourceHandle, Stopping, stopped};
use crate::metrics::{Dropped, IngestMetrics};
use crate::sources::{Origin, SourceTable};

/// One read: some 250 lines; per connection, so small enough for a thousand of them.
const READ_BYTES: usize = 32 << 10;

/// Most frames of a batch: small enough that workers share an epoch evenly.
pub const BATCH_FRAMES_MAX: usize = 1_000;

/// A connection is not read while so much has gathered: a thousand of them hold 256 MiB.
const GATHERED_BYTES_MAX: usize = 256 << 10;

/// As [`GATHERED_BYTES_MAX`], for very short frames, whose overhead counts more than their bytes.
const GATHERED_FRAMES_MAX: usize = 4 * BATCH_FRAMES_MAX;

/// Reads while stopping at most so much of what the kernel holds already.
const DRAIN_BYTES_MAX: usize = 4 << 20;

/// First wait before a submission that the journal refused is sent again; doubles to a second.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Limits of a TCP source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Connections beyond it are closed at once and counted.
    pub connections_max: usize,
    /// Longer frames are cut.
    pub frame_bytes_max: usize,
    /// A connection that sends nothing at first is closed after it: senders connect to send.
    pub first_byte_timeout: Duration,
    /// A connection silent for so long is closed; `None`: never, as many senders lose a line with
    /// each connection that is closed on them.
    pub idle_timeout: Option<Duration>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            frame_bytes_max: FRAME_BYTES_MAX,
            first_byte_timeout: Duration::from_secs(60),
            idle_timeout: None,
        }
    }
}

/// Syslog over TCP, octet-counted or in lines.
pub struct TcpSource;

#[derive(Clone)]
struct Shared {
    options: TcpOptions,
    intake: Intake,
    sources: Arc<SourceTable>,
    clock: Arc<dyn Clock>,
    metrics: IngestMetrics,
}

impl TcpSource {
    /// Starts to accept on `listener`, on the thread of `arbiter`.
    pub fn start(
        arbiter: &ArbiterHandle,
        listener: std::net::TcpListener,
        options: TcpOptions,
        intake: Intake,
        sources: Arc<SourceTable>,
        clock: Arc<dyn Clock>,
        metrics: IngestMetrics,
    ) -> io::Result<SourceHandle> {
        let shared = Shared {
            options,
            intake,
            sources,
            clock,
            metrics: metrics.clone(),
        };
        listener::start(
            arbiter,
            listener,
            Transport::Tcp,
            options.connections_max,
            metrics,
            move |stream, peer, stopping| {
                let connection = Connection::new(shared.clone(), peer);
                connection.serve(stream, stopping)
            },
        )
    }
}

type Delivering = Pin<Box<dyn Future<Output = ()>>>;

struct Connection {
    shared: Shared,
    origin: Origin,
    framer: Framer,
    frames: Vec<Vec<u8>>,
    gathered: Vec<Batch>,
    gathered_bytes: usize,
    gathered_frames: usize,
    under_way: Option<Delivering>,
}

impl Connection {
    fn new(shared: Shared, peer: IpAddr) -> Self {
        let origin = shared.sources.resolve(Transport::Tcp, peer, None);
        let framer = Framer::new(shared.options.frame_bytes_max);
        Self {
            shared,
            origin,
            framer,
            frames: Vec::new(),
            gathered: Vec::new(),
            gathered_bytes: 0,
            gathered_frames: 0,
            under_way: None,
        }
    }

    async fn serve(mut self, stream: TcpStream, mut stopping: Stopping) {
        let mut buffer = vec![0; READ_BYTES];
        let stream = self
            .read_until_end(stream, &mut buffer, &mut stopping)
            .await;
        if let Some(stream) = stream {
            self.drain(stream, &mut buffer);
        }
        self.framer.finish(&mut self.frames);
        self.batch_frames();
        finished(&mut self.under_way).await;
        self.under_way = None;
        self.deliver(&stopping);
        finished(&mut self.under_way).await;
    }

    /// Gives the stream back where it ends because the source stops.
    async fn read_until_end(
        &mut self,
        mut stream: TcpStream,
        buffer: &mut [u8],
        stopping: &mut Stopping,
    ) -> Option<TcpStream> {
        let mut deadline = Some(Instant::now() + self.shared.options.first_byte_timeout);
        loop {
            let has_room = self.gathered_bytes < GATHERED_BYTES_MAX
                && self.gathered_frames < GATHERED_FRAMES_MAX;
            tokio::select! {
                biased;
                () = finished(&mut self.under_way), if self.under_way.is_some() => {
                    self.under_way = None;
                }
                () = stopped(stopping) => return Some(stream),
                read = stream.read(buffer), if has_room => match read {
                    Ok(0) => return None,
                    Ok(length) => {
                        self.gather(&buffer[..length]);
                        deadline = self.shared.options.idle_timeout.map(|t| Instant::now() + t);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "connection broke");
                        return None;
                    }
                },
                () = expired(deadline), if has_room => return None,
            }
            self.deliver(stopping);
        }
    }

    /// Reads what the kernel holds already; the sender believes it delivered.
    fn drain(&mut self, stream: TcpStream, buffer: &mut [u8]) {
        // Asked of the kernel, not of the reactor, which may not have heard of it yet.
        let Ok(mut stream) = stream.into_std() else {
            return;
        };
        let mut drained = 0;
        while drained < DRAIN_BYTES_MAX {
            match io::Read::read(&mut stream, buffer) {
                Ok(length @ 1..) => {
                    drained += length;
                    self.gather(&buffer[..length]);
                }
                Ok(0) | Err(_) => break,
            }
        }
    }

    fn gather(&mut self, bytes: &[u8]) {
        self.framer.push(bytes, &mut self.frames);
        self.batch_frames();
    }

    fn batch_frames(&mut self) {
        let counts = self.framer.take_counts();
        self.shared.metrics.framing(Transport::Tcp, counts);
        if self.frames.is_empty() {
            return;
        }
        self.gathered_frames += self.frames.len();
        self.gathered_bytes += self.frames.iter().map(Vec::len).sum::<usize>();
        let mut frames = self.frames.drain(..).map(ByteBuf::from).peekable();
        // What gathers behind one submission is taken in within moments: it shares a receipt time.
        if let Some(last) = self.gathered.last_mut() {
            let room = BATCH_FRAMES_MAX.saturating_sub(last.frames.len());
            last.frames.extend(frames.by_ref().take(room));
        }
        let received = self.shared.clock.now();
        while frames.peek().is_some() {
            let next = frames.by_ref().take(BATCH_FRAMES_MAX).collect();
            self.gathered.push(self.origin.batch(received, None, next));
        }
    }

    /// Hands over what has gathered, unless a submission is under way.
    fn deliver(&mut self, stopping: &Stopping) {
        if self.under_way.is_some() || self.gathered.is_empty() {
            return;
        }
        let batches = std::mem::take(&mut self.gathered);
        (self.gathered_bytes, self.gathered_frames) = (0, 0);
        let entries = batches.into_iter().map(Entry::Batch).collect();
        let intake = self.shared.intake.clone();
        let metrics = self.shared.metrics.clone();
        let delivering = deliver_until_taken(intake, entries, metrics, stopping.clone());
        self.under_way = Some(Box::pin(delivering));
    }
}

async fn finished(under_way: &mut Option<Delivering>) {
    if let Some(delivering) = under_way {
        delivering.await;
    }
}

async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Submits until the journal takes it, or until the source stops while the journal fails.
async fn deliver_until_taken(
    intake: Intake,
    mut entries: Vec<Entry>,
    metrics: IngestMetrics,
    mut stopping: Stopping,
) {
    let mut wait = RETRY_MIN;
    let mut owed = intake.owe(&entries);
    loop {
        let last_try = *stopping.borrow();
        let answer = match intake.enqueue_owed(entries, owed).await {
            Ok(pending) => pending.or_entries().await,
            Err(refused) => Err(refused),
        };
        let Err(Refused {
            error,
            entries: back,
            owed: still,
        }) = answer
        else {
            return;
        };
        (entries, owed) = (back, still);
        let reason = match error {
            SubmitError::Fault(_) if last_try => Dropped::JournalFault,
            SubmitError::Fault(_) | SubmitError::Busy => {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stopped(&mut stopping) => {}
                }
                wait = (wait * 2).min(RETRY_MAX);
                continue;
            }
            SubmitError::Stopped => Dropped::Stopping,
            // Never said of a batch that carries no delivery and was cut to size above.
            SubmitError::Gap { .. } | SubmitError::Conflict | SubmitError::Invalid(_) => {
                Dropped::JournalFault
            }
        };
        drop(owed.because(reason));
        tracing::warn!(%error, "events of a connection are lost");
        return count_dropped(&metrics, &entries, reason);
    }
}
