//! Recorded bursts and public correlation rules: each group that must alert does so once, no other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const RECEIVED: &str = "2026-06-30T00:00:00Z";

/// The data folder, or `None` after saying on stderr that `test` is skipped.
fn data(test: &str, file: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("WEIR_DATA").map_or_else(beside, PathBuf::from);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    // Straight to standard error, since libtest hides what a test that passes prints.
    let absent = format!("SKIPPED: {test}: {file} is absent; set WEIR_DATA\n");
    let _ = std::io::stderr().write_all(absent.as_bytes());
    None
}

/// The lines of the recordings in `files`, by set and file; `_file` and `_n` are taken off.
fn recordings(
    windows: &Path,
    files: &[(String, String)],
) -> BTreeMap<(String, String), Vec<Vec<u8>>> {
    let mut found: BTreeMap<_, Vec<Vec<u8>>> = BTreeMap::new();
    for set in ["evtx_to_mitre", "evtx_attack_samples"] {
        let file = std::fs::File::open(windows.join(format!("{set}.jsonl.zst"))).unwrap();
        let unpacked = zstd::stream::read::Decoder::new(file).unwrap();
        for line in BufReader::new(unpacked).lines() {
            let mut event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let event = event.as_object_mut().unwrap();
            let file = event.remove("_file").unwrap();
            event.remove("_n");
            let place = (set.to_owned(), file.as_str().unwrap().to_owned());
            if files.contains(&place) {
                let line = serde_json::to_vec(&event).unwrap();
                found.entry(place).or_default().push(line);
            }
        }
    }
    found
}

/// The alerts that stand after `lines`, as rule, group, first and count.
fn standing(
    rules: &Path,
    lines: &[Vec<u8>],
    epoch_events: usize,
) -> Vec<(String, Value, String, u64)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join(&b'\n')).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args([
            "replay",
            "--quiet",
            "--final",
            "--logsource",
            "product=windows",
        ])
        .args([
            "--received",
            RECEIVED,
            "--epoch-events",
            &epoch_events.to_string(),
        ])
        .arg("--rules")
        .arg(rules)
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let alert = |line: &str| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&row["title"]),
            row["group"].take(),
            text(&row["first"]),
            row["count"].as_u64().unwrap(),
        )
    };
    text.lines().map(alert).collect()
}

/// A group of the truth.
struct Group {
    value: String,
    events: u64,
    first: String,
    /// What the rule of its recording compares.
    number: u64,
}

/// A burst of the truth, with the rule that it describes.
struct Burst {
    place: (String, String),
    why: String,
    event_id: u64,
    group_by: String,
    field: Option<&'static str>,
    seconds: u64,
    groups: Vec<Group>,
}

impl Burst {
    fn read(truth: &Value) -> Self {
        let text = |field: &str| truth[field].as_str().unwrap().to_owned();
        let group_by = text("group_by");
        let distinct = text("kind") == "value_count";
        // Of one source the accounts are counted; of one account the services.
        let (field, number) = match (distinct, group_by.as_str()) {
            (false, _) => (None, "events"),
            (true, "IpAddress") => (Some("TargetUserName"), "distinct_users"),
            (true, _) => (Some("ServiceName"), "distinct_services"),
        };
        let rows = || truth["groups"].as_array().unwrap().iter();
        let group = |group: &Value| Group {
            value: group["group"].as_str().unwrap().to_owned(),
            events: group["events"].as_u64().unwrap(),
            first: group["first"]
                .as_str()
                .unwrap()
                .trim_end_matches('Z')
                .to_owned(),
            number: group[number].as_u64().unwrap(),
        };
        let span = rows().map(|group| group["span_s"].as_f64().unwrap());
        Self {
            place: (text("set"), text("file")),
            why: text("why"),
            event_id: truth["event_id"].as_u64().unwrap(),
            group_by,
            field,
            seconds: span.fold(1.0, f64::max).ceil() as u64,
            groups: rows().map(group).collect(),
        }
    }

    fn rule(&self, at_least: u64) -> String {
        let (kind, field) = match self.field {
            None => ("event_count", String::new()),
            Some(field) => ("value_count", format!("\n        field: {field}")),
        };
        format!(
            "title: Member\nname: member\nid: 6d1c1c62-0000-4000-8000-000000000001\n\
             logsource:\n    product: windows\n    service: security\ndetection:\n    \
             selection:\n        EventID: {}\n    condition: selection\nlevel: low\n---\n\
             title: Burst\nid: 6d1c1c62-0000-4000-8000-000000000002\ncorrelation:\n    \
             type: {kind}\n    rules:\n        - member\n    group-by:\n        - {}\n    \
             timespan: {}s\n    condition:\n        gte: {at_least}{field}\nlevel: high\n",
            self.event_id, self.group_by, self.seconds
        )
    }
}

#[test]
fn each_recorded_burst_alerts_once_and_nothing_else_does() {
    let test = "each_recorded_burst_alerts_once_and_nothing_else_does";
    let Some(path) = data(test, "windows/correlation_truth.json") else {
        return;
    };
    let truth: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let bursts: Vec<Burst> = truth.as_array().unwrap().iter().map(Burst::read).collect();
    let places: Vec<_> = bursts.iter().map(|burst| burst.place.clone()).collect();
    let recordings = recordings(path.parent().unwrap(), &places);
    let rules = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    let (mut groups, mut judged) = (0, 0);
    for burst in &bursts {
        let mut lines = recordings[&burst.place].clone();
        // At the number of each group, and above that of all.
        let mut numbers: Vec<u64> = burst.groups.iter().map(|group| group.number).collect();
        groups += numbers.iter().filter(|number| **number > 1).count();
        numbers.push(numbers.iter().max().unwrap() + 1);
        numbers.retain(|number| *number > 1);
        for at_least in numbers {
            std::fs::write(rules.path(), burst.rule(at_least)).unwrap();
            let reaches = burst.groups.iter().filter(|group| group.number >= at_least);
            let mut expected: Vec<(String, u64)> = reaches
                .map(|group| (format!("{} {}", group.value, group.first), group.events))
                .collect();
            expected.sort();
            for epoch_events in [10_000, 7] {
                let said = standing(rules.path(), &lines, epoch_events);
                let mut got: Vec<(String, u64)> = said
                    .iter()
                    .map(|(_, group, first, count)| {
                        let group = group[&burst.group_by].as_str().unwrap();
                        // The truth has as many decimals as Windows, we have two more.
                        let first = first.trim_end_matches('Z').trim_end_matches("00");
                        (format!("{group} {first}"), *count)
                    })
                    .collect();
                got.sort();
                assert_eq!(
                    got, expected,
                    "{}: {}, at least {at_least}",
                    burst.place.1, burst.why
                );
                judged += 1;
                // Told backwards in small epochs, it comes to the same.
                lines.reverse();
            }
        }
    }
    println!(
        "{} bursts, {groups} groups that count; {judged} runs",
        bursts.len()
    );
    assert!(bursts.len() >= 9 && groups >= 10, "{groups}");
}

/// One line as the rules of the examples ask for, `second` seconds on, with `fields` besides.
fn logon(event_id: u64, second: usize, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut event = json!({
        "EventID": event_id, "Channel": "Security", "Computer": "fs01.example",
        "Provider_Name": "Microsoft-Windows-Security-Auditing",
        "TimeCreated": format!("2026-01-02T03:{:02}:{:02}Z", second / 60, second % 60),
        "IpAddress": "192.0.2.7", "LogonType": "3", "TargetDomainName": "EXAMPLE",
        "ProcessName": "-", "LogonProcessName": "NtLmSsp", "WorkstationName": "WS7",
    });
    for (name, value) in fields {
        event[*name] = json!(value);
    }
    serde_json::to_vec(&event).unwrap()
}

#[test]
fn the_public_correlation_rules_load_and_run() {
    let test = "the_public_correlation_rules_load_and_run";
    let Some(folder) = data(test, "sigma/correlation_examples") else {
        return;
    };
    let lint = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["rules", "lint"])
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&lint.stdout);
    assert!(lint.status.success(), "{lint:?}");
    assert!(
        said.contains("3 files, 6 documents: 6 in force, 0 problems"),
        "{said}"
    );

    // Per rule: what it counts, how many it asks for, and lines of which the nth has a value anew.
    let accounts = |second: usize| format!("user{second}");
    let check = |title: &str, needed: usize, line: &dyn Fn(usize) -> Vec<u8>| {
        for (count, fires) in [(needed, true), (needed - 1, false)] {
            let lines: Vec<Vec<u8>> = (0..count).map(line).collect();
            let said = standing(&folder, &lines, 2);
            let titles: Vec<(&str, u64)> = said.iter().map(|row| (row.0.as_str(), row.3)).collect();
            let expected = if fires {
                vec![(title, needed as u64)]
            } else {
                Vec::new()
            };
            assert_eq!(titles, expected, "{title}, {count} lines");
        }
    };
    check("User Guessing", 4, &|nth| {
        let user = accounts(nth);
        logon(
            4625,
            nth * 90,
            &[("SubStatus", "0xc0000064"), ("TargetUserName", &user)],
        )
    });
    check("PW Guessing", 5, &|nth| {
        let fields = [("SubStatus", "0xc000006a"), ("TargetUserName", "ann")];
        logon(4625, nth * 75, &fields)
    });
    check("PW Spray", 5, &|nth| {
        let user = accounts(nth);
        logon(4648, nth * 75, &[("TargetUserName", &user)])
    });

    // The same lines spread over one second more than the five minutes come to nothing.
    let wide = |nth: usize| {
        let fields = [("SubStatus", "0xc000006a"), ("TargetUserName", "ann")];
        logon(4625, nth * 75 + usize::from(nth == 4), &fields)
    };
    let said = standing(&folder, &(0..5).map(wide).collect::<Vec<_>>(), 2);
    let mut shown = String::new();
    said.iter()
        .for_each(|row| writeln!(shown, "{row:?}").unwrap());
    assert!(said.is_empty(), "{shown}");
}
