//! Checks that a damaged journal returns only written batches, in order, and stays writable.
//!
//! Opening the journal and verifying it must also find the same damage.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use weir_schema::{
    AlertId, AlertRecord, AlertState, Batch, BatchSeq, Cause, Change, ChangeKind, Entry, Epoch,
    EventId, EventTime, Evidence, EvidenceItem, Format, GroupField, Level, Position, ReceiveTime,
    RuleVersion, Transport,
};
use weir_store::{Journal, JournalOptions};

use crate::damage;

/// Checks one input. The first byte selects the damaged segment, the others are the edits.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    if let [which, edits @ ..] = bytes {
        check_damaged(*which, edits);
    }
}

/// The entries of the journal.
pub fn entries() -> Vec<Entry> {
    let batch = |number: i64, frames: &[&[u8]]| {
        Entry::from(Batch {
            tenant: "default".to_owned(),
            source: "web".to_owned(),
            transport: Transport::Tcp,
            format: Format::Auto,
            peer: Some("192.0.2.1".to_owned()),
            zone: None,
            logsource: None,
            received: ReceiveTime(number),
            delivery: None,
            frames: frames.iter().collect(),
        })
    };
    vec![
        batch(1, &[b"<13>one", b"two"]),
        batch(2, &[&[b'a'; 300]]),
        batch(3, &[b"\xff\0", b"", b"last"]),
    ]
}

/// The segments of an undamaged journal, with their names.
fn undamaged_segments() -> &'static [(String, Vec<u8>)] {
    static SEGMENTS: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    SEGMENTS.get_or_init(|| {
        let dir = folder("undamaged");
        let (mut writer, _) = Journal::open(&dir, options()).expect("an empty folder opens");
        for entry in entries().iter().chain(&entries()) {
            writer.append(entry).expect("the disk has room");
            writer.seal().expect("the disk has room");
            writer.sync().expect("the disk has room");
        }
        drop(writer);
        let files = read_segments(&dir);
        let _ = std::fs::remove_dir_all(&dir);
        files
    })
}

fn options() -> JournalOptions {
    JournalOptions {
        segment_bytes: 1200,
        fsync: false,
        // Without this cache, all reads come from the disk.
        recent_bytes: 0,
        metrics: None,
    }
}

fn folder(name: &str) -> PathBuf {
    let name = format!("weir-fuzz-{}-{name}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a folder can be created");
    dir
}

fn read_segments(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(dir).expect("the folder exists");
    let mut segments: Vec<_> = files
        .filter_map(|file| {
            let file = file.ok()?;
            let name = file.file_name().into_string().ok()?;
            let bytes = std::fs::read(file.path()).ok()?;
            name.ends_with(".journal").then_some((name, bytes))
        })
        .collect();
    segments.sort();
    segments
}

fn check_damaged(which: u8, edits: &[u8]) {
    let dir = folder("journal");
    let undamaged = undamaged_segments();
    let damaged = usize::from(which) % undamaged.len();
    for (at, (name, bytes)) in undamaged.iter().enumerate() {
        let bytes = match at == damaged {
            true => damage::apply(bytes.clone(), edits),
            false => bytes.clone(),
        };
        std::fs::write(dir.join(name), bytes).expect("the disk has room for a small file");
    }
    let verified = weir_store::journal::verify(&dir);
    if let Ok((mut writer, report)) = Journal::open(&dir, options()) {
        let found = report.torn_tails.len() + report.damage.len();
        let verified = verified.expect("a journal that opens can be verified");
        assert!(verified.is_sound() <= (found == 0), "{report:?}");
        check_batches(&writer);
        // The journal accepts new entries after the damage.
        writer.append(&entries()[0]).expect("the disk has room");
        writer.seal().expect("the disk has room");
        writer.sync().expect("the disk has room");
        let (before, entries) = (writer.reader().last_sealed(), report.entries);
        drop(writer);
        let (writer, report) = Journal::open(&dir, options()).expect("the journal opened before");
        assert_eq!(writer.reader().last_sealed(), before);
        assert!(report.torn_tails.is_empty(), "{report:?}");
        assert_eq!(report.entries, entries + 2);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn check_batches(writer: &weir_store::JournalWriter) {
    let written = entries();
    let reader = writer.reader();
    let mut last = None;
    for read in reader.batches() {
        let (seq, batch) = read.expect("undamaged blocks can be read");
        assert!(last < Some(seq), "{seq:?} after {last:?}");
        last = Some(seq);
        let place = seq.0 as usize % written.len();
        assert_eq!(written[place], Entry::Batch(batch));
    }
    for seq in 0..8 {
        let _ = reader.batch(BatchSeq(seq));
    }
    let mut cursor = reader.cursor(Epoch(2));
    while let Ok(Some(epoch)) = cursor.next(std::time::Duration::ZERO) {
        assert!(epoch.epoch >= Epoch(2));
    }
}

/// A change with a value in every field.
pub fn change() -> Change {
    let item = EvidenceItem {
        time: EventTime(11),
        event: EventId([1, 2]),
        position: Position::new(BatchSeq(0), 0),
    };
    let record = AlertRecord {
        alert: AlertId([3, 4]),
        key: AlertId([3, 4]),
        revision: 2,
        standing: true,
        raised: Epoch(1),
        rule: "r".into(),
        version: RuleVersion(9),
        title: "Titel: größer".to_owned(),
        level: Level::High,
        tenant: "default".to_owned(),
        group: vec![GroupField {
            name: "user".to_owned(),
            value: "alice".to_owned(),
        }],
        state: AlertState::SupersededBy(AlertId([7, 8])),
        first: EventTime(-5),
        last: EventTime(11),
        count: 5,
        limited: true,
        supersedes: vec![AlertId([5, 6])],
        evidence: Evidence {
            head: vec![item; 2],
            tail: vec![item],
        },
        cause: Cause::LateEvent(item),
        marked: None,
    };
    Change {
        kind: ChangeKind::Revised,
        epoch: Epoch(7),
        ordinal: 3,
        supersedes: vec![AlertId([5, 6])],
        record,
    }
}
