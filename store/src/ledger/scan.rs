//! Checks every pair of an open ledger.

use super::codec::{self, LedgerReading, META_KEY, Meta, OUTBOX, READING_KEY};

/// A ledger's description of itself, and the size of its outbox.
pub(crate) struct LedgerScan {
    pub meta: Meta,
    pub outbox_rows: u64,
    /// `None` if the ledger has no reading number.
    pub reading: Option<LedgerReading>,
}

/// Checks every pair and the sum of all. The error names the damage.
pub(crate) fn scan(db: &sled::Db) -> Result<LedgerScan, String> {
    let mut stored = None;
    let (mut outbox_rows, mut reading) = (0, None);
    let mut found = Meta::EMPTY;
    for pair in db.iter() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        if &key[..] == META_KEY {
            let meta: Meta = codec::decode(&key, &value).ok_or("its own description")?;
            stored = Some(meta);
            continue;
        }
        if !codec::is_valid_pair(&key, &value) {
            return Err(format!("the value of key {:02x?}", &key[..]));
        }
        if &key[..] == READING_KEY {
            reading = codec::decode(&key, &value);
        }
        found.add(&key, &value);
        outbox_rows += u64::from(key.first() == Some(&OUTBOX));
    }
    let stored = stored.unwrap_or(Meta::EMPTY);
    found.applied = stored.applied;
    if found != stored {
        let (found, stored) = (found.pairs, stored.pairs);
        return Err(format!(
            "{found} keys that are not the {stored} that it should have"
        ));
    }
    Ok(LedgerScan {
        meta: stored,
        outbox_rows,
        reading,
    })
}
