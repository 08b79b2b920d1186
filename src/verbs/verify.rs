//! `weir verify`: checks journal and ledger, and whether the ledger follows from the journal.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use weir_schema::{Epoch, READING_NUMBER};
use weir_store::journal::{self, Journal, JournalError, JournalOptions, VerifyReport};
use weir_store::ledger::{self, Ledger, LedgerCheck};

use crate::console::outln;
use crate::exit::{BAD_DATA, ExitError};
use crate::progress::ProgressReporter;
use crate::server::cluster::recorded_place;
use crate::server::derive::derive_ledger;
use crate::server::ledger::check_apart;
use crate::verbs::overrides::ServerDefaults;

/// Check journal and ledger of a folder on which no server runs. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Folder of journal and ledger [default: `data_dir` of the configuration, weir-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Derive the ledger from the journal too, and compare the two byte by byte.
    #[arg(long)]
    ledger: bool,
    /// Number of timely workers for --ledger; results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
}

/// Verifies; exits with 65 if something is damaged, with 1 if the ledger does not follow.
pub fn verify(args: &VerifyArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    let data_dir = args.data_dir.as_ref().unwrap_or(&defaults.data_dir);
    let folder = data_dir.join("journal");
    if !folder.is_dir() {
        let dir = data_dir.display();
        let message = format!("{dir} holds no journal; name a data folder with --data-dir");
        return Err(ExitError::Usage(message).into());
    }
    let lock = match Journal::lock(&folder) {
        Ok(lock) => Some(lock),
        // No server can run on a read-only folder.
        Err(JournalError::ReadOnly { .. }) => None,
        Err(JournalError::InUse { .. }) => bail!(
            "a server runs on {}; stop it first, since its journal and ledger change during the \
             check",
            data_dir.display()
        ),
        Err(error) => return Err(error.into()),
    };
    let report = check_journal(&folder)?;
    print_journal(&report);
    // In a cluster, the ledger follows from the journals of all processes.
    let place = recorded_place(data_dir)?;
    let sealed = place.map_or(report.last_sealed, |_| Epoch(u64::MAX));
    let checked = check_ledger(&data_dir.join("ledger"), sealed)?;
    let mut code = ExitCode::SUCCESS;
    if args.ledger {
        match &checked {
            CheckedLedger::Sound(_) if !report.is_sound() => {
                outln!("ledger: not compared, since the journal is damaged");
            }
            CheckedLedger::Sound(_) if place.is_some() => {
                outln!("ledger: not compared, since it follows from the journals of all processes");
            }
            CheckedLedger::Sound(ledger) => {
                drop(lock);
                if !follows_from_journal(args, &folder, ledger)? {
                    code = ExitCode::FAILURE;
                }
            }
            CheckedLedger::Missing | CheckedLedger::Bad => outln!("ledger: not compared"),
        }
    }
    if !report.is_sound() || matches!(checked, CheckedLedger::Bad) {
        return Ok(ExitCode::from(BAD_DATA));
    }
    Ok(code)
}

/// Checks the journal, and reports the progress.
fn check_journal(folder: &Path) -> Result<VerifyReport> {
    let mut all = 0;
    for entry in std::fs::read_dir(folder)? {
        let data = entry?.metadata()?;
        all += if data.is_file() { data.len() } else { 0 };
    }
    let mut progress = ProgressReporter::new(false);
    let report = journal::verify_with_progress(folder, &mut |checked| {
        progress.report(checked, all, || {
            format!(
                "checking the journal: {} of {} MiB",
                checked >> 20,
                all >> 20
            )
        });
    });
    Ok(report?)
}

fn print_journal(report: &VerifyReport) {
    outln!(
        "journal: {} segments, {} bytes, {} blocks, {} entries: {} batches with {} frames, \
         {} control entries, {} seals",
        report.segments,
        report.bytes,
        report.blocks,
        report.entries,
        report.batches,
        report.frames,
        report.controls,
        report.seals
    );
    outln!(
        "journal: last sealed epoch {}, {} entries after it",
        report.last_sealed.0,
        report.unsealed_entries
    );
    outln!("journal: chain {}", hex(&report.chain));
    for damage in &report.damage {
        outln!("journal: DAMAGED: {damage}");
    }
    if report.is_sound() {
        outln!("journal: every checksum and every hash holds");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The result of the check of a ledger.
enum CheckedLedger {
    Missing,
    Bad,
    Sound(Ledger),
}

/// Checks the ledger, first in its own process.
fn check_ledger(dir: &Path, sealed: Epoch) -> Result<CheckedLedger> {
    if !dir.exists() {
        outln!("ledger: none; the next start derives it from the journal");
        return Ok(CheckedLedger::Missing);
    }
    match check_apart(dir)? {
        LedgerCheck::Sound => {}
        LedgerCheck::Damaged(reason) => {
            outln!(
                "ledger: DAMAGED: {reason}; the next start sets it aside and rebuilds it from the \
                 journal"
            );
            return Ok(CheckedLedger::Bad);
        }
        LedgerCheck::NotPossible(reason) => {
            let message = format!("the ledger cannot be checked: {reason}");
            return Err(ExitError::Io(message).into());
        }
    }
    let ledger = Ledger::open(dir)?;
    let applied = ledger.applied();
    outln!("ledger: {} keys, applied epoch {}", ledger.len(), applied.0);
    outln!("ledger: digest {}", hex(&ledger.digest()?));
    if applied > sealed {
        outln!(
            "ledger: AHEAD: the journal ends at epoch {}; the next start rebuilds the ledger",
            sealed.0
        );
        return Ok(CheckedLedger::Bad);
    }
    outln!("ledger: every checksum holds");
    Ok(CheckedLedger::Sound(ledger))
}

/// Derives a ledger from the journal, up to the epoch that `ledger` has applied, and compares the
/// two: all of it, or after an upgrade the standing alerts, since the history was told by an
/// earlier reading.
fn follows_from_journal(args: &VerifyArgs, journal: &Path, ledger: &Ledger) -> Result<bool> {
    let scratch = tempfile::tempdir().context("cannot create a temporary folder")?;
    // Opening a sound journal does not change it.
    let (writer, _) = Journal::open(journal, JournalOptions::default())?;
    let reader = writer.reader();
    let until = ledger.applied();
    let number = ledger.reading().number;
    if number != READING_NUMBER {
        outln!(
            "ledger: not compared: it is of reading number {number}, and this version has \
             {READING_NUMBER}; the next start replaces its rows"
        );
        return Ok(true);
    }
    let mut progress = ProgressReporter::new(false);
    let dir = scratch.path().join("ledger");
    let derived = derive_ledger(reader, until, args.workers, &dir, |epoch| {
        let (done, all) = (epoch.0, until.0);
        progress.report(done, all, || {
            format!("deriving the ledger: epoch {done} of {all}")
        });
    })?;
    drop(progress);
    drop(writer);
    if let Some(epoch) = ledger.reading().changed_at {
        return standing_follows(ledger, &derived, epoch);
    }
    let files = [
        scratch.path().join("existing"),
        scratch.path().join("derived"),
    ];
    for (ledger, file) in [ledger, &*derived].into_iter().zip(&files) {
        ledger.export(&mut BufWriter::new(File::create(file)?))?;
    }
    let [existing, derived] = files;
    match first_difference(&existing, &derived)? {
        None => {
            outln!("ledger: equal, byte for byte, to one rebuilt from the journal");
            Ok(true)
        }
        Some(line) => {
            outln!("ledger: DIFFERS from one rebuilt from the journal, first in row {line}");
            Ok(false)
        }
    }
}

/// Compares the alerts that stand, without ids, revisions and causes.
fn standing_follows(existing: &Ledger, derived: &Ledger, changed: Epoch) -> Result<bool> {
    let (existing, derived) = (standing(existing)?, standing(derived)?);
    let (lacks, surplus) = (
        derived.difference(&existing).count(),
        existing.difference(&derived).count(),
    );
    let (all, epoch) = (existing.len(), changed.0);
    if lacks + surplus == 0 {
        outln!(
            "ledger: its {all} standing alerts equal those of one rebuilt from the journal; an \
             earlier version told the history before epoch {epoch}, so that is not compared"
        );
        return Ok(true);
    }
    outln!(
        "ledger: DIFFERS from one rebuilt from the journal: {lacks} standing alerts of that are \
         not in this, {surplus} of this not in that"
    );
    Ok(false)
}

/// Each standing alert as text, without id, revision and cause.
fn standing(ledger: &Ledger) -> Result<BTreeSet<String>> {
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let page = ledger.records(after, ledger::PAGE_MAX)?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.alert);
        all.extend(page.iter().filter(|record| record.standing).map(|record| {
            format!(
                "{} {} {:?} {:?} {} {:?} {:?} {:?} {:?} {} {} {:?} {:?}",
                record.key,
                record.rule,
                record.version,
                record.level,
                record.tenant,
                record.group,
                record.state,
                record.first,
                record.last,
                record.count,
                record.limited,
                record.evidence,
                record.marked,
            )
        }));
    }
}

/// Number of the first line in which two files differ, from 1.
fn first_difference(a: &Path, b: &Path) -> std::io::Result<Option<u64>> {
    let mut a = BufReader::new(File::open(a)?);
    let mut b = BufReader::new(File::open(b)?);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for number in 1.. {
        left.clear();
        right.clear();
        let ended = a.read_until(b'\n', &mut left)? == 0;
        b.read_until(b'\n', &mut right)?;
        if left != right {
            return Ok(Some(number));
        }
        if ended {
            return Ok(None);
        }
    }
    Ok(None)
}
