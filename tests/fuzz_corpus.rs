//! Replays the corpora of the fuzzers in `fuzz/`: their seeds and all former findings.

use std::path::Path;

#[path = "../fuzz/src/answers.rs"]
mod answers;
#[path = "../fuzz/src/collect.rs"]
mod collect;
#[path = "../fuzz/src/damage.rs"]
mod damage;
#[path = "../fuzz/src/files.rs"]
mod files;
#[path = "../fuzz/src/framing.rs"]
mod framing;
#[path = "../fuzz/src/journal.rs"]
mod journal;
#[path = "../fuzz/src/parse.rs"]
mod parse;
#[path = "../fuzz/src/rules.rs"]
mod rules;
#[path = "../fuzz/src/settings.rs"]
mod settings;
#[path = "../fuzz/src/values.rs"]
mod values;

/// Runs a fuzzer's check on each file of its corpus.
fn replay(folder: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let outcome = std::panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "{}", file.display());
    }
    assert!(files.len() >= 5, "{} has no seeds", folder.display());
}

#[test]
fn any_bytes_are_an_event() {
    replay("fuzz/corpus/parse", parse::check);
}

#[test]
fn any_text_is_a_rule_or_is_refused() {
    replay("fuzz/corpus/rules", rules::check);
}

#[test]
fn framing_does_not_depend_on_how_bytes_arrive() {
    replay("fuzz/corpus/framing", framing::check);
}

#[test]
fn any_body_is_accepted_or_refused() {
    replay("fuzz/corpus/collect", collect::check);
}

#[test]
fn any_damaged_journal_is_readable_around_the_damage() {
    replay("fuzz/corpus/journal", journal::check);
}

#[test]
fn any_configuration_text_is_accepted_or_refused() {
    replay("fuzz/corpus/settings", settings::check);
}

#[test]
fn any_value_is_parsed_or_refused() {
    replay("fuzz/corpus/values", values::check);
}

#[test]
fn any_file_is_read_up_to_the_damage() {
    replay("fuzz/corpus/files", files::check);
}

#[test]
fn any_reply_is_parsed_or_refused() {
    replay("fuzz/corpus/answers", answers::check);
}
