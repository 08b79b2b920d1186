//! Whatever became of the bytes of a journal: what is read of it is what was written, in order; the
//! same damage is found twice; and it can be written on.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use weir_schema::{
    AlertId, AlertRecord, AlertState, Batch, BatchSeq, Cause, Change, ChangeKind, Entry, Epoch,
    EventId, EventTime, Evidence, EvidenceItem, Format, GroupField, Level, Position, ReceiveTime,
    RuleVersion, Transport,
};
use weir_store::{Journal, JournalOptions};

use crate::damage;

/// The first byte says which segment is damaged, the others how.
///
/// # Panics
/// Where what is said above does not hold.
pub fn holds(bytes: &[u8]) {
    if let [which, edits @ ..] = bytes {
        segments(*which, edits);
    }
}

/// What is written.
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

/// Segments as a writer leaves them, by name.
fn sound() -> &'static [(String, Vec<u8>)] {
    static SOUND: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let dir = folder("sound");
        let (mut writer, _) = Journal::open(&dir, options()).expect("an empty folder opens");
        for entry in entries().iter().chain(&entries()) {
            writer.append(entry).expect("there is room");
            writer.seal().expect("there is room");
            writer.sync().expect("there is room on the disk");
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
        // What is read is what is on the disk.
        recent_bytes: 0,
        metrics: None,
    }
}

fn folder(name: &str) -> PathBuf {
    let name = format!("weir-fuzz-{}-{name}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a folder can be made");
    dir
}

fn read_segments(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(dir).expect("the folder is there");
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

fn segments(which: u8, edits: &[u8]) {
    let dir = folder("journal");
    let sound = sound();
    let damaged = usize::from(which) % sound.len();
    for (at, (name, bytes)) in sound.iter().enumerate() {
        let bytes = match at == damaged {
            true => damage::apply(bytes.clone(), edits),
            false => bytes.clone(),
        };
        std::fs::write(dir.join(name), bytes).expect("there is room for a small file");
    }
    let verified = weir_store::journal::verify(&dir);
    if let Ok((mut writer, report)) = Journal::open(&dir, options()) {
        let found = report.torn.len() + report.damage.len();
        let verified = verified.expect("what can be opened can be verified");
        assert!(verified.is_sound() <= (found == 0), "{report:?}");
        what_is_read(&writer);
        // The journal goes on behind the damage.
        writer.append(&entries()[0]).expect("there is room");
        writer.seal().expect("there is room");
        writer.sync().expect("there is room on the disk");
        let (before, entries) = (writer.reader().last_sealed(), report.entries);
        drop(writer);
        let (writer, report) = Journal::open(&dir, options()).expect("it was open before");
        assert_eq!(writer.reader().last_sealed(), before);
        assert!(report.torn.is_empty(), "{report:?}");
        assert_eq!(report.entries, entries + 2);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn what_is_read(writer: &weir_store::JournalWriter) {
    let written = entries();
    let reader = writer.reader();
    let mut last = None;
    for read in reader.batches() {
        let (seq, batch) = read.expect("blocks that were found sound can be read");
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

/// A change that has something in every field.
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
    };
    Change {
        kind: ChangeKind::Revised,
        epoch: Epoch(7),
        ordinal: 3,
        supersedes: vec![AlertId([5, 6])],
        record,
    }
}
