//! Reads the ledger: records, histories, the outbox, and the whole of it for comparison.

use std::io::Write;
use std::ops::Bound;

use serde::de::DeserializeOwned;
use weir_schema::said::OutboxRows;
use weir_schema::{AlertId, AlertRecord, Change, Epoch};

use super::codec::{self, HISTORY, META_KEY, Meta, OUTBOX, RECORD};
use super::{Ledger, LedgerError};

/// Most rows of one answer; who wants more asks again from the last one. A change with full
/// evidence takes some 5 KB, so an answer takes no more than 50 MB.
pub const PAGE_MAX: usize = 10_000;

type Pair = (sled::IVec, sled::IVec);

impl Ledger {
    /// An alert as it stands, or as it stood when it was retracted.
    pub fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, LedgerError> {
        let key = codec::record_key(alert);
        self.get(&key)
    }

    /// All kept revisions of an alert, in order.
    pub fn history(&self, alert: AlertId) -> Result<Vec<Change>, LedgerError> {
        let pairs = self.db.scan_prefix(codec::history_prefix(alert));
        pairs.map(decode).collect()
    }

    /// A kept revision of an alert.
    pub fn change(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, LedgerError> {
        self.get(&codec::history_key(&codec::revision(alert, revision)))
    }

    /// The newest kept revision of an alert below `revision`.
    pub fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, LedgerError> {
        let start = codec::history_prefix(alert);
        let end = codec::history_key(&codec::revision(alert, revision));
        let newest = self.db.range(start..end).next_back();
        newest.map(decode).transpose()
    }

    /// Records in order of alert id, those after `after`; at most `limit`, and [`PAGE_MAX`].
    pub fn records(
        &self,
        after: Option<AlertId>,
        limit: usize,
    ) -> Result<Vec<AlertRecord>, LedgerError> {
        let start = match after {
            Some(alert) => Bound::Excluded(codec::record_key(alert)),
            None => Bound::Included(vec![RECORD]),
        };
        let pairs = self.db.range((start, Bound::Excluded(vec![RECORD + 1])));
        pairs.take(limit.min(PAGE_MAX)).map(decode).collect()
    }

    /// Changes in the order in which they are owed to the world, those after (epoch, ordinal)
    /// `after`; at most `limit`, and [`PAGE_MAX`].
    pub fn outbox(
        &self,
        after: Option<(Epoch, u32)>,
        limit: usize,
    ) -> Result<Vec<Change>, LedgerError> {
        let start = match after {
            Some((epoch, ordinal)) => Bound::Excluded(codec::outbox_key(epoch, ordinal)),
            None => Bound::Included(vec![OUTBOX]),
        };
        let pairs = self.db.range((start, Bound::Excluded(vec![OUTBOX + 1])));
        let pairs = pairs.take(limit.min(PAGE_MAX));
        pairs.map(|pair| self.owed(pair)).collect()
    }

    /// The same, and whether rows between `after` and the first of them have gone.
    pub fn outbox_rows(
        &self,
        after: (Epoch, u32),
        limit: usize,
    ) -> Result<OutboxRows, LedgerError> {
        loop {
            let has_gap = self.has_outbox_gap(after)?;
            let changes = self.outbox(Some(after), limit)?;
            // Rows that go while others are read may have been among them, or not: read again. A gap
            // does not close, so this comes to an end.
            if has_gap || !self.has_outbox_gap(after)? {
                return Ok(OutboxRows { changes, has_gap });
            }
        }
    }

    /// The newest changes, the last one first; at most `limit`, and [`PAGE_MAX`].
    pub fn newest(&self, limit: usize) -> Result<Vec<Change>, LedgerError> {
        let pairs = self
            .db
            .scan_prefix([OUTBOX])
            .rev()
            .take(limit.min(PAGE_MAX));
        pairs.map(|pair| self.owed(pair)).collect()
    }

    /// A hash over the applied epoch and all keys and bodies in order. Two ledgers with the same
    /// content have the same, however their files differ.
    pub fn digest(&self) -> Result<[u8; 32], LedgerError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.applied().0.to_le_bytes());
        for pair in self.db.iter() {
            let (key, value) = pair.map_err(LedgerError::Engine)?;
            let body = codec::body(&key, &value).ok_or_else(|| LedgerError::damaged(&key))?;
            if &key[..] == META_KEY {
                continue;
            }
            for part in [&key[..], body] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// Writes one line of text for each key, in order of key.
    pub fn export(&self, out: &mut impl Write) -> Result<(), LedgerError> {
        for pair in self.db.iter() {
            let (key, value) = pair.map_err(LedgerError::Engine)?;
            let damaged = || LedgerError::damaged(&key);
            let line = line(&key, &value).ok_or_else(damaged)?;
            writeln!(out, "{line}").map_err(LedgerError::Export)?;
        }
        out.flush().map_err(LedgerError::Export)
    }

    fn owed(&self, pair: sled::Result<Pair>) -> Result<Change, LedgerError> {
        let revision: Vec<u8> = decode(pair)?;
        let key = codec::history_key(&revision);
        self.get(&key)?.ok_or_else(|| LedgerError::damaged(&key))
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, LedgerError> {
        let Some(value) = self.db.get(key).map_err(LedgerError::Engine)? else {
            return Ok(None);
        };
        let read = codec::open(key, &value).ok_or_else(|| LedgerError::damaged(key))?;
        Ok(Some(read))
    }
}

fn decode<T: DeserializeOwned>(pair: sled::Result<Pair>) -> Result<T, LedgerError> {
    let (key, value) = pair.map_err(LedgerError::Engine)?;
    codec::open(&key, &value).ok_or_else(|| LedgerError::damaged(&key))
}

/// A pair as text; `None` where it does not hold.
pub(crate) fn line(key: &[u8], value: &[u8]) -> Option<String> {
    let (kind, rest) = key.split_first()?;
    let name: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(match *kind {
        RECORD => format!(
            "record {name} {:?}",
            codec::open::<AlertRecord>(key, value)?
        ),
        HISTORY => format!("change {name} {:?}", codec::open::<Change>(key, value)?),
        OUTBOX => {
            let revision: Vec<u8> = codec::open(key, value)?;
            if revision.len() != codec::REVISION_BYTES {
                return None;
            }
            let revision: String = revision.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("owed {name} {revision}")
        }
        _ if key == META_KEY => {
            format!("applied {}", codec::open::<Meta>(key, value)?.applied.0)
        }
        // No other key is ever written.
        _ => return None,
    })
}
