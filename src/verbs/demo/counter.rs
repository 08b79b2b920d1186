//! Counts the lines in the journal by transport, while the scenario is played.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use weir_schema::{Epoch, Transport};
use weir_store::journal::JournalReader;

/// Number of lines by transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineCounts {
    pub udp: u64,
    pub tcp: u64,
    pub agent: u64,
}

impl LineCounts {
    /// The number over all transports.
    pub const fn all(&self) -> u64 {
        self.udp + self.tcp + self.agent
    }

    fn reaches(&self, other: &Self) -> bool {
        self.udp >= other.udp && self.tcp >= other.tcp && self.agent >= other.agent
    }
}

/// Longest wait for an epoch, after which the thread checks whether to stop.
const EPOCH_WAIT: Duration = Duration::from_millis(50);

/// Counts the lines in sealed epochs of the journal, on a thread of its own.
pub struct JournalCounter {
    counts: watch::Receiver<LineCounts>,
    stop: Arc<AtomicBool>,
}

impl JournalCounter {
    /// Starts the thread.
    pub fn start(journal: &JournalReader) -> std::io::Result<Self> {
        let (out, counts) = watch::channel(LineCounts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut cursor = journal.cursor(Epoch(1));
        let follow = move || {
            while !stopped.load(Ordering::Relaxed) {
                match cursor.next(EPOCH_WAIT) {
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

    /// The counts so far.
    pub fn now(&self) -> LineCounts {
        *self.counts.borrow()
    }

    /// Waits at most `wait` until `enough` lines are in the journal; false if they are not by then.
    pub async fn reach(&mut self, enough: &LineCounts, wait: Duration) -> bool {
        let reached = self.counts.wait_for(|counts| counts.reaches(enough));
        matches!(tokio::time::timeout(wait, reached).await, Ok(Ok(_)))
    }
}

impl Drop for JournalCounter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
