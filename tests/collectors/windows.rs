//! Event logs of Windows, read from their files.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::replayed;
use super::support::files::data_set;

/// Compares a field, apart from the case of GUIDs and trailing spaces, which the other reader drops.
fn is_same(name: &str, ours: &Value, theirs: &Value) -> bool {
    match (name, ours.as_str(), theirs.as_str()) {
        // The other reader has microseconds, Weir a tenth of them.
        ("TimeCreated", Some(ours), Some(theirs)) => ours.get(..26) == theirs.get(..26),
        (_, Some(ours), Some(theirs)) => ours.trim_end().eq_ignore_ascii_case(theirs),
        _ => ours == theirs,
    }
}

/// Fails unless two events have the same fields.
fn assert_same_fields(ours: &Value, theirs: &Value) {
    let fields = |event: &Value| event["fields"].as_object().expect("an object").clone();
    let (ours, theirs) = (fields(ours), fields(theirs));
    let names = |fields: &Map<String, Value>| fields.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (name, value) in &ours {
        let same = is_same(name, value, &theirs[name]);
        assert!(same, "{name}: {value}, not {}", theirs[name]);
    }
}

#[test]
fn windows_event_logs_are_read_from_files() {
    let test = "windows_event_logs_are_read_from_files";
    let Some(logs) = data_set(test, "windows/raw_evtx") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut compared = 0;
    for entry in std::fs::read_dir(logs).expect("the folder") {
        let log = entry.expect("it can be listed").path();
        if log.extension().is_none_or(|ending| ending != "evtx") {
            continue;
        }
        // The same event as another reader wrote it, put on one line.
        let text = std::fs::read(log.with_extension("json")).expect("it is beside the log");
        let theirs: Value = serde_json::from_slice(&text).expect("it is JSON");
        let line = folder.path().join("line.jsonl");
        std::fs::write(&line, theirs.to_string()).expect("it can be written");
        let packed = folder.path().join("log.evtx.zst");
        let mut bytes = std::fs::read(&log).expect("it can be read");
        let zstd = zstd::encode_all(bytes.as_slice(), 1).expect("it can be compressed");
        std::fs::write(&packed, zstd).expect("it can be written");
        let theirs = replayed(&line, 0);
        for file in [&log, &packed] {
            let ours = replayed(file, 0);
            assert_eq!(ours.len(), 1, "{}", file.display());
            assert_same_fields(&ours[0], &theirs[0]);
        }
        // A damaged chunk is reported, and the replay ends with 65.
        let broken = folder.path().join("broken.evtx");
        bytes[4096..4104].fill(0xff);
        std::fs::write(&broken, bytes).expect("it can be written");
        assert!(replayed(&broken, 65).is_empty());
        compared += 1;
    }
    assert_eq!(compared, 5);
}
