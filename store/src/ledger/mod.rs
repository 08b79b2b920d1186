//! The ledger: every alert as it stands, every revision of it, and what is owed to the world.
//!
//! An index in sled that can be rebuilt from the journal at any time. sled does not verify what it
//! reads and does not fsync what it flushes, so every value carries a checksum, the whole a sum
//! over all pairs, and a ledger that does not check out is set aside. sled may panic on a damaged
//! file, in threads of its own: whoever starts runs [`check()`] in a process that may die, see
//! [`check_in_child`].

mod codec;

mod check;

mod error;

mod read;

mod store;

#[cfg(test)]
mod tests;

pub(crate) use check::holds;
pub use check::{CheckReport, check, check_in_child, set_aside};
pub(crate) use codec::seal_body;
pub use error::{LedgerError, OpenLedger};
pub use read::PAGE_MAX;
pub use store::Ledger;
