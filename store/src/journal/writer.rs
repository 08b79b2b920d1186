//! Appends entries, and makes them durable in groups.
//!
//! `append` encodes into blocks in memory; `sync` compresses them, writes them with one call, waits
//! for the disk, and only then shows them to readers. When the disk fails, nothing of the group is
//! shown, the segment is given up, and the group stays pending: the next `sync` writes it to a new
//! segment.

use std::collections::hash_map::RandomState;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use weir_schema::{BatchSeq, Control, Entry, Epoch, Position, ReceiveTime};

use super::format::{JournalEnd, Packer, ROOM_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::group::{Group, PendingBlock};
use super::index::{Segment, Shared};
use super::recover::{AppendTo, OpenReport, recover};
use super::segment::{self, Disk, SegmentFile};
use super::{JournalError, JournalOptions, JournalReader};
use crate::files;

/// Most encoded bytes that may wait for a sync. Enough for seconds of a full disk at 100 MB/s and
/// small against the memory of any machine; at the limit `append` refuses and sources wait.
pub const PENDING_BYTES_MAX: usize = 64 << 20;

/// Memory of written blocks that is kept for the next ones: as many as a group has when it is fast.
const ROOMS_MAX: usize = 8;

/// The one writer of a journal.
pub struct JournalWriter {
    dir: PathBuf,
    options: JournalOptions,
    disk: Box<dyn Disk>,
    shared: Arc<Shared>,
    packer: Packer,
    /// Memory of blocks that were written, for those to come.
    rooms: Vec<Vec<u8>>,
    /// Where the journal stands once all that is pending is durable; its chain is that of the
    /// durable end.
    end: JournalEnd,
    pending: Vec<PendingBlock>,
    pending_bytes: usize,
    segment: Option<OpenSegment>,
    bytes: u64,
    /// Held for as long as the writer lives.
    _lock: File,
}

struct OpenSegment {
    path: PathBuf,
    file: Box<dyn SegmentFile>,
    salt: u64,
    /// The durable end.
    end: u64,
}

impl std::fmt::Debug for JournalWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalWriter")
            .field("dir", &self.dir)
            .field("end", &self.end)
            .field("pending_bytes", &self.pending_bytes)
            .finish_non_exhaustive()
    }
}

impl JournalWriter {
    /// As [`super::Journal::open`], on a disk of the caller's choice.
    pub(crate) fn open_on(
        dir: &Path,
        options: JournalOptions,
        disk: Box<dyn Disk>,
    ) -> Result<(Self, OpenReport), JournalError> {
        files::create_private_folder(dir)
            .map_err(|source| JournalError::disk("create the folder", dir, source))?;
        let lock = lock(dir)?;
        let recovered = recover(dir)?;
        let segment = recovered
            .append_to
            .map(|last| OpenSegment::append(&*disk, last, options.fsync))
            .transpose()?;
        if let Some(metrics) = &options.metrics {
            let new = recovered
                .report
                .damage
                .iter()
                .filter(|damage| !damage.known);
            metrics.journal_damage_total.inc_by(new.count() as u64);
            metrics
                .journal_torn_tails_total
                .inc_by(recovered.report.torn.len() as u64);
            metrics.journal_bytes.set(recovered.bytes.cast_signed());
        }
        let recent_bytes = options.recent_bytes;
        let writer = Self {
            dir: dir.to_path_buf(),
            options,
            disk,
            shared: Arc::new(Shared::new(recovered.segments, recovered.end, recent_bytes)),
            packer: Packer::new().map_err(JournalError::Compress)?,
            rooms: Vec::new(),
            end: recovered.end,
            pending: Vec::new(),
            pending_bytes: 0,
            segment,
            bytes: recovered.bytes,
            _lock: lock,
        };
        Ok((writer, recovered.report))
    }

    /// A reader of what is durable; it may be cloned and used on any thread.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        JournalReader::new(Arc::clone(&self.shared))
    }

    /// The epoch that the next seal closes: behind the last one, and behind what was promised.
    #[must_use]
    pub fn next_epoch(&self) -> Epoch {
        let floor = self.shared.lock().floor;
        Epoch(self.end.sealed.max(floor).saturating_add(1))
    }

    /// Entries after the last seal, pending ones included.
    #[must_use]
    pub fn unsealed_entries(&self) -> u64 {
        self.end.unsealed
    }

    /// The greatest time of receipt in the journal, pending entries included; `None` where there is
    /// none.
    #[must_use]
    pub fn last_received(&self) -> Option<ReceiveTime> {
        (self.end.received > i64::MIN).then_some(ReceiveTime(self.end.received))
    }

    /// Encoded bytes that wait for `sync`.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Takes an entry in, to be written by the next `sync`. A batch gets its ordinal.
    pub fn append(&mut self, entry: &Entry) -> Result<Option<BatchSeq>, JournalError> {
        self.check(entry)?;
        self.push(entry)
    }

    /// Closes the epoch under the next number, with the next `sync`. Until that has succeeded or
    /// was given up, no promise holds for the number.
    pub fn seal(&mut self) -> Result<Epoch, JournalError> {
        let mut index = self.shared.lock();
        let epoch = Epoch(self.end.sealed.max(index.floor).saturating_add(1));
        index.sealing = index.sealing.or(Some(epoch.0));
        drop(index);
        self.push(&Entry::Seal { epoch })?;
        Ok(epoch)
    }

    fn push(&mut self, entry: &Entry) -> Result<Option<BatchSeq>, JournalError> {
        let mut end = self.end;
        end.next_entry += 1;
        let seq = match entry {
            Entry::Batch(batch) => {
                end.unsealed += 1;
                end.next_batch += 1;
                end.received = end.received.max(batch.received.0);
                Some(BatchSeq(self.end.next_batch))
            }
            Entry::Control(control) => {
                end.unsealed += 1;
                if let Control::Start { received, .. } | Control::Tick { received } = control {
                    end.received = end.received.max(received.0);
                }
                None
            }
            Entry::Seal { epoch } => {
                end.unsealed = 0;
                end.sealed = epoch.0;
                None
            }
        };
        if self.pending.last().is_none_or(PendingBlock::is_full) {
            let room = self.rooms.pop().unwrap_or_default();
            self.pending.push(PendingBlock::new(self.end, room));
        }
        if let Some(block) = self.pending.last_mut() {
            match block.push(entry, end) {
                Ok(bytes) => self.pending_bytes += bytes,
                Err(error) => {
                    self.pending.pop_if(|block| block.is_empty());
                    return Err(error);
                }
            }
        }
        self.end = end;
        Ok(seq)
    }

    fn check(&self, entry: &Entry) -> Result<(), JournalError> {
        if self.pending_bytes >= PENDING_BYTES_MAX {
            return Err(JournalError::TooMuchPending {
                bytes: self.pending_bytes,
                limit: PENDING_BYTES_MAX,
            });
        }
        match entry {
            Entry::Batch(batch) => {
                let frames = batch.frames.len();
                let limit = Position::FRAMES_MAX;
                if frames == 0 || frames > limit {
                    return Err(JournalError::FrameCount { frames, limit });
                }
            }
            Entry::Seal { epoch } => {
                let (epoch, next) = (*epoch, self.next_epoch());
                if epoch != next {
                    return Err(JournalError::SealOutOfOrder { epoch, next });
                }
            }
            Entry::Control(_) => {}
        }
        Ok(())
    }

    /// Makes all pending entries durable and shows them to readers, or does neither. After an error
    /// they are still pending: call again to try a new segment, or give them up with
    /// [`Self::discard_pending`].
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut segment = match self.segment.take() {
            Some(segment) if segment.end < self.options.segment_bytes => segment,
            _ => self.begin_segment()?, // None is open, or it is full.
        };
        let group = Group::encode(
            &self.pending,
            &mut self.packer,
            segment.salt,
            self.end.chain,
        )?;
        match self.write(&mut segment, &group) {
            Ok(()) => {
                self.publish(&segment, &group);
                segment.end += group.bytes.len() as u64;
                self.segment = Some(segment);
                Ok(())
            }
            Err((action, source)) => {
                // Whatever the disk kept of the group, the next open finds that a later segment
                // holds these entries.
                if let Err(error) = segment.file.truncate(segment.end) {
                    tracing::warn!(%error, "could not cut a failed write off the journal");
                }
                Err(JournalError::disk(action, &segment.path, source))
            }
        }
    }

    /// Gives up what is pending; its ordinals will be used again. Returns how many entries that
    /// were.
    pub fn discard_pending(&mut self) -> u64 {
        let mut index = self.shared.lock();
        let durable = index.end;
        index.sealing = None;
        index.wakes += 1;
        drop(index);
        self.shared.grown.notify_all();
        let entries = self.end.next_entry - durable.next_entry;
        self.pending.clear();
        self.pending_bytes = 0;
        self.end = durable;
        entries
    }

    fn begin_segment(&mut self) -> Result<OpenSegment, JournalError> {
        let before = self.shared.lock().end;
        let path = segment::path(&self.dir, before.next_entry);
        let failed = |source| JournalError::disk("begin the segment", &path, source);
        let header = SegmentHeader {
            salt: RandomState::new().build_hasher().finish(),
            before,
        };
        let mut file = self.disk.create(&path).map_err(failed)?;
        file.write_all(&header.encode()).map_err(failed)?;
        if self.options.fsync {
            file.sync().map_err(failed)?;
            self.disk.sync_folder(&self.dir).map_err(failed)?;
        }
        self.bytes += SEGMENT_HEADER_BYTES as u64;
        Ok(OpenSegment {
            path,
            file,
            salt: header.salt,
            end: SEGMENT_HEADER_BYTES as u64,
        })
    }

    fn write(
        &self,
        segment: &mut OpenSegment,
        group: &Group,
    ) -> Result<(), (&'static str, std::io::Error)> {
        let written = segment.file.write_all(&group.bytes);
        written.map_err(|source| ("write to", source))?;
        if self.options.fsync {
            let started = Instant::now();
            let synced = segment.file.sync();
            synced.map_err(|source| ("sync", source))?;
            if let Some(metrics) = &self.options.metrics {
                let waited = started.elapsed().as_secs_f64();
                metrics.journal_fsync_seconds.observe(waited);
            }
        }
        Ok(())
    }

    fn publish(&mut self, segment: &OpenSegment, group: &Group) {
        if let Some((_, last)) = group.blocks.last() {
            self.end.chain = last.chain;
        }
        self.bytes += group.bytes.len() as u64;
        let mut recent = self.shared.recent();
        for block in self.pending.drain(..) {
            let (block, room) = block.written();
            recent.push(block);
            if room.capacity() <= ROOM_BYTES_MAX && self.rooms.len() < ROOMS_MAX {
                self.rooms.push(room);
            }
        }
        drop(recent);
        self.pending_bytes = 0;
        let mut index = self.shared.lock();
        let begun = index.segments.last().map(|last| last.path.as_path());
        if begun != Some(&segment.path) {
            index.segments.push(Segment::new(segment.path.clone()));
        }
        let mut sealed_before = index.end.sealed;
        if let Some(last) = index.segments.last_mut() {
            for (offset, header) in &group.blocks {
                last.push(segment.end + offset, header, sealed_before);
                sealed_before = header.sealed;
            }
        }
        index.end = self.end;
        index.sealing = None;
        drop(index);
        self.shared.grown.notify_all();
        if let Some(metrics) = &self.options.metrics {
            metrics.journal_bytes.set(self.bytes.cast_signed());
        }
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.grown.notify_all();
    }
}

impl OpenSegment {
    fn append(disk: &dyn Disk, last: AppendTo, fsync: bool) -> Result<Self, JournalError> {
        let opened = disk.append(&last.path, last.offset);
        let mut file =
            opened.map_err(|source| JournalError::disk("append to", &last.path, source))?;
        if fsync {
            // What a killed process had written and not synced is taken as durable from here on.
            let synced = file.sync();
            synced.map_err(|source| JournalError::disk("sync", &last.path, source))?;
        }
        Ok(Self {
            path: last.path,
            file,
            salt: last.salt,
            end: last.offset,
        })
    }
}

/// Takes the place of the one writer; it is given back when the file is dropped.
pub(super) fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("lock");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let file = opened.map_err(|source| JournalError::disk("lock", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse {
            dir: dir.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(JournalError::disk("lock", &path, source)),
    }
}
