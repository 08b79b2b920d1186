//! Opens what a crash or a bad disk has left: cuts torn tails, sets damage aside, reports losses.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use weir_schema::Epoch;

use super::JournalError;
use super::audit::{Audit, AuditedSegment};
use super::format::JournalEnd;
use super::index::Segment;
use super::scan::{Damage, DamageKind};
use crate::files;

/// What was found when a journal was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    pub segments: usize,
    pub bytes: u64,
    /// Entries ever written, those lost to damage included.
    pub entries: u64,
    pub batches: u64,
    /// The last sealed epoch; `Epoch(0)` for none.
    pub last_sealed: Epoch,
    /// Durable entries that no seal closes; the owner seals them.
    pub unsealed_entries: u64,
    /// Unfinished writes; they have been cut off, and a copy of each was set aside. Damage to the
    /// very last blocks looks the same: where the ledger has applied an epoch after `last_sealed`,
    /// it was that, and the ledger is to be rebuilt.
    pub torn: Vec<Damage>,
    /// All other damage; it stays where it is, and readers pass over it.
    pub damage: Vec<Damage>,
}

/// A journal ready to be read and appended to.
pub(crate) struct Recovered {
    pub segments: Vec<Segment>,
    pub end: JournalEnd,
    /// The last segment, where that may be appended to.
    pub append_to: Option<AppendTo>,
    pub bytes: u64,
    pub report: OpenReport,
}

pub(crate) struct AppendTo {
    pub path: PathBuf,
    pub salt: u64,
    pub offset: u64,
}

const QUARANTINE: &str = "quarantine";
const COPY_BYTES: usize = 1 << 20;

/// Reads the journal in `dir` and mends its tail.
pub(crate) fn recover(dir: &Path) -> Result<Recovered, JournalError> {
    let mut audit = Audit::run(dir, &mut |_| None)?;
    for segment in &mut audit.segments {
        for damage in &mut segment.damage {
            if damage.length > 0 {
                set_aside(dir, &segment.index, damage);
            }
        }
        mend(segment)?;
    }
    files::sync_folder(dir).map_err(|source| JournalError::disk("sync", dir, source))?;

    let append_to = audit.segments.last().and_then(append_to);
    let (torn, damage) = audit
        .segments
        .iter()
        .flat_map(|segment| segment.damage.iter().cloned())
        .partition(|damage| damage.kind == DamageKind::Torn);
    let end = audit.end;
    let kept = || audit.segments.iter().filter(|segment| !segment.worthless);
    let bytes = kept().map(|segment| segment.file_bytes).sum();
    let report = OpenReport {
        segments: kept().count(),
        bytes,
        entries: end.next_entry,
        batches: end.next_batch,
        last_sealed: Epoch(end.sealed),
        unsealed_entries: end.unsealed,
        torn,
        damage,
    };
    Ok(Recovered {
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

/// A segment may be appended to unless something else than its tail was damaged.
fn append_to(last: &AuditedSegment) -> Option<AppendTo> {
    let torn = |damage: &Damage| damage.kind == DamageKind::Torn;
    if !last.damage.iter().all(torn) {
        return None;
    }
    Some(AppendTo {
        path: last.index.path.to_path_buf(),
        salt: last.salt?,
        offset: last.index.end,
    })
}

/// Cuts an unfinished write off; removes a file that holds nothing else.
fn mend(segment: &mut AuditedSegment) -> Result<(), JournalError> {
    let path = segment.index.path.as_path();
    let torn = |damage: &&Damage| damage.kind == DamageKind::Torn;
    let Some(torn) = segment.damage.iter().find(torn) else {
        return Ok(());
    };
    if segment.worthless {
        return fs::remove_file(path)
            .map_err(|source| JournalError::disk("remove the unfinished", path, source));
    }
    let cut = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(torn.offset)?;
        file.sync_all()
    };
    cut().map_err(|source| JournalError::disk("cut the unfinished write off", path, source))?;
    segment.file_bytes = torn.offset;
    Ok(())
}

/// Copies a damaged stretch to the quarantine folder. That this fails, say on a full disk, is no
/// reason not to start: damage stays in place, and an unfinished write was never acknowledged.
fn set_aside(dir: &Path, segment: &Segment, damage: &mut Damage) {
    let folder = dir.join(QUARANTINE);
    let name = format!("{}-{}-{}", damage.segment, damage.offset, damage.length);
    let target = folder.join(&name);
    let is_there = fs::metadata(&target).is_ok_and(|copy| copy.len() == damage.length);
    let copied = if is_there {
        damage.known = damage.kind != DamageKind::Torn;
        Ok(())
    } else {
        files::create_private_folder(&folder)
            .and_then(|()| copy_stretch(&segment.path, damage, &target))
            .and_then(|()| files::sync_folder(&folder))
    };
    match copied {
        Ok(()) => damage.set_aside = Some(name),
        Err(error) => {
            tracing::warn!(%error, name, "could not set a damaged part of the journal aside");
        }
    }
}

fn copy_stretch(from: &Path, damage: &Damage, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // A copy that was cut short is gone, or there was none.
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
