//! Names: one noun means one thing, and a doc comment begins with its subject.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::Modules;
use crate::source::words;
use crate::{crate_roots, fail_with, root, shown, sources};

/// Participles and metaphors that say nothing to a newcomer.
const BANNED_TYPES: &[&str] = &[
    "Asked", "Bell", "Belief", "Bygone", "Desk", "Door", "Doors", "Ear", "Found", "Heard",
    "Hearer", "Held", "Judged", "Kept", "Mouth", "Onward", "Opened", "Owed", "Patience", "Said",
    "Seen", "Shelf", "Speaker", "Took", "Told", "Tried", "Trouble", "Wanted", "Way", "What",
    "Word", "Wrong",
];
const BANNED_FUNCTIONS: &[&str] = &[
    "complain", "hear", "say", "says", "speak", "tell", "told", "whisper",
];
const BANNED_MODULES: &[&str] = &[
    "bell", "desk", "door", "ear", "kept", "past", "said", "tell", "told",
];

#[test]
fn public_types_have_names_of_their_own() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for crate_root in crate_roots() {
        let modules = Modules::read(&crate_root);
        for module in modules.0.values() {
            let file = shown(root(), &module.file);
            if file.starts_with("schema/src/generated/") {
                continue;
            }
            for name in &module.types {
                places.entry(name.clone()).or_default().insert(file.clone());
            }
        }
    }
    assert!(
        places.len() > 300,
        "the types were not found: {}",
        places.len()
    );
    let doubled = places.iter().filter(|(_, files)| files.len() > 1);
    let faults: Vec<String> = doubled
        .map(|(name, files)| {
            format!(
                "{name}: {}",
                files.iter().cloned().collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    fail_with(&faults, "one type name means several things");
}

#[test]
fn names_are_nouns_and_verbs_of_the_field() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_generated()) {
        for pair in words(&source.code).windows(2) {
            let [(_, keyword), (at, name)] = pair else {
                continue;
            };
            let banned = match *keyword {
                "struct" | "enum" | "trait" | "type" => BANNED_TYPES,
                "fn" => BANNED_FUNCTIONS,
                "mod" => BANNED_MODULES,
                _ => continue, // No other keyword names something here.
            };
            if banned.contains(name) {
                faults.push(format!(
                    "{}: {keyword} {name}: use the field's term",
                    source.place(*at)
                ));
            }
        }
    }
    fail_with(&faults, "metaphors are in the code");
}

#[test]
fn a_doc_comment_begins_with_its_subject() {
    const CLAUSES: [&str; 2] = ["What ", "Of "];
    let mut faults = Vec::new();
    for source in sources() {
        let mut is_first = true;
        for (number, line) in source.text.lines().enumerate() {
            let line = line.trim_start();
            let Some(text) = line.strip_prefix("///").or(line.strip_prefix("//!")) else {
                is_first = true;
                continue;
            };
            let text = text.trim_start();
            if is_first && CLAUSES.iter().any(|clause| text.starts_with(clause)) {
                faults.push(format!("{}:{}: {text}", source.path, number + 1));
            }
            is_first = text.is_empty();
        }
    }
    fail_with(&faults, "doc comments that begin with a noun clause");
}

#[test]
fn every_file_states_what_it_owns() {
    let mut faults = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") && !source.is_generated() {
            faults.push(format!(
                "{}:1: begin with `//!` and what the file owns",
                source.path
            ));
        }
    }
    fail_with(&faults, "files without a first line");
}

#[test]
fn no_circle_of_modules() {
    let mut faults = Vec::new();
    let mut count = 0;
    for crate_root in crate_roots() {
        let modules = Modules::read(&crate_root);
        count += modules.0.len();
        let name = shown(root(), &crate_root);
        faults.extend(
            modules
                .circles()
                .iter()
                .map(|circle| format!("{name}: {circle}")),
        );
    }
    assert!(count > 200, "the modules were not found: {count}");
    fail_with(&faults, "modules depend on each other in circles");
}
