//! Opens the ledger after a check, rebuilds it if it is damaged, and keeps it durable.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use weir_ingest::{ReceiveClock, SystemClock};
use weir_schema::{Commit, Epoch, READING_NUMBER};
use weir_store::StoreMetrics;
use weir_store::ledger::{self, CheckLimits, Ledger, LedgerCheck, LedgerReading, OpenLedgerError};

use crate::exit::ExitError;
use crate::server::notify::Notifier;
use crate::text::with_causes;

/// Pause between two syncs of the ledger. A crash loses nothing: the graph derives it again.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// Time on a processor that a check may take, and so much more for each GiB of the ledger. It needs
/// a few seconds for a GiB; only an endless loop in damaged files takes longer.
const CHECK_CPU_MAX: Duration = Duration::from_secs(600);

/// How long a check may sleep without reading a byte. It never does; only a deadlock lasts.
const CHECK_ASLEEP_MAX: Duration = Duration::from_secs(600);

/// Pause between two log lines about a check.
const CHECK_LOG_EVERY: Duration = Duration::from_secs(10);

/// The journal as the run before left it.
#[derive(Clone, Copy, Debug)]
pub struct JournalBefore {
    /// Its last epoch; 0 if no run was before.
    pub sealed: Epoch,
    /// The reading number of its last run.
    pub reading: u32,
}

/// Opens the ledger below `dir`; if it is damaged, sets it aside and starts an empty one.
///
/// A check that is slow is waited for. One that cannot be done, e.g. on a full disk, ends the start:
/// it says nothing about the ledger, and sets nothing aside.
///
/// A ledger that has applied later epochs than the run before sealed is set aside too: the journal
/// will give their numbers to other events.
pub fn open_ledger(dir: &Path, metrics: &StoreMetrics, before: JournalBefore) -> Result<Ledger> {
    // A lost ledger is derived anew. Nobody knows what the rows in it were.
    let was_there = dir.is_dir();
    match check_apart(dir)? {
        LedgerCheck::Sound => {}
        LedgerCheck::Damaged(reason) => {
            // This process holds the journal's lock, so the check did not meet another server.
            let aside = set_aside(dir, metrics)?;
            tracing::error!(%reason, %aside, "the ledger is damaged; rebuilding it");
            return Ok(Ledger::open(dir)?);
        }
        LedgerCheck::NotPossible(reason) => {
            return Err(ExitError::Io(format!(
                "the ledger cannot be checked: {reason}; nothing was changed, start again once it \
                 can be"
            ))
            .into());
        }
    }
    let ledger = Ledger::open(dir)?;
    let applied = ledger.applied();
    if applied <= before.sealed {
        if was_there {
            record_reading_of_empty(&ledger, before)?;
        }
        log_reading(ledger.reading().number);
        return Ok(ledger);
    }
    drop(ledger);
    let aside = set_aside(dir, metrics)?;
    let (applied, sealed) = (applied.0, before.sealed.0);
    tracing::error!(
        applied, sealed, %aside,
        "the ledger has epochs that the journal has lost; rebuilding it"
    );
    Ok(Ledger::open(dir)?)
}

/// Records the number of the earlier reading that raised no alert and so wrote no row.
///
/// Without it the empty ledger would pass for one of this reading, and the alerts that only this
/// reading raises would be told as if the events were new.
fn record_reading_of_empty(ledger: &Ledger, before: JournalBefore) -> Result<()> {
    let is_other = before.reading != READING_NUMBER && before.sealed > Epoch(0);
    if !is_other || ledger.applied() > Epoch(0) {
        return Ok(());
    }
    let reading = LedgerReading {
        number: before.reading,
        ..ledger.reading()
    };
    let nothing = Commit {
        epoch: before.sealed,
        changes: Vec::new(),
        records: Vec::new(),
    };
    ledger.replace_rows(&nothing, reading, &BTreeMap::new())?;
    Ok(())
}

/// Announces that the rows of a ledger of another reading will be replaced.
fn log_reading(ledger: u32) {
    let this = READING_NUMBER;
    match ledger.cmp(&this) {
        Ordering::Equal => {}
        Ordering::Less => tracing::warn!(
            ledger,
            this,
            "this version reads earlier events otherwise: after the replay, alerts that differ are \
             retracted, raised or revised once, with the cause upgrade"
        ),
        Ordering::Greater => tracing::warn!(
            ledger,
            this,
            "a newer version of Weir wrote the ledger: after the replay, alerts that this version \
             reads otherwise are retracted, raised or revised once, with the cause upgrade"
        ),
    }
}

/// Checks a ledger in a process of its own, since its engine may panic on damage. Logs the progress
/// of a long check.
pub fn check_apart(dir: &Path) -> Result<LedgerCheck> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("check-ledger").arg(dir);
    let gib = u32::try_from(size_of_folder(dir) >> 30).unwrap_or(u32::MAX);
    let limits = CheckLimits {
        cpu: CHECK_CPU_MAX.saturating_mul(gib.saturating_add(1)),
        asleep: CHECK_ASLEEP_MAX,
    };
    let mut logged = Duration::ZERO;
    let notifier = Notifier::from_environment();
    let checked = ledger::check_in_child(command, limits, |progress| {
        if progress.elapsed >= logged + CHECK_LOG_EVERY {
            logged = progress.elapsed;
            let (seconds, mib) = (progress.elapsed.as_secs(), progress.bytes >> 20);
            tracing::info!(seconds, mib, "checking the ledger, which takes long");
            notifier.extend_start("checking the ledger");
        }
    });
    Ok(checked?)
}

/// Checks a ledger in this process, which was started for that.
pub fn check_here(dir: &Path) -> Result<ExitCode> {
    match ledger::check(dir) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) if says_nothing(&error) => Err(ExitError::Io(with_causes(&error)).into()),
        Err(error) => Err(ExitError::BadData(with_causes(&error)).into()),
    }
}

/// Whether an error is about the machine, and not about the ledger. The engine reports some damage
/// as an error of input, too.
fn says_nothing(error: &OpenLedgerError) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [23, 24]; // ENFILE, EMFILE
    match error {
        OpenLedgerError::InUse { .. } => true,
        OpenLedgerError::Damaged { .. } => false,
        OpenLedgerError::Disk { source, .. } => {
            let os = source.raw_os_error();
            let kind = source.kind();
            os.is_some_and(|code| TOO_MANY_FILES.contains(&code))
                || matches!(
                    kind,
                    ErrorKind::StorageFull
                        | ErrorKind::QuotaExceeded
                        | ErrorKind::ReadOnlyFilesystem
                        | ErrorKind::PermissionDenied
                        | ErrorKind::OutOfMemory
                        | ErrorKind::ResourceBusy
                )
        }
    }
}

/// Bytes of the files in a folder; 0 if it is not there.
fn size_of_folder(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok());
    files
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

/// Renames the folder of a ledger. Returns the new path.
fn set_aside(dir: &Path, metrics: &StoreMetrics) -> std::io::Result<String> {
    let stamp = SystemClock.now().0 / 1_000_000_000;
    let aside = ledger::quarantine(dir, &stamp.to_string())?;
    metrics.state_rebuilds_total.inc();
    Ok(aside.display().to_string())
}

/// Syncs the ledger regularly, for as long as it is in use.
pub fn sync_regularly(ledger: &Arc<Ledger>, metrics: &StoreMetrics) {
    let (ledger, metrics) = (Arc::downgrade(ledger), metrics.clone());
    actix_rt::spawn(async move {
        loop {
            actix_rt::time::sleep(SYNC_EVERY).await;
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_empty_ledger_is_of_the_reading_of_its_journal() {
        let before = |sealed, reading| JournalBefore {
            sealed: Epoch(sealed),
            reading,
        };
        for (before, number) in [
            (before(0, 0), READING_NUMBER),
            (before(7, READING_NUMBER), READING_NUMBER),
            (before(7, READING_NUMBER - 1), READING_NUMBER - 1),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let ledger = Ledger::open(folder.path()).expect("a ledger");
            record_reading_of_empty(&ledger, before).expect("it is recorded");
            drop(ledger);
            // A crash before the rows are replaced loses nothing of it.
            let ledger = Ledger::open(folder.path()).expect("a ledger");
            assert_eq!(ledger.reading().number, number, "{before:?}");
            // Where alerts were told, the ledger itself says under which reading.
            let later = JournalBefore {
                reading: READING_NUMBER + 1,
                sealed: Epoch(9),
            };
            if ledger.applied() > Epoch(0) {
                record_reading_of_empty(&ledger, later).expect("nothing is recorded");
                assert_eq!(ledger.reading().number, number, "{before:?}");
            }
        }
    }

    /// W14: an error of the machine is not damage.
    #[test]
    fn errors_of_the_machine_say_nothing_about_the_ledger() {
        let disk = |source| OpenLedgerError::Disk {
            dir: "ledger".into(),
            source,
        };
        for code in [12, 13, 16, 23, 24, 28, 30, 122] {
            assert!(
                says_nothing(&disk(io::Error::from_raw_os_error(code))),
                "{code}"
            );
        }
        for kind in [
            ErrorKind::InvalidData,
            ErrorKind::UnexpectedEof,
            ErrorKind::Other,
        ] {
            assert!(!says_nothing(&disk(io::Error::from(kind))), "{kind}");
        }
    }
}
