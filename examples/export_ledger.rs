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

use anyhow::{Context, Result};
use serde::Serialize;
use weir_schema::Change;
use weir_schema::outbox::Cursor;
use weir_store::journal::{Journal, JournalOptions};
use weir_store::ledger::{Ledger, PAGE_MAX};

use weir::server::derive::derive_ledger;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().context("name the data folder")?);
    let workers = args.next().map_or(Ok(1), |text| text.parse())?;
    // Opening a journal locks its folder and cuts an unfinished write off, so a copy is opened.
    let scratch = tempfile::tempdir()?;
    let journal = scratch.path().join("journal");
    copy(&folder.join("journal"), &journal)?;
    let (writer, report) = Journal::open(&journal, JournalOptions::default())?;
    let ledger = derive_ledger(
        writer.reader(),
        report.last_sealed,
        workers,
        &scratch.path().join("ledger"),
        |_| {},
    )?;
    export(&ledger)
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
