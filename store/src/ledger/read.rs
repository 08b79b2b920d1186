//! Reads the ledger: records, histories, the outbox, and a digest and export of everything.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Bound;

use serde::de::DeserializeOwned;
use weir_schema::outbox::{Cursor, OutboxRows};
use weir_schema::{AlertId, AlertRecord, Change};

use super::codec::{
    self, HISTORY, KEPT_ID, LedgerReading, META_KEY, Meta, OUTBOX, READING_KEY, RECORD,
};
use super::error::LedgerError;
use super::store::Ledger;

/// Most rows of one result; for more, read again from the last row.
///
/// A change with full evidence takes about 5 KB, so a result takes at most 50 MB.
pub const PAGE_MAX: usize = 10_000;

type Pair = (sled::IVec, sled::IVec);

impl Ledger {
    /// The current record of an alert. After a retraction: the last one before it.
    pub fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, LedgerError> {
        let key = codec::record_key(alert);
        self.get(&key)
    }

    /// The id under which the ledger has an alert of the graph: its own, but for an alert that
    /// stood before another reading gave it a new one.
    pub fn kept_id(&self, alert: AlertId) -> Result<AlertId, LedgerError> {
        let kept = self.get(&codec::kept_id_key(alert))?;
        Ok(kept.unwrap_or(alert))
    }

    /// All alerts of the graph whose id in the ledger is another one, with that id.
    pub fn kept_ids(&self) -> Result<BTreeMap<AlertId, AlertId>, LedgerError> {
        let pairs = self.db.scan_prefix([KEPT_ID]);
        pairs
            .map(|pair| {
                let (key, value) = pair.map_err(LedgerError::Engine)?;
                let alert = codec::kept_id_alert(&key).ok_or_else(|| LedgerError::damaged(&key))?;
                Ok((alert, decode(Ok((key, value)))?))
            })
            .collect()
    }

    /// All stored revisions of an alert, in order.
    pub fn history(&self, alert: AlertId) -> Result<Vec<Change>, LedgerError> {
        let pairs = self.db.scan_prefix(codec::history_prefix(alert));
        pairs.map(decode).collect()
    }

    /// A stored revision of an alert.
    pub fn change(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, LedgerError> {
        self.get(&codec::history_key(&codec::revision_suffix(
            alert, revision,
        )))
    }

    /// The newest stored revision of an alert below `revision`.
    pub fn previous_revision(
        &self,
        alert: AlertId,
        revision: u64,
    ) -> Result<Option<Change>, LedgerError> {
        let start = codec::history_prefix(alert);
        let end = codec::history_key(&codec::revision_suffix(alert, revision));
        let newest = self.db.range(start..end).next_back();
        newest.map(decode).transpose()
    }

    /// Records after `after`, in order of alert id; at most `limit` and [`PAGE_MAX`].
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

    /// Outbox rows after `after`, in order; at most `limit` and [`PAGE_MAX`].
    pub fn outbox(&self, after: Option<Cursor>, limit: usize) -> Result<Vec<Change>, LedgerError> {
        let start = match after {
            Some(row) => Bound::Excluded(codec::outbox_key(row)),
            None => Bound::Included(vec![OUTBOX]),
        };
        let pairs = self.db.range((start, Bound::Excluded(vec![OUTBOX + 1])));
        let pairs = pairs.take(limit.min(PAGE_MAX));
        pairs.map(|pair| self.outbox_change(pair)).collect()
    }

    /// As [`Self::outbox`], and whether rows between `after` and the first row are gone.
    pub fn outbox_rows(&self, after: Cursor, limit: usize) -> Result<OutboxRows, LedgerError> {
        loop {
            let has_gap = self.has_outbox_gap(after)?;
            let changes = self.outbox(Some(after), limit)?;
            // If a gap appeared during the read, the result may lack rows: read again. A gap never
            // closes, so the loop ends.
            if has_gap || !self.has_outbox_gap(after)? {
                return Ok(OutboxRows { changes, has_gap });
            }
        }
    }

    /// The newest changes, the last one first; at most `limit` and [`PAGE_MAX`].
    pub fn newest_changes(&self, limit: usize) -> Result<Vec<Change>, LedgerError> {
        let pairs = self
            .db
            .scan_prefix([OUTBOX])
            .rev()
            .take(limit.min(PAGE_MAX));
        pairs.map(|pair| self.outbox_change(pair)).collect()
    }

    /// A hash over the applied epoch and all keys and bodies, in order.
    ///
    /// Ledgers with equal content have equal digests, even if their files differ.
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
            let line = format_pair(&key, &value).ok_or_else(damaged)?;
            writeln!(out, "{line}").map_err(LedgerError::Export)?;
        }
        out.flush().map_err(LedgerError::Export)
    }

    fn outbox_change(&self, pair: sled::Result<Pair>) -> Result<Change, LedgerError> {
        let revision: Vec<u8> = decode(pair)?;
        let key = codec::history_key(&revision);
        self.get(&key)?.ok_or_else(|| LedgerError::damaged(&key))
    }

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, LedgerError> {
        let Some(value) = self.db.get(key).map_err(LedgerError::Engine)? else {
            return Ok(None);
        };
        let read = codec::decode(key, &value).ok_or_else(|| LedgerError::damaged(key))?;
        Ok(Some(read))
    }
}

fn decode<T: DeserializeOwned>(pair: sled::Result<Pair>) -> Result<T, LedgerError> {
    let (key, value) = pair.map_err(LedgerError::Engine)?;
    codec::decode(&key, &value).ok_or_else(|| LedgerError::damaged(&key))
}

/// A pair as text; `None` if it is invalid.
pub(crate) fn format_pair(key: &[u8], value: &[u8]) -> Option<String> {
    let (kind, rest) = key.split_first()?;
    let name: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(match *kind {
        RECORD => format!(
            "record {name} {:?}",
            codec::decode::<AlertRecord>(key, value)?
        ),
        HISTORY => format!("change {name} {:?}", codec::decode::<Change>(key, value)?),
        OUTBOX => {
            let revision: Vec<u8> = codec::decode(key, value)?;
            if revision.len() != codec::REVISION_BYTES {
                return None;
            }
            let revision: String = revision.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("owed {name} {revision}")
        }
        KEPT_ID => {
            let kept: AlertId = codec::decode(key, value)?;
            format!("kept id {name} {kept}")
        }
        _ if key == READING_KEY => {
            let reading: LedgerReading = codec::decode(key, value)?;
            let changed = reading
                .changed_at
                .map_or_else(String::new, |epoch| format!(", since epoch {}", epoch.0));
            let repairs = match reading.repairs {
                0 => String::new(),
                repairs => format!(", {repairs} clock repairs"),
            };
            format!("reading {}{changed}{repairs}", reading.number)
        }
        _ if key == META_KEY => {
            format!("applied {}", codec::decode::<Meta>(key, value)?.applied.0)
        }
        // The ledger writes no other key.
        _ => return None,
    })
}
