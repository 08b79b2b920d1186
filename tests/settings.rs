//! Configured placeholders and log sources, in a replay and in the journal of a server.

mod support;

use std::path::Path;

use prometheus::Registry;
use support::command::{Finished, finish, weir};
use weir::config::Config;
use weir::server::opening::open_journal;
use weir_detect::{PlaceholderValue, Settings};
use weir_manage::RuleFileDocument;
use weir_schema::{Control, Entry, EventTime, ReceiveTime};
use weir_store::StoreMetrics;

const RULE: &str = "\
title: Sign-in of an administrator
id: 33333333-7f0c-4a43-9d5c-0b1f5b3f7a11
logsource:
    product: test
    service: gate
detection:
    selection:
        Account|expand: '%Admins%'
    condition: selection
level: low
";

const MAPPING: &str = "\
product: test
sources:
  - service: gate
    where:
      kind: login
    fields:
      Account: user
    provides: [user]
";

const CONFIG: &str = "\
[detection]
log_sources = [\"gate.yml\"]
[detection.placeholders]
Admins = [\"root\", \"adm*\"]
";

const LINES: &str = "\
{\"time\":\"2026-03-02T08:00:00Z\",\"kind\":\"login\",\"user\":\"ADMIN\"}
{\"time\":\"2026-03-02T08:00:01Z\",\"kind\":\"login\",\"user\":\"ada\"}
{\"time\":\"2026-03-02T08:00:02Z\",\"kind\":\"logout\",\"user\":\"root\"}
{\"time\":\"2026-03-02T08:00:03Z\",\"kind\":\"login\",\"user\":\"root\"}
";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// Prints the matches of [`LINES`].
fn replay(folder: &Path, args: &str) -> Finished {
    let mut replay = weir(["replay"]);
    replay.current_dir(folder);
    replay.args(["--rules", "rule.yml", "--output", "matches"]);
    replay.args(["--logsource", "product=test", "a.jsonl"]);
    finish(replay.args(args.split_whitespace()))
}

#[test]
fn a_replay_uses_placeholders_and_log_sources() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let files = [
        ("rule.yml", RULE),
        ("gate.yml", MAPPING),
        ("weir.toml", CONFIG),
        ("a.jsonl", LINES),
    ];
    write(folder, &files);
    let found = replay(folder, "--placeholders weir.toml");
    found.assert_success();
    assert_eq!(found.out.lines().count(), 2, "{found:?}");

    let without = replay(folder, "");
    assert_eq!(without.code, Some(65), "{without:?}");
    let diagnostic = "rule.yml:8:25: the placeholder `%Admins%` has no value";
    for part in [diagnostic, "[detection.placeholders]"] {
        assert!(without.err.contains(part), "{without:?}");
    }

    write(folder, &[("gate.yml", "product: test\nsources: 5\n")]);
    let bad = replay(folder, "--placeholders weir.toml");
    assert_eq!(bad.code, Some(65), "{bad:?}");
    assert!(bad.err.contains("gate.yml"), "{bad:?}");
}

/// Starts a server with these values and returns the settings in its journal.
fn settings_after_start(folder: &Path, admins: &[&str], now: i64) -> Vec<(Settings, EventTime)> {
    let mut config = Config::default();
    let admins: Vec<PlaceholderValue> = admins
        .iter()
        .map(|a| PlaceholderValue::Text((*a).to_owned()))
        .collect();
    if !admins.is_empty() {
        config
            .detection
            .placeholders
            .insert("Admins".to_owned(), admins);
    }
    let rules = [RuleFileDocument {
        origin: "rule.yml:1".to_owned(),
        text: RULE.to_owned(),
    }];
    let metrics = StoreMetrics::register(&Registry::new()).unwrap();
    let opened = open_journal(folder, &config, &rules, &metrics, ReceiveTime(now)).unwrap();
    let known = opened.registry.book().settings().placeholders.clone();
    assert_eq!(known, config.detection.placeholders);
    let entries = opened.writer.reader();
    let entries = entries.entries().map(|entry| entry.unwrap());
    let settings = entries.filter_map(|entry| match entry {
        Entry::Control(Control::Settings { text, since }) => {
            Some((Settings::read(&text).unwrap(), since))
        }
        _ => None,
    });
    settings.collect()
}

#[test]
fn a_start_journals_changed_settings() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(settings_after_start(folder, &["root"], 5).len(), 1);
    assert_eq!(settings_after_start(folder, &["root"], 10).len(), 1);
    let since = |settings: Vec<(Settings, EventTime)>| -> Vec<EventTime> {
        settings.into_iter().map(|(_, since)| since).collect()
    };
    let changed = since(settings_after_start(folder, &["root", "toor"], 15));
    assert_eq!(changed, [EventTime::MIN, EventTime(15)]);
    let gone = since(settings_after_start(folder, &[], 20));
    assert_eq!(gone, [EventTime::MIN, EventTime(15), EventTime(20)]);
    assert_eq!(since(settings_after_start(folder, &[], 25)), gone);

    // A server without settings journals none.
    let other = tempfile::tempdir().unwrap();
    assert_eq!(settings_after_start(other.path(), &[], 5), []);
}
