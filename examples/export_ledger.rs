//! Derives a ledger from a journal and writes it as JSON Lines, titles left out.
//!
//! Two versions of Weir that read a journal alike write the same lines, to the byte:
//!
//! ```sh
//! cargo run --release --example export_ledger -- DATA_DIR WORKERS > lines
//! ```
//!
//! The journal is not changed. Titles are excluded, since they are text for people.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use weir_dataflow::{
    EmitOptions, EpochReport, EpochSource, Host, HostOptions, Observer, PortFault,
};
use weir_schema::outbox::Cursor;
use weir_schema::{Change, Epoch, SealedEpoch};
use weir_store::journal::{Journal, JournalOptions, JournalReader};
use weir_store::ledger::{Ledger, PAGE_MAX};

use weir::server::adapters::{ReadEpochs, ReadFrames, WriteLedger};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().context("name the data folder")?);
    let workers = args.next().map_or(Ok(1), |text| text.parse())?;
    // Opening a journal locks its folder and cuts an unfinished write off, so a copy is opened.
    let scratch = tempfile::tempdir()?;
    let journal = scratch.path().join("journal");
    copy(&folder.join("journal"), &journal)?;
    let (writer, report) = Journal::open(&journal, JournalOptions::default())?;
    let ledger = derive(writer.reader(), report.last_sealed, workers, scratch.path())?;
    export(&ledger)
}

/// Runs the graph over the whole journal.
fn derive(journal: JournalReader, last: Epoch, workers: usize, scratch: &Path) -> Result<Ledger> {
    let ledger = Arc::new(Ledger::open(&scratch.join("ledger"))?);
    let source = UntilEpoch {
        source: ReadEpochs(journal.cursor(Epoch(1))),
        left: last.0,
    };
    let options = HostOptions {
        workers,
        emit: EmitOptions::default(),
    };
    let host = Host::start(
        options,
        Box::new(source),
        Arc::new(ReadFrames(journal)),
        Box::new(WriteLedger(Arc::clone(&ledger))),
        Box::new(Silent),
    )?;
    let status = host.status();
    while !status.wait_for(last, Duration::from_millis(200)) && !status.failed() {}
    host.stop()?;
    Ok((*ledger).clone())
}

/// Writes records, histories and the outbox, each in the order of its keys.
fn export(ledger: &Ledger) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut after = None;
    loop {
        let records = ledger.records(after, PAGE_MAX)?;
        let Some(last) = records.last() else {
            break;
        };
        after = Some(last.alert);
        for record in &records {
            write(&mut out, "record", record)?;
            for change in ledger.history(record.alert)? {
                write(&mut out, "change", &change)?;
            }
        }
    }
    let mut after = None;
    loop {
        let changes: Vec<Change> = ledger.outbox(after, PAGE_MAX)?;
        let Some(last) = changes.last() else {
            break;
        };
        after = Some(Cursor::of(last));
        for change in &changes {
            let (alert, revision) = (change.record.alert, change.record.revision);
            write(
                &mut out,
                "outbox",
                &(change.epoch, change.ordinal, alert, revision),
            )?;
        }
    }
    Ok(out.flush()?)
}

fn write(out: &mut impl Write, kind: &str, row: &impl Serialize) -> Result<()> {
    let mut row = serde_json::to_value(row)?;
    remove_titles(&mut row);
    writeln!(out, "{{\"{kind}\":{row}}}")?;
    Ok(())
}

fn remove_titles(value: &mut serde_json::Value) {
    if let serde_json::Value::Object(fields) = value {
        fields.shift_remove("title");
        fields.values_mut().for_each(remove_titles);
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The first epochs of a journal.
struct UntilEpoch {
    source: ReadEpochs,
    left: u64,
}

impl EpochSource for UntilEpoch {
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

/// An observer that does nothing: the ledger is read when it is whole.
struct Silent;

impl Observer for Silent {
    fn on_epoch(&mut self, _: &EpochReport<'_>) {}

    fn on_commit_failed(&mut self, fault: &PortFault) {
        eprintln!("cannot write the ledger, trying again: {fault}");
    }
}
