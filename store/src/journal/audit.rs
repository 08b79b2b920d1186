//! Judges a whole journal: scans every segment and says what is not there any more.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::format::{BadHeader, BlockHeader, FORMAT_VERSION, JournalEnd, SegmentHeader};
use super::index::Segment;
use super::scan::{Damage, DamageKind, Found, SegmentScan};
use super::segment;

/// What an audit meets on its way, for those who check more than the checksums.
pub(crate) enum Visit<'a> {
    Segment(Option<&'a SegmentHeader>),
    Block(&'a BlockHeader, &'a [u8]),
    Bad,
}

/// Looks at each part and may find it damaged in its own way.
pub(crate) type Visitor<'a> = &'a mut dyn FnMut(Visit<'_>) -> Option<DamageKind>;

/// One segment, as found.
pub(crate) struct AuditedSegment {
    pub index: Segment,
    pub name: String,
    pub file_bytes: u64,
    pub salt: Option<u64>,
    /// The file holds neither a good header nor a good block.
    pub worthless: bool,
    pub damage: Vec<Damage>,
}

/// A journal, as found.
pub(crate) struct Audit {
    pub segments: Vec<AuditedSegment>,
    pub end: JournalEnd,
}

impl Audit {
    /// Scans all segments in `dir`, in order, and changes nothing.
    pub fn run(dir: &Path, visit: Visitor<'_>) -> Result<Self, JournalError> {
        let listed = segment::list(dir)?;
        let mut audit = Self {
            segments: Vec::with_capacity(listed.len()),
            end: JournalEnd::START,
        };
        for (i, (first_entry, path)) in listed.iter().enumerate() {
            let limit = listed.get(i + 1).map(|(next, _)| *next);
            let mut one = SegmentAudit::new(path, audit.end);
            if audit.end.next_entry < *first_entry {
                one.report(DamageKind::Missing, (0, 0), Some(*first_entry));
            }
            one.end.next_entry = *first_entry;
            one.run(path, limit, visit)?;
            audit.end = one.end;
            audit.segments.push(one.found);
        }
        Ok(audit)
    }
}

struct SegmentAudit {
    found: AuditedSegment,
    /// After the last good block so far.
    end: JournalEnd,
}

impl SegmentAudit {
    fn new(path: &Path, end: JournalEnd) -> Self {
        let name = path.file_name().unwrap_or_default();
        Self {
            found: AuditedSegment {
                index: Segment::new(PathBuf::from(path)),
                name: name.to_string_lossy().into_owned(),
                file_bytes: 0,
                salt: None,
                worthless: false,
                damage: Vec::new(),
            },
            end,
        }
    }

    fn run(
        &mut self,
        path: &Path,
        limit: Option<u64>,
        visit: Visitor<'_>,
    ) -> Result<(), JournalError> {
        let failed = |source| JournalError::disk("read", path, source);
        let file = File::open(path).map_err(failed)?;
        let next_entry = self.end.next_entry;
        let mut scan =
            SegmentScan::new(&file, next_entry, limit.unwrap_or(u64::MAX)).map_err(failed)?;
        self.found.file_bytes = scan.file_bytes();
        match scan.header() {
            Ok(header) => {
                self.end = header.before;
                self.found.salt = Some(header.salt);
            }
            Err(BadHeader::Damaged) => {}
            Err(BadHeader::Version(version)) => {
                return Err(JournalError::Version {
                    segment: path.to_path_buf(),
                    version: *version,
                    supported: FORMAT_VERSION,
                });
            }
        }
        if let Some(kind) = visit(Visit::Segment(scan.header().as_ref().ok())) {
            self.report(kind, (0, 0), Some(next_entry));
        }
        let mut bad = None;
        while let Some(found) = scan.next() {
            match found {
                Found::Bad { offset, length } => {
                    visit(Visit::Bad);
                    bad = Some((offset, length));
                }
                Found::Block { offset, header } => {
                    self.block(offset, &header, bad.take());
                    if let Some(kind) = visit(Visit::Block(&header, scan.payload())) {
                        let lost = match kind {
                            DamageKind::Entries => u64::from(header.entries),
                            _ => 0, // The block holds; only its origin is in doubt.
                        };
                        self.end.next_entry = header.first_entry;
                        let place = (offset, header.block_bytes());
                        self.report(kind, place, Some(header.first_entry + lost));
                        self.end = header.end();
                    }
                }
            }
        }
        self.finish(bad, limit);
        Ok(())
    }

    fn block(&mut self, offset: u64, header: &BlockHeader, bad: Option<(u64, u64)>) {
        match bad {
            Some((0, length)) => {
                self.report(DamageKind::Header, (0, length), Some(header.first_entry));
            }
            Some(place) => self.report(DamageKind::Block, place, Some(header.first_entry)),
            None if header.first_entry > self.end.next_entry => {
                self.report(DamageKind::Missing, (offset, 0), Some(header.first_entry));
            }
            None => {}
        }
        if self.found.index.marks.is_empty() {
            self.found.index.end = offset; // What lies before the first block is no gap to skip.
        }
        self.found.index.push(offset, header, self.end.sealed);
        self.end = header.end();
    }

    /// Judges what follows the last good block. Where the next segment goes on with the very next
    /// entry, nothing that was acknowledged is lost: the writer gave up on these bytes and began
    /// that segment.
    fn finish(&mut self, bad: Option<(u64, u64)>, limit: Option<u64>) {
        let nothing_good = self.found.index.marks.is_empty() && self.found.salt.is_none();
        self.found.worthless = nothing_good;
        let whole = (0, self.found.file_bytes);
        let bad = bad.or((nothing_good && limit.is_none()).then_some(whole));
        match (bad, limit) {
            (Some(place), None) => self.report(DamageKind::Torn, place, None),
            (Some(place), Some(limit)) if self.end.next_entry == limit => {
                self.report(DamageKind::Torn, place, Some(limit));
            }
            (Some(place), Some(limit)) => {
                let kind = if place.0 == 0 {
                    DamageKind::Header
                } else {
                    DamageKind::Block
                };
                self.report(kind, place, Some(limit));
            }
            (None, Some(limit)) if self.end.next_entry < limit => {
                let place = (self.found.file_bytes, 0);
                self.report(DamageKind::Missing, place, Some(limit));
            }
            (None, _) => {}
        }
        if let Some(limit) = limit {
            // How many of the lost entries were batches is known once a later header is read; until
            // then assume all, so that no number is given twice.
            let lost = limit - self.end.next_entry;
            self.end.next_batch = self.end.next_batch.saturating_add(lost);
            self.end.next_entry = limit;
        }
    }

    /// Notes damage to a stretch; the entries from the last good one up to `next` are lost.
    fn report(&mut self, kind: DamageKind, (offset, length): (u64, u64), next: Option<u64>) {
        let first_entry = self.end.next_entry;
        self.found.damage.push(Damage {
            kind,
            segment: self.found.name.clone(),
            offset,
            length,
            first_entry,
            entries_lost: next.map(|next| next.saturating_sub(first_entry)),
            set_aside: None,
            known: false,
        });
    }
}
