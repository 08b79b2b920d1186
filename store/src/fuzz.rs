//! Entry points for the fuzzer, which bypass the checksums of journal and ledger. Not an API.

use weir_schema::{Entry, Epoch};

use crate::journal::decode_payload as decode_block;
use crate::ledger::{encode_body, is_valid_pair};

/// Decodes the entries of a block's payload; `None` if they contradict the other parameters.
pub fn decode_payload(
    payload: &[u8],
    compressed: bool,
    raw_bytes: u32,
    entries: u32,
    batches: u32,
) -> Option<Vec<Entry>> {
    decode_block(payload, compressed, raw_bytes, entries, batches)
}

/// Whether the ledger accepts a pair.
pub fn accepts(key: &[u8], value: &[u8]) -> bool {
    is_valid_pair(key, value)
}

/// Whether the ledger accepts `body` with a valid checksum.
pub fn accepts_body(key: &[u8], body: &[u8]) -> bool {
    is_valid_pair(key, &encode_body(key, Epoch(7), body))
}

/// A value as journal and ledger store it, without its envelope.
pub fn encode<T: serde::Serialize>(value: &T) -> Option<Vec<u8>> {
    postcard::to_stdvec(value).ok()
}
