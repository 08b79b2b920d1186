//! The client: numbers events, spools them until they are acknowledged, and reconnects.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::AgentError;
use crate::connection::AgentConnection;
use crate::shared_spool::{Progress, SharedSpool};
use crate::spool::{Spool, SpoolLimits, SpoolPush};
use crate::target::{AgentIdentity, Target};
use crate::tls::AgentTls;

/// Limits and timeouts of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentOptions {
    /// Number of the first pushed event; `None` to continue where Weir's copy of the spool ends.
    pub first_sequence: Option<u64>,
    /// Most unacknowledged events in the spool; [`AgentClient::push`] waits at the limit.
    pub spool_events_max: usize,
    /// Most bytes of these events.
    pub spool_bytes_max: usize,
    /// Most events of a batch.
    pub batch_events_max: usize,
    /// Most events that are sent but not acknowledged. The server compares repeats with them.
    pub in_flight_events_max: u64,
    /// First pause before a new connection. It doubles with each attempt; a random part of up to
    /// half is subtracted.
    pub backoff_min: Duration,
    /// Longest pause before a new connection.
    pub backoff_max: Duration,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            first_sequence: None,
            spool_events_max: 65_536,
            spool_bytes_max: 32 << 20,
            batch_events_max: 1_000,
            in_flight_events_max: 8_000,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
        }
    }
}

/// Sends the events of one spool, in order, without loss or duplicates while it lives.
#[derive(Debug)]
pub struct AgentClient {
    shared: Arc<SharedSpool>,
    worker: JoinHandle<()>,
}

impl AgentClient {
    /// Connects to `address` (`host:port`) with default options. Needs a tokio runtime.
    pub async fn connect(address: &str, identity: AgentIdentity) -> Result<Self, AgentError> {
        Self::connect_with(address, identity, AgentOptions::default()).await
    }

    /// Connects. A failure of the first connection is an error; later ones are retried forever.
    pub async fn connect_with(
        address: &str,
        identity: AgentIdentity,
        options: AgentOptions,
    ) -> Result<Self, AgentError> {
        Self::open(address, identity, options, None).await
    }

    /// As [`Self::connect_with`], over TLS.
    pub async fn connect_tls(
        address: &str,
        identity: AgentIdentity,
        options: AgentOptions,
        tls: AgentTls,
    ) -> Result<Self, AgentError> {
        Self::open(address, identity, options, Some(tls)).await
    }

    async fn open(
        address: &str,
        identity: AgentIdentity,
        options: AgentOptions,
        tls: Option<AgentTls>,
    ) -> Result<Self, AgentError> {
        let target = Target {
            address: address.to_owned(),
            identity,
            tls,
        };
        let connection = AgentConnection::open(&target).await?;
        let first = options.first_sequence.unwrap_or(connection.next_sequence);
        let limits = SpoolLimits {
            events_max: options.spool_events_max.max(1),
            bytes_max: options.spool_bytes_max,
            batch_events_max: options.batch_events_max,
            in_flight_events_max: options.in_flight_events_max.max(1),
        };
        let shared = Arc::new(SharedSpool::new(Spool::new(first, limits)));
        shared.resume(connection.next_sequence)?;
        let worker = tokio::spawn(run(Arc::clone(&shared), connection, target, options));
        Ok(Self { shared, worker })
    }

    /// Adds an encoded event ([`crate::encode_event`]) and returns its sequence number.
    ///
    /// Waits while the spool is full. If the future is dropped while it waits, the event is not
    /// added.
    pub async fn push(&self, mut event: Vec<u8>) -> Result<u64, AgentError> {
        let mut progress = self.shared.progress.subscribe();
        loop {
            if let Some(error) = &progress.borrow_and_update().final_error {
                return Err(error.clone());
            }
            match self.shared.with_spool(|spool| spool.push(event))? {
                SpoolPush::Added { sequence } => {
                    self.shared.wake.notify_one();
                    return Ok(sequence);
                }
                SpoolPush::Full { event: returned } => event = returned,
            }
            // Cannot fail: the sender is in `self.shared`.
            let _ = progress.changed().await;
        }
    }

    /// Waits until all pushed events are durable, even if Weir is unreachable for long.
    ///
    /// An error means that they never will be.
    pub async fn flush(&self) -> Result<(), AgentError> {
        let end = self.shared.with_spool(|spool| spool.end());
        let mut progress = self.shared.progress.subscribe();
        let done =
            |progress: &Progress| progress.acknowledged >= end || progress.final_error.is_some();
        match progress.wait_for(done).await {
            Ok(progress) if progress.acknowledged >= end => Ok(()),
            Ok(progress) => Err(progress.final_error.clone().unwrap_or(AgentError::Protocol)),
            // Cannot happen: the sender is in `self.shared`.
            Err(_) => Ok(()),
        }
    }

    /// All events before this number are durable; the caller may discard them.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.progress.borrow().acknowledged
    }

    /// The number of the next pushed event.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.shared.with_spool(|spool| spool.end())
    }

    /// Flushes, and closes the connection.
    pub async fn close(self) -> Result<(), AgentError> {
        self.flush().await
    }
}

impl Drop for AgentClient {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// Sends and reconnects until an error is final.
async fn run(
    shared: Arc<SharedSpool>,
    connection: AgentConnection,
    target: Target,
    options: AgentOptions,
) {
    let mut connection = Ok(connection);
    let mut backoff = options.backoff_min;
    loop {
        let error = match connection {
            Ok(connection) => {
                let acknowledged = shared.progress.borrow().acknowledged;
                let error = connection.run(&shared).await;
                if shared.progress.borrow().acknowledged != acknowledged {
                    backoff = options.backoff_min;
                }
                error
            }
            Err(error) => error,
        };
        if error.is_final() {
            tracing::error!(%error, "the agent stops");
            return shared.fail(error);
        }
        tracing::warn!(%error, "the agent reconnects");
        tokio::time::sleep(backoff.mul_f64(random_factor())).await;
        backoff = (backoff * 2).min(options.backoff_max);
        connection = match AgentConnection::open(&target).await {
            Ok(connection) => shared.resume(connection.next_sequence).map(|()| connection),
            Err(error) => Err(error),
        };
    }
}

/// A factor between a half and one. It spreads agents that lost their connections together.
fn random_factor() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    0.5 + (random >> 12) as f64 / (1_u64 << 53) as f64
}
