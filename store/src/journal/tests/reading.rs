//! Reads what was written: cursors, look-ups, restarts, and any grouping of entries.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use weir_schema::{BatchSeq, Delivery, EventTime, TimeBounds};

use super::*;

#[test]
fn read_synced_entries_in_every_way_after_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    let mut written = Vec::new();
    for restart in 0..4 {
        let (mut writer, report) = Journal::open(dir.path(), options(8 << 10)).unwrap();
        assert_eq!((report.torn_tails, report.damage), (vec![], vec![]));
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
fn cursor_returns_each_sealed_epoch_once_from_any_start() {
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
fn waiting_cursor_wakes_for_seal_and_close() {
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
fn wake_ends_a_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _) = Journal::open(folder.path(), options(4 << 10)).unwrap();
    let reader = writer.reader();
    let mut cursor = reader.cursor(Epoch(1));
    reader.wake();
    assert!(cursor.next(Duration::from_secs(3600)).unwrap().is_none());
}

#[test]
fn seal_unsealed_entries_after_crash() {
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
    writer.append(&batch(&mut Random(2), 1)).unwrap(); // Not synced, so never acknowledged.
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
fn seals_stay_above_the_floor() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let (mut writer, _) = Journal::open(folder.path(), options(4 << 10)).unwrap();
    let reader = writer.reader();
    let mut epochs = Vec::new();
    for round in 0..200 {
        writer.append(&batch(&mut random, 3)).unwrap();
        if round % 2 == 0 {
            // The open entries belong to the epoch that the next seal closes.
            writer.sync().unwrap();
            assert!(reader.raise_floor(Epoch(round * 3)), "no seal is pending");
        }
        let epoch = writer.seal().unwrap();
        epochs.push(epoch);
        assert!(!reader.raise_floor(epoch), "its seal is pending");
        assert!(reader.raise_floor(Epoch(epoch.0 - 1)));
        if round % 5 == 0 {
            // The floor was raised meanwhile, so the next seal skips the discarded epoch.
            writer.discard_pending();
            epochs.pop();
            assert!(reader.raise_floor(epoch));
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

/// Epochs from `from` on, each with its batches.
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
fn look_up_batches_of_one_large_group() {
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

/// A reader gets the same entries from memory and from the disk.
#[test]
fn recent_blocks_equal_blocks_on_disk() {
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
            // Discarded entries are in neither.
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

#[test]
fn writer_readers_and_cursors_are_send() {
    fn check<T: Send>() {}
    check::<JournalWriter>();
    check::<JournalReader>();
    check::<EpochCursor>();
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
    fn any_entries_in_any_groups_round_trip(
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
