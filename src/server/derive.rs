//! Derives a ledger from the first epochs of a journal, apart from any running server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use weir_dataflow::{
    EmitOptions, EpochReport, EpochSource, Host, HostOptions, Observer, PortFault,
};
use weir_schema::{Epoch, SealedEpoch};
use weir_store::journal::JournalReader;
use weir_store::ledger::Ledger;

use crate::server::adapters::{ReadEpochs, ReadFrames, WriteLedger};

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
    let source = FirstEpochs {
        source: ReadEpochs(journal.cursor(Epoch(1))),
        left: until.0,
    };
    let host = Host::start(
        HostOptions {
            workers: workers.clamp(1, 64),
            emit: EmitOptions::default(),
        },
        Box::new(source),
        Arc::new(ReadFrames(journal)),
        Box::new(WriteLedger(Arc::clone(&ledger))),
        Box::new(IgnoreEpochs),
    )?;
    let status = host.status();
    while !status.wait_for(until, REPORT_INTERVAL) && !status.failed() {
        report(status.epoch());
    }
    host.stop()?;
    Ok(ledger)
}

/// A source that ends after the first `left` epochs.
struct FirstEpochs {
    source: ReadEpochs,
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
