//! Errors of the ledger.

use std::io;
use std::path::PathBuf;

use weir_schema::{AlertId, Epoch};

/// Why a ledger could not be opened, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenLedgerError {
    #[error(
        "the ledger in {} is in use by another process; stop that or choose another folder",
        .dir.display()
    )]
    InUse { dir: PathBuf },
    #[error("could not open the ledger in {}", .dir.display())]
    Disk {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the ledger in {} is damaged ({reason}); move it away and rebuild it from the journal",
        .dir.display()
    )]
    Damaged { dir: PathBuf, reason: String },
}

/// Why the ledger could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("epoch {} cannot be applied after epoch {}", .epoch.0, .applied.0)]
    EpochNotNew { epoch: Epoch, applied: Epoch },
    #[error("the changes of epoch {} are not in order: {reason}", .epoch.0)]
    OutOfOrder { epoch: Epoch, reason: &'static str },
    #[error("revision {revision} of alert {alert} already has other content")]
    RevisionTaken { alert: AlertId, revision: u64 },
    #[error(
        "the rows of the ledger are of reading number {number}, not of this version's; restart to \
         replace them"
    )]
    OtherReading { number: u32 },
    #[error("the value of key {key} is damaged; restart to rebuild the ledger from the journal")]
    Damaged { key: String },
    #[error(
        "the disk of the ledger in {} has {free} of {wanted} needed bytes; free some space",
        .dir.display()
    )]
    DiskFull {
        dir: PathBuf,
        free: u64,
        wanted: u64,
    },
    #[error("could not encode a value")]
    Encode(#[source] postcard::Error),
    #[error("the storage engine of the ledger failed")]
    Engine(#[source] sled::Error),
    #[error("could not sync the ledger")]
    Sync(#[source] io::Error),
    #[error("could not write the export")]
    Export(#[source] io::Error),
    #[error("a commit failed half-way; restart to check the ledger")]
    Stopped,
}

impl LedgerError {
    pub(crate) fn damaged(key: &[u8]) -> Self {
        Self::Damaged {
            key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}
