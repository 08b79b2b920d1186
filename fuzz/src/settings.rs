//! Checks that any configuration, story, log source mapping or journaled settings are read or refused.

use std::path::PathBuf;

use weir::config::Config;
use weir_detect::{LogSources, RuleBook};
use weir_schema::{Control, EventTime};

/// Checks one input. The first byte selects the type of the text that follows.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    let Some((which, text)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    match which % 4 {
        0 => configuration(&text),
        1 => story(&text),
        2 => mapping(text.into_owned()),
        _ => settings(&text),
    }
}

fn configuration(text: &str) {
    let file = PathBuf::from(format!("weir-fuzz-{}.toml", std::process::id()));
    let file = std::env::temp_dir().join(file);
    std::fs::write(&file, text).expect("the disk has room for a small file");
    let config = Config::load(Some(&file));
    let _ = std::fs::remove_file(&file);
    match config {
        Ok(config) => {
            let _ = (config.sources(), config.bounds(), config.syslog_tls());
        }
        Err(bad) => assert!(!bad.problems.is_empty(), "refused without a reason"),
    }
}

fn story(text: &str) {
    match weir_story::parse(text, "fuzz.story") {
        Ok(story) => assert_eq!(
            Ok(story),
            weir_story::parse(text, "fuzz.story"),
            "not deterministic"
        ),
        Err(errors) => assert!(!errors.is_empty(), "refused without a reason"),
    }
}

fn mapping(text: String) {
    let (_, problems) = LogSources::with(&[text]);
    assert!(problems.iter().all(|problem| !problem.message.is_empty()));
}

fn settings(text: &str) {
    let mut book = RuleBook::new();
    let control = |since| Control::Settings {
        text: text.to_owned(),
        since: EventTime(since),
    };
    let diagnostics = book.apply(&control(1)).diagnostics;
    if diagnostics.is_empty() {
        // Accepted settings must survive being written and read again.
        let written = book.settings().text().expect("the settings were read");
        let mut again = RuleBook::new();
        let applied = again.apply(&Control::Settings {
            text: written,
            since: EventTime(1),
        });
        assert!(applied.diagnostics.is_empty(), "{:?}", applied.diagnostics);
        assert_eq!(book.settings(), again.settings());
    }
    let _ = book.apply(&control(2));
}
