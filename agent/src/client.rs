//! The client: numbers events, keeps them until they are acknowledged, and reconnects.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::AgentError;
use crate::connection::Connection;
use crate::spool::{Limits, Spool};
use crate::tls::AgentTls;

/// Who sends. The token is a secret: it is not printed.
#[derive(Clone)]
pub struct AgentIdentity {
    /// 1 to 255 printable characters without space.
    pub agent: String,
    /// A new spool starts a new sequence, at 0.
    pub spool: u64,
    pub token: String,
}

impl std::fmt::Debug for AgentIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentIdentity({}, spool {})", self.agent, self.spool)
    }
}

/// Limits and waits of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentOptions {
    /// Number of the first event pushed; `None`: where Weir says that the spool ends.
    pub first_sequence: Option<u64>,
    /// Unacknowledged events kept; [`AgentClient::push`] waits at the limit.
    pub spool_events_max: usize,
    /// Their bytes.
    pub spool_bytes_max: usize,
    /// Events of a batch.
    pub batch_events_max: usize,
    /// Events sent and not acknowledged: what the server compares repeats with.
    pub in_flight_events_max: u64,
    /// First and longest wait before a new connection; it doubles, less a random part.
    pub backoff_min: Duration,
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

#[derive(Debug)]
struct Progress {
    acknowledged: u64,
    /// Why nothing more is sent.
    end: Option<AgentError>,
}

/// What the client and its connection share.
#[derive(Debug)]
pub(crate) struct Shared {
    spool: Mutex<Spool>,
    progress: watch::Sender<Progress>,
    /// There may be something to send.
    pub wake: Notify,
}

impl Shared {
    pub fn with_spool<T>(&self, act: impl FnOnce(&mut Spool) -> T) -> T {
        // Nothing that is done under the lock can panic half way.
        let mut spool = match self.spool.lock() {
            Ok(spool) => spool,
            Err(poisoned) => poisoned.into_inner(),
        };
        act(&mut spool)
    }

    pub fn acknowledge(&self, next_sequence: u64) {
        let acknowledged = self.with_spool(|spool| {
            spool.acknowledge(next_sequence);
            spool.oldest()
        });
        self.note(acknowledged);
    }

    fn resume(&self, next_sequence: u64) -> Result<(), AgentError> {
        let acknowledged = self.with_spool(|spool| {
            spool.resume(next_sequence)?;
            Ok::<_, AgentError>(spool.oldest())
        })?;
        self.note(acknowledged);
        Ok(())
    }

    fn note(&self, acknowledged: u64) {
        self.progress.send_if_modified(|progress| {
            let moved = progress.acknowledged != acknowledged;
            progress.acknowledged = acknowledged;
            moved
        });
        self.wake.notify_one();
    }

    fn end(&self, error: AgentError) {
        self.progress
            .send_modify(|progress| progress.end = Some(error));
    }
}

/// Sends events of one spool, in order, without loss or duplicate while it lives.
#[derive(Debug)]
pub struct AgentClient {
    shared: Arc<Shared>,
    worker: JoinHandle<()>,
}

impl AgentClient {
    /// Connects to `address` (`host:port`) with default options. Needs a tokio runtime.
    pub async fn connect(address: &str, identity: AgentIdentity) -> Result<Self, AgentError> {
        Self::connect_with(address, identity, AgentOptions::default()).await
    }

    /// Connects; a first connection that fails is an error, later ones are tried again and again.
    pub async fn connect_with(
        address: &str,
        identity: AgentIdentity,
        options: AgentOptions,
    ) -> Result<Self, AgentError> {
        Self::open(address, identity, options, None).await
    }

    /// As [`Self::connect_with`], within TLS.
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
        let connection = Connection::open(&target).await?;
        let first = options.first_sequence.unwrap_or(connection.next_sequence);
        let limits = Limits {
            events_max: options.spool_events_max.max(1),
            bytes_max: options.spool_bytes_max,
            batch_events_max: options.batch_events_max,
            in_flight_events_max: options.in_flight_events_max.max(1),
        };
        let (progress, _) = watch::channel(Progress {
            acknowledged: first,
            end: None,
        });
        let shared = Arc::new(Shared {
            spool: Mutex::new(Spool::new(first, limits)),
            progress,
            wake: Notify::new(),
        });
        shared.resume(connection.next_sequence)?;
        let worker = tokio::spawn(work(Arc::clone(&shared), connection, target, options));
        Ok(Self { shared, worker })
    }

    /// Takes a finished event ([`crate::encode_event`]) and tells its sequence number. Waits while
    /// the spool is full. Dropping the wait takes nothing.
    pub async fn push(&self, mut event: Vec<u8>) -> Result<u64, AgentError> {
        let mut progress = self.shared.progress.subscribe();
        loop {
            if let Some(error) = &progress.borrow_and_update().end {
                return Err(error.clone());
            }
            match self.shared.with_spool(|spool| spool.push(event))? {
                Ok(sequence) => {
                    self.shared.wake.notify_one();
                    return Ok(sequence);
                }
                Err(back) => event = back,
            }
            // The sender is in `self.shared`: it cannot be gone.
            let _ = progress.changed().await;
        }
    }

    /// Waits until all that was pushed is durable, however long Weir is away; `Err`: it never will
    /// be.
    pub async fn flush(&self) -> Result<(), AgentError> {
        let end = self.shared.with_spool(|spool| spool.end());
        let mut progress = self.shared.progress.subscribe();
        let done = |progress: &Progress| progress.acknowledged >= end || progress.end.is_some();
        match progress.wait_for(done).await {
            Ok(progress) if progress.acknowledged >= end => Ok(()),
            Ok(progress) => Err(progress.end.clone().unwrap_or(AgentError::Protocol)),
            // The sender is in `self.shared`: it cannot be gone.
            Err(_) => Ok(()),
        }
    }

    /// All events before it are durable; the caller may forget them.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.progress.borrow().acknowledged
    }

    /// The number of the next event that is pushed.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.shared.with_spool(|spool| spool.end())
    }

    /// Flushes, and ends the connection.
    pub async fn close(self) -> Result<(), AgentError> {
        self.flush().await
    }
}

impl Drop for AgentClient {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// To whom a client connects, and as whom.
pub(crate) struct Target {
    pub address: String,
    pub identity: AgentIdentity,
    pub tls: Option<AgentTls>,
}

async fn work(shared: Arc<Shared>, connection: Connection, target: Target, options: AgentOptions) {
    let mut opened = Ok(connection);
    let mut wait = options.backoff_min;
    loop {
        let error = match opened {
            Ok(connection) => {
                let before = shared.progress.borrow().acknowledged;
                let error = connection.run(&shared).await;
                if shared.progress.borrow().acknowledged != before {
                    wait = options.backoff_min;
                }
                error
            }
            Err(error) => error,
        };
        if error.is_final() {
            tracing::error!(%error, "the agent gives up");
            return shared.end(error);
        }
        tracing::warn!(%error, "the agent connects again");
        tokio::time::sleep(wait.mul_f64(random_part())).await;
        wait = (wait * 2).min(options.backoff_max);
        opened = match Connection::open(&target).await {
            Ok(connection) => match shared.resume(connection.next_sequence) {
                Ok(()) => Ok(connection),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
    }
}

/// Between a half and one, so that agents cut together do not come together.
fn random_part() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    0.5 + (random >> 12) as f64 / (1_u64 << 53) as f64
}
