//! The health of a running server: which part has ended or stalled, and what keeps failing.
//!
//! ```text
//!  steps of the journal writer ──┐                  ┌─► /healthz, service manager, exit 75
//!  steps of the graph's threads ─┼─► watch, 1 s ────┼─► /readyz
//!  turns of the sinks ───────────┤   (a thread)     ├─► conditions: alerts about Weir itself
//!  ages of unjudged epochs ──────┘                  └─► metrics, log
//! ```

mod writes;
pub use writes::{EarlierEpochs, JournalWrites, SyncedEpochs};

mod stalls;

mod lateness;

mod health_metrics;

mod watch;
pub use watch::{Watch, WatchState, WatchedParts};

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_dataflow::{Outage, PortCall, Status};
use weir_schema::Epoch;
use weir_store::journal::JournalReader;
use weir_web::ports::Health;

/// Failures that last longer make the server not ready. Shorter ones are retried without notice.
const OUTAGE_MAX: Duration = Duration::from_secs(30);

/// Pause between two checks whether a part has ended.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Judges the parts of a running server.
#[derive(Clone)]
pub struct ServerHealth {
    pub status: Arc<Status>,
    pub journal: JournalReader,
    pub writes: Arc<JournalWrites>,
    /// The last look of the watch.
    pub watch: Arc<WatchState>,
    /// The last epoch that the ledger had at the start: its results need not wait for the replay.
    pub judged_before: Epoch,
    /// The epoch that begins this run.
    pub caught_up_at: Epoch,
}

impl ServerHealth {
    /// Why a part without which the server is of no use has ended; `None` while all run.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let writer = || self.writes.ended();
        let closed = || {
            let closed = self.journal.is_closed();
            closed.then(|| "the journal writer has ended; see the log".to_owned())
        };
        let ended = self.status.failure().or_else(writer).or_else(closed);
        ended.or_else(|| self.watch.end())
    }

    /// Resolves with the reason once a part has ended.
    pub async fn end(&self) -> String {
        loop {
            if let Some(why) = self.ended() {
                return why;
            }
            actix_rt::time::sleep(CHECK_EVERY).await;
        }
    }

    /// Why the server must be restarted, or will be if it does not recover.
    fn live_at(&self, now: Instant) -> Result<(), String> {
        let unwell = self.ended().or_else(|| self.watch.stall(now));
        unwell.map_or(Ok(()), Err)
    }

    /// All reasons why the server is not ready.
    fn ready_at(&self, now: Instant) -> Result<(), String> {
        self.live_at(now)?;
        let lasts = |since: Instant| now.saturating_duration_since(since) >= OUTAGE_MAX;
        let mut reasons = Vec::new();
        if let Some(outage) = self.writes.outage().filter(|outage| lasts(outage.since)) {
            reasons.push(format!("the journal takes nothing: {}", outage.message));
        }
        if let Some(outage) = self.status.outage().filter(|outage| lasts(outage.since)) {
            reasons.push(outage_reason(&outage));
        }
        let (done, wanted) = (self.status.epoch().0, self.caught_up_at.0);
        if done < wanted {
            reasons.push(format!("replaying the journal: epoch {done} of {wanted}"));
        }
        reasons.extend(self.watch.unready());
        if reasons.is_empty() {
            return Ok(());
        }
        Err(reasons.join("; "))
    }
}

fn outage_reason(outage: &Outage) -> String {
    let what = match outage.call {
        PortCall::ReadEpoch | PortCall::ReadEvidence => "the journal cannot be read",
        PortCall::WriteLedger => "the ledger takes nothing",
    };
    format!("{what}: {}", outage.message)
}

impl Health for ServerHealth {
    fn live(&self) -> Result<(), String> {
        self.live_at(Instant::now())
    }

    fn ready(&self) -> Result<(), String> {
        self.ready_at(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use weir_store::journal::{Journal, JournalOptions, JournalWriter};

    use super::*;

    fn health() -> (ServerHealth, JournalWriter, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let opened = Journal::open(folder.path(), JournalOptions::default());
        let (writer, _) = opened.expect("a journal opens");
        let health = ServerHealth {
            status: Arc::default(),
            journal: writer.reader(),
            writes: Arc::default(),
            watch: Arc::default(),
            judged_before: Epoch(0),
            caught_up_at: Epoch(0),
        };
        (health, writer, folder)
    }

    #[test]
    fn failing_writes_end_readiness_after_thirty_seconds_until_one_succeeds() {
        let (health, _writer, _folder) = health();
        let start = Instant::now();
        let ready = |seconds| health.ready_at(start + Duration::from_secs(seconds));
        health.writes.failed("disk full".to_owned(), start);
        let later = start + Duration::from_secs(29);
        health.writes.failed("input/output error".to_owned(), later);
        assert_eq!(ready(29), Ok(()));
        let expected = "the journal takes nothing: input/output error";
        assert_eq!(ready(30), Err(expected.to_owned()));
        assert_eq!(health.live(), Ok(()));
        health.writes.succeeded(&mut SyncedEpochs::default());
        assert_eq!(ready(60), Ok(()));
    }

    #[test]
    fn an_ended_writer_ends_the_server_with_its_reason() {
        let (health, writer, _folder) = health();
        assert_eq!((health.live(), health.ready()), (Ok(()), Ok(())));
        drop(writer);
        let closed = health.live().expect_err("the writer is gone");
        assert!(closed.contains("the journal writer has ended"), "{closed}");
        health.writes.end("the lock was removed".to_owned());
        assert_eq!(health.ended().as_deref(), Some("the lock was removed"));
        assert!(health.ready().is_err());
    }
}
