//! Documents: links lead somewhere, tables match the code, and invariants name their tests.

use std::collections::BTreeSet;
use std::path::Path;

use crate::source::words;
use crate::{fail_with, read, root, sources, texts};

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // In pieces, since this file is read too.
    let banned = [
        concat!("/wo", "rk/"),
        concat!("/tmp/", "weir"),
        concat!("/ro", "ot/"),
        concat!("artifac", "tory"),
        concat!("sonatype", ".org"),
    ];
    let mut faults = Vec::new();
    let extensions = [
        "rs", "toml", "md", "yml", "yaml", "conf", "sh", "lock", "fbs", "",
    ];
    for (path, text) in texts(&extensions) {
        for (line, text) in text.lines().enumerate() {
            for word in banned.iter().filter(|word| text.contains(**word)) {
                faults.push(format!("{path}:{}: `{word}`", line + 1));
            }
        }
    }
    fail_with(&faults, "the project speaks of itself alone");
}

#[test]
fn every_metric_is_named_alike_and_documented() {
    const MAKERS: [&str; 6] = [
        "IntCounter",
        "IntGauge",
        "Counter",
        "Gauge",
        "Opts",
        "HistogramOpts",
    ];
    let (mut declared, mut faults) = (BTreeSet::new(), Vec::new());
    for source in sources() {
        let is_metrics = is_metrics_file(&source.path);
        for (at, text) in &source.strings {
            let shipped = source.shipped[..*at].trim_end();
            if !shipped.ends_with(['(', ',', '[', '&', '=', ':', '{']) {
                continue; // Blanked with the tests.
            }
            let before = source.code[..*at].trim_end();
            let is_made = MAKERS
                .iter()
                .any(|maker| before.ends_with(&format!("{maker}::new(")));
            if is_made && !text.starts_with("weir_") {
                faults.push(format!(
                    "{}: `{text}` must begin with weir_",
                    source.place(*at)
                ));
            }
            if is_metrics && is_metric(text) {
                declared.insert(text.clone());
            }
        }
    }
    let page = read("docs/metrics.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let documented: BTreeSet<String> = rows
        .filter(|name| is_metric(name))
        .map(str::to_owned)
        .collect();
    let missing = declared.difference(&documented);
    faults.extend(missing.map(|name| format!("docs/metrics.md lacks {name}")));
    let stale = documented.difference(&declared);
    faults
        .extend(stale.map(|name| format!("docs/metrics.md lists {name}, which no code declares")));
    assert!(
        declared.len() > 20,
        "the metrics were not found: {declared:?}"
    );
    fail_with(&faults, "metrics and docs/metrics.md differ");
}

/// `metrics.rs`, `…_metrics.rs`, or a file in a folder `metrics`.
fn is_metrics_file(path: &str) -> bool {
    !path.starts_with("tests") && (path.ends_with("metrics.rs") || path.contains("/metrics/"))
}

fn is_metric(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    text.starts_with("weir_") && text.bytes().all(is_letter) && text.len() > "weir_".len()
}

#[test]
fn links_and_paths_in_the_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for (path, text) in texts(&["md"]) {
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for (number, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            let targets = line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            for target in targets {
                let file = target.split('#').next().unwrap_or_default();
                let is_away = target.contains("://") || target.starts_with("mailto:");
                if !is_away && !file.is_empty() && !root().join(folder).join(file).exists() {
                    faults.push(format!("{place}: no {target}"));
                }
            }
            for quoted in line.split('`').skip(1).step_by(2) {
                let file = quoted.split("::").next().unwrap_or_default();
                if is_path(file) && !path.starts_with("stories/") && !root().join(file).exists() {
                    faults.push(format!("{place}: no file {quoted}"));
                }
            }
        }
    }
    fail_with(&faults, "documents name files that are not there");
}

/// Whether this is `folder/file.rs` and the like, from the root.
fn is_path(text: &str) -> bool {
    const KINDS: [&str; 4] = [".rs", ".md", ".toml", ".fbs"];
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b);
    text.contains('/')
        && text.bytes().all(is_plain)
        && KINDS.iter().any(|kind| text.ends_with(kind))
}

/// An invariant is a list item of ARCHITECTURE that begins with `- *Invariant:*` and names its test
/// as `path/file.rs::function`.
#[test]
fn every_invariant_names_the_test_that_holds_it() {
    const PAGE: &str = "docs/ARCHITECTURE.md";
    const MARK: &str = "- *Invariant:*";
    let page = read(PAGE);
    let mut faults = Vec::new();
    let items: Vec<&str> = page.split('\n').collect();
    let starts = items
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with(MARK));
    let mut count = 0;
    for (start, _) in starts {
        count += 1;
        let more = items[start + 1..]
            .iter()
            .take_while(|line| line.starts_with("  "));
        let text: String = std::iter::once(&items[start])
            .chain(more)
            .copied()
            .collect::<Vec<_>>()
            .join(" ");
        let tests: Vec<&str> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|quoted| quoted.contains(".rs::"))
            .collect();
        if tests.is_empty() {
            faults.push(format!("{PAGE}:{}: names no test", start + 1));
        }
        for test in tests {
            let (file, function) = test.split_once("::").unwrap_or((test, ""));
            let source = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {function}(")) {
                faults.push(format!("{PAGE}:{}: no test {test}", start + 1));
            }
        }
    }
    assert!(count >= 20, "the invariants were not found: {count}");
    fail_with(&faults, "invariants without a test");
}

/// Structs of `src/config/` whose public fields are no keys of the file.
const NO_KEYS: [&str; 3] = ["Duration", "ListenAddress", "BadConfig"];

#[test]
fn every_key_of_the_configuration_is_documented() {
    let page = read("docs/configuration.md");
    let example = read("examples/weir.toml");
    let mut faults = Vec::new();
    let mut count = 0;
    for source in sources() {
        if !source.path.starts_with("src/config/") {
            continue;
        }
        let mut is_struct = false;
        for line in source.shipped.lines() {
            if let Some(name) = line.strip_prefix("pub struct ") {
                let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
                is_struct = !NO_KEYS.contains(&name.as_str());
            }
            is_struct &= !line.starts_with('}');
            let key = line
                .strip_prefix("    pub ")
                .and_then(|rest| rest.split_once(':'));
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            let key = key.filter(|(key, _)| is_struct && key.bytes().all(is_name));
            let Some((key, _)) = key else {
                continue;
            };
            count += 1;
            for (name, text) in [
                ("docs/configuration.md", &page),
                ("examples/weir.toml", &example),
            ] {
                if !words(text).iter().any(|(_, word)| *word == key) {
                    faults.push(format!("{name} does not name {key}"));
                }
            }
        }
    }
    assert!(count > 20, "the keys of the configuration were not found");
    fail_with(&faults, "keys without documentation");
}

#[test]
fn the_example_configuration_shows_the_defaults() {
    let path = root().join("examples/weir.toml");
    let config = weir::config::Config::load(Some(&path)).unwrap_or_else(|bad| panic!("{bad}"));
    let default = weir::config::Config::default();
    assert_eq!(config.bounds(), default.bounds());
    assert_eq!(
        config.journal.epoch_events_max,
        default.journal.epoch_events_max
    );
    assert_eq!(config.source.len(), 2);
}

#[test]
fn the_readme_names_the_commands_that_ci_runs() {
    let readme = read("README.md");
    for marker in ["<!-- test -->", "<!-- run -->"] {
        let block = readme
            .split(marker)
            .nth(1)
            .expect("the README has its markers");
        let command = block.lines().find(|line| line.starts_with("cargo "));
        assert!(command.is_some(), "{marker} is followed by no command");
    }
    assert!(
        read(".ci/run").contains("<!-- test -->"),
        ".ci/run takes the test command from the README"
    );
}
