//! Appends entries, and makes them durable in groups.
//!
//! `append` encodes entries into blocks in memory. `sync` compresses them, writes them with one
//! call, waits for the disk, and only then publishes them to readers. If the disk fails, the writer
//! publishes nothing of the group and abandons the segment. The group stays pending, and the next
//! `sync` writes it to a new segment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use weir_schema::{BatchSeq, Control, Entry, Epoch, Position, ReceiveTime};

use super::format::{BUFFER_BYTES_MAX, JournalEnd, Packer};
use super::group::{BlockGroup, PendingBlock};
use super::index::{SegmentIndex, SharedIndex};
use super::lock::WriterLock;
use super::open_segment::OpenSegment;
use super::recover::{OpenReport, recover};
use super::segment::Disk;
use super::{JournalError, JournalOptions, JournalReader};
use crate::files;

/// Most encoded bytes that may wait for a sync; at the limit `append` refuses and sources wait.
///
/// The limit is small compared to the memory of any machine. At an intake of 100 MB/s it bridges a
/// stall of the disk of about 0.6 s.
pub const PENDING_BYTES_MAX: usize = 64 << 20;

/// Most buffers of written blocks that are reused: as many as a group has at full speed.
const SPARE_BUFFERS_MAX: usize = 8;

/// The one writer of a journal.
pub struct JournalWriter {
    dir: PathBuf,
    options: JournalOptions,
    disk: Box<dyn Disk>,
    shared: Arc<SharedIndex>,
    packer: Packer,
    /// Empty buffers of written blocks, for new blocks.
    spare_buffers: Vec<Vec<u8>>,
    /// The end including pending entries, except for its chain, which is that of the durable end.
    end: JournalEnd,
    pending: Vec<PendingBlock>,
    pending_bytes: usize,
    segment: Option<OpenSegment>,
    bytes: u64,
    /// Keeps other writers out while this one lives.
    lock: WriterLock,
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
    /// As [`super::Journal::open`], on a given disk.
    pub(crate) fn open_on(
        dir: &Path,
        options: JournalOptions,
        disk: Box<dyn Disk>,
    ) -> Result<(Self, OpenReport), JournalError> {
        files::create_private_folder(dir)
            .map_err(|source| JournalError::disk("create the folder", dir, source))?;
        let lock = WriterLock::take(dir)?;
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
                .filter(|damage| !damage.is_known);
            metrics.journal_damage_total.inc_by(new.count() as u64);
            metrics
                .journal_torn_tails_total
                .inc_by(recovered.report.torn_tails.len() as u64);
            metrics.journal_bytes.set(recovered.bytes.cast_signed());
        }
        let recent_bytes = options.recent_bytes;
        let metrics = options.metrics.as_ref();
        let read_faults = metrics.map(|metrics| metrics.journal_read_faults_total.clone());
        let writer = Self {
            dir: dir.to_path_buf(),
            options,
            disk,
            shared: Arc::new(SharedIndex::new(
                recovered.segments,
                recovered.end,
                recent_bytes,
                read_faults,
            )),
            packer: Packer::new().map_err(JournalError::Compress)?,
            spare_buffers: Vec::new(),
            end: recovered.end,
            pending: Vec::new(),
            pending_bytes: 0,
            segment,
            bytes: recovered.bytes,
            lock,
        };
        Ok((writer, recovered.report))
    }

    /// A reader of durable entries. It may be cloned and used on any thread.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        JournalReader::new(Arc::clone(&self.shared))
    }

    /// The epoch that the next seal closes: above the last one and [`JournalReader::raise_floor`].
    #[must_use]
    pub fn next_epoch(&self) -> Epoch {
        let floor = self.shared.lock().floor;
        Epoch(self.end.sealed.max(floor).saturating_add(1))
    }

    /// Entries after the last seal, including pending ones.
    #[must_use]
    pub fn unsealed_entries(&self) -> u64 {
        self.end.unsealed
    }

    /// The greatest time of receipt, including pending entries; `None` if there is none.
    #[must_use]
    pub fn last_received(&self) -> Option<ReceiveTime> {
        (self.end.received > i64::MIN).then_some(ReceiveTime(self.end.received))
    }

    /// Encoded bytes that wait for `sync`.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Appends an entry, which the next `sync` writes. Returns the ordinal of a batch.
    pub fn append(&mut self, entry: &Entry) -> Result<Option<BatchSeq>, JournalError> {
        self.check(entry)?;
        self.push(entry)
    }

    /// Appends a seal for the next epoch, which the next `sync` writes.
    ///
    /// Until the seal is synced or discarded, [`JournalReader::raise_floor`] returns false for it.
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
            let buffer = self.spare_buffers.pop().unwrap_or_default();
            self.pending.push(PendingBlock::new(self.end, buffer));
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

    /// Makes all pending entries durable and publishes them to readers, or does neither.
    ///
    /// [`JournalError::LockLost`] stays: another writer may have the journal. So does
    /// [`JournalError::SegmentLost`]: the next start would not find what is written. After any other
    /// error they are still pending: call `sync` again to try a new segment, or
    /// [`Self::discard_pending`] to discard them.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.lock.check()?;
        if let Some(segment) = &mut self.segment {
            // A write behind the end of a shorter file would hide that it is shorter.
            segment.check(segment.end)?;
        }
        let mut segment = match self.segment.take() {
            Some(segment) if segment.end < self.options.segment_bytes => segment,
            _ => self.begin_segment()?, // No segment is open, or it is full.
        };
        let group = BlockGroup::encode(
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
            Err(error) => {
                // Leftovers of the group do no harm: the next open finds these entries in a later
                // segment.
                if let Err(error) = segment.file.truncate(segment.end) {
                    tracing::warn!(%error, "could not truncate a failed write to the journal");
                }
                if matches!(error, JournalError::SegmentLost { .. }) {
                    self.segment = Some(segment); // It stays lost.
                }
                Err(error)
            }
        }
    }

    /// Discards all pending entries and returns their number. Their ordinals will be used again.
    pub fn discard_pending(&mut self) -> u64 {
        let mut index = self.shared.lock();
        let durable = index.end;
        index.sealing = None;
        index.wakes += 1;
        drop(index);
        self.shared.signal.notify_all();
        let entries = self.end.next_entry - durable.next_entry;
        self.pending.clear();
        self.pending_bytes = 0;
        self.end = durable;
        entries
    }

    fn begin_segment(&mut self) -> Result<OpenSegment, JournalError> {
        let before = self.shared.lock().end;
        let fsync = self.options.fsync;
        let segment = OpenSegment::begin(&*self.disk, &self.dir, before, fsync)?;
        self.bytes += segment.end;
        Ok(segment)
    }

    fn write(&self, segment: &mut OpenSegment, group: &BlockGroup) -> Result<(), JournalError> {
        let written = segment.file.write_all(&group.bytes);
        written.map_err(|source| JournalError::disk("write to", &segment.path, source))?;
        if self.options.fsync {
            let started = Instant::now();
            let synced = segment.file.sync();
            synced.map_err(|source| JournalError::disk("sync", &segment.path, source))?;
            if let Some(metrics) = &self.options.metrics {
                let waited = started.elapsed().as_secs_f64();
                metrics.journal_fsync_seconds.observe(waited);
            }
        }
        segment.check(segment.end + group.bytes.len() as u64)
    }

    fn publish(&mut self, segment: &OpenSegment, group: &BlockGroup) {
        if let Some((_, last)) = group.blocks.last() {
            self.end.chain = last.chain;
        }
        self.bytes += group.bytes.len() as u64;
        let mut recent = self.shared.recent();
        for block in self.pending.drain(..) {
            let (block, buffer) = block.into_recent();
            recent.push(block);
            let is_full = self.spare_buffers.len() >= SPARE_BUFFERS_MAX;
            if buffer.capacity() <= BUFFER_BYTES_MAX && !is_full {
                self.spare_buffers.push(buffer);
            }
        }
        drop(recent);
        self.pending_bytes = 0;
        let mut index = self.shared.lock();
        let last_path = index.segments.last().map(|last| last.path.as_path());
        if last_path != Some(&segment.path) {
            index.segments.push(SegmentIndex::new(segment.path.clone()));
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
        self.shared.signal.notify_all();
        if let Some(metrics) = &self.options.metrics {
            metrics.journal_bytes.set(self.bytes.cast_signed());
        }
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.signal.notify_all();
    }
}
