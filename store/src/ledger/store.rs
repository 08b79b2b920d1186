//! Opens the ledger, and applies epochs to it: each whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use weir_schema::{Commit, Epoch};

use super::check;
use super::codec::{self, META_KEY, Meta};
use super::{LedgerError, OpenLedger};
use crate::files;

/// sled's page cache. It has been seen to grow with the store where it is not capped.
const CACHE_BYTES: u64 = 64 << 20;

/// A ledger is said to be in use once its lock was found taken this often, over one second.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// Free space on the disk that a commit or a sync must find, beside what it writes: the engine's
/// buffers and snapshots. sled cannot be used any more once a write of its own has failed, so on a
/// disk that is nearly full it is not asked to write.
const FREE_BYTES_MIN: u64 = 4 << 20;

/// How much more than the bytes of a commit the engine may write for it.
const WRITE_FACTOR: u64 = 4;

/// Rows of the outbox; of more the oldest go, some 70 bytes each. Alerts and their histories
/// stay. It is a
/// function of what was committed, as all of the ledger is.
const OUTBOX_ROWS_MAX: u64 = 1 << 22;

/// An open ledger; clones share it. Reads run beside a commit.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) db: sled::Db,
    dir: Arc<PathBuf>,
    state: Arc<Mutex<State>>,
    /// Rows may have gone from the outbox.
    trimmed: Arc<AtomicBool>,
}

struct State {
    meta: Meta,
    outbox_rows: u64,
    outbox_rows_max: u64,
    /// A commit failed, and it is not known whether sled has it.
    stopped: bool,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger in `dir`, or begins one, and checks every value in it.
    ///
    /// A damaged one may make sled panic; that is why [`super::check_in_child`] comes first.
    pub fn open(dir: &Path) -> Result<Self, OpenLedger> {
        Self::open_keeping(dir, OUTBOX_ROWS_MAX)
    }

    /// The same with an outbox of another size.
    pub(crate) fn open_keeping(dir: &Path, outbox_rows_max: u64) -> Result<Self, OpenLedger> {
        let disk = |source| OpenLedger::Disk {
            dir: dir.to_path_buf(),
            source,
        };
        files::create_private_folder(dir).map_err(disk)?;
        let db = open_engine(dir)?;
        let scanned = check::scan(&db).map_err(|reason| OpenLedger::Damaged {
            dir: dir.to_path_buf(),
            reason,
        });
        let (meta, outbox_rows) = scanned?;
        Ok(Self {
            db,
            dir: Arc::new(dir.to_path_buf()),
            trimmed: Arc::new(AtomicBool::new(outbox_rows >= outbox_rows_max)),
            state: Arc::new(Mutex::new(State {
                meta,
                outbox_rows,
                outbox_rows_max,
                stopped: false,
            })),
        })
    }

    /// The last epoch that was applied; `Epoch(0)` for none.
    #[must_use]
    pub fn applied(&self) -> Epoch {
        self.state().meta.applied
    }

    /// Keys in the ledger.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.state().meta.pairs
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on disk.
    pub fn size_bytes(&self) -> Result<u64, LedgerError> {
        self.db.size_on_disk().map_err(LedgerError::Engine)
    }

    /// Applies an epoch: its changes, the current rows, what the outbox owes, and the epoch itself,
    /// in one atomic batch. Refuses, changing nothing, an epoch that is not after the last one, and
    /// a change that would give a kept (alert, revision) other content.
    pub fn commit(&self, commit: &Commit) -> Result<(), LedgerError> {
        let mut state = self.state();
        if state.stopped {
            return Err(LedgerError::Stopped);
        }
        let (epoch, applied) = (commit.epoch, state.meta.applied);
        if epoch <= applied {
            return Err(LedgerError::EpochNotNew { epoch, applied });
        }
        let pairs = pairs(commit)?;
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len());
        self.check_room(bytes.sum::<usize>() as u64)?;
        let mut meta = state.meta;
        let mut batch = sled::Batch::default();
        for (key, value) in pairs {
            let old = self.db.get(&key).map_err(LedgerError::Engine)?;
            if let Some(old) = &old {
                meta.remove(&key, old);
            }
            if key.first() != Some(&codec::RECORD)
                && let Some(old) = old
                && codec::body(&key, &old) != codec::body(&key, &value)
            {
                return Err(taken(commit, &key));
            }
            meta.add(&key, &value);
            batch.insert(key, value);
        }
        let new_rows = commit.changes.len() as u64;
        let outbox_rows = self.trim(&state, new_rows, &mut meta, &mut batch)?;
        meta.applied = epoch;
        let sealed = codec::seal(META_KEY, epoch, &meta).map_err(LedgerError::Encode)?;
        batch.insert(META_KEY, sealed);
        if let Err(error) = self.db.apply_batch(batch) {
            state.stopped = true;
            return Err(LedgerError::Engine(error));
        }
        (state.meta, state.outbox_rows) = (meta, outbox_rows);
        Ok(())
    }

    /// Takes the oldest rows out of the outbox where `new` ones would make it too long. Returns how
    /// many there are then.
    fn trim(
        &self,
        state: &State,
        new: u64,
        meta: &mut Meta,
        batch: &mut sled::Batch,
    ) -> Result<u64, LedgerError> {
        let rows = state.outbox_rows.saturating_add(new);
        let excess = rows.saturating_sub(state.outbox_rows_max);
        let excess = excess.min(state.outbox_rows);
        if excess > 0 {
            // Before the first one goes.
            self.trimmed.store(true, Ordering::Release);
        }
        for pair in self.db.scan_prefix([codec::OUTBOX]).take(excess as usize) {
            let (key, value) = pair.map_err(LedgerError::Engine)?;
            meta.remove(&key, &value);
            batch.remove(key);
        }
        Ok(rows - excess)
    }

    /// Whether rows behind `after` have gone from the outbox, since it has room for so many only.
    /// Waits for no commit.
    pub(crate) fn has_outbox_gap(&self, after: (Epoch, u32)) -> Result<bool, LedgerError> {
        if !self.trimmed.load(Ordering::Acquire) {
            return Ok(false);
        }
        let key = codec::outbox_key(after.0, after.1);
        let oldest = self.db.scan_prefix([codec::OUTBOX]).next().transpose();
        let oldest = oldest.map_err(LedgerError::Engine)?;
        Ok(oldest.is_some_and(|(oldest, _)| oldest[..] > key[..]))
    }

    /// Makes what was committed durable. Without it nothing is lost, but more is applied again
    /// after a crash: call it now and then, not for each epoch.
    pub fn sync(&self) -> Result<(), LedgerError> {
        self.check_room(0)?;
        self.db.flush().map_err(LedgerError::Engine)?;
        // sled's flush asks the kernel to start writing, no more.
        File::open(self.dir.join("db"))
            .and_then(|file| file.sync_all())
            .and_then(|()| files::sync_folder(&self.dir))
            .map_err(LedgerError::Sync)
    }

    /// Refuses while the disk has no room for `bytes` more; nothing is changed then.
    fn check_room(&self, bytes: u64) -> Result<(), LedgerError> {
        let free = fs2::available_space(&*self.dir).map_err(LedgerError::Sync)?;
        let wanted = FREE_BYTES_MIN.saturating_add(bytes.saturating_mul(WRITE_FACTOR));
        if free < wanted {
            let dir = self.dir.to_path_buf();
            return Err(LedgerError::DiskFull { dir, free, wanted });
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has not changed the state: that is the last thing a commit does.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All pairs that an epoch writes, in order of key.
fn pairs(commit: &Commit) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LedgerError> {
    let epoch = commit.epoch;
    let out_of_order = |reason| LedgerError::OutOfOrder { epoch, reason };
    let mut pairs = BTreeMap::new();
    let mut last = None;
    for change in &commit.changes {
        if change.epoch != epoch {
            return Err(out_of_order("a change is of another epoch"));
        }
        if last >= Some(change.ordinal) {
            return Err(out_of_order("ordinals do not rise"));
        }
        last = Some(change.ordinal);
        let revision = codec::revision_of(change);
        let history = codec::history_key(&revision);
        let value = codec::seal(&history, epoch, change).map_err(LedgerError::Encode)?;
        if pairs.insert(history, value).is_some() {
            return Err(LedgerError::RevisionTaken {
                alert: change.record.alert,
                revision: change.record.revision,
            });
        }
        let outbox = codec::outbox_key(epoch, change.ordinal);
        let value = codec::seal(&outbox, epoch, &revision).map_err(LedgerError::Encode)?;
        pairs.insert(outbox, value);
    }
    for record in &commit.records {
        let key = codec::record_key(record.alert);
        let value = codec::seal(&key, epoch, record).map_err(LedgerError::Encode)?;
        if pairs.insert(key, value).is_some() {
            return Err(out_of_order("a record stands twice"));
        }
    }
    Ok(pairs)
}

/// The refusal for a key that holds something else.
fn taken(commit: &Commit, key: &[u8]) -> LedgerError {
    let is_it = |change: &&weir_schema::Change| {
        let revision = codec::revision_of(change);
        codec::history_key(&revision) == key
    };
    match commit.changes.iter().find(is_it) {
        Some(change) => LedgerError::RevisionTaken {
            alert: change.record.alert,
            revision: change.record.revision,
        },
        None => LedgerError::damaged(key), // An outbox row of an epoch that was never applied.
    }
}

/// Opens sled. Its lock outlives a closed ledger for a moment, held by threads that end or a
/// process that is being born, so a lock that is taken is asked for again.
fn open_engine(dir: &Path) -> Result<sled::Db, OpenLedger> {
    let mut tries_left = LOCK_TRIES;
    loop {
        tries_left -= 1;
        let opened = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            // `sync` flushes; between its calls the journal alone is durable, and that is enough.
            .flush_every_ms(None)
            .open();
        match opened.map_err(|error| open_error(dir, error)) {
            Err(OpenLedger::InUse { .. }) if tries_left > 0 => thread::sleep(LOCK_WAIT),
            other => return other,
        }
    }
}

fn open_error(dir: &Path, error: sled::Error) -> OpenLedger {
    let dir = dir.to_path_buf();
    match error {
        // sled reports a file lock that another process holds as an error of kind `Other`.
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            OpenLedger::InUse { dir }
        }
        sled::Error::Io(source) => OpenLedger::Disk { dir, source },
        other => OpenLedger::Damaged {
            dir,
            reason: other.to_string(),
        },
    }
}
