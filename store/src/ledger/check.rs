//! Tells whether a ledger can be trusted, and puts one that cannot out of the way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use weir_schema::{AlertRecord, Change, Epoch};

use super::codec::{self, HISTORY, META_KEY, Meta, OUTBOX, RECORD};
use super::{Ledger, OpenLedger};
use crate::files;

/// A ledger that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReport {
    pub applied: Epoch,
    /// Keys in the ledger.
    pub keys: u64,
}

/// Opens the ledger in `dir` and checks all of it. A folder without one is an empty ledger.
///
/// May panic, or never return, where sled's own files are damaged: see [`check_in_child`].
pub fn check(dir: &Path) -> Result<CheckReport, OpenLedger> {
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

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// Runs `command`, which is to call [`check`] in a process of its own and to exit with 0 only where
/// it says `Ok`. A panic in whatever thread, a crash, or no answer within `limit` all mean: do not
/// trust this ledger. The reason is for people.
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
        thread::sleep(POLL);
    }
}

/// Most ledgers that are set aside under one label.
const SET_ASIDE_MAX: u32 = 1000;

/// Moves the ledger in `dir` to the folder `quarantine` beside it, under a name that ends in
/// `label`. Nobody may have it open.
pub fn set_aside(dir: &Path, label: &str) -> io::Result<PathBuf> {
    // The parent of a name alone has an empty path: it is the folder where we are.
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let label: String = label.chars().map(plain).collect();
    let folder = parent.join("quarantine");
    files::create_private_folder(&folder)?;
    for attempt in 0..SET_ASIDE_MAX {
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
        "too many ledgers are set aside under this label; remove some from the quarantine folder",
    ))
}

/// Checks every pair and their sum; says what the ledger knows of itself, or what is wrong.
/// Also says how many rows its outbox has.
pub(crate) fn scan(db: &sled::Db) -> Result<(Meta, u64), String> {
    let mut stored = None;
    let mut outbox_rows = 0;
    let mut found = Meta::EMPTY;
    for pair in db.iter() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        if &key[..] == META_KEY {
            let meta: Meta = codec::open(&key, &value).ok_or("its own description")?;
            stored = Some(meta);
            continue;
        }
        if !holds(&key, &value) {
            return Err(format!("the value of key {:02x?}", &key[..]));
        }
        found.add(&key, &value);
        outbox_rows += u64::from(key.first() == Some(&OUTBOX));
    }
    let stored = stored.unwrap_or(Meta::EMPTY);
    found.applied = stored.applied;
    if found != stored {
        let (found, stored) = (found.pairs, stored.pairs);
        return Err(format!(
            "{found} keys that are not the {stored} that it should have"
        ));
    }
    Ok((stored, outbox_rows))
}

/// Whether a pair has a good checksum and can be read.
pub(crate) fn holds(key: &[u8], value: &[u8]) -> bool {
    match key.first() {
        Some(&RECORD) => codec::open::<AlertRecord>(key, value).is_some(),
        Some(&HISTORY) => codec::open::<Change>(key, value).is_some(),
        Some(&OUTBOX) => codec::open::<Vec<u8>>(key, value)
            .is_some_and(|revision| revision.len() == codec::REVISION_BYTES),
        // No other key is ever written.
        _ => false,
    }
}
