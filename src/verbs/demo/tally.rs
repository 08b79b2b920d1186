//! Follows the journal, and counts by transport what it holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use weir_schema::{Epoch, Transport};
use weir_store::journal::JournalReader;

/// Lines by transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub udp: u64,
    pub tcp: u64,
    pub agent: u64,
}

impl Counts {
    pub const fn all(&self) -> u64 {
        self.udp + self.tcp + self.agent
    }

    fn reaches(&self, other: &Self) -> bool {
        self.udp >= other.udp && self.tcp >= other.tcp && self.agent >= other.agent
    }
}

/// How long the follower waits for an epoch before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(50);

/// A running count of what is in sealed epochs of the journal.
pub struct Tally {
    counts: watch::Receiver<Counts>,
    stop: Arc<AtomicBool>,
}

impl Tally {
    pub fn start(journal: &JournalReader) -> std::io::Result<Self> {
        let (out, counts) = watch::channel(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut cursor = journal.cursor(Epoch(1));
        let follow = move || {
            while !stopped.load(Ordering::Relaxed) {
                match cursor.next(WAIT) {
                    Ok(None) => {}
                    Ok(Some(epoch)) => out.send_modify(|counts| {
                        for (_, batch) in &epoch.batches {
                            let frames = batch.frames.len() as u64;
                            match batch.transport {
                                Transport::Udp => counts.udp += frames,
                                Transport::Tcp => counts.tcp += frames,
                                Transport::Agent => counts.agent += frames,
                                // The scenario sends nothing over these.
                                Transport::Http
                                | Transport::File
                                | Transport::Tls
                                | Transport::Relp => {}
                            }
                        }
                    }),
                    Err(error) => {
                        tracing::error!(%error, "the journal cannot be followed");
                        return;
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("weir-tally".to_owned())
            .spawn(follow)?;
        Ok(Self { counts, stop })
    }

    pub fn now(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until `enough` is in the journal; false where `wait` passes first.
    pub async fn reach(&mut self, enough: &Counts, wait: Duration) -> bool {
        let there = self.counts.wait_for(|counts| counts.reaches(enough));
        matches!(tokio::time::timeout(wait, there).await, Ok(Ok(_)))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
