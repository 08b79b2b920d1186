//! `weir verify`: whether journal and ledger hold, and whether the one follows from the other.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_dataflow::{Emit, EpochReport, EpochSource, Host, HostOptions, Observer, PortFault};
use weir_schema::{Epoch, SealedEpoch};
use weir_store::journal::{self, Journal, JournalError, JournalOptions, VerifyReport};
use weir_store::ledger::{self, Ledger};

use crate::adapters::{ReadEpochs, ReadFrames, WriteLedger};
use crate::cli::Failure;
use crate::opening;
use crate::progress::Progress;

/// Checks journal and ledger of a folder on which no server runs. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Folder of journal and ledger.
    #[arg(long, value_name = "DIR", default_value = "weir-data")]
    data_dir: PathBuf,
    /// Also derive the ledger anew from the journal, and compare the two byte for byte.
    #[arg(long)]
    ledger: bool,
    /// Timely workers for that; results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
}

/// Verifies: exits with 65 where something is damaged, with 1 where the ledger does not follow.
pub fn verify(args: &VerifyArgs) -> Result<ExitCode> {
    let folder = args.data_dir.join("journal");
    if !folder.is_dir() {
        let dir = args.data_dir.display();
        let message = format!("{dir} holds no journal; name a data folder with --data-dir");
        return Err(Failure::Usage(message).into());
    }
    let lock = match Journal::lock(&folder) {
        Ok(lock) => Some(lock),
        // No server can run on a folder that nobody can write.
        Err(JournalError::ReadOnly { .. }) => None,
        Err(JournalError::InUse { .. }) => bail!(
            "a server runs on {}; stop it first, since its journal and ledger change under our eyes",
            args.data_dir.display()
        ),
        Err(error) => return Err(error.into()),
    };
    let report = check_journal(&folder)?;
    say_journal(&report);
    // Of a cluster, the ledger follows from the journals of all processes.
    let place = crate::cluster::known_place(&args.data_dir)?;
    let sealed = place.map_or(report.last_sealed, |_| Epoch(u64::MAX));
    let kept = check_ledger(&args.data_dir.join("ledger"), sealed)?;
    let mut code = ExitCode::SUCCESS;
    if args.ledger {
        match &kept {
            Kept::Sound(_) if !report.is_sound() => {
                println!("ledger: not compared, since the journal is damaged");
            }
            Kept::Sound(_) if place.is_some() => {
                println!(
                    "ledger: not compared, since it follows from the journals of all processes"
                );
            }
            Kept::Sound(kept) => {
                drop(lock);
                if !follows(args, &folder, kept)? {
                    code = ExitCode::FAILURE;
                }
            }
            Kept::None | Kept::Bad => println!("ledger: not compared"),
        }
    }
    if !report.is_sound() || matches!(kept, Kept::Bad) {
        return Ok(ExitCode::from(65));
    }
    Ok(code)
}

/// Checks the journal, and tells how far that is.
fn check_journal(folder: &Path) -> Result<VerifyReport> {
    let mut all = 0;
    for entry in std::fs::read_dir(folder)? {
        let data = entry?.metadata()?;
        all += if data.is_file() { data.len() } else { 0 };
    }
    let mut progress = Progress::new(false);
    let report = journal::verify_with(folder, &mut |checked| {
        progress.tell(checked, all, || {
            format!(
                "checking the journal: {} of {} MiB",
                checked >> 20,
                all >> 20
            )
        });
    });
    Ok(report?)
}

fn say_journal(report: &VerifyReport) {
    println!(
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
    println!(
        "journal: last sealed epoch {}, {} entries after it",
        report.last_sealed.0, report.unsealed_entries
    );
    println!("journal: chain {}", hex(&report.chain));
    for damage in &report.damage {
        println!("journal: DAMAGED: {damage}");
    }
    if report.is_sound() {
        println!("journal: every checksum and every hash holds");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What became of the check of a ledger.
enum Kept {
    None,
    Bad,
    Sound(Ledger),
}

/// Checks the ledger, in a process of its own first.
fn check_ledger(dir: &Path, sealed: Epoch) -> Result<Kept> {
    if !dir.exists() {
        println!("ledger: none; the next start derives it from the journal");
        return Ok(Kept::None);
    }
    let checked = ledger::check_in_child(opening::ledger_check(dir)?, opening::LEDGER_CHECK_LIMIT)?;
    if let Err(reason) = checked {
        println!("ledger: DAMAGED: {reason}; the next start sets it aside and derives it anew");
        return Ok(Kept::Bad);
    }
    let ledger = Ledger::open(dir)?;
    let applied = ledger.applied();
    println!("ledger: {} keys, applied epoch {}", ledger.len(), applied.0);
    println!("ledger: digest {}", hex(&ledger.digest()?));
    if applied > sealed {
        println!(
            "ledger: AHEAD: the journal ends at epoch {}; the next start derives the ledger anew",
            sealed.0
        );
        return Ok(Kept::Bad);
    }
    println!("ledger: every checksum holds");
    Ok(Kept::Sound(ledger))
}

/// Derives the ledger anew, up to the epoch that the kept one has applied, and compares the two.
fn follows(args: &VerifyArgs, journal: &Path, kept: &Ledger) -> Result<bool> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    // A sound journal is opened without changing it.
    let (writer, _) = Journal::open(journal, JournalOptions::default())?;
    let reader = writer.reader();
    let fresh = Arc::new(Ledger::open(&scratch.path().join("ledger"))?);
    let until = kept.applied();
    let source = Until {
        source: ReadEpochs(reader.cursor(Epoch(1))),
        left: until.0,
    };
    let host = Host::start(
        HostOptions {
            workers: args.workers.clamp(1, 64),
            emit: Emit::default(),
        },
        Box::new(source),
        Arc::new(ReadFrames(reader)),
        Box::new(WriteLedger(Arc::clone(&fresh))),
        Box::new(Deaf),
    )?;
    let status = host.status();
    let mut progress = Progress::new(false);
    while !status.wait_for(until, Duration::from_millis(200)) && !status.failed() {
        let (done, all) = (status.epoch().0, until.0);
        progress.tell(done, all, || {
            format!("deriving the ledger: epoch {done} of {all}")
        });
    }
    drop(progress);
    host.stop()?;
    drop(writer);
    let files = [scratch.path().join("kept"), scratch.path().join("fresh")];
    for (ledger, file) in [kept, &*fresh].into_iter().zip(&files) {
        ledger.export(&mut BufWriter::new(File::create(file)?))?;
    }
    let [kept, fresh] = files;
    match first_difference(&kept, &fresh)? {
        None => {
            println!("ledger: equal, byte for byte, to one derived anew from the journal");
            Ok(true)
        }
        Some(line) => {
            println!("ledger: DIFFERS from one derived anew from the journal, first in row {line}");
            Ok(false)
        }
    }
}

/// Number of the first line in which two files differ.
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

/// The journal's first epochs.
struct Until {
    source: ReadEpochs,
    left: u64,
}

impl EpochSource for Until {
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

/// Nobody listens while a ledger is derived only to be compared.
struct Deaf;

impl Observer for Deaf {
    fn epoch(&mut self, _: &EpochReport<'_>) {}

    fn fault(&mut self, fault: &PortFault) {
        tracing::error!(%fault, "cannot write the ledger; trying again");
    }
}
