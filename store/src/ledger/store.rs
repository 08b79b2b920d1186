//! Opens the ledger, and applies epochs to it atomically.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use weir_schema::outbox::Cursor;
use weir_schema::{AlertId, Commit, Epoch, READING_NUMBER};

use super::codec::{self, LedgerReading, META_KEY, Meta, READING_KEY};
use super::error::{LedgerError, OpenLedgerError};
use super::scan::{LedgerScan, scan};
use crate::files;

/// Size of sled's page cache, which otherwise grows with the store.
const CACHE_BYTES: u64 = 64 << 20;

/// Attempts to lock a ledger, over one second, before it counts as in use.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// Free disk space that a commit or sync needs besides its own bytes, for sled's buffers and
/// snapshots. sled is unusable after a failed write, so the ledger does not write to an almost full
/// disk.
const FREE_BYTES_MIN: u64 = 4 << 20;

/// Bytes that sled may write per byte of a commit.
const WRITE_FACTOR: u64 = 4;

/// Most rows of the outbox, at about 70 bytes each. A commit drops the oldest rows beyond it, but
/// never alerts or histories. Like all of the ledger, the outbox depends only on the commits.
const OUTBOX_ROWS_MAX: u64 = 1 << 22;

/// An open ledger. Clones share it, and reads run beside a commit.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) db: sled::Db,
    dir: Arc<PathBuf>,
    state: Arc<Mutex<State>>,
    /// Whether the outbox may have dropped rows.
    may_have_gap: Arc<AtomicBool>,
}

struct State {
    meta: Meta,
    /// `None` if no commit has written it.
    reading: Option<LedgerReading>,
    outbox_rows: u64,
    outbox_rows_max: u64,
    /// A commit failed, and it is unknown whether sled applied it.
    is_stopped: bool,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens or creates the ledger in `dir`, and checks every value in it.
    ///
    /// A damaged ledger may make sled panic, so call [`super::check_in_child`] first.
    pub fn open(dir: &Path) -> Result<Self, OpenLedgerError> {
        Self::open_with_outbox(dir, OUTBOX_ROWS_MAX)
    }

    /// As [`Self::open`], with an outbox of another size.
    pub(crate) fn open_with_outbox(
        dir: &Path,
        outbox_rows_max: u64,
    ) -> Result<Self, OpenLedgerError> {
        let disk = |source| OpenLedgerError::Disk {
            dir: dir.to_path_buf(),
            source,
        };
        files::create_private_folder(dir).map_err(disk)?;
        let db = open_engine(dir)?;
        let LedgerScan {
            meta,
            outbox_rows,
            reading,
        } = scan(&db).map_err(|reason| OpenLedgerError::Damaged {
            dir: dir.to_path_buf(),
            reason,
        })?;
        Ok(Self {
            db,
            dir: Arc::new(dir.to_path_buf()),
            may_have_gap: Arc::new(AtomicBool::new(outbox_rows >= outbox_rows_max)),
            state: Arc::new(Mutex::new(State {
                meta,
                reading,
                outbox_rows,
                outbox_rows_max,
                is_stopped: false,
            })),
        })
    }

    /// The last applied epoch; `Epoch(0)` for none.
    #[must_use]
    pub fn applied(&self) -> Epoch {
        self.state().meta.applied
    }

    /// The reading that wrote its rows: this binary's if it is empty, number 0 if none is recorded.
    #[must_use]
    pub fn reading(&self) -> LedgerReading {
        let state = self.state();
        let number = match state.meta.applied {
            Epoch(0) => READING_NUMBER,
            _ => 0,
        };
        state.reading.unwrap_or(LedgerReading {
            number,
            changed_at: None,
            repairs: 0,
        })
    }

    /// Number of keys in the ledger.
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

    /// Applies an epoch in one atomic batch: its changes, records, outbox rows and number.
    ///
    /// Refuses an epoch that is not after the last one, a change that gives a stored (alert,
    /// revision) other content, and any commit while the rows are of another reading. A refusal
    /// changes nothing.
    pub fn commit(&self, commit: &Commit) -> Result<(), LedgerError> {
        let reading = self.reading();
        if reading.number != READING_NUMBER {
            return Err(LedgerError::OtherReading {
                number: reading.number,
            });
        }
        self.replace_rows(commit, reading, &BTreeMap::new())
    }

    /// As [`Self::commit`], for the differences between the stored rows and those of the reading
    /// `number`, which is stored with them. `kept` has the ids that alerts of the graph keep.
    pub fn change_reading(
        &self,
        number: u32,
        commit: &Commit,
        kept: &BTreeMap<AlertId, AlertId>,
    ) -> Result<(), LedgerError> {
        let reading = LedgerReading {
            number,
            changed_at: Some(commit.epoch),
            repairs: self.reading().repairs,
        };
        self.replace_rows(commit, reading, kept)
    }

    /// As [`Self::commit`], for the differences between the stored rows and those of `reading`.
    pub fn replace_rows(
        &self,
        commit: &Commit,
        reading: LedgerReading,
        kept: &BTreeMap<AlertId, AlertId>,
    ) -> Result<(), LedgerError> {
        let mut state = self.state();
        if state.is_stopped {
            return Err(LedgerError::Stopped);
        }
        let (epoch, applied) = (commit.epoch, state.meta.applied);
        if epoch <= applied {
            return Err(LedgerError::EpochNotNew { epoch, applied });
        }
        let mut pairs = pairs(commit)?;
        let new_reading = (state.reading != Some(reading)).then_some(reading);
        pairs.extend(reading_pairs(epoch, new_reading, kept).map_err(LedgerError::Encode)?);
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len());
        self.check_free_space(bytes.sum::<usize>() as u64)?;
        let mut meta = state.meta;
        let mut batch = sled::Batch::default();
        for (key, value) in pairs {
            let old = self.db.get(&key).map_err(LedgerError::Engine)?;
            if let Some(old) = &old {
                meta.remove(&key, old);
            }
            if is_written_once(&key)
                && let Some(old) = old
                && codec::body(&key, &old) != codec::body(&key, &value)
            {
                return Err(conflict_error(commit, &key));
            }
            meta.add(&key, &value);
            batch.insert(key, value);
        }
        let new_rows = commit.changes.len() as u64;
        let outbox_rows = self.trim_outbox(&state, new_rows, &mut meta, &mut batch)?;
        meta.applied = epoch;
        let sealed = codec::encode(META_KEY, epoch, &meta).map_err(LedgerError::Encode)?;
        batch.insert(META_KEY, sealed);
        if let Err(error) = self.db.apply_batch(batch) {
            state.is_stopped = true;
            return Err(LedgerError::Engine(error));
        }
        (state.meta, state.outbox_rows) = (meta, outbox_rows);
        state.reading = Some(reading);
        Ok(())
    }

    /// Drops the oldest outbox rows if `new_rows` more exceed the limit. Returns the new number of
    /// rows.
    fn trim_outbox(
        &self,
        state: &State,
        new_rows: u64,
        meta: &mut Meta,
        batch: &mut sled::Batch,
    ) -> Result<u64, LedgerError> {
        let rows = state.outbox_rows.saturating_add(new_rows);
        let excess = rows.saturating_sub(state.outbox_rows_max);
        let excess = excess.min(state.outbox_rows);
        if excess > 0 {
            // Readers must see this before the first row is dropped.
            self.may_have_gap.store(true, Ordering::Release);
        }
        for pair in self.db.scan_prefix([codec::OUTBOX]).take(excess as usize) {
            let (key, value) = pair.map_err(LedgerError::Engine)?;
            meta.remove(&key, &value);
            batch.remove(key);
        }
        Ok(rows - excess)
    }

    /// Whether the outbox has dropped rows after `after`. Does not wait for a running commit.
    pub(crate) fn has_outbox_gap(&self, after: Cursor) -> Result<bool, LedgerError> {
        if !self.may_have_gap.load(Ordering::Acquire) {
            return Ok(false);
        }
        let key = codec::outbox_key(after);
        let oldest = self.db.scan_prefix([codec::OUTBOX]).next().transpose();
        let oldest = oldest.map_err(LedgerError::Engine)?;
        Ok(oldest.is_some_and(|(oldest, _)| oldest[..] > key[..]))
    }

    /// Makes all commits durable.
    ///
    /// Call it now and then, not for each epoch. Without it nothing is lost, but more epochs are
    /// applied again after a crash.
    pub fn sync(&self) -> Result<(), LedgerError> {
        self.check_free_space(0)?;
        self.db.flush().map_err(LedgerError::Engine)?;
        // sled's flush does not fsync.
        File::open(self.dir.join("db"))
            .and_then(|file| file.sync_all())
            .and_then(|()| files::sync_folder(&self.dir))
            .map_err(LedgerError::Sync)
    }

    /// Fails if the disk has no space for `bytes` more.
    fn check_free_space(&self, bytes: u64) -> Result<(), LedgerError> {
        let free = fs2::available_space(&*self.dir).map_err(LedgerError::Sync)?;
        let wanted = FREE_BYTES_MIN.saturating_add(bytes.saturating_mul(WRITE_FACTOR));
        if free < wanted {
            let dir = self.dir.to_path_buf();
            return Err(LedgerError::DiskFull { dir, free, wanted });
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A commit changes the state last, so a panic has left it unchanged.
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
            return Err(out_of_order("a change belongs to another epoch"));
        }
        if last >= Some(change.ordinal) {
            return Err(out_of_order("ordinals do not increase"));
        }
        last = Some(change.ordinal);
        let revision = codec::change_suffix(change);
        let history = codec::history_key(&revision);
        let value = codec::encode(&history, epoch, change).map_err(LedgerError::Encode)?;
        if pairs.insert(history, value).is_some() {
            return Err(LedgerError::RevisionTaken {
                alert: change.record.alert,
                revision: change.record.revision,
            });
        }
        let outbox = codec::outbox_key(Cursor::of(change));
        let value = codec::encode(&outbox, epoch, &revision).map_err(LedgerError::Encode)?;
        pairs.insert(outbox, value);
    }
    for record in &commit.records {
        let key = codec::record_key(record.alert);
        let value = codec::encode(&key, epoch, record).map_err(LedgerError::Encode)?;
        if pairs.insert(key, value).is_some() {
            return Err(out_of_order("a record occurs twice"));
        }
    }
    Ok(pairs)
}

/// Whether a stored value of this key never changes.
fn is_written_once(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(codec::HISTORY | codec::OUTBOX)))
}

/// The pairs of a new reading number, and of the ids that alerts keep under it.
fn reading_pairs(
    epoch: Epoch,
    reading: Option<LedgerReading>,
    kept: &BTreeMap<AlertId, AlertId>,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, postcard::Error> {
    let number = reading.map(|reading| {
        let value = codec::encode(READING_KEY, epoch, &reading)?;
        Ok((READING_KEY.to_vec(), value))
    });
    let kept = kept.iter().map(|(alert, kept)| {
        let key = codec::kept_id_key(*alert);
        let value = codec::encode(&key, epoch, kept)?;
        Ok((key, value))
    });
    number.into_iter().chain(kept).collect()
}

/// The error for a key that already has another value.
fn conflict_error(commit: &Commit, key: &[u8]) -> LedgerError {
    let has_key = |change: &&weir_schema::Change| {
        let revision = codec::change_suffix(change);
        codec::history_key(&revision) == key
    };
    match commit.changes.iter().find(has_key) {
        Some(change) => LedgerError::RevisionTaken {
            alert: change.record.alert,
            revision: change.record.revision,
        },
        None => LedgerError::damaged(key), // An outbox row of an epoch that was not applied.
    }
}

/// Opens sled, and retries while its lock is taken.
///
/// The lock outlives a closed ledger for a moment: threads that are ending, or a process that is
/// being spawned, may still hold it.
fn open_engine(dir: &Path) -> Result<sled::Db, OpenLedgerError> {
    let mut tries_left = LOCK_TRIES;
    loop {
        tries_left -= 1;
        let opened = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            // `sync` flushes. Between its calls a durable journal is enough.
            .flush_every_ms(None)
            .open();
        match opened.map_err(|error| open_error(dir, error)) {
            Err(OpenLedgerError::InUse { .. }) if tries_left > 0 => thread::sleep(LOCK_WAIT),
            other => return other,
        }
    }
}

fn open_error(dir: &Path, error: sled::Error) -> OpenLedgerError {
    let dir = dir.to_path_buf();
    match error {
        // sled reports a file lock that another process holds as an error of kind `Other`.
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            OpenLedgerError::InUse { dir }
        }
        sled::Error::Io(source) => OpenLedgerError::Disk { dir, source },
        other => OpenLedgerError::Damaged {
            dir,
            reason: other.to_string(),
        },
    }
}
