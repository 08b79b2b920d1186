//! The journal: one durable, ordered, hash-chained record of everything that was accepted.
//!
//! A journal is a folder of segment files. A segment has a header and then blocks. Each block has
//! its own checksums, a hash of everything before it, and one or more entries. The unit on disk is
//! called a *block* because a *frame* is a line of a log.

mod error;
mod format;

mod segment;

mod scan;

mod entry;

mod recent;

mod index;

mod audit;

mod recover;

mod lock;

mod group;

mod open_segment;

mod writer;

mod block_reader;

mod reader;

mod verify;

#[cfg(test)]
mod tests;

pub use error::JournalError;
pub(crate) use format::decode_payload;
pub use format::{BLOCK_RAW_BYTES_MAX, ENTRY_BYTES_MAX};
pub use reader::{EpochCursor, JournalReader};
pub use recover::OpenReport;
pub use scan::{Damage, DamageKind};
pub use verify::{VerifyReport, verify, verify_with_progress};
pub use writer::{JournalWriter, PENDING_BYTES_MAX};

use std::path::Path;

use crate::metrics::StoreMetrics;

/// Options of a journal's writer.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Size at which a segment is closed and a new one begun.
    pub segment_bytes: u64,
    /// Whether `sync` waits for the disk. Turn it off only for a temporary journal.
    pub fsync: bool,
    /// Bytes of the newest blocks that stay in memory, for readers that follow closely.
    pub recent_bytes: usize,
    pub metrics: Option<StoreMetrics>,
}

/// A tenth of a second at the highest measured speed, which is how far readers then lag behind.
const RECENT_BYTES: usize = 32 << 20;

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            fsync: true,
            recent_bytes: RECENT_BYTES,
            metrics: None,
        }
    }
}

/// Opens journals.
#[derive(Debug)]
pub struct Journal;

impl Journal {
    /// Opens or creates the journal in `dir`. It allows one writer at a time.
    ///
    /// Reads the whole journal once and checks every checksum. Truncates an unfinished write at the
    /// end. Damage elsewhere stays in place, is copied to `quarantine/`, and readers skip it. The
    /// report lists both.
    pub fn open(
        dir: &Path,
        options: JournalOptions,
    ) -> Result<(JournalWriter, OpenReport), JournalError> {
        JournalWriter::open_on(dir, options, Box::new(segment::RealDisk))
    }

    /// Keeps writers out of the journal in `dir` while the lock lives.
    pub fn lock(dir: &Path) -> Result<JournalLock, JournalError> {
        lock::WriterLock::take(dir).map(JournalLock)
    }
}

/// A lock that keeps writers out of a journal.
#[derive(Debug)]
pub struct JournalLock(#[expect(dead_code, reason = "dropping it unlocks")] lock::WriterLock);
