//! The health of a running server: which part has ended, and what keeps failing.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use weir_dataflow::{Outage, PortCall, Status};
use weir_schema::Epoch;
use weir_store::journal::JournalReader;
use weir_web::ports::Health;

/// Failures that last longer make the server not ready. Shorter ones are retried without notice.
const OUTAGE_MAX: Duration = Duration::from_secs(30);

/// Pause between two checks whether a part has ended.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Records whether the journal writer can write. The writer sets it and health checks read it.
#[derive(Debug, Default)]
pub struct JournalWrites {
    /// The first and the last failure since the last success.
    outage: Mutex<Option<WriteOutage>>,
    /// Why the writer has ended for good.
    end: OnceLock<String>,
}

#[derive(Clone, Debug)]
struct WriteOutage {
    since: Instant,
    message: String,
}

impl JournalWrites {
    /// Records a sync that succeeded.
    pub fn succeeded(&self) {
        *self.lock() = None;
    }

    /// Records a sync that failed at `now` and will be repeated.
    pub fn failed(&self, message: String, now: Instant) {
        let mut outage = self.lock();
        let since = outage.as_ref().map_or(now, |outage| outage.since);
        *outage = Some(WriteOutage { since, message });
    }

    /// Records that the writer must not write again.
    pub fn end(&self, why: String) {
        let _ = self.end.set(why);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<WriteOutage>> {
        // The value is replaced whole, so a panic elsewhere leaves nothing half-done.
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges the parts of a running server.
#[derive(Clone)]
pub struct ServerHealth {
    pub status: Arc<Status>,
    pub journal: JournalReader,
    pub writes: Arc<JournalWrites>,
    /// The epoch that begins this run.
    pub caught_up_at: Epoch,
}

impl ServerHealth {
    /// Why a part without which the server is of no use has ended; `None` while all run.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let writer = || self.writes.end.get().cloned();
        let closed = || {
            let closed = self.journal.is_closed();
            closed.then(|| "the journal writer has ended; see the log".to_owned())
        };
        self.status.failure().or_else(writer).or_else(closed)
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

    fn ready_at(&self, now: Instant) -> Result<(), String> {
        if let Some(why) = self.ended() {
            return Err(why);
        }
        let lasts = |since: Instant| now.saturating_duration_since(since) >= OUTAGE_MAX;
        let writes = self.writes.lock().clone();
        if let Some(outage) = writes.filter(|outage| lasts(outage.since)) {
            return Err(format!("the journal takes nothing: {}", outage.message));
        }
        if let Some(outage) = self.status.outage().filter(|outage| lasts(outage.since)) {
            return Err(outage_reason(&outage));
        }
        let (done, wanted) = (self.status.epoch().0, self.caught_up_at.0);
        if done < wanted {
            return Err(format!("replaying the journal: epoch {done} of {wanted}"));
        }
        Ok(())
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
        self.ended().map_or(Ok(()), Err)
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
        health.writes.succeeded();
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
