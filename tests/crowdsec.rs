//! CrowdSec's leaky buckets as window rules, over logs with known sources of alerts.
//!
//! `docs/crowdsec.md` has the table that these tests read, and explains where a window differs.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::command::{finish, weir};
use support::files::{data_set, root};

/// Receive times of logs whose lines have no year: shortly after their last line.
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
/// Receive time of all other logs.
const RECEIVED_ELSE: &str = "2026-06-30T00:00:00Z";

/// Logs in formats that Weir does not decode, so there is nothing to count.
const NOT_READ: [&str; 2] = ["traefik_base-http-scenario", "caddy-basic-auth-bf"];

/// A row of the table in `docs/crowdsec.md`.
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

    /// Returns whether `case` has expectations for this scenario.
    fn is_in(&self, case: &Value) -> bool {
        let short = self.scenario.split('/').next_back().unwrap_or_default();
        let as_file = format!("{short}.yaml");
        let mut listed = case["scenarios"].as_array().unwrap().iter();
        let mut alerts = case["expected_alerts"].as_array().unwrap().iter();
        let is_listed = listed.any(|name| {
            let name = name.as_str().unwrap();
            name == self.scenario || name.split('/').next_back() == Some(as_file.as_str())
        });
        // A scenario's file may have another name.
        is_listed || alerts.any(|alert| alert["scenario"] == *self.scenario)
    }
}

/// The standing alerts after `lines`: group value, first, last and count.
fn standing(row: &Row, case: &str, lines: &[u8], epoch_events: usize) -> Vec<[String; 4]> {
    let received = RECEIVED.iter().find(|(name, _)| *name == case);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let mut replay = weir(["replay", "--quiet", "--final", "--rules"]);
    replay
        .arg(row.file())
        .args(["--epoch-events", &epoch_events.to_string()])
        .args(["--received", received.map_or(RECEIVED_ELSE, |(_, at)| at)])
        .arg(file.path());
    let replay = finish(&mut replay);
    replay.assert_success();
    let alert = |row: Value| {
        let group = row["group"].as_object().unwrap().values().next().unwrap();
        let group = group.as_str().unwrap_or_default().to_owned();
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        [group, text("first"), text("last"), row["count"].to_string()]
    };
    replay.json_lines().into_iter().map(alert).collect()
}

#[test]
fn the_table_agrees_with_buckets_and_rules() {
    let test = "the_table_agrees_with_buckets_and_rules";
    let Some(data) = data_set(test, "syslog/crowdsec") else {
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
        let mut lines = vec![
            format!("gte: {}\n", row.at_least),
            format!("timespan: {}\n", row.within),
        ];
        if row.distinct {
            lines.extend([
                "type: value_count\n".to_owned(),
                format!("field: {}\n", row.field),
            ]);
        } else {
            lines.push("type: event_count\n".to_owned());
        }
        for line in lines {
            assert!(text.contains(&line), "{}.yml has no `{line}`", row.rule);
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
    let test = "the_expected_sources_alert_and_no_others";
    let Some(data) = data_set(test, "syslog/crowdsec") else {
        return;
    };
    let cases = json_lines(&data.join("cases.jsonl"));
    let (mut tested, mut silent, mut wrong) = (BTreeSet::new(), 0, Vec::new());
    for row in table() {
        for case in cases.iter().filter(|case| row.is_in(case)) {
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
            let found = standing(&row, name, &log, 10_000);
            let got: BTreeSet<&str> = found.iter().map(|[group, ..]| group.as_str()).collect();
            // Some cases expect an alert without naming its source.
            let unnamed = expected.is_empty() && !sources.is_empty() && got.len() == 1;
            if got != expected && !unnamed {
                wrong.push(format!("{name}, {}: {got:?}, not {expected:?}", row.rule));
            }
            // A bucket depends on the order of arrival; a window does not.
            let mut lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
            lines.reverse();
            let backwards = standing(&row, name, &lines.join(&b'\n'), 3);
            if backwards != found {
                wrong.push(format!(
                    "{name}, {}: backwards {backwards:?}, not {found:?}",
                    row.rule
                ));
            }
            silent += usize::from(sources.is_empty());
            tested.insert((row.rule.clone(), name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let rules: BTreeSet<&String> = tested.iter().map(|(rule, _)| rule).collect();
    println!(
        "{} rules over {} logs; {silent} logs silent",
        rules.len(),
        tested.len()
    );
    let silent_rows: Vec<String> = table()
        .into_iter()
        .map(|row| row.rule)
        .filter(|rule| !rules.contains(rule))
        .collect();
    assert!(silent_rows.is_empty(), "no log tests {silent_rows:?}");
    assert!(tested.len() >= 40, "{tested:?}");
}
