//! The journal under honest use, cut tails, flipped bits, and disks that fail.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use weir_schema::{
    Batch, BatchSeq, Control, Delivery, Entry, Epoch, EventTime, Format, Frames, ReceiveTime,
    TimeBounds, Transport,
};

use super::format::{BLOCK_HEADER_BYTES, BlockHeader, SEGMENT_HEADER_BYTES};
use super::segment::{self, Disk, RealDisk, SegmentFile};
use super::walk::{ReadEntry, Walk};
use super::*;

/// A small generator, so that a seed repeats a failure.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn batch(random: &mut Random, frames: usize) -> Entry {
    let mut frame = || {
        let words: Vec<_> = (0..6).map(|_| format!("{:x}", random.next())).collect();
        words.join(" ")
    };
    Entry::from(Batch {
        tenant: "default".into(),
        source: "test".into(),
        transport: Transport::Tcp,
        format: Format::Syslog,
        peer: Some("192.0.2.1:514".into()),
        zone: None,
        logsource: None,
        received: ReceiveTime(7),
        delivery: None,
        frames: (0..frames).map(|_| frame()).collect(),
    })
}

fn options(segment_bytes: u64) -> JournalOptions {
    JournalOptions {
        segment_bytes,
        fsync: false,
        // What is read here is what is on the disk.
        recent_bytes: 0,
        metrics: None,
    }
}

/// Appends `groups` groups, each synced: some batches, a tick now and then, and a seal every second
/// time.
fn fill(writer: &mut JournalWriter, random: &mut Random, groups: usize) -> Vec<Entry> {
    let mut written = Vec::new();
    for group in 0..groups {
        let mut entries: Vec<_> = (0..1 + random.below(4)).map(|_| batch(random, 3)).collect();
        if group % 3 == 0 {
            let received = ReceiveTime(group as i64);
            entries.push(Entry::Control(Control::Tick { received }));
        }
        if group % 2 == 1 {
            let epoch = writer.next_epoch();
            entries.push(Entry::Seal { epoch });
        }
        for entry in &entries {
            writer.append(entry).unwrap();
        }
        writer.sync().unwrap();
        written.extend(entries);
    }
    written
}

/// All entries that can be read, with their numbers.
fn readable(reader: &JournalReader) -> Vec<(u64, Entry)> {
    let mut walk = Walk::from_start(reader.shared());
    let mut all = Vec::new();
    while let Some(block) = walk.block().unwrap() {
        for (i, entry) in walk.take(&block).unwrap().into_iter().enumerate() {
            let entry = match entry {
                ReadEntry::Batch(_, batch) => Entry::Batch(batch),
                ReadEntry::Control(control) => Entry::Control(control),
                ReadEntry::Seal(epoch) => Entry::Seal { epoch },
            };
            all.push((block.header.first_entry + i as u64, entry));
        }
    }
    all
}

fn entries(reader: &JournalReader) -> Vec<Entry> {
    reader.entries().map(Result::unwrap).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    for (_, path) in segment::list(from).unwrap() {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn what_is_synced_is_read_back_in_every_way_and_after_each_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    let mut written = Vec::new();
    for restart in 0..4 {
        let (mut writer, report) = Journal::open(dir.path(), options(8 << 10)).unwrap();
        assert_eq!((report.torn, report.damage), (vec![], vec![]));
        assert_eq!(report.entries, written.len() as u64);
        assert_eq!(report.unsealed_entries, writer.unsealed_entries());
        let reader = writer.reader();
        assert_eq!(entries(&reader), written, "restart {restart}");
        written.extend(fill(&mut writer, &mut random, 30));
        assert_eq!(entries(&reader), written, "restart {restart}");
    }
    let (writer, report) = Journal::open(dir.path(), options(8 << 10)).unwrap();
    assert!(report.segments > 4, "{report:?}");
    let reader = writer.reader();

    let batches: Vec<_> = reader.batches().map(Result::unwrap).collect();
    let numbers: Vec<_> = batches.iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(numbers, (0..report.batches).collect::<Vec<_>>());
    for (seq, batch) in batches.iter().rev() {
        assert_eq!(reader.batch(*seq).unwrap(), *batch);
    }
    let beyond = reader.batch(BatchSeq(report.batches));
    assert!(matches!(beyond, Err(JournalError::NoSuchBatch { .. })));

    let verified = verify(dir.path()).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.entries, written.len() as u64);
    assert_eq!(verified.batches, report.batches);
    assert_eq!(verified.frames, 3 * report.batches);
    assert_eq!(verified.last_sealed, reader.last_sealed());
}

#[test]
fn a_cursor_gives_each_sealed_epoch_once_from_wherever_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(dir.path(), options(4 << 10)).unwrap();
    let written = fill(&mut writer, &mut Random(2), 41);
    let mut expected = vec![(Vec::new(), Vec::new())];
    for entry in &written {
        let open = expected.last_mut().unwrap();
        match entry {
            Entry::Control(control) => open.0.push(control.clone()),
            Entry::Batch(batch) => open.1.push(batch.clone()),
            Entry::Seal { .. } => expected.push((Vec::new(), Vec::new())),
        }
    }
    expected.pop().expect("the last group is not sealed");
    let reader = writer.reader();
    assert_eq!(reader.last_sealed(), Epoch(expected.len() as u64));
    for from in 0..=expected.len() as u64 + 1 {
        let mut cursor = reader.cursor(Epoch(from));
        for at in from.max(1)..=expected.len() as u64 {
            let sealed = cursor.next(Duration::ZERO).unwrap().unwrap();
            let batches = sealed.batches.iter().map(|(_, b)| Arc::clone(b)).collect();
            assert_eq!(sealed.epoch, Epoch(at));
            assert_eq!((sealed.controls, batches), expected[at as usize - 1]);
        }
        assert!(cursor.next(Duration::ZERO).unwrap().is_none());
    }
}

#[test]
fn a_waiting_cursor_wakes_for_a_seal_and_for_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(dir.path(), options(4 << 10)).unwrap();
    let mut cursor = writer.reader().cursor(Epoch(1));
    let waiting = std::thread::spawn(move || {
        let long = Duration::from_secs(60);
        let first = cursor.next(long).unwrap().map(|sealed| sealed.epoch);
        let then = cursor.next(long).unwrap().map(|sealed| sealed.epoch);
        (first, then, cursor.is_closed())
    });
    fill(&mut writer, &mut Random(3), 2);
    drop(writer);
    assert_eq!(waiting.join().unwrap(), (Some(Epoch(1)), None, true));
}

#[test]
fn what_a_crash_left_unsealed_is_sealed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(dir.path(), options(1 << 20)).unwrap();
    assert_eq!(
        (writer.next_epoch(), writer.last_received()),
        (Epoch(1), None)
    );
    let received = ReceiveTime(99);
    for entry in [
        batch(&mut Random(1), 1),
        Entry::Control(Control::Tick { received }),
    ] {
        writer.append(&entry).unwrap();
    }
    writer.sync().unwrap();
    writer.append(&batch(&mut Random(2), 1)).unwrap(); // Never synced: nobody was told that it is.
    drop(writer);

    let (mut writer, report) = Journal::open(dir.path(), options(1 << 20)).unwrap();
    assert_eq!((report.unsealed_entries, writer.unsealed_entries()), (2, 2));
    assert_eq!(
        (writer.next_epoch(), writer.last_received()),
        (Epoch(1), Some(received))
    );
    let mut cursor = writer.reader().cursor(Epoch(1));
    assert!(cursor.next(Duration::ZERO).unwrap().is_none());
    let epoch = writer.next_epoch();
    writer.append(&Entry::Seal { epoch }).unwrap();
    assert!(cursor.next(Duration::ZERO).unwrap().is_none());
    writer.sync().unwrap();
    let sealed = cursor.next(Duration::ZERO).unwrap().unwrap();
    assert_eq!((sealed.controls.len(), sealed.batches.len()), (1, 1));
    assert_eq!(
        (writer.unsealed_entries(), writer.next_epoch()),
        (0, Epoch(2))
    );
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_counted() {
    let source = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(source.path(), options(1 << 20)).unwrap();
    let kept = fill(&mut writer, &mut Random(4), 4);
    let path = segment::path(source.path(), 0);
    let kept_bytes = fs::metadata(&path).unwrap().len();
    fill(&mut writer, &mut Random(5), 1);
    let bytes = fs::read(&path).unwrap();
    for cut in kept_bytes as usize..bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment::path(dir.path(), 0), &bytes[..cut]).unwrap();
        let torn = u64::from(cut as u64 > kept_bytes);
        assert_eq!(verify(dir.path()).unwrap().damage.len() as u64, torn);

        let (mut writer, report) = Journal::open(dir.path(), options(1 << 20)).unwrap();
        assert_eq!(report.torn.len() as u64, torn, "cut at {cut}");
        assert_eq!(report.damage, vec![], "cut at {cut}");
        assert_eq!(entries(&writer.reader()), kept, "cut at {cut}");
        let more = fill(&mut writer, &mut Random(6), 1);
        let all = [kept.clone(), more].concat();
        assert_eq!(entries(&writer.reader()), all, "cut at {cut}");
        assert!(verify(dir.path()).unwrap().is_sound(), "cut at {cut}");
    }
    for cut in 0..SEGMENT_HEADER_BYTES {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment::path(dir.path(), 0), &bytes[..cut]).unwrap();
        assert!(!verify(dir.path()).unwrap().is_sound(), "cut at {cut}");
        let (mut writer, report) = Journal::open(dir.path(), options(1 << 20)).unwrap();
        assert_eq!((report.torn.len(), report.entries), (1, 0), "cut at {cut}");
        let more = fill(&mut writer, &mut Random(6), 1);
        assert_eq!(entries(&writer.reader()), more, "cut at {cut}");
    }
}

/// What was written is either read back, or its loss is in the report.
fn check_nothing_is_lost_in_silence(dir: &Path, written: &[Entry], context: &str) {
    let verified = verify(dir).unwrap();
    assert!(!verified.is_sound(), "{context}: verify saw nothing");
    let (mut writer, report) = Journal::open(dir, options(16 << 10)).unwrap();
    let mut there = vec![false; written.len()];
    for (number, entry) in readable(&writer.reader()) {
        assert_eq!(written[number as usize], entry, "{context}: entry {number}");
        there[number as usize] = true;
    }
    for damage in report.torn.iter().chain(&report.damage) {
        let first = damage.first_entry as usize;
        let lost = damage.entries_lost.unwrap_or(u64::MAX);
        there
            .iter_mut()
            .skip(first)
            .take(lost as usize)
            .for_each(|there| *there = true);
        let copied = damage.length == 0 || damage.set_aside.is_some();
        assert!(copied, "{context}: {damage} is not set aside");
    }
    let missing = there.iter().position(|there| !there);
    assert_eq!(missing, None, "{context}: lost in silence, {report:?}");

    // It goes on, and a second start finds no new damage.
    let before = readable(&writer.reader());
    let more = fill(&mut writer, &mut Random(7), 2);
    let after = readable(&writer.reader());
    let expected: Vec<_> = before
        .iter()
        .map(|(_, entry)| entry.clone())
        .chain(more)
        .collect();
    let found: Vec<_> = after.iter().map(|(_, entry)| entry.clone()).collect();
    assert_eq!(found, expected, "{context}");
    drop(writer);
    let (writer, again) = Journal::open(dir, options(16 << 10)).unwrap();
    assert_eq!(readable(&writer.reader()), after, "{context}");
    assert_eq!(again.torn, vec![], "{context}");
    let unknown = again
        .damage
        .iter()
        .find(|damage| damage.length > 0 && !damage.known);
    assert_eq!(unknown, None, "{context}");
}

#[test]
fn flipped_bits_and_zeroed_pages_are_detected_and_nothing_is_lost_in_silence() {
    const TRIES: u64 = 400;
    let source = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(source.path(), options(16 << 10)).unwrap();
    let written = fill(&mut writer, &mut Random(8), 120);
    drop(writer);
    let segments = segment::list(source.path()).unwrap();
    assert!(segments.len() >= 4);
    let mut done = 0;
    for seed in 0.. {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        copy_folder(source.path(), dir.path());
        let (number, _) = segments[random.below(segments.len() as u64) as usize];
        let path = segment::path(dir.path(), number);
        let mut bytes = fs::read(&path).unwrap();
        let at = random.below(bytes.len() as u64) as usize;
        let before = bytes.clone();
        let what = if seed % 2 == 0 {
            bytes[at] ^= 1 << random.below(8);
            "bit flipped"
        } else {
            let page = at & !4095;
            let end = bytes.len().min(page + 4096);
            bytes[page..end].fill(0);
            "page zeroed"
        };
        if bytes != before {
            fs::write(&path, bytes).unwrap();
            let context = format!("seed {seed}, {what} at {at} of segment {number}");
            check_nothing_is_lost_in_silence(dir.path(), &written, &context);
            done += 1;
        }
        if done == TRIES {
            break;
        }
    }
}

/// What a disk may make of a write that was not synced: any of its sectors old, any length.
fn lose_power(bytes: &mut Vec<u8>, synced: usize, random: &mut Random) {
    const SECTOR: usize = 512;
    let keep = synced + random.below((bytes.len() - synced + 1) as u64) as usize;
    if random.below(2) == 0 {
        bytes.truncate(keep);
    }
    let mut at = synced;
    while at < bytes.len() {
        let end = (at / SECTOR + 1) * SECTOR;
        let end = end.min(bytes.len());
        if random.below(4) == 0 {
            bytes[at..end].fill(0);
        }
        at = end;
    }
}

#[test]
fn a_power_loss_takes_nothing_that_was_synced() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = Journal::open(dir.path(), options(8 << 10)).unwrap();
        let groups = random.below(12) as usize;
        let synced = fill(&mut writer, &mut random, groups);
        let lens = |dir: &Path| {
            let segments = segment::list(dir).unwrap().into_iter();
            segments
                .map(|(_, path)| fs::metadata(path).unwrap().len())
                .collect::<Vec<_>>()
        };
        let before = lens(dir.path());
        // Large batches make the group more than one block.
        let frames = if random.below(4) == 0 { 16_000 } else { 4 };
        for _ in 0..3 {
            writer.append(&batch(&mut random, frames)).unwrap();
        }
        writer.sync().unwrap();
        drop(writer);
        let after = lens(dir.path());
        // A new segment's header is synced before anything is written behind it.
        let synced_bytes = match before.len() == after.len() {
            true => *before.last().unwrap() as usize,
            false => SEGMENT_HEADER_BYTES,
        };
        let (_, path) = segment::list(dir.path()).unwrap().pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        lose_power(&mut bytes, synced_bytes, &mut random);
        fs::write(&path, &bytes).unwrap();

        let (writer, report) = Journal::open(dir.path(), options(8 << 10)).unwrap();
        let found = entries(&writer.reader());
        assert_eq!(found.get(..synced.len()), Some(&synced[..]), "seed {seed}");
        for damage in &report.damage {
            let first = damage.first_entry as usize;
            assert!(first >= synced.len(), "seed {seed}: {damage}");
        }
    }
}

#[test]
fn a_segment_that_is_gone_or_cut_short_is_reported() {
    let source = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(source.path(), options(8 << 10)).unwrap();
    let written = fill(&mut writer, &mut Random(9), 60);
    drop(writer);
    let segments = segment::list(source.path()).unwrap();
    let last = segments.len() - 1;
    for (i, (number, _)) in segments[..last].iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(source.path(), dir.path());
        fs::remove_file(segment::path(dir.path(), *number)).unwrap();
        check_nothing_is_lost_in_silence(dir.path(), &written, &format!("segment {i} gone"));

        let dir = tempfile::tempdir().unwrap();
        copy_folder(source.path(), dir.path());
        let path = segment::path(dir.path(), *number);
        fs::write(&path, &fs::read(&path).unwrap()[..SEGMENT_HEADER_BYTES]).unwrap();
        check_nothing_is_lost_in_silence(dir.path(), &written, &format!("segment {i} emptied"));
    }
}

#[test]
fn a_block_that_was_rewritten_with_good_checksums_breaks_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(dir.path(), options(1 << 20)).unwrap();
    for received in [100, 200] {
        let received = ReceiveTime(received);
        writer
            .append(&Entry::Control(Control::Tick { received }))
            .unwrap();
        writer.sync().unwrap();
    }
    drop(writer);
    let path = segment::path(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    let at = SEGMENT_HEADER_BYTES;
    let mut header = BlockHeader::decode(&bytes[at..]).unwrap();
    let payload = at + BLOCK_HEADER_BYTES..at + header.block_bytes() as usize;
    let last = payload.end - 1;
    bytes[last] ^= 1;
    header.payload_crc = crc32c::crc32c(&bytes[payload]);
    bytes[at..at + BLOCK_HEADER_BYTES].copy_from_slice(&header.encode());
    fs::write(&path, bytes).unwrap();
    let damage = verify(dir.path()).unwrap().damage;
    let kinds: Vec<_> = damage.iter().map(|damage| damage.kind).collect();
    assert_eq!(kinds, [DamageKind::Chain]);
}

#[test]
fn a_log_line_that_looks_like_a_block_is_not_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(dir.path(), options(1 << 20)).unwrap();
    let forged = {
        let other = tempfile::tempdir().unwrap();
        let (mut writer, _) = Journal::open(other.path(), options(1 << 20)).unwrap();
        fill(&mut writer, &mut Random(10), 5);
        fs::read(segment::path(other.path(), 0)).unwrap()
    };
    let Entry::Batch(mut hostile) = batch(&mut Random(11), 1) else {
        unreachable!("it is a batch");
    };
    Arc::make_mut(&mut hostile).frames = Frames::from([forged]);
    writer.append(&Entry::Batch(hostile)).unwrap();
    writer.sync().unwrap();
    let written = fill(&mut writer, &mut Random(12), 2);
    drop(writer);
    let path = segment::path(dir.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[SEGMENT_HEADER_BYTES + 9] ^= 1; // Now the search goes through the hostile payload.
    fs::write(&path, bytes).unwrap();
    let (writer, report) = Journal::open(dir.path(), options(1 << 20)).unwrap();
    assert_eq!(report.damage[0].entries_lost, Some(1));
    assert_eq!(entries(&writer.reader()), written);
    let lost = writer.reader().batch(BatchSeq(0));
    assert!(matches!(lost, Err(JournalError::BatchLost { .. })));
}

/// What the next calls on the disk do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    CreateFull,
    WriteFull { written: usize },
    WriteBroken,
    SyncBroken,
    TruncateBroken,
}

#[derive(Clone)]
struct FaultyDisk(Arc<Mutex<VecDeque<Fault>>>);

struct FaultyFile(Box<dyn SegmentFile>, FaultyDisk);

impl FaultyDisk {
    fn strikes(&self, is_it: impl Fn(Fault) -> bool) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap();
        let next = faults.front().copied().filter(|fault| is_it(*fault));
        faults.pop_front_if(|fault| next == Some(*fault))
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        if self.strikes(|fault| fault == Fault::CreateFull).is_some() {
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
        let is_write = |f| matches!(f, Fault::WriteFull { .. } | Fault::WriteBroken);
        match self.1.strikes(is_write) {
            Some(Fault::WriteFull { written }) => {
                self.0.write_all(&bytes[..written.min(bytes.len())])?;
                Err(ErrorKind::StorageFull.into())
            }
            Some(_) => Err(io::Error::other("broken")),
            None => self.0.write_all(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.1.strikes(|fault| fault == Fault::SyncBroken) {
            Some(_) => Err(io::Error::other("broken")),
            None => self.0.sync(),
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        match self.1.strikes(|fault| fault == Fault::TruncateBroken) {
            Some(_) => Err(io::Error::other("broken")),
            None => self.0.truncate(len),
        }
    }
}

/// Runs one failing sync after `groups` good ones; everything must be there once in the end.
fn check_fault(groups: usize, faults: &[Fault], is_right: impl Fn(&JournalError) -> bool) {
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
    assert!(is_right(&error), "{context}: {error:?}");
    assert_eq!(entries(&reader), written, "{context}: shown before durable");
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
fn a_group_that_the_disk_refuses_is_not_shown_and_can_be_written_again() {
    use Fault::*;
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
fn a_group_that_is_given_up_leaves_no_trace() {
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
        .extend([Fault::SyncBroken, Fault::TruncateBroken]);
    let first = writer.append(&batch(&mut Random(17), 9)).unwrap();
    writer.sync().unwrap_err();
    assert_eq!(writer.discard_pending(), 1);
    let other = batch(&mut Random(18), 2);
    assert_eq!(writer.append(&other).unwrap(), first);
    writer.sync().unwrap();
    written.push(other);
    drop(writer);
    let (writer, report) = Journal::open(dir.path(), options).unwrap();
    assert_eq!((report.torn.len(), report.damage), (1, vec![]));
    assert_eq!(entries(&writer.reader()), written);
}

/// A process that was killed before its last sync leaves a group that the kernel alone has. Readers
/// are shown it, and a sender that repeats it is told that it is durable: so it must be.
#[test]
fn what_an_open_finds_is_durable_before_it_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk(Arc::default());
    let options = |fsync| JournalOptions {
        fsync,
        ..options(1) // The segment is full: nothing that follows would sync it.
    };
    let (mut writer, _) = Journal::open(dir.path(), options(false)).unwrap();
    let written = fill(&mut writer, &mut Random(19), 1);
    drop(writer);
    let open = || JournalWriter::open_on(dir.path(), options(true), Box::new(disk.clone()));
    disk.0.lock().unwrap().push_back(Fault::SyncBroken);
    assert!(matches!(open(), Err(JournalError::Disk { .. })));
    assert_eq!(entries(&open().unwrap().0.reader()), written);
}

#[test]
fn all_ends_of_a_journal_may_be_moved_to_other_threads() {
    fn check<T: Send>() {}
    check::<JournalWriter>();
    check::<JournalReader>();
    check::<EpochCursor>();
}

#[test]
fn a_second_writer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Journal::open(dir.path(), options(1 << 20)).unwrap();
    let second = Journal::open(dir.path(), options(1 << 20));
    assert!(matches!(second, Err(JournalError::InUse { .. })));
    drop(first);
    Journal::open(dir.path(), options(1 << 20)).unwrap();
}

#[test]
fn a_journal_of_a_later_format_is_refused_whole() {
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
fn what_does_not_fit_is_refused_and_changes_nothing() {
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

#[test]
fn one_group_of_many_batches_is_read_by_ordinal() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(dir.path(), options(64 << 20)).unwrap();
    let mut random = Random(21);
    let written: Vec<_> = (0..5000).map(|i| batch(&mut random, 1 + i % 7)).collect();
    for (i, entry) in written.iter().enumerate() {
        assert_eq!(writer.append(entry).unwrap(), Some(BatchSeq(i as u64)));
    }
    writer.sync().unwrap();
    assert!(verify(dir.path()).unwrap().blocks > 1);
    let reader = writer.reader();
    for _ in 0..200 {
        let at = random.below(5000);
        let Entry::Batch(expected) = &written[at as usize] else {
            unreachable!("it is a batch");
        };
        assert_eq!(&reader.batch(BatchSeq(at)).unwrap(), expected);
    }
}

fn any_batch() -> impl Strategy<Value = Entry> {
    let frames = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..40);
    let delivery = prop_oneof![
        Just(None),
        (".*", any::<u64>(), any::<u64>()).prop_map(|(agent, spool, first_sequence)| {
            Some(Delivery::Agent {
                agent,
                spool,
                first_sequence,
            })
        }),
    ];
    let texts = (".*", ".*", prop::option::of(".*"));
    (texts, any::<i64>(), delivery, frames).prop_map(|(texts, received, delivery, frames)| {
        Entry::from(Batch {
            tenant: texts.0,
            source: texts.1,
            transport: Transport::Udp,
            format: Format::Auto,
            peer: texts.2,
            zone: None,
            logsource: None,
            received: ReceiveTime(received),
            delivery,
            frames: frames.into_iter().collect(),
        })
    })
}

fn any_control() -> impl Strategy<Value = Entry> {
    let control = prop_oneof![
        Just(Control::Finish),
        (".*", any::<i64>()).prop_map(|(version, time)| Control::Start {
            version,
            bounds: TimeBounds::default(),
            received: ReceiveTime(time),
        }),
        (".*", ".*", any::<i64>()).prop_map(|(text, origin, since)| Control::RulePut {
            text,
            origin,
            since: EventTime(since),
        }),
    ];
    control.prop_map(Entry::Control)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_entries_in_any_grouping_come_back_the_same(
        groups in prop::collection::vec(
            prop::collection::vec(prop_oneof![any_batch(), any_control()], 0..8),
            0..8,
        ),
        segment_bytes in 1_u64..20_000,
        reopen: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = Journal::open(dir.path(), options(segment_bytes)).unwrap();
        for group in &groups {
            for entry in group {
                writer.append(entry).unwrap();
            }
            writer.sync().unwrap();
            if reopen {
                drop(writer);
                writer = Journal::open(dir.path(), options(segment_bytes)).unwrap().0;
            }
        }
        prop_assert_eq!(entries(&writer.reader()), groups.concat());
        prop_assert!(verify(dir.path()).unwrap().is_sound());
    }
}

#[test]
fn numbers_of_epochs_leave_out_what_was_promised() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let (mut writer, _) = Journal::open(folder.path(), options(4 << 10)).unwrap();
    let reader = writer.reader();
    let mut epochs = Vec::new();
    for round in 0..200 {
        writer.append(&batch(&mut random, 3)).unwrap();
        if round % 2 == 0 {
            // What is open here belongs to the epoch that the next seal closes.
            writer.sync().unwrap();
            assert!(reader.promise(Epoch(round * 3)), "nothing is on its way");
        }
        let epoch = writer.seal().unwrap();
        epochs.push(epoch);
        assert!(!reader.promise(epoch), "it is on its way");
        assert!(reader.promise(Epoch(epoch.0 - 1)));
        if round % 5 == 0 {
            // Given up, the number is left out: it was promised meanwhile.
            writer.discard_pending();
            epochs.pop();
            assert!(reader.promise(epoch));
            epochs.push(writer.seal().unwrap());
        }
        writer.sync().unwrap();
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    drop(writer);
    let (writer, report) = Journal::open(folder.path(), options(4 << 10)).unwrap();
    assert_eq!(Some(&report.last_sealed), epochs.last());
    let all = read_from(&writer.reader(), Epoch(1));
    for from in 0..=report.last_sealed.0 + 1 {
        let read = read_from(&writer.reader(), Epoch(from));
        let wanted = all.iter().filter(|(epoch, _)| epoch.0 >= from);
        assert!(read.iter().eq(wanted), "from {from}");
    }
}

/// Epochs from `from`, each with the batches in it.
fn read_from(reader: &JournalReader, from: Epoch) -> Vec<(Epoch, Vec<u64>)> {
    let mut cursor = reader.cursor(from);
    let next = || cursor.next(Duration::ZERO).unwrap();
    std::iter::from_fn(next)
        .map(|epoch| {
            let batches = epoch.batches.iter().map(|(seq, _)| seq.0);
            (epoch.epoch, batches.collect())
        })
        .collect()
}

#[test]
fn a_wait_ends_when_someone_wakes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _) = Journal::open(folder.path(), options(4 << 10)).unwrap();
    let reader = writer.reader();
    let mut cursor = reader.cursor(Epoch(1));
    reader.wake();
    assert!(cursor.next(Duration::from_secs(3600)).unwrap().is_none());
}

/// Whether a reader finds a block in memory or on the disk bears on nothing.
#[test]
fn what_is_kept_in_memory_is_what_the_disk_has() {
    for recent_bytes in [0, 500, 5_000, 1 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions {
            recent_bytes,
            ..options(2_000)
        };
        let (mut writer, _) = Journal::open(dir.path(), options).unwrap();
        let mut random = Random(31);
        let mut cursor = writer.reader().cursor(Epoch(1));
        let (mut written, mut epochs) = (Vec::new(), 0);
        for _ in 0..60 {
            written.extend(fill(&mut writer, &mut random, 1));
            // What was given up is in neither.
            writer.append(&batch(&mut random, 2)).unwrap();
            writer.discard_pending();
            while cursor.next(Duration::ZERO).unwrap().is_some() {
                epochs += 1;
            }
        }
        let reader = writer.reader();
        assert_eq!(epochs, reader.last_sealed().0);
        let read: Vec<_> = reader.entries().map(Result::unwrap).collect();
        assert_eq!(read, written, "{recent_bytes}");
        let batches = written.iter().filter_map(|entry| match entry {
            Entry::Batch(batch) => Some(batch),
            Entry::Control(_) | Entry::Seal { .. } => None,
        });
        for (seq, batch) in (0..).zip(batches) {
            assert_eq!(reader.batch(BatchSeq(seq)).unwrap(), *batch);
        }
    }
}
