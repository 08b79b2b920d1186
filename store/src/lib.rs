//! Persistent storage: the journal, which is the truth, and the ledger, an index rebuilt from it.
//!
//! ```text
//! append ─► pending ─► sync (compress, write, fsync) ─► segments ─► cursor ─► graph
//!                                                           └─► batch(seq) ─► explanations
//! commit of an epoch ─► ledger (sled, one atomic batch) ─► outbox, records, history
//! ```

pub mod journal;

pub mod ledger;

pub mod metrics;

#[doc(hidden)]
pub mod fuzz;

mod files;

pub use journal::{
    Journal, JournalError, JournalOptions, JournalReader, JournalWriter, OpenReport,
};
pub use ledger::{Ledger, LedgerError, OpenLedgerError};
pub use metrics::StoreMetrics;
