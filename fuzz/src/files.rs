//! Checks that any file is read to its end or reported as broken, with lines within the limits.

use std::path::PathBuf;

use weir::verbs::input::fuzz::lines;

/// Longest line, with the header of a Zeek log before it.
const LINE_BYTES_MAX: usize = (1 << 20) + weir_schema::ZEEK_HEADER_BYTES_MAX;

/// Offset of the first chunk of an event log, and length of a chunk.
const CHUNK_AT: usize = 4096;
const CHUNK_BYTES: usize = 65_536;

/// Offset of the records in a chunk.
const RECORDS_AT: usize = 512;

/// Checks one input. The first byte selects the type of the file, the others are its content.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    let [kind, rest @ ..] = bytes else {
        return;
    };
    match kind % 6 {
        0 => read("log", rest),
        1 => read("gz", rest),
        2 => read("zst", rest),
        3 => read("evtx", &event_log(rest)),
        4 => read("evtx", &event_log(&record(rest))),
        _ => lines_to_send(rest),
    }
}

fn read(ending: &str, bytes: &[u8]) {
    let file = PathBuf::from(format!("weir-fuzz-{}.{ending}", std::process::id()));
    let file = std::env::temp_dir().join(file);
    std::fs::write(&file, bytes).expect("the disk has room for a small file");
    let mut last = 0;
    let broken = lines(&file, |number, line| {
        assert!(number > last, "{number} after {last}");
        last = number;
        assert!(line.len() <= LINE_BYTES_MAX, "{} bytes", line.len());
    });
    let _ = std::fs::remove_file(&file);
    assert!(broken.is_none_or(|message| !message.is_empty()));
}

/// Builds an event log of one chunk with these bytes as its records.
fn event_log(records: &[u8]) -> Vec<u8> {
    let records = records.get(..CHUNK_BYTES - RECORDS_AT).unwrap_or(records);
    let end = u32::try_from(RECORDS_AT + records.len()).expect("a chunk is short");
    let mut file = vec![0; CHUNK_AT + CHUNK_BYTES];
    let mut write = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    write(0, b"ElfFile\0");
    write(24, &2_u64.to_le_bytes()); // Number of the next record.
    write(32, &128_u32.to_le_bytes()); // Header length, version 3.1, block length.
    write(36, &[1, 0, 3, 0, 0, 16]);
    write(42, &1_u16.to_le_bytes()); // Number of chunks.
    write(CHUNK_AT, b"ElfChnk\0");
    for number in 1..=4 {
        // First and last record, by number and by identifier.
        write(CHUNK_AT + 8 * number, &1_u64.to_le_bytes());
    }
    write(CHUNK_AT + 40, &128_u32.to_le_bytes());
    let last = u32::try_from(RECORDS_AT).expect("it is 512");
    write(CHUNK_AT + 44, &last.to_le_bytes());
    write(CHUNK_AT + 48, &end.to_le_bytes());
    write(CHUNK_AT + RECORDS_AT, records);
    file
}

/// Builds a record with these bytes as its binary XML.
fn record(xml: &[u8]) -> Vec<u8> {
    let xml = xml.get(..CHUNK_BYTES - 1024).unwrap_or(xml);
    let length = u32::try_from(24 + xml.len() + 4).expect("a chunk is short");
    let mut record = b"**\0\0".to_vec();
    record.extend(length.to_le_bytes());
    record.extend(1_u64.to_le_bytes());
    record.extend(133_000_000_000_000_000_u64.to_le_bytes()); // In the year 2022.
    record.extend(xml);
    record.extend(length.to_le_bytes());
    record
}

fn lines_to_send(bytes: &[u8]) {
    let lines = weir::verbs::send::fuzz::lines(bytes.to_vec()).expect("memory can be read");
    assert!(lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
}
