//! Opens the ledger after a check, rebuilds it if it is damaged, and keeps it durable.

use std::cmp::Ordering;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use weir_ingest::{ReceiveClock, SystemClock};
use weir_schema::{Epoch, READING_NUMBER};
use weir_store::StoreMetrics;
use weir_store::ledger::{self, CheckLimits, Ledger, LedgerCheck, OpenLedgerError};

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

/// Opens the ledger below `dir`; if it is damaged, sets it aside and starts an empty one.
///
/// A check that is slow is waited for. One that cannot be done, e.g. on a full disk, ends the start:
/// it says nothing about the ledger, and sets nothing aside.
///
/// `sealed` is the last epoch that the journal held when it was opened. A ledger that has applied
/// later ones is set aside too: the journal will give their numbers to other events.
pub fn open_ledger(dir: &Path, metrics: &StoreMetrics, sealed: Epoch) -> Result<Ledger> {
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
    if applied <= sealed {
        log_reading(ledger.reading().number);
        return Ok(ledger);
    }
    drop(ledger);
    let aside = set_aside(dir, metrics)?;
    let (applied, sealed) = (applied.0, sealed.0);
    tracing::error!(
        applied, sealed, %aside,
        "the ledger has epochs that the journal has lost; rebuilding it"
    );
    Ok(Ledger::open(dir)?)
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
