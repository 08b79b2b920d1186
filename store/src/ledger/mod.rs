//! The ledger: the current record of every alert, its history, and the outbox.
//!
//! The ledger is an index in sled that can be rebuilt from the journal at any time. sled does not
//! verify its reads, and its flush does not fsync. Every value therefore carries a checksum, the
//! ledger stores a sum over all pairs, and a ledger that fails its check is quarantined. On a
//! damaged file sled may panic in threads of its own, so callers first run [`check()`] in a child
//! process; see [`check_in_child`].

mod error;

mod codec;

mod scan;

mod store;

mod read;

mod check;

#[cfg(test)]
mod tests;

pub use check::{
    CheckLimits, CheckProgress, CheckReport, LedgerCheck, NOT_POSSIBLE_CODE, check, check_in_child,
    quarantine,
};
pub use codec::LedgerReading;
pub(crate) use codec::{encode_body, is_valid_pair};
pub use error::{LedgerError, OpenLedgerError};
pub use read::PAGE_MAX;
pub use store::Ledger;
