//! Adapters: each implements a port of one crate with another crate, and does nothing more.

pub mod journal;
pub mod manage;
pub mod rules;
pub mod what_ifs;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use weir_dataflow::{KeptIds, PortFault};
use weir_ingest::{Intake, ReceiveClock, SubmitError};
use weir_schema::outbox::OutboxRows;
use weir_schema::{
    AlertId, AlertRecord, Batch, Change, ClockRepairs, Commit, Epoch, READING_NUMBER,
};
use weir_store::LedgerError;
use weir_store::ledger::{Ledger, LedgerReading};
use weir_web::ports::{
    AlertExplanation, AlertPage, AlertQuery, Alerts, Cursor, EventIntake, IntakeError,
    IntakeReceipt, OutboxSignal, PortError, StandingFilter,
};

pub use journal::{FollowEpochs, FollowFrames, ReadEpochs, ReadFrames, Repaired, WriteJournal};

use crate::config::Config;
use crate::server::explain::Explainer;
use crate::text::with_causes;

/// A commit that failed is repeated, unless the ledger has closed itself: it would refuse all later
/// ones, and no alert would be raised.
fn fault(error: &LedgerError) -> PortFault {
    let message = with_causes(error);
    match error {
        LedgerError::Stopped => PortFault::needs_restart(message),
        _ => PortFault::transient(message), // Full disks, and errors of single calls.
    }
}

/// Records read from the ledger at a time when its reading changes.
const RECORDS_READ: usize = 512;

/// Commits to the ledger for the graph.
pub struct WriteLedger(pub Arc<Ledger>);

impl weir_dataflow::AlertLedger for WriteLedger {
    fn applied(&self) -> Epoch {
        self.0.applied()
    }

    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
        self.0.record(alert).map_err(|error| fault(&error))
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), PortFault> {
        self.0.commit(commit).map_err(|error| fault(&error))
    }

    fn has_other_reading(&self) -> bool {
        self.0.reading().number != READING_NUMBER
    }

    fn records(&self, after: Option<AlertId>) -> Result<Vec<AlertRecord>, PortFault> {
        let page = self.0.records(after, RECORDS_READ);
        page.map_err(|error| fault(&error))
    }

    fn kept_ids(&self) -> Result<KeptIds, PortFault> {
        let ids = self.0.kept_ids();
        ids.map(KeptIds::new).map_err(|error| fault(&error))
    }

    fn change_reading(&mut self, commit: &Commit, kept: &KeptIds) -> Result<(), PortFault> {
        let changed = self.0.change_reading(READING_NUMBER, commit, kept.ids());
        changed.map_err(|error| fault(&error))
    }
}

/// Commits to the ledger for a graph that reads the journal under its clock repairs.
pub struct WriteRepairedLedger {
    pub ledger: WriteLedger,
    pub repairs: ClockRepairs,
}

impl weir_dataflow::AlertLedger for WriteRepairedLedger {
    fn applied(&self) -> Epoch {
        self.ledger.applied()
    }

    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
        self.ledger.record(alert)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), PortFault> {
        self.ledger.commit(commit)
    }

    fn has_other_reading(&self) -> bool {
        self.ledger.has_other_reading()
    }

    fn repair_epoch(&self) -> Option<Epoch> {
        let (epoch, repair) = self.repairs.all().last()?;
        let followed = self.ledger.0.reading().repairs;
        (followed < repair.number).then_some(*epoch)
    }

    fn records(&self, after: Option<AlertId>) -> Result<Vec<AlertRecord>, PortFault> {
        self.ledger.records(after)
    }

    fn kept_ids(&self) -> Result<KeptIds, PortFault> {
        self.ledger.kept_ids()
    }

    fn change_reading(&mut self, commit: &Commit, kept: &KeptIds) -> Result<(), PortFault> {
        let ledger = &self.ledger.0;
        let before = ledger.reading();
        let upgrade = (before.number != READING_NUMBER).then_some(commit.epoch);
        let reading = LedgerReading {
            number: READING_NUMBER,
            changed_at: upgrade.or(before.changed_at),
            repairs: self.repairs.len(),
        };
        let changed = ledger.replace_rows(commit, reading, kept.ids());
        changed.map_err(|error| fault(&error))
    }
}

/// Reads alerts from the ledger for the API.
pub struct ReadAlerts {
    pub ledger: Arc<Ledger>,
    pub explainer: Arc<Explainer>,
}

/// Records read from the ledger at a time by a filtered listing.
const LIST_STEP: usize = 512;

/// Most records that one listing examines; then it returns a partial page and a cursor.
const LIST_EXAMINED_MAX: usize = 50_000;

fn failed(error: &dyn std::error::Error) -> PortError {
    PortError::Failed(with_causes(error))
}

impl Alerts for ReadAlerts {
    fn list(&self, query: &AlertQuery) -> Result<AlertPage, PortError> {
        let mut items = Vec::new();
        let mut after = query.after;
        for _ in 0..LIST_EXAMINED_MAX / LIST_STEP {
            let step = self.ledger.records(after, LIST_STEP);
            let step = step.map_err(|error| failed(&error))?;
            let end = step.len() < LIST_STEP;
            for record in step {
                after = Some(record.alert);
                if matches(query, &record) {
                    items.push(record);
                    if items.len() == query.limit {
                        return Ok(AlertPage { items, next: after });
                    }
                }
            }
            if end {
                after = None;
                break;
            }
        }
        Ok(AlertPage { items, next: after })
    }

    fn get(&self, id: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError> {
        let record = self.ledger.record(id).map_err(|error| failed(&error))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let history = self.ledger.history(id).map_err(|error| failed(&error))?;
        Ok(Some((record, history)))
    }

    fn explain(&self, id: AlertId) -> Result<Option<AlertExplanation>, PortError> {
        let record = self.ledger.record(id).map_err(|error| failed(&error))?;
        let explained = record.map(|record| self.explainer.explain(record));
        explained
            .transpose()
            .map_err(|fault| PortError::Unavailable(fault.message))
    }

    fn previous(&self, id: AlertId, revision: u64) -> Result<Option<Change>, PortError> {
        let previous = self.ledger.previous_revision(id, revision);
        previous.map_err(|error| failed(&error))
    }

    fn outbox(&self, after: Cursor, limit: usize) -> Result<OutboxRows, PortError> {
        let rows = self.ledger.outbox_rows(after, limit);
        rows.map_err(|error| failed(&error))
    }

    fn latest(&self) -> Result<Cursor, PortError> {
        let newest = self
            .ledger
            .newest_changes(1)
            .map_err(|error| failed(&error))?;
        Ok(newest.first().map_or(Cursor::START, Cursor::of))
    }
}

fn matches(query: &AlertQuery, record: &AlertRecord) -> bool {
    let standing = match query.standing {
        StandingFilter::Standing => record.standing,
        StandingFilter::Retracted => !record.standing,
        StandingFilter::All => true,
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

/// Wakes streams and sinks after a commit with changes.
pub struct CommitSignal(pub Arc<watch::Sender<u64>>);

impl OutboxSignal for CommitSignal {
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Submits events over HTTP to the intake.
pub struct HttpIntake {
    pub intake: Intake,
    /// Gives the batches their receive time.
    pub clock: Arc<dyn ReceiveClock>,
    /// Provides tenant, zone and log source of each source.
    pub config: Config,
}

impl EventIntake for HttpIntake {
    fn submit(&self, mut batches: Vec<Batch>) -> BoxFuture<'_, Result<IntakeReceipt, IntakeError>> {
        let received = self.clock.now();
        for batch in &mut batches {
            batch.received = received;
            if let Some(source) = self.config.http_source(&batch.source) {
                batch.tenant.clone_from(&source.tenant);
                batch.zone.clone_from(&source.zone);
                batch.logsource.clone_from(&source.logsource);
            }
        }
        async move {
            let accepted = self.intake.submit(batches).await.map_err(intake_error)?;
            Ok(IntakeReceipt {
                repeated: accepted.events == 0 && accepted.duplicates > 0,
            })
        }
        .boxed()
    }
}

/// When a sender should retry after the intake was full.
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
