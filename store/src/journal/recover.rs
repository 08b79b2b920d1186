//! Recovers a journal at open: truncates torn tails, quarantines damage, reports losses.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use weir_schema::Epoch;

use super::JournalError;
use super::audit::{Audit, AuditedSegment};
use super::format::JournalEnd;
use super::index::SegmentIndex;
use super::scan::{Damage, DamageKind};
use crate::files;

/// The state of a journal when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    pub segments: usize,
    pub bytes: u64,
    /// Entries ever written, including those lost to damage.
    pub entries: u64,
    pub batches: u64,
    /// The last sealed epoch; `Epoch(0)` for none.
    pub last_sealed: Epoch,
    /// Durable entries after the last seal; the owner must seal them.
    pub unsealed_entries: u64,
    /// Unfinished writes. They have been truncated, and each was copied to the quarantine folder.
    ///
    /// Damage to the very last blocks looks the same. If the ledger has applied an epoch after
    /// `last_sealed`, it was such damage, and the ledger must be rebuilt.
    pub torn_tails: Vec<Damage>,
    /// All other damage. It stays in place, and readers skip it.
    pub damage: Vec<Damage>,
}

/// A journal ready to be read and appended to.
pub(crate) struct RecoveredJournal {
    pub segments: Vec<SegmentIndex>,
    pub end: JournalEnd,
    /// The end of the last segment, if the writer may append to it.
    pub append_to: Option<AppendPoint>,
    pub bytes: u64,
    pub report: OpenReport,
}

/// The place in a segment where the writer continues.
pub(crate) struct AppendPoint {
    pub path: PathBuf,
    pub salt: u64,
    pub offset: u64,
}

const QUARANTINE: &str = "quarantine";
const COPY_BYTES: usize = 1 << 20;

/// Audits the journal in `dir`, quarantines damage and truncates torn tails.
pub(crate) fn recover(dir: &Path) -> Result<RecoveredJournal, JournalError> {
    let mut audit = Audit::run(dir, &mut |_| None)?;
    for segment in &mut audit.segments {
        for damage in &mut segment.damage {
            if damage.length > 0 {
                quarantine(dir, &segment.index, damage);
            }
        }
        truncate_torn_tail(segment)?;
    }
    files::sync_folder(dir).map_err(|source| JournalError::disk("sync", dir, source))?;

    let append_to = audit.segments.last().and_then(append_to);
    let (torn, damage) = audit
        .segments
        .iter()
        .flat_map(|segment| segment.damage.iter().cloned())
        .partition(|damage| damage.kind == DamageKind::Torn);
    let end = audit.end;
    let usable = || audit.segments.iter().filter(|segment| !segment.is_unusable);
    let bytes = usable().map(|segment| segment.file_bytes).sum();
    let report = OpenReport {
        segments: usable().count(),
        bytes,
        entries: end.next_entry,
        batches: end.next_batch,
        last_sealed: Epoch(end.sealed),
        unsealed_entries: end.unsealed,
        torn_tails: torn,
        damage,
    };
    Ok(RecoveredJournal {
        append_to,
        segments: audit
            .segments
            .into_iter()
            .map(|segment| segment.index)
            .filter(|index| !index.marks.is_empty())
            .collect(),
        end,
        bytes,
        report,
    })
}

/// The end of `last`, unless it is damaged other than by a torn tail.
fn append_to(last: &AuditedSegment) -> Option<AppendPoint> {
    let torn = |damage: &Damage| damage.kind == DamageKind::Torn;
    if !last.damage.iter().all(torn) {
        return None;
    }
    Some(AppendPoint {
        path: last.index.path.to_path_buf(),
        salt: last.salt?,
        offset: last.index.end,
    })
}

/// Truncates an unfinished write; removes a file that has nothing else.
fn truncate_torn_tail(segment: &mut AuditedSegment) -> Result<(), JournalError> {
    let path = segment.index.path.as_path();
    let torn = |damage: &&Damage| damage.kind == DamageKind::Torn;
    let Some(torn) = segment.damage.iter().find(torn) else {
        return Ok(());
    };
    if segment.is_unusable {
        return fs::remove_file(path)
            .map_err(|source| JournalError::disk("remove the unfinished", path, source));
    }
    let truncate = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(torn.offset)?;
        file.sync_all()
    };
    truncate().map_err(|source| JournalError::disk("truncate", path, source))?;
    segment.file_bytes = torn.offset;
    Ok(())
}

/// Copies a damaged range to the quarantine folder.
///
/// A failure, e.g. on a full disk, only logs a warning: damage stays in place, and an unfinished
/// write was never acknowledged.
fn quarantine(dir: &Path, segment: &SegmentIndex, damage: &mut Damage) {
    let folder = dir.join(QUARANTINE);
    let name = format!("{}-{}-{}", damage.segment, damage.offset, damage.length);
    let target = folder.join(&name);
    let exists = fs::metadata(&target).is_ok_and(|copy| copy.len() == damage.length);
    let copied = if exists {
        damage.is_known = damage.kind != DamageKind::Torn;
        Ok(())
    } else {
        files::create_private_folder(&folder)
            .and_then(|()| copy_range(&segment.path, damage, &target))
            .and_then(|()| files::sync_folder(&folder))
    };
    match copied {
        Ok(()) => damage.quarantine_copy = Some(name),
        Err(error) => {
            tracing::warn!(%error, name, "could not quarantine a damaged part of the journal");
        }
    }
}

fn copy_range(from: &Path, damage: &Damage, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // An incomplete copy is gone, or there was none.
    }
    let target = files::create_private_file(to)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    while done < damage.length {
        let wanted = (damage.length - done).min(COPY_BYTES as u64) as usize;
        let chunk = &mut buffer[..wanted];
        source.read_exact_at(chunk, damage.offset + done)?;
        target.write_all_at(chunk, done)?;
        done += wanted as u64;
    }
    target.sync_all()
}
