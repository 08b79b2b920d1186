//! Audits a whole journal: scans every segment and lists damage and lost entries.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::format::{BlockHeader, FORMAT_VERSION, JournalEnd, SegmentHeader, SegmentHeaderError};
use super::index::SegmentIndex;
use super::scan::{ByteRange, Damage, DamageKind, SegmentRegion, SegmentScan};
use super::segment;

/// A part of the journal that an audit passes to its visitor.
pub(crate) enum AuditItem<'a> {
    /// A segment, with its header if that is valid.
    Segment(Option<&'a SegmentHeader>),
    /// A valid block and its payload.
    Block(&'a BlockHeader, &'a [u8]),
    Damaged,
}

/// Checks more than the checksums; returns the damage that it finds in an item.
pub(crate) type AuditVisitor<'a> = &'a mut dyn FnMut(AuditItem<'_>) -> Option<DamageKind>;

/// The result for one segment.
pub(crate) struct AuditedSegment {
    pub index: SegmentIndex,
    pub name: String,
    pub file_bytes: u64,
    pub salt: Option<u64>,
    /// The file has neither a valid header nor a valid block.
    pub is_unusable: bool,
    pub damage: Vec<Damage>,
}

/// The result for a journal.
pub(crate) struct Audit {
    pub segments: Vec<AuditedSegment>,
    pub end: JournalEnd,
}

impl Audit {
    /// Scans all segments in `dir`, in order, without changing them.
    pub fn run(dir: &Path, visit: AuditVisitor<'_>) -> Result<Self, JournalError> {
        let listed = segment::list(dir)?;
        let mut audit = Self {
            segments: Vec::with_capacity(listed.len()),
            end: JournalEnd::START,
        };
        for (i, (first_entry, path)) in listed.iter().enumerate() {
            let limit = listed.get(i + 1).map(|(next, _)| *next);
            let mut segment_audit = SegmentAudit::new(path, audit.end);
            if audit.end.next_entry < *first_entry {
                segment_audit.report(DamageKind::Missing, NOWHERE, Some(*first_entry));
            }
            segment_audit.end.next_entry = *first_entry;
            segment_audit.run(path, limit, visit)?;
            audit.end = segment_audit.end;
            audit.segments.push(segment_audit.segment);
        }
        Ok(audit)
    }
}

/// The range of damage that concerns no bytes of a segment.
const NOWHERE: ByteRange = ByteRange {
    offset: 0,
    length: 0,
};

/// The running audit of one segment.
struct SegmentAudit {
    segment: AuditedSegment,
    /// The journal's end after the last valid block so far.
    end: JournalEnd,
}

impl SegmentAudit {
    fn new(path: &Path, end: JournalEnd) -> Self {
        let name = path.file_name().unwrap_or_default();
        Self {
            segment: AuditedSegment {
                index: SegmentIndex::new(PathBuf::from(path)),
                name: name.to_string_lossy().into_owned(),
                file_bytes: 0,
                salt: None,
                is_unusable: false,
                damage: Vec::new(),
            },
            end,
        }
    }

    fn run(
        &mut self,
        path: &Path,
        limit: Option<u64>,
        visit: AuditVisitor<'_>,
    ) -> Result<(), JournalError> {
        let failed = |source| JournalError::disk("read", path, source);
        let file = File::open(path).map_err(failed)?;
        let next_entry = self.end.next_entry;
        let mut scan =
            SegmentScan::new(&file, next_entry, limit.unwrap_or(u64::MAX)).map_err(failed)?;
        self.segment.file_bytes = scan.file_bytes();
        match scan.header() {
            Ok(header) => {
                self.end = header.before;
                self.segment.salt = Some(header.salt);
            }
            Err(SegmentHeaderError::Damaged) => {}
            Err(SegmentHeaderError::Version(version)) => {
                return Err(JournalError::Version {
                    segment: path.to_path_buf(),
                    version: *version,
                    supported: FORMAT_VERSION,
                });
            }
        }
        if let Some(kind) = visit(AuditItem::Segment(scan.header().as_ref().ok())) {
            self.report(kind, NOWHERE, Some(next_entry));
        }
        let mut damaged = None;
        while let Some(region) = scan.next() {
            match region {
                SegmentRegion::Damaged(range) => {
                    visit(AuditItem::Damaged);
                    damaged = Some(range);
                }
                SegmentRegion::Block { offset, header } => {
                    self.block(offset, &header, damaged.take());
                    if let Some(kind) = visit(AuditItem::Block(&header, scan.payload())) {
                        let lost = match kind {
                            DamageKind::Entries => u64::from(header.entries),
                            _ => 0, // The entries are valid; only their origin is in doubt.
                        };
                        self.end.next_entry = header.first_entry;
                        let range = ByteRange {
                            offset,
                            length: header.block_bytes(),
                        };
                        self.report(kind, range, Some(header.first_entry + lost));
                        self.end = header.end();
                    }
                }
            }
        }
        self.finish(damaged, limit);
        Ok(())
    }

    /// Adds a valid block; `damaged` is the range directly before it.
    fn block(&mut self, offset: u64, header: &BlockHeader, damaged: Option<ByteRange>) {
        let next = Some(header.first_entry);
        match damaged {
            Some(range) => self.report(damage_kind(range), range, next),
            None if header.first_entry > self.end.next_entry => {
                self.report(DamageKind::Missing, ByteRange { offset, length: 0 }, next);
            }
            None => {}
        }
        if self.segment.index.marks.is_empty() {
            self.segment.index.end = offset; // Readers skip no gap before the first block.
        }
        self.segment.index.push(offset, header, self.end.sealed);
        self.end = header.end();
    }

    /// Reports what follows the last valid block. `limit` is the first entry of the next segment.
    ///
    /// If the next segment continues with the next entry, no acknowledged entry is lost: the writer
    /// abandoned these bytes and began that segment.
    fn finish(&mut self, damaged: Option<ByteRange>, limit: Option<u64>) {
        let is_unusable = self.segment.index.marks.is_empty() && self.segment.salt.is_none();
        self.segment.is_unusable = is_unusable;
        let file = ByteRange {
            offset: 0,
            length: self.segment.file_bytes,
        };
        let damaged = damaged.or((is_unusable && limit.is_none()).then_some(file));
        match (damaged, limit) {
            (Some(range), None) => self.report(DamageKind::Torn, range, None),
            (Some(range), Some(limit)) if self.end.next_entry == limit => {
                self.report(DamageKind::Torn, range, Some(limit));
            }
            (Some(range), Some(limit)) => self.report(damage_kind(range), range, Some(limit)),
            (None, Some(limit)) if self.end.next_entry < limit => {
                let file_end = ByteRange {
                    offset: self.segment.file_bytes,
                    length: 0,
                };
                self.report(DamageKind::Missing, file_end, Some(limit));
            }
            (None, _) => {}
        }
        if let Some(limit) = limit {
            // A later header tells how many of the lost entries were batches. Until then assume
            // all, so that no ordinal is used twice.
            let lost = limit - self.end.next_entry;
            self.end.next_batch = self.end.next_batch.saturating_add(lost);
            self.end.next_entry = limit;
        }
    }

    /// Adds damage to a range; the entries from the last valid one up to `next` are lost.
    fn report(&mut self, kind: DamageKind, range: ByteRange, next: Option<u64>) {
        let first_entry = self.end.next_entry;
        self.segment.damage.push(Damage {
            kind,
            segment: self.segment.name.clone(),
            offset: range.offset,
            length: range.length,
            first_entry,
            entries_lost: next.map(|next| next.saturating_sub(first_entry)),
            quarantine_copy: None,
            is_known: false,
        });
    }
}

/// Damage at the start of a segment concerns its header.
fn damage_kind(range: ByteRange) -> DamageKind {
    if range.offset == 0 {
        DamageKind::Header
    } else {
        DamageKind::Block
    }
}
