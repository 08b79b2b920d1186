//! Any text is a configuration, a story, a mapping of log sources, or settings that the journal
//! holds, or is refused with a reason.

use std::path::PathBuf;

use weir::config::Config;
use weir_detect::{LogSources, RuleBook};
use weir_schema::{Control, EventTime};

/// The first byte says which, the rest is the text.
///
/// # Panics
/// Where what is said above does not hold.
pub fn holds(bytes: &[u8]) {
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
    std::fs::write(&file, text).expect("there is room for a small file");
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
        Ok(story) => assert_eq!(Ok(story), weir_story::parse(text, "fuzz.story"), "twice"),
        Err(errors) => assert!(!errors.is_empty(), "refused without a reason"),
    }
}

fn mapping(text: String) {
    let (_, problems) = LogSources::with(&[text]);
    assert!(problems.iter().all(|problem| !problem.message.is_empty()));
}

fn settings(text: &str) {
    let mut book = RuleBook::new();
    let put = |since| Control::Settings {
        text: text.to_owned(),
        since: EventTime(since),
    };
    let said = book.apply(&put(1)).diagnostics;
    if said.is_empty() {
        // What was taken is written again as what it says.
        let written = book.settings().text().expect("it was read");
        let mut again = RuleBook::new();
        let said = again.apply(&Control::Settings {
            text: written,
            since: EventTime(1),
        });
        assert!(said.diagnostics.is_empty(), "{:?}", said.diagnostics);
        assert_eq!(book.settings(), again.settings());
    }
    let _ = book.apply(&put(2));
}
