//! Bytes behind the checksums of journal and ledger: the fuzzer's way in, part of no interface.

use weir_schema::{Entry, Epoch};

use crate::journal::read_payload;
use crate::ledger::{holds, seal_body};

/// The entries of a payload whose header and checksums say what these numbers say.
pub fn entries(
    payload: &[u8],
    packed: bool,
    raw_bytes: u32,
    (entries, batches): (u32, u32),
) -> Option<Vec<Entry>> {
    read_payload(payload, packed, raw_bytes, (entries, batches))
}

/// Whether the ledger takes a pair.
pub fn takes(key: &[u8], value: &[u8]) -> bool {
    holds(key, value)
}

/// Whether the ledger takes `body` where its checksum is good.
pub fn takes_body(key: &[u8], body: &[u8]) -> bool {
    holds(key, &seal_body(key, Epoch(7), body))
}

/// A value as journal and ledger keep it, without its envelope.
pub fn encoded<T: serde::Serialize>(value: &T) -> Option<Vec<u8>> {
    postcard::to_stdvec(value).ok()
}
