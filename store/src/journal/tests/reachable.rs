//! Acknowledges nothing that is not in a file that the next start finds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::segment::{Disk, RealDisk, SegmentFile};
use super::*;

/// The fate of the segment that a writer has open.
type Harm = fn(&Path);

const HARMS: [(&str, Harm); 5] = [
    ("removed", |path| fs::remove_file(path).unwrap()),
    ("renamed", |path| {
        fs::rename(path, path.with_extension("aside")).unwrap();
    }),
    ("replaced", |path| {
        let copy = path.with_extension("copy");
        fs::copy(path, &copy).unwrap();
        fs::rename(copy, path).unwrap();
    }),
    ("emptied", |path| fs::write(path, "").unwrap()),
    ("cut short", |path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    }),
];

fn last_segment(dir: &Path) -> PathBuf {
    segment::list(dir).unwrap().pop().unwrap().1
}

/// Opens a journal again. A process that another test starts has the lock until it runs its program.
fn reopen(dir: &Path, segment_bytes: u64) -> (JournalWriter, OpenReport) {
    loop {
        match Journal::open(dir, options(segment_bytes)) {
            Err(JournalError::InUse { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn sync_one(writer: &mut JournalWriter, seed: u64) -> Result<(), JournalError> {
    writer.append(&batch(&mut Random(seed), 3)).unwrap();
    let synced = writer.sync();
    if synced.is_err() {
        writer.discard_pending();
    }
    synced
}

#[test]
fn a_segment_that_is_removed_replaced_or_shorter_stops_the_writer() {
    // The second size makes each group begin a segment of its own.
    for (segment_bytes, (name, harm)) in [1 << 20, 1]
        .into_iter()
        .flat_map(|bytes| HARMS.map(|harm| (bytes, harm)))
    {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        let (mut writer, _) = Journal::open(dir, options(segment_bytes)).unwrap();
        let published = fill(&mut writer, &mut Random(21), 2);
        let path = last_segment(dir);
        let kept = fs::read(&path).unwrap();
        harm(&path);
        for seed in [22, 23] {
            let synced = sync_one(&mut writer, seed);
            let is_lost =
                matches!(&synced, Err(JournalError::SegmentLost { path: lost }) if *lost == path);
            assert!(is_lost, "{name}, {segment_bytes}: {synced:?}");
        }
        // A file that comes back is enough for a restart, and not for this writer.
        fs::write(&path, &kept).unwrap();
        let synced = sync_one(&mut writer, 24);
        assert!(matches!(synced, Err(JournalError::SegmentLost { .. })));
        drop(writer);
        let (writer, report) = reopen(dir, segment_bytes);
        assert_eq!(report.damage, vec![], "{name}");
        assert_eq!(entries(&writer.reader()), published, "{name}");
    }
}

#[test]
fn segments_that_are_removed_together_stop_the_writer() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    let (mut writer, _) = Journal::open(dir, options(1)).unwrap();
    fill(&mut writer, &mut Random(25), 3);
    for (_, path) in segment::list(dir).unwrap() {
        fs::remove_file(path).unwrap();
    }
    let synced = sync_one(&mut writer, 26);
    assert!(
        matches!(synced, Err(JournalError::SegmentLost { .. })),
        "{synced:?}"
    );
    let left = segment::list(dir).unwrap();
    assert!(
        left.is_empty(),
        "it begins no segment after a gap: {left:?}"
    );
}

/// A disk on which each write finds its file removed.
struct RemovingDisk;

struct RemovedFile(Box<dyn SegmentFile>, PathBuf);

impl Disk for RemovingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = RealDisk.create(path)?;
        Ok(Box::new(RemovedFile(file, path.to_path_buf())))
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn SegmentFile>> {
        RealDisk.append(path, len)
    }

    fn sync_folder(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_folder(dir)
    }
}

impl SegmentFile for RemovedFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let _ = fs::remove_file(&self.1);
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn metadata(&self) -> io::Result<fs::Metadata> {
        self.0.metadata()
    }
}

#[test]
fn a_group_whose_file_is_removed_during_the_write_is_not_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    let (mut writer, _) =
        JournalWriter::open_on(dir, options(1 << 20), Box::new(RemovingDisk)).unwrap();
    for seed in [27, 28] {
        let synced = sync_one(&mut writer, seed);
        let is_lost = matches!(&synced, Err(JournalError::SegmentLost { .. }));
        assert!(is_lost, "{synced:?}");
    }
    assert_eq!(entries(&writer.reader()), vec![]);
    assert_eq!(segment::list(dir).unwrap(), vec![]);
}
