//! Holds the habits that a machine can judge: who imports whom, what is banned, what is documented.
//!
//! It reads files and runs nothing. What it says names the file, the line and what to do.

#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use source::{Source, files, shown, words};

/// Folder of a crate, and those of ours that it may name in `[dependencies]`.
///
/// `docs/ARCHITECTURE.md` draws it. Tests and examples may name any of ours (`[dev-dependencies]`).
const OURS: &[(&str, &[&str])] = &[
    ("schema", &[]),
    ("ingest", &["schema"]),
    ("ingest/parse", &["schema"]),
    ("detect", &["schema"]),
    ("operators", &["schema", "parse", "detect"]),
    ("dataflow", &["schema", "operators"]),
    ("store", &["schema"]),
    ("web", &["schema"]),
    ("respond", &["schema"]),
    ("manage", &["schema", "detect"]),
    ("agent", &["schema"]),
    ("story", &["schema"]),
    ("scenario", &["schema"]),
    // The benchmark of the correlation operator runs that operator alone.
    ("benchmarks", &["schema", "scenario", "operators"]),
    (
        ".",
        &[
            "schema",
            "ingest",
            "parse",
            "detect",
            "operators",
            "dataflow",
            "store",
            "web",
            "respond",
            "manage",
            "agent",
            "story",
            "scenario",
        ],
    ),
];

/// A foreign crate, and the folders that alone name it in `[dependencies]`, so that what it does
/// stays behind one door and can be exchanged there.
const FOREIGN: &[(&str, &[&str])] = &[
    ("actix", &["ingest", "."]),
    ("actix-rt", &["ingest", "."]),
    ("actix-web", &["web", "."]),
    ("actix-tls", &["web"]),
    ("timely", &["operators", "dataflow", "benchmarks"]),
    ("differential-dataflow", &["operators", "dataflow"]),
    ("sled", &["store"]),
    ("x509-cert", &["ingest"]),
    ("crc32c", &["store"]),
    ("postcard", &["store", "dataflow"]),
    ("rsigma-parser", &["detect"]),
    ("regex", &["detect"]),
    ("yaml_serde", &["detect"]),
    ("syslog_loose", &["ingest/parse"]),
    ("clap", &[".", "benchmarks"]),
    // The client library writes agent events; everything else reads them through schema.
    ("flatbuffers", &["schema"]),
    ("anyhow", &[".", "benchmarks"]),
    ("toml", &["."]),
    ("evtx", &["."]),
    ("prost", &["web"]),
    ("hyper", &["respond"]),
];

/// Why each dependency is there.
const REASONS: &str = "docs/decisions/010-dependencies.md";

/// Longer files and functions are told, not refused: whoever makes them longer should see it.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    files(root(), &mut found);
    found
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| Source::read(root(), path))
        .collect()
}

fn texts(extensions: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<PathBuf> = Vec::new();
    files(root(), &mut found);
    let wanted = |path: &PathBuf| {
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy());
        extensions
            .iter()
            .any(|wanted| extension.as_deref().unwrap_or_default() == *wanted)
    };
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        Some((shown(root(), &path), text))
    };
    found.into_iter().filter(wanted).filter_map(read).collect()
}

/// Fails with every fault at once.
fn none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

fn warn(line: &str) {
    // Straight to standard error: what libtest captures of a test that passes is never seen.
    let _ = writeln!(std::io::stderr(), "tidy: {line}");
}

#[test]
fn crates_import_what_the_table_allows() {
    let manifest: toml::Table = read("Cargo.toml")
        .parse()
        .expect("the root manifest is TOML");
    let members = manifest["workspace"]["members"]
        .as_array()
        .expect("members are a list");
    let members = members
        .iter()
        .filter_map(|member| member.as_str())
        .chain(["."]);
    let known: BTreeMap<&str, &[&str]> = OURS.iter().copied().collect();
    let reasons = read(REASONS);
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for member in members {
        let path = format!("{member}/Cargo.toml");
        let manifest: toml::Table = read(&path).parse().expect("a manifest is TOML");
        let Some(allowed) = known.get(member) else {
            faults.push(format!(
                "{member}: say in OURS of tests/tidy.rs what it may import"
            ));
            continue;
        };
        let none = toml::Table::new();
        let table = |name| {
            manifest
                .get(name)
                .and_then(toml::Value::as_table)
                .unwrap_or(&none)
        };
        let (shipped, tests) = (table("dependencies"), table("dev-dependencies"));
        for name in shipped.keys().chain(tests.keys()) {
            used.insert(name.clone());
            if !name.starts_with("weir-") && !reasons.contains(&format!("`{name}`")) {
                faults.push(format!("{path}: say in {REASONS} what {name} is for"));
            }
        }
        for name in shipped.keys() {
            if let Some(ours) = name.strip_prefix("weir-") {
                if !allowed.contains(&ours) {
                    faults.push(format!("{path}: {member} may not import {name}"));
                }
                continue;
            }
            let door = FOREIGN.iter().find(|(foreign, _)| foreign == name);
            if let Some((_, folders)) = door.filter(|(_, folders)| !folders.contains(&member)) {
                faults.push(format!(
                    "{path}: {name} is named by {} alone",
                    folders.join(", ")
                ));
            }
        }
        if manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .is_none()
        {
            faults.push(format!("{path}: add `[lints] workspace = true`"));
        }
    }
    let declared = manifest["workspace"]["dependencies"].as_table();
    let declared = declared.expect("dependencies are a table").keys();
    let unused = declared.filter(|name| !used.contains(*name));
    faults.extend(unused.map(|name| format!("Cargo.toml: no crate of ours uses {name}")));
    none(&faults, "the import table does not hold");
}

fn read(path: &str) -> String {
    let whole = root().join(path);
    std::fs::read_to_string(&whole).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

#[test]
fn nothing_banned_is_used() {
    let mut faults = Vec::new();
    for source in sources() {
        for (at, word) in words(&source.code) {
            let before = source.code[..at].trim_end();
            let after = source.code[at + word.len()..].trim_start();
            let shipped = source.shipped[at..].starts_with(word);
            let why = match word {
                "do_send" => "fills a mailbox without limit: use `send` or `try_send`",
                word if word.to_lowercase().starts_with("unbounded") => {
                    "has no limit: use a bounded channel"
                }
                "channel" if is_std_channel(before, after) => {
                    "has no limit: use `sync_channel` or a bounded channel"
                }
                "unsafe" if !source.is_generated() => "is for generated code only",
                "todo" | "unimplemented" | "dbg" if after.starts_with('!') => "is not finished",
                "ignore" if before.ends_with("#[") => "hides a test: say SKIPPED and why instead",
                "unwrap"
                    if shipped
                        && !source.is_generated()
                        && before.ends_with('.')
                        && after.starts_with("()") =>
                {
                    "may panic: return an error, or `expect` with the reason why it holds"
                }
                _ => continue, // Every other word may stand.
            };
            faults.push(format!("{}: `{word}` {why}", source.place(at)));
        }
    }
    for source in sources() {
        for (at, _) in source
            .strings
            .iter()
            .filter(|(_, text)| text.starts_with("SKIPPED: "))
        {
            if source.code[..*at].trim_end().ends_with("println!(") {
                let why = "is hidden by libtest: write it to `std::io::stderr()`";
                faults.push(format!("{}: SKIPPED {why}", source.place(*at)));
            }
        }
    }
    none(&faults, "banned words are in the code");
}

/// `channel()` without a capacity, where it carries more than one value.
fn is_std_channel(before: &str, after: &str) -> bool {
    let after = match after
        .strip_prefix("::<")
        .and_then(|inner| inner.split_once(">("))
    {
        Some((_, rest)) => rest,
        None => match after.strip_prefix('(') {
            Some(rest) => rest,
            None => return false,
        },
    };
    after.starts_with(')') && !before.ends_with("oneshot::")
}

#[test]
fn every_file_says_what_it_owns() {
    let mut faults = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") && !source.is_generated() {
            faults.push(format!(
                "{}:1: begin with `//!` and what the file owns",
                source.path
            ));
        }
        let lines = source
            .shipped
            .trim_end()
            .lines()
            .filter(|line| !line.trim().is_empty());
        let lines = lines.count();
        if lines > FILE_LINES_MAX && !source.is_generated() {
            warn(&format!(
                "{} has {lines} lines; {FILE_LINES_MAX} are a sitting",
                source.path
            ));
        }
        for (name, at, lines) in source.functions() {
            if lines > FUNCTION_LINES_MAX && !source.is_generated() {
                warn(&format!(
                    "{}: fn {name} has {lines} lines",
                    source.place(at)
                ));
            }
        }
    }
    none(&faults, "files without a first line");
}

#[test]
fn nothing_speaks_of_one_machine() {
    // In pieces, since this file is read too.
    let banned = [
        concat!("/wo", "rk/"),
        concat!("/tmp/", "weir"),
        concat!("/ro", "ot/"),
        concat!("artifac", "tory"),
        concat!("sonatype", ".org"),
    ];
    let mut faults = Vec::new();
    for (path, text) in texts(&[
        "rs", "toml", "md", "yml", "yaml", "conf", "sh", "lock", "fbs", "",
    ]) {
        for (line, text) in text.lines().enumerate() {
            for word in banned.iter().filter(|word| text.contains(**word)) {
                faults.push(format!("{path}:{}: `{word}`", line + 1));
            }
        }
    }
    none(&faults, "the project speaks of itself alone");
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
        let is_metrics = source.path.ends_with("metrics.rs") && !source.path.starts_with("tests");
        for (at, text) in &source.strings {
            if !source.shipped[..*at]
                .trim_end()
                .ends_with(['(', ',', '[', '&', '=', ':', '{'])
            {
                continue; // Blanked with the tests.
            }
            let before = source.code[..*at].trim_end();
            let made = MAKERS
                .iter()
                .any(|maker| before.ends_with(&format!("{maker}::new(")));
            if made && !text.starts_with("weir_") {
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
    let told: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next())
        .filter(|name| is_metric(name))
        .map(str::to_owned)
        .collect();
    let untold = declared
        .difference(&told)
        .map(|name| format!("{name} is not in docs/metrics.md"));
    let gone = told
        .difference(&declared)
        .map(|name| format!("docs/metrics.md tells of {name}"));
    faults.extend(untold.chain(gone));
    assert!(
        declared.len() > 20,
        "the metrics were not found: {declared:?}"
    );
    none(&faults, "metrics and docs/metrics.md differ");
}

fn is_metric(text: &str) -> bool {
    let letters = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    text.starts_with("weir_") && letters && text.len() > "weir_".len()
}

#[test]
fn links_and_paths_in_the_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for (path, text) in texts(&["md"]) {
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for (number, line) in text.lines().enumerate() {
            for target in line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
            {
                let file = target.split('#').next().unwrap_or_default();
                let away = target.contains("://") || target.starts_with("mailto:");
                if !away && !file.is_empty() && !root().join(folder).join(file).exists() {
                    faults.push(format!("{path}:{}: no {target}", number + 1));
                }
            }
            for quoted in line.split('`').skip(1).step_by(2) {
                if is_path(quoted) && !path.starts_with("stories/") && !root().join(quoted).exists()
                {
                    faults.push(format!("{path}:{}: no file {quoted}", number + 1));
                }
            }
        }
    }
    none(&faults, "documents name files that are not there");
}

/// `folder/file.rs` and the like, from the root.
fn is_path(text: &str) -> bool {
    const KINDS: [&str; 4] = [".rs", ".md", ".toml", ".fbs"];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b);
    text.contains('/') && text.bytes().all(plain) && KINDS.iter().any(|kind| text.ends_with(kind))
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let config: String = sources()
        .into_iter()
        .filter(|source| source.path.starts_with("src/config/"))
        .map(|source| source.shipped)
        .collect();
    let page = read("docs/configuration.md");
    let example = read("examples/weir.toml");
    let mut faults = Vec::new();
    let (mut within, mut keys) = (false, 0);
    for line in config.lines() {
        within = match line {
            line if line.starts_with("pub struct BadConfig") => false,
            // A tuple struct has no keys, and ends in the same line.
            line if line.starts_with("pub struct ") && line.ends_with(';') => false,
            line if line.starts_with("pub struct ") => true,
            line if line.starts_with('}') => false,
            _ => within, // Inside a struct, or outside all of them.
        };
        let key = line
            .strip_prefix("    pub ")
            .and_then(|rest| rest.split_once(':'));
        let Some((key, _)) = key.filter(|_| within) else {
            continue;
        };
        keys += 1;
        for (name, text) in [
            ("docs/configuration.md", &page),
            ("examples/weir.toml", &example),
        ] {
            if !words(text).iter().any(|(_, word)| *word == key) {
                faults.push(format!("{name} says nothing of {key}"));
            }
        }
    }
    assert!(keys > 20, "the keys of the configuration were not found");
    none(&faults, "keys without a word about them");
}

#[test]
fn the_example_configuration_is_one() {
    let path = root().join("examples/weir.toml");
    let config = weir::config::Config::load(Some(&path)).unwrap_or_else(|bad| panic!("{bad}"));
    // It shows the defaults, so that a reader can trust what is commented out.
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
    let ci = read(".ci/run");
    for marker in ["<!-- test -->", "<!-- run -->"] {
        let block = readme
            .split(marker)
            .nth(1)
            .expect("the README has its markers");
        let command = block
            .lines()
            .find(|line| line.starts_with("cargo "))
            .unwrap_or_default();
        assert!(
            command.starts_with("cargo "),
            "{marker} is followed by no command"
        );
    }
    assert!(
        ci.contains("<!-- test -->"),
        ".ci/run takes the test command from the README"
    );
}
