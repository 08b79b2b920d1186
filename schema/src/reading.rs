//! The reading number: which reading of the journal this binary has.

/// Rises when a release reads the same journal otherwise: parsing, observables, grouping, ids.
///
/// The journal records it at every start, and the ledger with its rows. The same journal gives the
/// same ledger for one reading number only. A start that finds a ledger of another number reads the
/// whole journal anew and tells the differences once, with [`crate::Cause::Upgrade`].
///
/// One release raises it by one, however many of its changes alter the reading. A ledger without a
/// number has number 0.
pub const READING_NUMBER: u32 = 2;

/// The digest of the events that this reading makes of the project's sample lines, and of the number.
///
/// `ingest/parse/tests/digest.rs` computes it. A change of the reading changes it, and so reminds its
/// author of the number.
pub const READING_DIGEST: u64 = 0x148c_0705_0153_7d58;
