//! The fuzzer's seeds, and what it found once, against what must hold of any bytes (`fuzz/`).

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
    each("fuzz/corpus/parse", parse::check);
}

#[test]
fn any_text_is_a_rule_or_refused() {
    each("fuzz/corpus/rules", rules::check);
}

#[test]
fn any_bytes_of_a_connection_are_cut_alike() {
    each("fuzz/corpus/framing", framing::check);
}

#[test]
fn any_body_is_taken_or_refused() {
    each("fuzz/corpus/collect", collect::check);
}

#[test]
fn any_damage_to_a_journal_is_passed_over() {
    each("fuzz/corpus/journal", journal::check);
}

#[test]
fn any_text_of_an_operator_is_taken_or_refused() {
    each("fuzz/corpus/settings", settings::check);
}

#[test]
fn any_value_is_read_or_refused() {
    each("fuzz/corpus/values", values::check);
}

#[test]
fn any_file_is_read_to_where_it_is_broken() {
    each("fuzz/corpus/files", files::check);
}

#[test]
fn any_answer_is_read_or_refused() {
    each("fuzz/corpus/answers", answers::check);
}
