//! Checks whether a ledger is valid, and quarantines a damaged one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use weir_schema::Epoch;

use super::error::OpenLedgerError;
use super::store::Ledger;
use crate::files;

/// The contents of a valid ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReport {
    pub applied: Epoch,
    /// Keys in the ledger.
    pub keys: u64,
}

/// Opens the ledger in `dir` and checks all of it. A missing folder is an empty ledger.
///
/// May panic, or never return, if sled's own files are damaged; see [`check_in_child`].
pub fn check(dir: &Path) -> Result<CheckReport, OpenLedgerError> {
    if !dir.exists() {
        return Ok(CheckReport {
            applied: Epoch(0),
            keys: 0,
        });
    }
    let ledger = Ledger::open(dir)?;
    Ok(CheckReport {
        applied: ledger.applied(),
        keys: ledger.len(),
    })
}

/// Interval at which the parent checks whether the child has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Runs `command`, which must call [`check`] and exit with 0 only if that succeeds.
///
/// The inner `Err` is a reason for people not to trust the ledger: a panic in any thread, a crash,
/// or no answer within `limit`.
pub fn check_in_child(mut command: Command, limit: Duration) -> io::Result<Result<(), String>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(match status.success() {
                true => Ok(()),
                false => Err(format!("its check ended with {status}")),
            });
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Err(format!(
                "its check took more than {} s",
                limit.as_secs()
            )));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Most quarantined ledgers with the same label.
const QUARANTINED_MAX: u32 = 1000;

/// Moves the ledger in `dir` to the folder `quarantine` beside it. The new name ends in `label`.
///
/// The ledger must not be open. Returns the new path.
pub fn quarantine(dir: &Path, label: &str) -> io::Result<PathBuf> {
    // The parent of a bare name has an empty path, which means the current folder.
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let sanitize = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let label: String = label.chars().map(sanitize).collect();
    let folder = parent.join("quarantine");
    files::create_private_folder(&folder)?;
    for attempt in 0..QUARANTINED_MAX {
        let suffix = match attempt {
            0 => String::new(),
            more => format!("-{more}"),
        };
        let target = folder.join(format!("{name}-{label}{suffix}"));
        if target.symlink_metadata().is_ok() {
            continue;
        }
        fs::rename(dir, &target)?;
        files::sync_folder(&folder)?;
        files::sync_folder(parent)?;
        return Ok(target);
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "too many quarantined ledgers have this label; remove some from the quarantine folder",
    ))
}
