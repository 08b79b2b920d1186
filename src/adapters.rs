//! Joins ports to what implements them: the store to ingest, graph and web, and nothing more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use weir_dataflow::{EpochSource, Frames, PortFault, Status};
use weir_ingest::{FaultKind, Intake, JournalFault, JournalPort, SubmitError};
use weir_schema::said::OutboxRows;
use weir_schema::{
    AlertId, AlertRecord, Batch, BatchSeq, Change, Commit, Entry, Epoch, SealedEpoch,
};
use weir_store::journal::{EpochCursor, JournalError, JournalReader, JournalWriter};
use weir_store::ledger::Ledger;
use weir_web::ports::{
    Accepted, AlertQuery, Alerts, Cursor, EventIntake, Explanation, Feed, Health, IntakeError,
    Page, PortError, Standing,
};

use crate::config::Config;
use crate::explain::Explainer;

/// The journal, written by ingest.
pub struct WriteJournal(pub JournalWriter);

impl JournalPort for WriteJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFault> {
        let appended = match entry {
            // The journal gives the number: other processes may have come further meanwhile.
            Entry::Seal { .. } => self.0.seal().map(drop),
            Entry::Batch(_) | Entry::Control(_) => self.0.append(entry).map(drop),
        };
        appended.map_err(|error| {
            self.0.discard_pending();
            journal_fault(&error)
        })
    }

    fn sync(&mut self) -> Result<(), JournalFault> {
        self.0.sync().map_err(|error| {
            self.0.discard_pending();
            journal_fault(&error)
        })
    }

    fn next_epoch(&self) -> Epoch {
        self.0.next_epoch()
    }
}

fn journal_fault(error: &JournalError) -> JournalFault {
    let kind = match error {
        JournalError::DiskFull { .. } => FaultKind::Full,
        JournalError::ReadOnly { .. } => FaultKind::ReadOnly,
        // All others are told by their message.
        _ => FaultKind::Io,
    };
    JournalFault {
        kind,
        message: whole(error),
    }
}

/// An error with all its causes, in one line.
pub fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn fault(error: &dyn std::error::Error) -> PortFault {
    PortFault {
        message: whole(error),
    }
}

/// The journal, read by the graph.
pub struct ReadEpochs(pub EpochCursor);

impl EpochSource for ReadEpochs {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        self.0.next(wait).map_err(|error| fault(&error))
    }
}

/// The journal's frames, by their place.
pub struct ReadFrames(pub JournalReader);

impl Frames for ReadFrames {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        self.0.batch(seq).map_err(|error| fault(&error))
    }
}

/// The ledger, written by the graph.
pub struct WriteLedger(pub Arc<Ledger>);

impl weir_dataflow::Ledger for WriteLedger {
    fn applied(&self) -> Epoch {
        self.0.applied()
    }

    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
        self.0.record(alert).map_err(|error| fault(&error))
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), PortFault> {
        self.0.commit(commit).map_err(|error| fault(&error))
    }
}

/// The ledger, read by the web.
pub struct ReadAlerts {
    pub ledger: Arc<Ledger>,
    pub explainer: Arc<Explainer>,
}

/// Records read from the ledger at a time while a listing looks for those that its query wants.
const LIST_STEP: usize = 512;

/// Records that one listing looks at; then it answers with what it has and where to go on.
const LIST_LOOKED_MAX: usize = 50_000;

fn failed(error: &dyn std::error::Error) -> PortError {
    PortError::Failed(whole(error))
}

impl Alerts for ReadAlerts {
    fn list(&self, query: &AlertQuery) -> Result<Page<AlertRecord>, PortError> {
        let mut items = Vec::new();
        let mut after = query.after;
        for _ in 0..LIST_LOOKED_MAX / LIST_STEP {
            let step = self.ledger.records(after, LIST_STEP);
            let step = step.map_err(|error| failed(&error))?;
            let end = step.len() < LIST_STEP;
            for record in step {
                after = Some(record.alert);
                if wanted(query, &record) {
                    items.push(record);
                    if items.len() == query.limit {
                        return Ok(Page { items, next: after });
                    }
                }
            }
            if end {
                after = None;
                break;
            }
        }
        Ok(Page { items, next: after })
    }

    fn get(&self, id: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError> {
        let record = self.ledger.record(id).map_err(|error| failed(&error))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let history = self.ledger.history(id).map_err(|error| failed(&error))?;
        Ok(Some((record, history)))
    }

    fn explain(&self, id: AlertId) -> Result<Option<Explanation>, PortError> {
        let record = self.ledger.record(id).map_err(|error| failed(&error))?;
        Ok(record.map(|record| self.explainer.explain(record)))
    }

    fn previous(&self, id: AlertId, revision: u64) -> Result<Option<Change>, PortError> {
        let previous = self.ledger.previous(id, revision);
        previous.map_err(|error| failed(&error))
    }

    fn outbox(&self, after: Cursor, limit: usize) -> Result<OutboxRows, PortError> {
        let rows = self.ledger.outbox_rows((after.epoch, after.ordinal), limit);
        rows.map_err(|error| failed(&error))
    }

    fn latest(&self) -> Result<Cursor, PortError> {
        let newest = self.ledger.newest(1).map_err(|error| failed(&error))?;
        Ok(newest.first().map_or(Cursor::START, Cursor::of))
    }
}

fn wanted(query: &AlertQuery, record: &AlertRecord) -> bool {
    let standing = match query.standing {
        Standing::Standing => record.standing,
        Standing::Retracted => !record.standing,
        Standing::All => true,
    };
    let group = query.group.iter().all(|(name, value)| {
        let is = |field: &weir_schema::GroupField| field.name == *name && field.value == *value;
        record.group.iter().any(is)
    });
    standing
        && group
        && query.level_min.is_none_or(|level| record.level >= level)
        && query
            .rule
            .as_deref()
            .is_none_or(|rule| *record.rule == *rule)
        && query
            .tenant
            .as_deref()
            .is_none_or(|tenant| record.tenant == tenant)
}

/// Wakes the streams when an epoch has brought changes.
pub struct Bell(pub Arc<watch::Sender<u64>>);

impl Feed for Bell {
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// The way into the journal for events over HTTP.
pub struct HttpIntake {
    pub intake: Intake,
    /// For what it says of sources.
    pub config: Config,
}

impl EventIntake for HttpIntake {
    fn submit(&self, mut batches: Vec<Batch>) -> BoxFuture<'_, Result<Accepted, IntakeError>> {
        for batch in &mut batches {
            if let Some(source) = self.config.http_source(&batch.source) {
                batch.tenant.clone_from(&source.tenant);
                batch.zone.clone_from(&source.zone);
                batch.logsource.clone_from(&source.logsource);
            }
        }
        async move {
            let accepted = self.intake.submit(batches).await.map_err(intake_error)?;
            Ok(Accepted {
                repeated: accepted.events == 0 && accepted.duplicates > 0,
            })
        }
        .boxed()
    }
}

/// After how long a sender should try again when too much waits.
const BUSY_RETRY: Duration = Duration::from_secs(1);

fn intake_error(error: SubmitError) -> IntakeError {
    match error {
        SubmitError::Busy => IntakeError::Busy {
            retry_after: BUSY_RETRY,
        },
        SubmitError::Conflict => IntakeError::Conflict,
        other => IntakeError::Unavailable {
            reason: other.to_string(),
        },
    }
}

/// Ready once the graph has caught up with what was in the journal at start, and while it runs.
pub struct Readiness {
    pub status: Arc<Status>,
    pub caught_up_at: Epoch,
}

impl Health for Readiness {
    fn ready(&self) -> Result<(), String> {
        if self.status.failed() {
            return Err("the graph has stopped; see the log".to_owned());
        }
        if self.status.held_up() {
            return Err("the ledger takes nothing; see the log".to_owned());
        }
        let (done, wanted) = (self.status.epoch().0, self.caught_up_at.0);
        if done < wanted {
            return Err(format!("replaying the journal: epoch {done} of {wanted}"));
        }
        Ok(())
    }
}
