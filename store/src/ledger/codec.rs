//! Encodes keys and values of the ledger, with an envelope around each value.
//!
//! ```text
//! m                             -> meta: applied epoch, number and sum of all other pairs
//! r alert 16                    -> the alert's record
//! h alert 16 revision 8         -> a stored change
//! o epoch 8 ordinal 4           -> the change of an outbox row: alert 16 revision 8
//! n                             -> the reading that wrote the rows; without it number 0
//! a alert 16                    -> the id under which the ledger has this alert of the graph
//! value = format 1 | epoch 8 | crc 4 | body
//! ```
//! Records and stored changes end with the alert's marked times, if it has any; ledgers of earlier
//! versions never have them. Numbers in keys are big-endian, so keys sort like the numbers. The CRC also covers the key, so a
//! value under a wrong key is invalid.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weir_schema::outbox::Cursor;
use weir_schema::{AlertId, AlertRecord, Change, Epoch};

pub(crate) const FORMAT: u8 = 1;
pub(crate) const META_KEY: &[u8] = b"m";
pub(crate) const RECORD: u8 = b'r';
pub(crate) const HISTORY: u8 = b'h';
pub(crate) const OUTBOX: u8 = b'o';
pub(crate) const READING_KEY: &[u8] = b"n";
pub(crate) const KEPT_ID: u8 = b'a';
const CRC_AT: usize = 9;
const BODY_AT: usize = 13;
/// Bytes of a history key without its first byte.
pub(crate) const REVISION_BYTES: usize = 24;

/// The reading that wrote the rows of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerReading {
    pub number: u32,
    /// The epoch in which the rows of an earlier reading were replaced; `None` if there were none.
    pub changed_at: Option<Epoch>,
    /// How many of the journal's clock repairs its rows follow.
    pub repairs: u32,
}

/// The ledger's description of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub applied: Epoch,
    /// Number of all other pairs.
    pub pairs: u64,
    /// The sum of their hashes. It reveals a missing or stale pair.
    pub sum: [u64; 2],
}

impl Meta {
    pub const EMPTY: Self = Self {
        applied: Epoch(0),
        pairs: 0,
        sum: [0; 2],
    };

    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.pairs = self.pairs.wrapping_add(1);
        self.set_sum(self.sum_bits().wrapping_add(pair_hash(key, value)));
    }

    pub fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.pairs = self.pairs.wrapping_sub(1);
        self.set_sum(self.sum_bits().wrapping_sub(pair_hash(key, value)));
    }

    fn sum_bits(&self) -> u128 {
        u128::from(self.sum[0]) << 64 | u128::from(self.sum[1])
    }

    fn set_sum(&mut self, sum: u128) {
        self.sum = [(sum >> 64) as u64, sum as u64];
    }
}

fn pair_hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    u128::from_le_bytes(first)
}

pub(crate) fn record_key(alert: AlertId) -> Vec<u8> {
    key(RECORD, &[&alert_bytes(alert)])
}

pub(crate) fn kept_id_key(alert: AlertId) -> Vec<u8> {
    key(KEPT_ID, &[&alert_bytes(alert)])
}

/// The alert of a key of [`kept_id_key`].
pub(crate) fn kept_id_alert(key: &[u8]) -> Option<AlertId> {
    let bits = u128::from_be_bytes(key.get(1..)?.try_into().ok()?);
    Some(AlertId([(bits >> 64) as u64, bits as u64]))
}

/// A history key without its first byte. Outbox rows refer to changes by it.
pub(crate) fn revision_suffix(alert: AlertId, revision: u64) -> Vec<u8> {
    [&alert_bytes(alert)[..], &revision.to_be_bytes()].concat()
}

pub(crate) fn history_key(revision: &[u8]) -> Vec<u8> {
    key(HISTORY, &[revision])
}

/// The common prefix of the history keys of an alert.
pub(crate) fn history_prefix(alert: AlertId) -> Vec<u8> {
    key(HISTORY, &[&alert_bytes(alert)])
}

pub(crate) fn outbox_key(row: Cursor) -> Vec<u8> {
    let (epoch, ordinal) = (row.epoch.0.to_be_bytes(), row.ordinal.to_be_bytes());
    key(OUTBOX, &[&epoch, &ordinal])
}

pub(crate) fn change_suffix(change: &Change) -> Vec<u8> {
    revision_suffix(change.record.alert, change.record.revision)
}

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    parts.iter().for_each(|part| key.extend(*part));
    key
}

fn alert_bytes(alert: AlertId) -> [u8; 16] {
    let bits = u128::from(alert.0[0]) << 64 | u128::from(alert.0[1]);
    bits.to_be_bytes()
}

/// Encodes a value with its envelope.
pub(crate) fn encode<T: Serialize>(
    key: &[u8],
    epoch: Epoch,
    body: &T,
) -> Result<Vec<u8>, postcard::Error> {
    Ok(encode_body(key, epoch, &postcard::to_stdvec(body)?))
}

/// Wraps an encoded body in its envelope.
pub(crate) fn encode_body(key: &[u8], epoch: Epoch, body: &[u8]) -> Vec<u8> {
    let mut value = vec![FORMAT];
    value.extend(epoch.0.to_be_bytes());
    value.extend([0; 4]);
    value.extend(body);
    let crc = crc(key, &value).to_be_bytes();
    value[CRC_AT..BODY_AT].copy_from_slice(&crc); // `value` has at least `BODY_AT` bytes.
    value
}

/// The body of a value; `None` if its checksum is wrong.
pub(crate) fn body<'v>(key: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    let (envelope, body) = value.split_at_checked(BODY_AT)?;
    let stored = envelope.last_chunk::<4>()?;
    let is_valid = envelope.first() == Some(&FORMAT) && crc(key, value).to_be_bytes() == *stored;
    is_valid.then_some(body)
}

/// Decodes a value; `None` if its checksum is wrong.
///
/// Records and changes end with an optional field that is stored only if it is there. So a zero
/// behind the body is that field where it is absent, and is left over where it is present.
pub(crate) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Option<T> {
    let body = body(key, value)?;
    if !matches!(key.first(), Some(&(RECORD | HISTORY))) {
        let (read, rest) = postcard::take_from_bytes(body).ok()?;
        return rest.is_empty().then_some(read);
    }
    let mut body = body.to_vec();
    body.push(0);
    let (read, rest) = postcard::take_from_bytes(&body).ok()?;
    (rest.len() <= 1).then_some(read)
}

/// Whether a pair has a valid checksum and can be decoded.
pub(crate) fn is_valid_pair(key: &[u8], value: &[u8]) -> bool {
    match key.first() {
        Some(&RECORD) => decode::<AlertRecord>(key, value).is_some(),
        Some(&HISTORY) => decode::<Change>(key, value).is_some(),
        Some(&OUTBOX) => {
            decode::<Vec<u8>>(key, value).is_some_and(|revision| revision.len() == REVISION_BYTES)
        }
        Some(&KEPT_ID) => decode::<AlertId>(key, value).is_some(),
        _ if key == READING_KEY => decode::<LedgerReading>(key, value).is_some(),
        // The ledger writes no other key.
        _ => false,
    }
}

/// The checksum over key and value, without the bytes of the checksum.
fn crc(key: &[u8], value: &[u8]) -> u32 {
    let (envelope, body) = value.split_at(BODY_AT.min(value.len()));
    let crc = crc32c::crc32c(&[key.len() as u8]);
    let crc = crc32c::crc32c_append(crc, key);
    let crc = crc32c::crc32c_append(crc, &envelope[..CRC_AT.min(envelope.len())]);
    crc32c::crc32c_append(crc, body)
}
