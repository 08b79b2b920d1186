//! The fuzzer's seeds, and what it found once, against what must hold of any bytes (`fuzz/`).

use std::path::Path;

#[path = "../fuzz/src/parse.rs"]
mod parse;
#[path = "../fuzz/src/rules.rs"]
mod rules;

fn each(folder: &str, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let held = std::panic::catch_unwind(|| holds(&bytes));
        assert!(held.is_ok(), "{}", file.display());
    }
    assert!(files.len() >= 5, "{} has no seeds", folder.display());
}

#[test]
fn any_bytes_are_an_event() {
    each("fuzz/corpus/parse", parse::holds);
}

#[test]
fn any_text_is_a_rule_or_refused() {
    each("fuzz/corpus/rules", rules::holds);
}
