//! Opens what an earlier run has left: journal, rules, deliveries, ledger; and begins a new run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use weir_dataflow::{Member, Status};
use weir_ingest::{Clock, Deliveries, SystemClock};
use weir_schema::{Control, Entry, Epoch, EventTime, ReceiveTime, SourceBounds, TimeBounds};
use weir_store::StoreMetrics;
use weir_store::journal::{Journal, JournalOptions, JournalWriter, OpenReport};
use weir_store::ledger::{self, Ledger};

use crate::config::Config;
use crate::detection;
use crate::progress::Progress;
use crate::responders::Positions;
use crate::rule_desk::{Document, RuleDesk};
use crate::rules::watch;

/// How often the ledger is made durable. What a crash loses of it is derived again from the journal.
const LEDGER_SYNC: Duration = Duration::from_secs(5);

/// How often it is looked how far a replay is.
const LOOK: Duration = Duration::from_millis(200);

/// A ledger is checked in a process of its own, since its engine may panic on damage.
pub const LEDGER_CHECK_LIMIT: Duration = Duration::from_secs(60);

/// A journal ready for this run, and what it says.
pub struct Opened {
    pub writer: JournalWriter,
    pub desk: Arc<RuleDesk>,
    pub deliveries: Deliveries,
    /// How far each sink has come.
    pub positions: Positions,
    /// The last epoch that it held when it was opened ...
    pub last_sealed: Epoch,
    /// ... and the one that begins this run.
    pub begun: Epoch,
}

/// A journal, and what it says, before this run begins.
pub struct Found {
    writer: JournalWriter,
    report: OpenReport,
    desk: Arc<RuleDesk>,
    deliveries: Deliveries,
    positions: Positions,
}

/// Opens the journal below `dir`, learns from it, and writes how this run begins.
pub fn open_journal(
    dir: &Path,
    config: &Config,
    rules: &[Document],
    metrics: &StoreMetrics,
    now: ReceiveTime,
) -> Result<Opened> {
    find_journal(dir, config, metrics)?.begin(config, rules, None, now)
}

/// Opens the journal below `dir` and learns from it.
pub fn find_journal(dir: &Path, config: &Config, metrics: &StoreMetrics) -> Result<Found> {
    let options = JournalOptions {
        segment_bytes: config.journal.segment_mib << 20,
        fsync: config.journal.fsync,
        metrics: Some(metrics.clone()),
        ..JournalOptions::default()
    };
    let (writer, report) = Journal::open(&dir.join("journal"), options)?;
    tell(&report);
    let journal = writer.reader();
    let desk = Arc::new(RuleDesk::default());
    let mut deliveries = Deliveries::new();
    let mut positions = Positions::default();
    let (mut progress, all) = (Progress::of_server(), report.last_sealed.0);
    for entry in journal.entries() {
        match entry.context("cannot read the journal")? {
            Entry::Batch(batch) => deliveries.observe(&batch),
            Entry::Control(control) => {
                positions.follow(&control);
                drop(desk.follow(&control));
            }
            Entry::Seal { epoch } => progress.tell(epoch.0, all, || {
                format!("reading the journal: epoch {} of {all}", epoch.0)
            }),
        }
    }
    drop(progress);
    Ok(Found {
        writer,
        report,
        desk,
        deliveries,
        positions,
    })
}

impl Found {
    /// The last epoch of the journal.
    pub fn last_sealed(&self) -> Epoch {
        self.report.last_sealed
    }

    /// Writes how this run begins: in a cluster, behind what is in the journal of any process.
    pub fn begin(
        self,
        config: &Config,
        rules: &[Document],
        member: Option<&Member>,
        now: ReceiveTime,
    ) -> Result<Opened> {
        let Self {
            mut writer,
            report,
            desk,
            deliveries,
            positions,
        } = self;
        let journal = writer.reader();
        let greatest = member.map_or(Epoch(0), Member::greatest);
        // Nothing is on its way that the promise could not hold for.
        let _ = journal.promise(greatest);
        if config.cluster.follows() {
            seal_open(&mut writer)?;
            writer.sync().context("cannot write the journal")?;
        } else {
            lead(&mut writer, &desk, &report, config, rules, now)?;
        }
        Ok(Opened {
            writer,
            desk,
            deliveries,
            positions,
            last_sealed: report.last_sealed.max(greatest),
            begun: journal.last_sealed().max(greatest),
        })
    }
}

/// Begins a run of a process whose journal says what bears on results.
fn lead(
    writer: &mut JournalWriter,
    desk: &RuleDesk,
    report: &OpenReport,
    config: &Config,
    rules: &[Document],
    now: ReceiveTime,
) -> Result<()> {
    let first_start = report.last_sealed == Epoch(0) && report.unsealed_entries == 0;
    // Later changes of the rules wait for the watermark: see `rules::watch`.
    let first_rules = first_start.then_some(rules);
    // Of settings too the first hold always; later ones for events from then on.
    let since = if first_start {
        EventTime::MIN
    } else {
        EventTime(now.0)
    };
    let settings = detection::settings(&config.detection)?;
    let settings = detection::change(&desk.book(), &settings, since)?;
    let first = (settings, first_rules);
    let bounds = (&config.bounds(), &config.self_alerts.bounds());
    begin(writer, desk, first, bounds, now)
}

/// Seals what an abrupt end left open.
fn seal_open(writer: &mut JournalWriter) -> Result<()> {
    if writer.unsealed_entries() > 0 {
        writer.seal()?;
    }
    Ok(())
}

/// Seals what an abrupt end left open, and opens this run: what bears on results, and the first rules.
fn begin(
    writer: &mut JournalWriter,
    desk: &RuleDesk,
    (settings, first_rules): (Option<Control>, Option<&[Document]>),
    (bounds, source_bounds): (&TimeBounds, &SourceBounds),
    received: ReceiveTime,
) -> Result<()> {
    seal_open(writer)?;
    writer.append(&Entry::Control(Control::Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bounds: *bounds,
        received,
    }))?;
    writer.append(&Entry::Control(Control::SelfAlerts(*source_bounds)))?;
    if let Some(control) = settings {
        writer.append(&Entry::Control(control.clone()))?;
        for diagnostic in desk.follow(&control) {
            tracing::warn!(%diagnostic, "the settings of detection stop a rule");
        }
    }
    if let Some(rules) = first_rules {
        let changes = desk.changes(&watch::first(rules), EventTime::MIN, EventTime::MAX);
        for control in &changes.controls {
            writer.append(&Entry::Control(control.clone()))?;
        }
        watch::tell(&desk.adopt(changes), 0);
    }
    writer.seal()?;
    writer.sync().context("cannot write the journal")?;
    Ok(())
}

/// Tells how far the graph is with what the journal held at the start, until it has all of it.
pub fn tell_replay(status: &Arc<Status>, begun: Epoch) {
    let status = Arc::clone(status);
    actix_rt::spawn(async move {
        let mut progress = Progress::of_server();
        while status.epoch() < begun {
            actix_rt::time::sleep(LOOK).await;
            if status.failed() || status.is_stopping() {
                return;
            }
            let (done, all) = (status.epoch().0, begun.0);
            progress.tell(done, all, || {
                format!("replaying the journal: epoch {done} of {all}")
            });
        }
        drop(progress);
        tracing::info!(
            epoch = begun.0,
            "ready: what was in the journal at the start is judged"
        );
    });
}

/// Waits until the graph has done `epoch`; false where it ended before.
pub fn caught_up(status: &Status, epoch: Epoch) -> bool {
    while !status.wait_for(epoch, Duration::from_secs(1)) {
        if status.failed() || status.is_stopping() {
            return false;
        }
    }
    true
}

fn tell(report: &OpenReport) {
    for torn in &report.torn {
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

/// Opens the ledger; one that does not hold is set aside, and rebuilt from the journal. So is one
/// that has applied epochs after `sealed`, the last that the journal held when it was opened: their
/// numbers will be given again, to other events.
pub fn open_ledger(dir: &Path, metrics: &StoreMetrics, sealed: Epoch) -> Result<Ledger> {
    let checked = ledger::check_in_child(ledger_check(dir)?, LEDGER_CHECK_LIMIT)?;
    if let Err(reason) = checked {
        // The journal's lock is ours, so no other server can be what the check ran into.
        let aside = set_aside(dir, metrics)?;
        tracing::error!(%reason, %aside, "the ledger is damaged; rebuilding it");
        return Ok(Ledger::open(dir)?);
    }
    let ledger = Ledger::open(dir)?;
    let applied = ledger.applied();
    if applied <= sealed {
        return Ok(ledger);
    }
    drop(ledger);
    let aside = set_aside(dir, metrics)?;
    let (applied, sealed) = (applied.0, sealed.0);
    tracing::error!(
        applied, sealed, %aside,
        "the ledger knows epochs that the journal has lost; rebuilding it"
    );
    Ok(Ledger::open(dir)?)
}

/// The command that checks a ledger in a process of its own.
pub fn ledger_check(dir: &Path) -> std::io::Result<std::process::Command> {
    let mut check = std::process::Command::new(std::env::current_exe()?);
    check.arg("check-ledger").arg(dir);
    Ok(check)
}

/// Puts a ledger out of the way, and tells where it is now.
fn set_aside(dir: &Path, metrics: &StoreMetrics) -> std::io::Result<String> {
    let stamp = SystemClock.now().0 / 1_000_000_000;
    let aside = ledger::set_aside(dir, &stamp.to_string())?;
    metrics.state_rebuilds_total.inc();
    Ok(aside.display().to_string())
}

/// Makes the ledger durable from time to time, for as long as it is in use.
pub fn keep_durable(ledger: &Arc<Ledger>, metrics: &StoreMetrics) {
    let (ledger, metrics) = (Arc::downgrade(ledger), metrics.clone());
    actix_rt::spawn(async move {
        loop {
            actix_rt::time::sleep(LEDGER_SYNC).await;
            let Some(ledger) = ledger.upgrade() else {
                return;
            };
            let metrics = metrics.clone();
            let sync = move || {
                if let Err(error) = ledger.sync() {
                    tracing::error!(%error, "the ledger could not be synced");
                }
                if let Ok(bytes) = ledger.size_bytes() {
                    metrics
                        .state_bytes
                        .set(i64::try_from(bytes).unwrap_or(i64::MAX));
                }
            };
            let _ = actix_rt::task::spawn_blocking(sync).await;
        }
    });
}
