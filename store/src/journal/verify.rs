//! Checks a journal without changing it: every checksum, every entry, the whole hash chain.

use std::path::Path;

use weir_schema::{Entry, Epoch};

use super::JournalError;
use super::audit::{Audit, Visit};
use super::format::{Unpacker, unpack};
use super::scan::{Damage, DamageKind};

/// What a journal holds, and what of it does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    pub segments: u64,
    pub bytes: u64,
    pub blocks: u64,
    pub entries: u64,
    pub batches: u64,
    /// Raw frames in all batches.
    pub frames: u64,
    pub controls: u64,
    pub seals: u64,
    /// `Epoch(0)` for none.
    pub last_sealed: Epoch,
    /// Entries after the last seal.
    pub unsealed_entries: u64,
    /// The hash at the end of the chain. Whoever notes it elsewhere can tell later that nothing
    /// before it was changed, even by somebody who computed all hashes anew.
    pub chain: [u8; 32],
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Whether everything holds. An unfinished write at the end counts against it; where a server
    /// is writing to the journal at the same time, that may be its current one.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Reads and checks the whole journal in `dir`.
pub fn verify(dir: &Path) -> Result<VerifyReport, JournalError> {
    verify_with(dir, &mut |_| ())
}

/// The same, telling after each block how many bytes of blocks were checked.
pub fn verify_with(dir: &Path, told: &mut dyn FnMut(u64)) -> Result<VerifyReport, JournalError> {
    let mut checked = 0;
    let mut report = VerifyReport {
        segments: 0,
        bytes: 0,
        blocks: 0,
        entries: 0,
        batches: 0,
        frames: 0,
        controls: 0,
        seals: 0,
        last_sealed: Epoch(0),
        unsealed_entries: 0,
        chain: [0; 32],
        damage: Vec::new(),
    };
    // The chain that the next block must follow; unknown after damage.
    let mut chain = Some([0; 32]);
    let mut unpacker = Unpacker::default();
    let audit = Audit::run(dir, &mut |visit| match visit {
        Visit::Segment(None) | Visit::Bad => {
            chain = None;
            None
        }
        Visit::Segment(Some(header)) => {
            let broken = chain.is_some_and(|chain| chain != header.before.chain);
            chain = Some(header.before.chain);
            broken.then_some(DamageKind::Chain)
        }
        Visit::Block(header, payload) => {
            let broken = chain.is_some_and(|chain| header.link(&chain, payload) != header.chain);
            chain = Some(header.chain);
            report.blocks += 1;
            checked += payload.len() as u64;
            told(checked);
            let Some(entries) = unpack(&mut unpacker, header, payload) else {
                return Some(DamageKind::Entries);
            };
            entries.iter().for_each(|entry| report.count(entry));
            broken.then_some(DamageKind::Chain)
        }
    })?;
    report.last_sealed = Epoch(audit.end.sealed);
    report.unsealed_entries = audit.end.unsealed;
    report.chain = audit.end.chain;
    for segment in audit.segments {
        report.segments += 1;
        report.bytes += segment.file_bytes;
        report.damage.extend(segment.damage);
    }
    Ok(report)
}

impl VerifyReport {
    fn count(&mut self, entry: &Entry) {
        self.entries += 1;
        match entry {
            Entry::Batch(batch) => {
                self.batches += 1;
                self.frames += batch.frames.len() as u64;
            }
            Entry::Control(_) => self.controls += 1,
            Entry::Seal { .. } => self.seals += 1,
        }
    }
}
