//! Opens the journal of earlier runs, learns from it, and appends the entries that begin this run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use weir_dataflow::{ClusterMember, Status};
use weir_ingest::Deliveries;
use weir_manage::{RequestedRules, RuleFileDocument, RuleRegistry, log_outcome, settings};
use weir_schema::{
    AheadControls, ClockJump, ClockRepairs, Control, Entry, Epoch, EventTime, READING_NUMBER,
    ReceiveTime,
};
use weir_store::StoreMetrics;
use weir_store::journal::{Journal, JournalOptions, JournalWriter, OpenReport};

use crate::config::Config;
use crate::progress::ProgressReporter;
use crate::server::clock::JournaledClock;
use crate::server::conditions::JournaledConditions;
use crate::server::health::EarlierEpochs;
use crate::server::ledger::JournalBefore;
use crate::server::sinks::SinkPositions;

/// Pause between two reports of a replay's progress.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// A journal in which this run has begun, and what it holds.
pub struct OpenedJournal {
    pub writer: JournalWriter,
    pub registry: Arc<RuleRegistry>,
    pub deliveries: Deliveries,
    pub positions: SinkPositions,
    /// The conditions that stood when the run before ended.
    pub conditions: JournaledConditions,
    /// The epochs with events of earlier runs.
    pub epochs: EarlierEpochs,
    pub repairs: ClockRepairs,
    pub ahead: AheadControls,
    /// The jump of the clock that this start shows; it is journaled.
    pub jump_at_start: Option<ClockJump>,
    /// The journal as the run before left it.
    pub before: JournalBefore,
    /// The epoch that begins this run.
    pub begun: Epoch,
}

/// A journal of earlier runs, read to its end, in which this run has not begun.
pub struct JournalBeforeRun {
    writer: JournalWriter,
    report: OpenReport,
    registry: Arc<RuleRegistry>,
    deliveries: Deliveries,
    positions: SinkPositions,
    conditions: JournaledConditions,
    epochs: EarlierEpochs,
    clock: JournaledClock,
    ahead: AheadControls,
    reading: u32,
}

/// Opens the journal below `dir`, and begins a run of a server by itself.
pub fn open_journal(
    dir: &Path,
    config: &Config,
    rules: &[RuleFileDocument],
    metrics: &StoreMetrics,
    now: ReceiveTime,
) -> Result<OpenedJournal> {
    recover_journal(dir, config, metrics)?.begin(config, rules, None, now)
}

/// Opens the journal below `dir`, and reads it: rules, deliveries and positions of sinks.
pub fn recover_journal(
    dir: &Path,
    config: &Config,
    metrics: &StoreMetrics,
) -> Result<JournalBeforeRun> {
    let options = JournalOptions {
        segment_bytes: config.journal.segment_mib << 20,
        fsync: config.journal.fsync,
        metrics: Some(metrics.clone()),
        ..JournalOptions::default()
    };
    let (writer, report) = Journal::open(&dir.join("journal"), options)?;
    log_repairs(&report);
    let journal = writer.reader();
    let registry = Arc::new(RuleRegistry::default());
    let mut deliveries = Deliveries::new();
    let mut positions = SinkPositions::default();
    let mut conditions = JournaledConditions::default();
    let (mut epochs, mut clock) = (EarlierEpochs::default(), JournaledClock::default());
    let (mut ahead, mut reading) = (AheadControls::default(), 0);
    let (mut progress, all) = (ProgressReporter::for_server(), report.last_sealed.0);
    for entry in journal.entries() {
        let entry = entry.context("cannot read the journal")?;
        clock.follow(&entry);
        ahead.follow(&entry);
        match entry {
            Entry::Batch(batch) => {
                epochs.add_batch(batch.received);
                deliveries.observe(&batch);
            }
            Entry::Control(control) => {
                if let Control::Reading { number } = control {
                    reading = number;
                }
                positions.follow(&control);
                conditions.follow(&control);
                drop(registry.follow(&control));
            }
            Entry::Seal { epoch } => {
                epochs.seal(epoch);
                progress.report(epoch.0, all, || {
                    format!("reading the journal: epoch {} of {all}", epoch.0)
                });
            }
        }
    }
    drop(progress);
    Ok(JournalBeforeRun {
        writer,
        report,
        registry,
        deliveries,
        positions,
        conditions,
        epochs,
        clock,
        ahead,
        reading,
    })
}

impl JournalBeforeRun {
    /// The last epoch of the journal.
    pub fn last_sealed(&self) -> Epoch {
        self.report.last_sealed
    }

    /// Appends the entries that begin this run. In a cluster, its epochs follow those of all
    /// journals.
    pub fn begin(
        self,
        config: &Config,
        rules: &[RuleFileDocument],
        member: Option<&ClusterMember>,
        now: ReceiveTime,
    ) -> Result<OpenedJournal> {
        let Self {
            mut writer,
            report,
            registry,
            deliveries,
            positions,
            conditions,
            epochs,
            clock,
            mut ahead,
            reading,
        } = self;
        // The next lines seal what an abrupt end left open.
        ahead.seal(Epoch(report.last_sealed.0.saturating_add(1)));
        let jump_at_start = clock.jump_at_start(now);
        let journal = writer.reader();
        let greatest = member.map_or(Epoch(0), ClusterMember::last_epoch);
        // Nothing is being appended yet, so the promise cannot fail.
        let _ = journal.raise_floor(greatest);
        if config.cluster.follows() {
            seal_open(&mut writer)?;
            writer.sync().context("cannot write the journal")?;
        } else {
            let first_start = report.last_sealed == Epoch(0) && report.unsealed_entries == 0;
            let mut run = FirstEntries::of(config, &registry, first_start, now)?;
            run.jump = jump_at_start.map(Control::ClockJump);
            // Later changes of the rules need the watermark: see `weir_manage::RuleFollower`.
            let first_rules = first_start.then_some(rules);
            run.append(&mut writer, &registry, first_rules, &mut ahead)?;
        }
        let before = JournalBefore {
            sealed: report.last_sealed.max(greatest),
            // A follower records no number, and tells nothing.
            reading: if config.cluster.follows() {
                READING_NUMBER
            } else {
                reading
            },
        };
        Ok(OpenedJournal {
            writer,
            registry,
            deliveries,
            positions,
            conditions,
            epochs,
            repairs: clock.repairs,
            ahead,
            jump_at_start,
            before,
            begun: journal.last_sealed().max(greatest),
        })
    }
}

/// Seals the epoch that an abrupt end left open.
fn seal_open(writer: &mut JournalWriter) -> Result<()> {
    if writer.unsealed_entries() > 0 {
        writer.seal()?;
    }
    Ok(())
}

/// The control entries that begin a run, before its rules.
struct FirstEntries {
    start: Control,
    reading: Control,
    self_alerts: Control,
    holders: Control,
    /// The jump of the clock that this start shows.
    jump: Option<Control>,
    /// `None` if the journal has these settings already.
    settings: Option<Control>,
}

impl FirstEntries {
    fn of(
        config: &Config,
        registry: &RuleRegistry,
        first_start: bool,
        now: ReceiveTime,
    ) -> Result<Self> {
        // The first settings apply to all events; later ones only to later events.
        let since = if first_start {
            EventTime::MIN
        } else {
            EventTime(now.0)
        };
        let wanted = settings::load(
            &config.detection.placeholders,
            &config.detection.log_sources,
        )?;
        Ok(Self {
            start: Control::Start {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                bounds: config.bounds(),
                received: now,
            },
            reading: Control::Reading {
                number: READING_NUMBER,
            },
            self_alerts: Control::SelfAlerts(config.self_alerts.bounds()),
            holders: Control::WatermarkHolders(config.watermark_holders()),
            jump: None,
            settings: settings::change(&registry.book(), &wanted, since)?,
        })
    }

    /// Appends the entries and the first rules, seals them as one epoch, and makes it durable.
    fn append(
        self,
        writer: &mut JournalWriter,
        registry: &RuleRegistry,
        first_rules: Option<&[RuleFileDocument]>,
        ahead: &mut AheadControls,
    ) -> Result<()> {
        seal_open(writer)?;
        writer.append(&Entry::Control(self.start))?;
        writer.append(&Entry::Control(self.reading))?;
        writer.append(&Entry::Control(self.self_alerts))?;
        writer.append(&Entry::Control(self.holders))?;
        if let Some(jump) = self.jump {
            writer.append(&Entry::Control(jump))?;
        }
        if let Some(control) = self.settings {
            let entry = Entry::Control(control.clone());
            writer.append(&entry)?;
            ahead.follow(&entry);
            for diagnostic in registry.follow(&control) {
                tracing::warn!(%diagnostic, "the settings of detection stop a rule");
            }
        }
        if let Some(rules) = first_rules {
            let requested = RequestedRules::from_documents(rules.to_vec());
            let changes = registry.changes(&requested, EventTime::MIN, EventTime::MAX);
            for control in &changes.controls {
                let entry = Entry::Control(control.clone());
                writer.append(&entry)?;
                ahead.follow(&entry);
            }
            log_outcome(&registry.adopt(changes), 0);
        }
        ahead.seal(writer.seal()?);
        writer.sync().context("cannot write the journal")?;
        Ok(())
    }
}

/// Reports the progress of the replay until the graph has applied the epoch that begins this run.
pub fn report_replay(status: &Arc<Status>, begun: Epoch) {
    let status = Arc::clone(status);
    actix_rt::spawn(async move {
        let mut progress = ProgressReporter::for_server();
        while status.epoch() < begun {
            actix_rt::time::sleep(REPORT_EVERY).await;
            if status.failed() || status.is_stopping() {
                return;
            }
            let (done, all) = (status.epoch().0, begun.0);
            progress.report(done, all, || {
                format!("replaying the journal: epoch {done} of {all}")
            });
        }
        drop(progress);
        tracing::info!(
            epoch = begun.0,
            "ready: the graph has applied what the journal held at the start"
        );
    });
}

fn log_repairs(report: &OpenReport) {
    for torn in &report.torn_tails {
        tracing::warn!(
            ?torn,
            "an unfinished write at the end of the journal was cut off"
        );
    }
    for damage in &report.damage {
        tracing::error!(
            ?damage,
            "the journal is damaged; a copy is in its quarantine folder"
        );
    }
}
