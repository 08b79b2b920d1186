//! Errors of the journal, by what the operator can do about them.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use weir_schema::{BatchSeq, Epoch};

/// Why the journal could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(
        "the journal in {} is in use by another process; stop that or choose another folder",
        .dir.display()
    )]
    InUse { dir: PathBuf },
    #[error(
        "{} was removed or replaced while this process held the lock, so another writer may run; \
         this one stops; restart Weir, and leave that file in place",
        .path.display()
    )]
    LockLost { path: PathBuf },
    #[error(
        "{} was removed, replaced or cut short while Weir wrote to it, so nothing more is accepted; \
         put that file back if you have it, then restart Weir: senders repeat what was not \
         acknowledged",
        .path.display()
    )]
    SegmentLost { path: PathBuf },
    #[error(
        "could not {action} {}: the disk is full; free some space, no accepted event is lost",
        .path.display()
    )]
    DiskFull {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "could not {action} {}: permission denied, or the file system is read-only",
        .path.display()
    )]
    ReadOnly {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not {action} {}", .path.display())]
    Disk {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has journal format {version}; this binary reads {supported}", .segment.display())]
    Version {
        segment: PathBuf,
        version: u32,
        supported: u32,
    },
    #[error("an entry of {bytes} bytes is over the limit of {limit}; split the batch")]
    EntryTooLarge { bytes: usize, limit: usize },
    #[error("a batch has {frames} frames; it must have 1 to {limit}")]
    FrameCount { frames: usize, limit: usize },
    #[error("{bytes} bytes wait to be synced, over the limit of {limit}; sync first")]
    TooMuchPending { bytes: usize, limit: usize },
    #[error("epoch {} cannot be sealed now; the next one is {}", .epoch.0, .next.0)]
    SealOutOfOrder { epoch: Epoch, next: Epoch },
    #[error("could not encode an entry")]
    Encode(#[source] postcard::Error),
    #[error("could not compress a block")]
    Compress(#[source] io::Error),
    #[error(
        "{} is damaged at byte {offset}; run `weir verify`, and restart to quarantine the damage",
        .segment.display()
    )]
    Damaged { segment: PathBuf, offset: u64 },
    #[error("batch {} was lost to damage of the journal", .batch.0)]
    BatchLost { batch: BatchSeq },
    #[error("batch {} is not in the journal yet", .batch.0)]
    NoSuchBatch { batch: BatchSeq },
}

impl JournalError {
    /// Whether the disk or the system failed, so that the same call may succeed later. Damage and
    /// refusals are not transient.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Disk { .. } | Self::DiskFull { .. } | Self::ReadOnly { .. }
        )
    }

    pub(crate) fn disk(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull {
                action,
                path,
                source,
            },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::ReadOnly {
                action,
                path,
                source,
            },
            // For all other kinds the text of the source is enough.
            _ => Self::Disk {
                action,
                path,
                source,
            },
        }
    }
}
