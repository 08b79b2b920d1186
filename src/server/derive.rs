//! Derives a ledger from the first epochs of a journal, apart from any running server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use weir_dataflow::{
    EmitOptions, EpochReport, EpochSource, Host, HostOptions, Observer, PortFault,
};
use weir_schema::{AheadControls, ClockRepairs, Epoch, READING_NUMBER, SealedEpoch};
use weir_store::journal::JournalReader;
use weir_store::ledger::Ledger;

use crate::server::adapters::{ReadEpochs, ReadFrames, Repaired, WriteLedger, WriteRepairedLedger};
use crate::server::edits_ahead::{EditedEpochs, EditsAhead};

/// How often the progress is reported.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Runs the graph over the epochs up to `until` and returns the ledger that it writes below `dir`.
///
/// `report` receives the last epoch done, five times a second.
pub fn derive_ledger(
    journal: JournalReader,
    until: Epoch,
    workers: usize,
    dir: &Path,
    mut report: impl FnMut(Epoch),
) -> Result<Arc<Ledger>> {
    let ledger = Arc::new(Ledger::open(dir)?);
    let mut ahead = AheadControls::default();
    let entries = journal.entries().inspect(|entry| {
        if let Ok(entry) = entry {
            ahead.follow(entry);
        }
    });
    let all = ClockRepairs::collect(entries).context("cannot read the journal")?;
    let repairs = all.through(until);
    let past = Past {
        journal: &journal,
        ahead: &EditsAhead::new(ahead),
        workers,
    };
    follow_repairs(&past, &ledger, &repairs, &mut report)?;
    past.run_graph(&ledger, repairs, until, &mut report)?;
    Ok(ledger)
}

/// Brings a ledger to the epoch before the last of the `repairs`, so that only that one is left.
///
/// Each repair is told where the journal holds it. Before that, the rows are those without it; so
/// the ledger of a journal is the same whenever its repairs are followed.
pub fn follow_repairs(
    past: &Past<'_>,
    ledger: &Arc<Ledger>,
    repairs: &ClockRepairs,
    report: &mut dyn FnMut(Epoch),
) -> Result<()> {
    let followed = ledger.reading();
    if followed.number != READING_NUMBER {
        return Ok(()); // The change of the reading follows all of them.
    }
    for number in followed.repairs..repairs.len() {
        let Some((epoch, _)) = repairs.all().get(number as usize) else {
            return Ok(());
        };
        let until = Epoch(epoch.0.saturating_sub(1));
        past.run_graph(ledger, repairs.first(number), until, report)?;
    }
    Ok(())
}

/// A journal whose ledger is derived, and how.
pub struct Past<'j> {
    pub journal: &'j JournalReader,
    pub ahead: &'j EditsAhead,
    pub workers: usize,
}

impl Past<'_> {
    /// Runs the graph over the epochs up to `until`, with receive times under `repairs`.
    fn run_graph(
        &self,
        ledger: &Arc<Ledger>,
        repairs: ClockRepairs,
        until: Epoch,
        report: &mut dyn FnMut(Epoch),
    ) -> Result<()> {
        let shared = Arc::new(repairs.clone());
        let source = FirstEpochs {
            source: EditedEpochs::new(
                Repaired {
                    read: ReadEpochs(self.journal.cursor(Epoch(1))),
                    repairs: Arc::clone(&shared),
                },
                Arc::new(EditsAhead::new(self.ahead.collected())),
            ),
            left: until.0,
        };
        let frames = Repaired {
            read: ReadFrames(self.journal.clone()),
            repairs: shared,
        };
        let ledger = WriteRepairedLedger {
            ledger: WriteLedger(Arc::clone(ledger)),
            repairs,
        };
        let host = Host::start(
            HostOptions {
                workers: self.workers.clamp(1, 64),
                emit: EmitOptions::default(),
            },
            Box::new(source),
            Arc::new(frames),
            Box::new(ledger),
            Box::new(IgnoreEpochs),
        )?;
        let status = host.status();
        while !status.wait_for(until, REPORT_INTERVAL) && !status.failed() {
            report(status.epoch());
        }
        host.stop()?;
        Ok(())
    }
}

/// A source that ends after the first `left` epochs.
struct FirstEpochs {
    source: EditedEpochs<Repaired<ReadEpochs>>,
    left: u64,
}

impl EpochSource for FirstEpochs {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        if self.left == 0 {
            std::thread::sleep(wait);
            return Ok(None);
        }
        let next = self.source.next(wait)?;
        self.left -= u64::from(next.is_some());
        Ok(next)
    }
}

/// An observer that ignores epochs: the ledger is read when it is whole.
struct IgnoreEpochs;

impl Observer for IgnoreEpochs {
    fn on_epoch(&mut self, _: &EpochReport<'_>) {}

    fn on_commit_failed(&mut self, fault: &PortFault) {
        tracing::error!(%fault, "cannot write the ledger; retrying");
    }
}
