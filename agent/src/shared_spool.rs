//! The spool of a client, shared by the client and its connection.

use std::sync::Mutex;

use tokio::sync::{Notify, watch};

use crate::AgentError;
use crate::spool::Spool;

/// The delivery state that a client's callers wait for.
#[derive(Debug)]
pub(crate) struct Progress {
    /// All events before this sequence number are durable.
    pub acknowledged: u64,
    /// Why the client sends nothing more.
    pub final_error: Option<AgentError>,
}

/// A spool behind a lock, with its progress.
#[derive(Debug)]
pub(crate) struct SharedSpool {
    spool: Mutex<Spool>,
    pub progress: watch::Sender<Progress>,
    /// Notified when there may be something to send.
    pub wake: Notify,
}

impl SharedSpool {
    pub fn new(spool: Spool) -> Self {
        let (progress, _) = watch::channel(Progress {
            acknowledged: spool.oldest(),
            final_error: None,
        });
        Self {
            spool: Mutex::new(spool),
            progress,
            wake: Notify::new(),
        }
    }

    pub fn with_spool<T>(&self, act: impl FnOnce(&mut Spool) -> T) -> T {
        // A poisoned lock is harmless: no operation on the spool can panic half-way.
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
        self.set_acknowledged(acknowledged);
    }

    /// Continues on a new connection, on which Weir has all events before `next_sequence`.
    pub fn resume(&self, next_sequence: u64) -> Result<(), AgentError> {
        let acknowledged = self.with_spool(|spool| {
            spool.resume(next_sequence)?;
            Ok::<_, AgentError>(spool.oldest())
        })?;
        self.set_acknowledged(acknowledged);
        Ok(())
    }

    fn set_acknowledged(&self, acknowledged: u64) {
        self.progress.send_if_modified(|progress| {
            let moved = progress.acknowledged != acknowledged;
            progress.acknowledged = acknowledged;
            moved
        });
        self.wake.notify_one();
    }

    /// Ends the client with an error.
    pub fn fail(&self, error: AgentError) {
        self.progress
            .send_modify(|progress| progress.final_error = Some(error));
    }
}
