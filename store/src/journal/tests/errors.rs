//! Writes to disks that fail, and refuses what the journal cannot accept.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use weir_schema::Frames;

use super::format::SEGMENT_HEADER_BYTES;
use super::segment::{Disk, RealDisk, SegmentFile};
use super::*;

/// A failure of the next matching call on the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum DiskFault {
    CreateFull,
    WriteFull { written: usize },
    WriteBroken,
    SyncBroken,
    TruncateBroken,
}

#[derive(Clone)]
struct FaultyDisk(Arc<Mutex<VecDeque<DiskFault>>>);

struct FaultyFile(Box<dyn SegmentFile>, FaultyDisk);

impl FaultyDisk {
    /// Takes the next fault if it applies to this call.
    fn take_fault(&self, applies: impl Fn(DiskFault) -> bool) -> Option<DiskFault> {
        let mut faults = self.0.lock().unwrap();
        let next = faults.front().copied().filter(|fault| applies(*fault));
        faults.pop_front_if(|fault| next == Some(*fault))
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        if self
            .take_fault(|fault| fault == DiskFault::CreateFull)
            .is_some()
        {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(Box::new(FaultyFile(RealDisk.create(path)?, self.clone())))
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FaultyFile(
            RealDisk.append(path, len)?,
            self.clone(),
        )))
    }

    fn sync_folder(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_folder(dir)
    }
}

impl SegmentFile for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let is_write = |f| matches!(f, DiskFault::WriteFull { .. } | DiskFault::WriteBroken);
        match self.1.take_fault(is_write) {
            Some(DiskFault::WriteFull { written }) => {
                self.0.write_all(&bytes[..written.min(bytes.len())])?;
                Err(ErrorKind::StorageFull.into())
            }
            Some(_) => Err(io::Error::other("broken")),
            None => self.0.write_all(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.1.take_fault(|fault| fault == DiskFault::SyncBroken) {
            Some(_) => Err(io::Error::other("broken")),
            None => self.0.sync(),
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        match self
            .1
            .take_fault(|fault| fault == DiskFault::TruncateBroken)
        {
            Some(_) => Err(io::Error::other("broken")),
            None => self.0.truncate(len),
        }
    }

    fn metadata(&self) -> io::Result<fs::Metadata> {
        self.0.metadata()
    }
}

/// Runs one failing sync after `groups` good ones. In the end every entry must be there once.
fn check_fault(groups: usize, faults: &[DiskFault], is_expected: impl Fn(&JournalError) -> bool) {
    let context = format!("{faults:?} after {groups} groups");
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk(Arc::default());
    let options = JournalOptions {
        fsync: true,
        ..options(1 << 20)
    };
    let open = || JournalWriter::open_on(dir.path(), options.clone(), Box::new(disk.clone()));
    let (mut writer, _) = open().unwrap();
    let mut written = fill(&mut writer, &mut Random(13), groups);
    let reader = writer.reader();
    disk.0.lock().unwrap().extend(faults);
    let group = [batch(&mut Random(14), 5), batch(&mut Random(15), 5)];
    for entry in &group {
        writer.append(entry).unwrap();
    }
    let error = writer.sync().unwrap_err();
    assert!(is_expected(&error), "{context}: {error:?}");
    assert_eq!(
        entries(&reader),
        written,
        "{context}: published before durable"
    );
    writer.sync().unwrap();
    written.extend(group);
    assert_eq!(entries(&reader), written, "{context}");
    assert!(disk.0.lock().unwrap().is_empty(), "{context}: unused fault");
    drop(writer);
    let (writer, report) = open().unwrap();
    assert_eq!(report.damage, vec![], "{context}");
    assert_eq!(entries(&writer.reader()), written, "{context}");
    assert!(verify(dir.path()).unwrap().is_sound(), "{context}");
}

#[test]
fn retry_group_after_disk_fault() {
    use DiskFault::*;
    let full = |error: &JournalError| matches!(error, JournalError::DiskFull { .. });
    let broken = |error: &JournalError| matches!(error, JournalError::Disk { .. });
    for groups in [0, 5] {
        for written in [0, 1, 60, 150, 300, 1 << 20] {
            check_fault(groups, &[WriteFull { written }], full);
        }
        check_fault(groups, &[WriteBroken], broken);
        check_fault(groups, &[SyncBroken], broken);
    }
    check_fault(0, &[CreateFull], full);
    check_fault(5, &[SyncBroken, TruncateBroken], broken);
    for written in [1, 60, 150, 300, 1 << 20] {
        check_fault(5, &[WriteFull { written }, TruncateBroken], full);
    }
}

#[test]
fn discarded_group_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk(Arc::default());
    let options = JournalOptions {
        fsync: true,
        ..options(1 << 20)
    };
    let (mut writer, _) =
        JournalWriter::open_on(dir.path(), options.clone(), Box::new(disk.clone())).unwrap();
    let mut written = fill(&mut writer, &mut Random(16), 3);
    disk.0
        .lock()
        .unwrap()
        .extend([DiskFault::SyncBroken, DiskFault::TruncateBroken]);
    let first = writer.append(&batch(&mut Random(17), 9)).unwrap();
    writer.sync().unwrap_err();
    assert_eq!(writer.discard_pending(), 1);
    let other = batch(&mut Random(18), 2);
    assert_eq!(writer.append(&other).unwrap(), first);
    writer.sync().unwrap();
    written.push(other);
    drop(writer);
    let (writer, report) = Journal::open(dir.path(), options).unwrap();
    assert_eq!((report.torn_tails.len(), report.damage), (1, vec![]));
    assert_eq!(entries(&writer.reader()), written);
}

/// A process killed before its last sync leaves a group that only the kernel has. Readers see that
/// group, and a sender that repeats it receives an acknowledgement, so `open` must sync it.
#[test]
fn open_syncs_what_it_publishes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk(Arc::default());
    let options = |fsync| JournalOptions {
        fsync,
        ..options(1) // The segment is full, so no later write would sync it.
    };
    let (mut writer, _) = Journal::open(dir.path(), options(false)).unwrap();
    let written = fill(&mut writer, &mut Random(19), 1);
    drop(writer);
    let open = || JournalWriter::open_on(dir.path(), options(true), Box::new(disk.clone()));
    disk.0.lock().unwrap().push_back(DiskFault::SyncBroken);
    assert!(matches!(open(), Err(JournalError::Disk { .. })));
    assert_eq!(entries(&open().unwrap().0.reader()), written);
}

#[test]
fn refuse_second_writer() {
    let dir = tempfile::tempdir().unwrap();
    let first = Journal::open(dir.path(), options(1 << 20)).unwrap();
    let second = Journal::open(dir.path(), options(1 << 20));
    assert!(matches!(second, Err(JournalError::InUse { .. })));
    drop(first);
    Journal::open(dir.path(), options(1 << 20)).unwrap();
}

#[test]
fn refuse_later_format_without_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(dir.path(), options(1 << 20)).unwrap();
    fill(&mut writer, &mut Random(19), 1);
    drop(writer);
    let path = segment::path(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] += 1;
    let crc_at = SEGMENT_HEADER_BYTES - 4;
    let crc = crc32c::crc32c(&bytes[..crc_at]);
    bytes[crc_at..SEGMENT_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let opened = Journal::open(dir.path(), options(1 << 20));
    assert!(matches!(
        opened,
        Err(JournalError::Version { version: 2, .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn refuse_entries_over_limits_without_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(dir.path(), options(1 << 20)).unwrap();
    let with_frames = |frames: Frames| {
        let Entry::Batch(mut batch) = batch(&mut Random(20), 1) else {
            unreachable!("it is a batch");
        };
        Arc::make_mut(&mut batch).frames = frames;
        Entry::Batch(batch)
    };
    let refused = [
        with_frames(Frames::new()),
        with_frames((0..=1 << 16).map(|_| []).collect()),
        with_frames(Frames::from([vec![0; ENTRY_BYTES_MAX]])),
        Entry::Seal { epoch: Epoch(2) },
        Entry::Seal { epoch: Epoch(0) },
    ];
    for entry in &refused {
        writer.append(entry).unwrap_err();
        assert_eq!((writer.pending_bytes(), writer.unsealed_entries()), (0, 0));
    }
    let large = with_frames(Frames::from([vec![0; ENTRY_BYTES_MAX - 1024]]));
    writer.append(&large).unwrap();
    writer.append(&large).unwrap();
    writer.append(&large).unwrap();
    let over = writer.append(&large);
    assert!(matches!(over, Err(JournalError::TooMuchPending { .. })));
    writer.sync().unwrap();
    assert_eq!(entries(&writer.reader()), vec![large; 3]);
}
