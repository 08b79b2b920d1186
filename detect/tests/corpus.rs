//! The public rules: nearly all compile, and the others are refused for a known reason.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use weir_detect::{
    Diagnostic, PlaceholderValue, Placeholders, RuleBook, Settings, check, check_with,
    split_documents,
};
use weir_schema::{Control, EventTime};

struct Document {
    file: String,
    text: String,
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            out.push(path);
        }
    }
}

fn documents(test: &str, part: &str) -> Vec<Document> {
    let Some(folder) = common::data(test, &format!("sigma/{part}")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    files(&folder, &mut found);
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let file = path.strip_prefix(&folder).unwrap().display().to_string();
        let documents = split_documents(&text).into_iter();
        let documents = documents.map(|(_, text)| Document {
            file: file.clone(),
            text: text.to_owned(),
        });
        documents.collect::<Vec<_>>()
    };
    found.iter().flat_map(read).collect()
}

/// Checks that each diagnostic has a place, and returns the first refusal.
fn refusal(found: Vec<Diagnostic>) -> Option<Diagnostic> {
    for diagnostic in &found {
        let has_place = diagnostic.line.is_some() && diagnostic.column.is_some();
        assert!(has_place, "without a place: {diagnostic}");
    }
    found.into_iter().find(|diagnostic| diagnostic.refused)
}

#[test]
fn nearly_all_public_rules_compile() {
    let (mut all, mut refused) = (0, Vec::new());
    for part in [
        "rules",
        "rules-emerging-threats",
        "rules-threat-hunting",
        "rules-compliance",
    ] {
        for document in documents("nearly_all_public_rules_compile", part) {
            all += 1;
            if let Some(refusal) = refusal(check(&document.text, &document.file)) {
                refused.push(format!("{part}/{refusal}"));
            }
        }
    }
    eprintln!("{} of {all} public rules compile", all - refused.len());
    refused.iter().for_each(|refusal| eprintln!("  {refusal}"));
    // At most one rule in a hundred may be refused.
    assert!(refused.len() * 100 <= all, "{} of {all}", refused.len());
    // None of them is refused for its form.
    let known = ["has no value", "takes too much memory", "look-around"];
    let others = refused
        .iter()
        .filter(|refusal| !known.iter().any(|known| refusal.contains(known)));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

/// Placeholders for each `%name%` in a text, with a value.
fn placeholders(text: &str) -> Placeholders {
    let names = text.split('%').skip(1).step_by(2);
    let names = names.filter(|name| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    });
    let value = |name: &str| {
        let address = name.to_lowercase().contains("ip");
        PlaceholderValue::Text(if address { "10.0.0.0/8" } else { "value*" }.to_owned())
    };
    names
        .map(|name| (name.to_owned(), vec![value(name)]))
        .collect()
}

#[test]
fn compile_rules_with_placeholders_that_have_values() {
    for document in documents("rules_with_placeholders_compile", "rules-placeholder") {
        let refused = refusal(check(&document.text, &document.file)).unwrap();
        assert!(refused.message.contains("has no value"), "{refused}");
        let mut names = Placeholders::new();
        for line in document
            .text
            .lines()
            .filter(|line| !line.trim().starts_with('#'))
        {
            names.append(&mut placeholders(line));
        }
        let refused = refusal(check_with(&document.text, &document.file, &names));
        assert_eq!(refused, None, "{}", document.file);
        // The same in a rule book, as a server has it.
        let mut book = RuleBook::new();
        let settings = Settings {
            placeholders: names,
            log_sources: Vec::new(),
        };
        book.apply(&Control::Settings {
            text: settings.text().unwrap(),
            since: EventTime::MIN,
        });
        let update = common::add(&mut book, &document.text, i64::MIN);
        assert_eq!(update.changes.len(), 1, "{}: {update:?}", document.file);
    }
}

/// The class of the reason for which an old rule is refused.
fn class(refusal: &Diagnostic) -> &'static str {
    let classes = [
        ("says that it cannot be used", "status: unsupported"),
        ("`action` documents", "action documents"),
        ("old Sigma", "counting in the condition, or timeframe"),
        ("does not belong there", "not a condition"),
        ("ends too early", "not a condition"),
        ("neither `detection`", "part of an action document"),
        ("no `title`", "part of an action document"),
        ("has no `condition`", "part of an action document"),
        ("no modifier", "unknown modifier"),
        ("not valid YAML", "not YAML"),
        ("duplicate key", "not YAML"),
        ("no selection matches", "condition without its selections"),
        ("the condition names", "condition without its selections"),
        ("no `logsource`", "no log source"),
        ("not supported yet", "not supported yet"),
    ];
    let text = refusal.to_string();
    let found = classes.iter().find(|(words, _)| text.contains(words));
    found.map_or("other", |(_, class)| class)
}

#[test]
fn refuse_old_rules_by_class() {
    let mut table: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut files: BTreeMap<String, bool> = BTreeMap::new();
    let mut dated: BTreeSet<String> = BTreeSet::new();
    for document in documents("rules_of_another_age_are_refused", "unsupported") {
        let known = files.entry(document.file.clone()).or_default();
        let found = check(&document.text, &document.file);
        let is_dated = |one: &Diagnostic| one.message.contains("format of Sigma 1");
        if found.iter().all(|one| !one.refused) && found.iter().any(is_dated) {
            dated.insert(document.file.clone());
        }
        if let Some(refusal) = refusal(found) {
            *known = true;
            let row = format!("{}: {}", document.file, refusal.message);
            table.entry(class(&refusal)).or_default().push(row);
        }
    }
    for (class, rows) in &table {
        eprintln!("{class}: {}", rows.len());
        rows.iter().for_each(|row| eprintln!("  {row}"));
    }
    let whole = files.iter().filter(|(_, refused)| !**refused);
    let whole: BTreeSet<String> = whole.map(|(file, _)| file.clone()).collect();
    // Nothing but the format of their dates is old. Without the data, there are none.
    assert_eq!(whole, dated, "files without a refusal");
    assert!(files.is_empty() || dated.len() == 4, "{dated:?}");
    assert!(!table.contains_key("other"), "{:?}", table.get("other"));
    // Most are still refused if their status and their Sigma version are replaced.
    let mut without = BTreeMap::new();
    for document in documents("rules_of_another_age_are_refused", "unsupported") {
        let text = document.text.replace("status: unsupported", "status: test");
        let text = text.replace("title:", "sigma-version: 1\ntitle:");
        let found = refusal(check(&text, &document.file));
        let class = found.as_ref().map_or("only its status and date", class);
        *without.entry(class).or_insert(0) += 1;
    }
    eprintln!("apart from status and date: {without:#?}");
    assert!(!without.contains_key("other"), "{without:?}");
}

#[test]
fn a_bad_document_does_not_stop_others() {
    let good = |id: &str| {
        format!(
            "title: {id}\nid: {id}\nlogsource: {{}}\ndetection: {{s: {{a: b}}, condition: s}}\n"
        )
    };
    let file = format!(
        "{}---\n{}---\ntitle: [\n---\n: : :\n---\n{}---\n{}",
        good("a"),
        good("b").replace("a: b", "a|nope: b"),
        good("c").replace("condition: s", "condition: x"),
        good("d"),
    );
    let mut book = RuleBook::new();
    let mut refused = Vec::new();
    for (line, text) in split_documents(&file) {
        let diagnostics = common::add(&mut book, text, 0).diagnostics;
        refused.extend(diagnostics.iter().map(|d| (line, d.line, d.column)));
    }
    let rules: Vec<String> = book
        .rules()
        .iter()
        .map(|rule| rule.id.to_string())
        .collect();
    assert_eq!(rules, ["a", "d"]);
    assert_eq!(refused.len(), 4, "{refused:?}");
}

#[test]
fn compile_public_correlations_of_supported_types() {
    for document in documents("public_correlations_are_read", "correlation_examples") {
        if let Some(refusal) = refusal(check(&document.text, &document.file)) {
            let named = refusal.message.starts_with("correlation type `");
            assert!(
                named && refusal.message.ends_with("not supported yet"),
                "{refusal}"
            );
        }
    }
}
