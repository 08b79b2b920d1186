//! Opens journals with torn tails, flipped bits, missing segments and forged blocks.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use weir_schema::{BatchSeq, Frames};

use super::block_reader::BlockReader;
use super::entry::NumberedEntry;
use super::format::{BLOCK_HEADER_BYTES, BlockHeader, SEGMENT_HEADER_BYTES};
use super::*;

/// All readable entries, with their numbers.
fn readable(reader: &JournalReader) -> Vec<(u64, Entry)> {
    let mut blocks = BlockReader::from_start(reader.shared());
    let mut all = Vec::new();
    while let Some(block) = blocks.current().unwrap() {
        let entries = blocks.read_entries(&block).unwrap();
        let numbers = block.header.first_entry..;
        all.extend(numbers.zip(entries.into_iter().map(NumberedEntry::into_entry)));
    }
    all
}

fn copy_folder(from: &Path, to: &Path) {
    for (_, path) in segment::list(from).unwrap() {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn truncate_and_report_tails_torn_at_any_byte() {
    let source = tempfile::tempdir().unwrap();
    let (mut writer, _) = Journal::open(source.path(), options(1 << 20)).unwrap();
    let complete = fill(&mut writer, &mut Random(4), 4);
    let path = segment::path(source.path(), 0);
    let complete_bytes = fs::metadata(&path).unwrap().len();
    fill(&mut writer, &mut Random(5), 1);
    let bytes = fs::read(&path).unwrap();
    for cut in complete_bytes as usize..bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment::path(dir.path(), 0), &bytes[..cut]).unwrap();
        let torn = u64::from(cut as u64 > complete_bytes);
        assert_eq!(verify(dir.path()).unwrap().damage.len() as u64, torn);

        let (mut writer, report) = Journal::open(dir.path(), options(1 << 20)).unwrap();
        assert_eq!(report.torn_tails.len() as u64, torn, "cut at {cut}");
        assert_eq!(report.damage, vec![], "cut at {cut}");
        assert_eq!(entries(&writer.reader()), complete, "cut at {cut}");
        let more = fill(&mut writer, &mut Random(6), 1);
        let all = [complete.clone(), more].concat();
        assert_eq!(entries(&writer.reader()), all, "cut at {cut}");
        assert!(verify(dir.path()).unwrap().is_sound(), "cut at {cut}");
    }
    for cut in 0..SEGMENT_HEADER_BYTES {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment::path(dir.path(), 0), &bytes[..cut]).unwrap();
        assert!(!verify(dir.path()).unwrap().is_sound(), "cut at {cut}");
        let (mut writer, report) = Journal::open(dir.path(), options(1 << 20)).unwrap();
        assert_eq!(
            (report.torn_tails.len(), report.entries),
            (1, 0),
            "cut at {cut}"
        );
        let more = fill(&mut writer, &mut Random(6), 1);
        assert_eq!(entries(&writer.reader()), more, "cut at {cut}");
    }
}

/// Checks that each written entry is either readable, or reported as lost.
fn check_losses_are_reported(dir: &Path, written: &[Entry], context: &str) {
    let verified = verify(dir).unwrap();
    assert!(!verified.is_sound(), "{context}: verify found no damage");
    let (mut writer, report) = Journal::open(dir, options(16 << 10)).unwrap();
    let mut accounted = vec![false; written.len()];
    for (number, entry) in readable(&writer.reader()) {
        assert_eq!(written[number as usize], entry, "{context}: entry {number}");
        accounted[number as usize] = true;
    }
    for damage in report.torn_tails.iter().chain(&report.damage) {
        let first = damage.first_entry as usize;
        let lost = damage.entries_lost.unwrap_or(u64::MAX);
        accounted
            .iter_mut()
            .skip(first)
            .take(lost as usize)
            .for_each(|accounted| *accounted = true);
        let copied = damage.length == 0 || damage.quarantine_copy.is_some();
        assert!(copied, "{context}: {damage} is not quarantined");
    }
    let missing = accounted.iter().position(|accounted| !accounted);
    assert_eq!(missing, None, "{context}: unreported loss, {report:?}");

    // The journal accepts more entries, and a second start finds no new damage.
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
    assert_eq!(again.torn_tails, vec![], "{context}");
    let unknown = again
        .damage
        .iter()
        .find(|damage| damage.length > 0 && !damage.is_known);
    assert_eq!(unknown, None, "{context}");
}

#[test]
fn report_losses_from_flipped_bits_and_zeroed_pages() {
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
        let fault = if seed % 2 == 0 {
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
            let context = format!("seed {seed}, {fault} at {at} of segment {number}");
            check_losses_are_reported(dir.path(), &written, &context);
            done += 1;
        }
        if done == TRIES {
            break;
        }
    }
}

/// Damages a write that was not synced as a power loss may: any length, any sector unwritten.
fn lose_power(bytes: &mut Vec<u8>, synced: usize, random: &mut Random) {
    const SECTOR: usize = 512;
    let length = synced + random.below((bytes.len() - synced + 1) as u64) as usize;
    if random.below(2) == 0 {
        bytes.truncate(length);
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
fn power_loss_keeps_synced_entries() {
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
        // Large batches make more than one block.
        let frames = if random.below(4) == 0 { 16_000 } else { 4 };
        for _ in 0..3 {
            writer.append(&batch(&mut random, frames)).unwrap();
        }
        writer.sync().unwrap();
        drop(writer);
        let after = lens(dir.path());
        // The header of a new segment is synced before any block.
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
fn report_missing_and_emptied_segments() {
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
        check_losses_are_reported(dir.path(), &written, &format!("segment {i} missing"));

        let dir = tempfile::tempdir().unwrap();
        copy_folder(source.path(), dir.path());
        let path = segment::path(dir.path(), *number);
        fs::write(&path, &fs::read(&path).unwrap()[..SEGMENT_HEADER_BYTES]).unwrap();
        check_losses_are_reported(dir.path(), &written, &format!("segment {i} emptied"));
    }
}

#[test]
fn rewritten_block_with_valid_checksums_breaks_the_chain() {
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
fn forged_block_in_a_log_line_is_not_read() {
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
    bytes[SEGMENT_HEADER_BYTES + 9] ^= 1; // Makes the search read the hostile payload.
    fs::write(&path, bytes).unwrap();
    let (writer, report) = Journal::open(dir.path(), options(1 << 20)).unwrap();
    assert_eq!(report.damage[0].entries_lost, Some(1));
    assert_eq!(entries(&writer.reader()), written);
    let lost = writer.reader().batch(BatchSeq(0));
    assert!(matches!(lost, Err(JournalError::BatchLost { .. })));
}
