//! The journal: one durable, ordered, hash-chained record of everything that was accepted.
//!
//! A folder of segment files. A segment is a header and then blocks, each with its own checksums
//! and the hash of all before it; a block holds one or several entries. What a glossary calls a
//! *frame* is a line of a log, so the unit on disk is called a *block* here.

mod error;
mod format;

mod segment;

mod scan;

mod audit;

mod recover;

mod index;

mod group;

mod writer;

mod walk;

mod reader;

mod recent;

mod verify;

#[cfg(test)]
mod tests;

pub use error::JournalError;
pub(crate) use format::read_payload;
pub use format::{BLOCK_RAW_BYTES_MAX, ENTRY_BYTES_MAX};
pub use reader::{EpochCursor, JournalReader};
pub use recover::OpenReport;
pub use scan::{Damage, DamageKind};
pub use verify::{VerifyReport, verify, verify_with};
pub use writer::{JournalWriter, PENDING_BYTES_MAX};

use std::path::Path;

use crate::metrics::StoreMetrics;

/// How a journal is written.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// A segment that has grown past this is closed and a new one begun.
    pub segment_bytes: u64,
    /// Whether `sync` waits for the disk. Off only where the journal is thrown away afterwards.
    pub fsync: bool,
    /// So many bytes of what was written last stay in memory, for readers that follow closely.
    pub recent_bytes: usize,
    pub metrics: Option<StoreMetrics>,
}

/// A tenth of a second at the greatest speed measured, which is as far as readers are behind then.
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
    /// Opens the journal in `dir`, or begins one; there is one writer at a time.
    ///
    /// Reads all of it once and checks every checksum. An unfinished write at the end is cut off;
    /// damage elsewhere stays in place, is copied to `quarantine/` and skipped by readers. Both are
    /// in the report.
    pub fn open(
        dir: &Path,
        options: JournalOptions,
    ) -> Result<(JournalWriter, OpenReport), JournalError> {
        JournalWriter::open_on(dir, options, Box::new(segment::RealDisk))
    }

    /// Keeps writers out of the journal in `dir` for as long as the answer lives.
    pub fn lock(dir: &Path) -> Result<JournalLock, JournalError> {
        writer::lock(dir).map(JournalLock)
    }
}

/// Held, nobody writes to the journal.
#[derive(Debug)]
pub struct JournalLock(#[expect(dead_code, reason = "dropping it unlocks")] std::fs::File);
