//! Leaky buckets as windows: rules of ours, over logs of which it is known which sources must alert.
//!
//! `docs/crowdsec.md` has the table that is judged here, and says where a window differs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// When the logs were received whose lines have no year: after their last, and near to it.
const RECEIVED: [(&str, &str); 8] = [
    ("sshd-bad-keyexchange-bf", "2026-07-31T00:00:00Z"),
    ("sshd_banner_exchange", "2026-12-31T00:00:00Z"),
    ("ssh-slow-bf", "2026-10-20T00:00:00Z"),
    ("ssh-timeout", "2026-10-20T00:00:00Z"),
    ("dovecot-spam", "2026-10-20T00:00:00Z"),
    ("smb-bf", "2026-10-20T00:00:00Z"),
    ("iptables-scan-multi-port", "2026-12-31T00:00:00Z"),
    ("http-bf-wordpress-bf", "2026-10-20T00:00:00Z"),
];
const RECEIVED_ELSE: &str = "2026-06-30T00:00:00Z";

/// Logs of products whose own formats are not read, so that there is nothing to count.
const NOT_READ: [&str; 2] = ["traefik_base-http-scenario", "caddy-basic-auth-bf"];

/// A row of the page's table.
struct Row {
    scenario: String,
    capacity: String,
    leaks: String,
    distinct: bool,
    rule: String,
    at_least: String,
    within: String,
    field: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The data folder, or `None` after saying on stderr that `test` is skipped.
fn data(test: &str) -> Option<PathBuf> {
    let beside = || root().join("../shared/data");
    let folder = std::env::var_os("WEIR_DATA").map_or_else(beside, PathBuf::from);
    let folder = folder.join("syslog/crowdsec");
    if folder.exists() {
        return Some(folder);
    }
    // Straight to standard error, since libtest hides what a test that passes prints.
    let absent = format!("SKIPPED: {test}: syslog/crowdsec is absent; set WEIR_DATA\n");
    let _ = std::io::stderr().write_all(absent.as_bytes());
    None
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let values = text.lines().map(serde_json::from_str);
    values.collect::<Result<_, _>>().unwrap()
}

fn table() -> Vec<Row> {
    let page = std::fs::read_to_string(root().join("docs/crowdsec.md")).unwrap();
    let (_, page) = page.split_once("## The scenarios").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    rows.map(|line| {
        let cells: Vec<String> = line.trim_matches('|').split('|').map(cell).collect();
        let [
            scenario,
            capacity,
            leaks,
            distinct,
            rule,
            at_least,
            within,
            field,
        ] = <[String; 8]>::try_from(cells).unwrap_or_else(|cells| panic!("{cells:?}"));
        Row {
            scenario,
            capacity,
            leaks,
            distinct: !distinct.is_empty(),
            rule,
            at_least,
            within,
            field,
        }
    })
    .collect()
}

impl Row {
    fn file(&self) -> PathBuf {
        root().join(format!("tests/crowdsec/{}.yml", self.rule))
    }

    /// Whether `case` says what this scenario must come to.
    fn asserted(&self, case: &Value) -> bool {
        let short = self.scenario.split('/').next_back().unwrap_or_default();
        let as_file = format!("{short}.yaml");
        let mut listed = case["scenarios"].as_array().unwrap().iter();
        let mut alerts = case["expected_alerts"].as_array().unwrap().iter();
        let is_listed = listed.any(|name| {
            let name = name.as_str().unwrap();
            name == self.scenario || name.split('/').next_back() == Some(as_file.as_str())
        });
        // A file may have another name than the scenario in it.
        is_listed || alerts.any(|alert| alert["scenario"] == *self.scenario)
    }
}

/// The alerts that stand after `lines`: group value, first, last and count.
fn standing(row: &Row, case: &str, lines: &[u8], epoch_events: usize) -> Vec<[String; 4]> {
    let received = RECEIVED.iter().find(|(name, _)| *name == case);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["replay", "--quiet", "--final", "--rules"])
        .arg(row.file())
        .args(["--epoch-events", &epoch_events.to_string()])
        .args(["--received", received.map_or(RECEIVED_ELSE, |(_, at)| at)])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {output:?}", row.rule);
    let text = String::from_utf8(output.stdout).unwrap();
    let alert = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let group = row["group"].as_object().unwrap().values().next().unwrap();
        let group = group.as_str().unwrap_or_default().to_owned();
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        [group, text("first"), text("last"), row["count"].to_string()]
    };
    text.lines().map(alert).collect()
}

#[test]
fn the_table_says_what_buckets_and_rules_are() {
    let Some(data) = data("the_table_says_what_buckets_and_rules_are") else {
        return;
    };
    let known: BTreeMap<String, Value> = json_lines(&data.join("scenarios.jsonl"))
        .into_iter()
        .map(|bucket| {
            (
                bucket["name"].as_str().unwrap_or_default().to_owned(),
                bucket,
            )
        })
        .collect();
    let mut rules = BTreeSet::new();
    for row in table() {
        let bucket = &known[&row.scenario];
        assert_eq!(bucket["type"], "leaky", "{}", row.scenario);
        assert_eq!(
            bucket["capacity"].to_string(),
            row.capacity,
            "{}",
            row.scenario
        );
        assert_eq!(bucket["leakspeed"], *row.leaks, "{}", row.scenario);
        assert_eq!(
            bucket["distinct"].is_string(),
            row.distinct,
            "{}",
            row.scenario
        );
        let text = std::fs::read_to_string(row.file()).unwrap();
        let mut said = vec![
            format!("gte: {}\n", row.at_least),
            format!("timespan: {}\n", row.within),
        ];
        if row.distinct {
            said.extend([
                "type: value_count\n".to_owned(),
                format!("field: {}\n", row.field),
            ]);
        } else {
            said.push("type: event_count\n".to_owned());
        }
        for words in said {
            assert!(text.contains(&words), "{}.yml has no `{words}`", row.rule);
        }
        rules.insert(format!("{}.yml", row.rule));
    }
    let files = std::fs::read_dir(root().join("tests/crowdsec")).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, rules);
}

#[test]
fn the_expected_sources_alert_and_no_others() {
    let Some(data) = data("the_expected_sources_alert_and_no_others") else {
        return;
    };
    let cases = json_lines(&data.join("cases.jsonl"));
    let (mut judged, mut silent, mut wrong) = (BTreeSet::new(), 0, Vec::new());
    for row in table() {
        for case in cases.iter().filter(|case| row.asserted(case)) {
            let name = case["test"].as_str().unwrap();
            if NOT_READ.contains(&name) {
                continue;
            }
            let alerts = case["expected_alerts"].as_array().unwrap().iter();
            let alerts = alerts.filter(|alert| alert["scenario"] == *row.scenario);
            let sources: Vec<&Value> = alerts.map(|alert| &alert["sources"]).collect();
            let expected: BTreeSet<&str> = sources
                .iter()
                .flat_map(|sources| sources.as_array().unwrap())
                .map(|source| source.as_str().unwrap().trim_start_matches("::ffff:"))
                .collect();
            let log = std::fs::read(data.join(case["log"].as_str().unwrap())).unwrap();
            let said = standing(&row, name, &log, 10_000);
            let got: BTreeSet<&str> = said.iter().map(|[group, ..]| group.as_str()).collect();
            // Some cases say that there is an alert, and not from where.
            let unnamed = expected.is_empty() && !sources.is_empty() && got.len() == 1;
            if got != expected && !unnamed {
                wrong.push(format!("{name}, {}: {got:?}, not {expected:?}", row.rule));
            }
            // A bucket is filled in the order of arrival; a window is not.
            let mut lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
            lines.reverse();
            let backwards = standing(&row, name, &lines.join(&b'\n'), 3);
            if backwards != said {
                wrong.push(format!(
                    "{name}, {}: backwards {backwards:?}, not {said:?}",
                    row.rule
                ));
            }
            silent += usize::from(sources.is_empty());
            judged.insert((row.rule.clone(), name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let rules: BTreeSet<&String> = judged.iter().map(|(rule, _)| rule).collect();
    println!(
        "{} rules over {} logs; {silent} logs silent",
        rules.len(),
        judged.len()
    );
    let silent_rows: Vec<String> = table()
        .into_iter()
        .map(|row| row.rule)
        .filter(|rule| !rules.contains(rule))
        .collect();
    assert!(silent_rows.is_empty(), "no log judges {silent_rows:?}");
    assert!(judged.len() >= 40, "{judged:?}");
}
