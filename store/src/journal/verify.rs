//! Verifies a journal without changing it: every checksum, every entry, the whole hash chain.

use std::path::Path;

use weir_schema::{Entry, Epoch};

use super::JournalError;
use super::audit::{Audit, AuditItem};
use super::format::{Unpacker, unpack};
use super::scan::{Damage, DamageKind};

/// The contents of a journal, and its damage.
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
    /// The hash at the end of the chain.
    ///
    /// If you store it elsewhere, you can check later that nothing before it was changed, even by
    /// somebody who recomputed all hashes.
    pub chain: [u8; 32],
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Whether the journal is undamaged.
    ///
    /// An unfinished write at the end counts as damage. If a server is writing to the journal, that
    /// may be its current write.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Reads and checks the whole journal in `dir`.
pub fn verify(dir: &Path) -> Result<VerifyReport, JournalError> {
    verify_with_progress(dir, &mut |_| ())
}

/// As [`verify`]; calls `on_progress` after each block with the payload bytes checked so far.
pub fn verify_with_progress(
    dir: &Path,
    on_progress: &mut dyn FnMut(u64),
) -> Result<VerifyReport, JournalError> {
    let mut checked_bytes = 0;
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
    // The chain that the next block must continue; unknown after damage.
    let mut chain = Some([0; 32]);
    let mut unpacker = Unpacker::default();
    let audit = Audit::run(dir, &mut |visit| match visit {
        AuditItem::Segment(None) | AuditItem::Damaged => {
            chain = None;
            None
        }
        AuditItem::Segment(Some(header)) => {
            let is_broken = chain.is_some_and(|chain| chain != header.before.chain);
            chain = Some(header.before.chain);
            is_broken.then_some(DamageKind::Chain)
        }
        AuditItem::Block(header, payload) => {
            let is_broken = chain.is_some_and(|chain| header.link(&chain, payload) != header.chain);
            chain = Some(header.chain);
            report.blocks += 1;
            checked_bytes += payload.len() as u64;
            on_progress(checked_bytes);
            let Some(entries) = unpack(&mut unpacker, header, payload) else {
                return Some(DamageKind::Entries);
            };
            entries.iter().for_each(|entry| report.count(entry));
            is_broken.then_some(DamageKind::Chain)
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
