//! Recorded bursts and public correlation rules: each expected group alerts once, and no other.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Value, json};
use support::command::{finish, run, weir};
use support::files::{data_set, shown};

const RECEIVED: &str = "2026-06-30T00:00:00Z";

/// The lines of the recordings in `files`, by set and file, without `_file` and `_n`.
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

/// A standing alert: title, group, first time and count.
type Alert = (String, Value, String, u64);

/// The standing alerts after `lines`.
fn standing(rules: &Path, lines: &[Vec<u8>], epoch_events: usize) -> Vec<Alert> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join(&b'\n')).unwrap();
    let mut replay = weir(["replay", "--quiet", "--final"]);
    replay
        .args(["--logsource", "product=windows", "--received", RECEIVED])
        .args(["--epoch-events", &epoch_events.to_string(), "--rules"])
        .args([rules, file.path()]);
    let replay = finish(&mut replay);
    replay.assert_success();
    let alert = |mut row: Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&row["title"]),
            row["group"].take(),
            text(&row["first"]),
            row["count"].as_u64().unwrap(),
        )
    };
    replay.json_lines().into_iter().map(alert).collect()
}

/// An expected group.
struct Group {
    value: String,
    events: u64,
    first: String,
    /// The number that the rule compares: events or distinct values.
    number: u64,
}

/// A recorded burst, with the rule that it describes.
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
        // A source is counted by accounts, an account by services.
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
fn each_recorded_burst_raises_one_alert() {
    let test = "each_recorded_burst_raises_one_alert";
    let Some(path) = data_set(test, "windows/correlation_truth.json") else {
        return;
    };
    let truth: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let bursts: Vec<Burst> = truth.as_array().unwrap().iter().map(Burst::read).collect();
    let places: Vec<_> = bursts.iter().map(|burst| burst.place.clone()).collect();
    let recordings = recordings(path.parent().unwrap(), &places);
    let rules = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    let (mut groups, mut runs) = (0, 0);
    for burst in &bursts {
        let mut lines = recordings[&burst.place].clone();
        // The number of each group as a threshold, and one above all of them.
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
                let alerts = standing(rules.path(), &lines, epoch_events);
                let mut got: Vec<(String, u64)> = alerts
                    .iter()
                    .map(|(_, group, first, count)| {
                        let group = group[&burst.group_by].as_str().unwrap();
                        // The truth has the decimals of Windows; Weir has two more.
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
                runs += 1;
                // Small epochs of reversed lines give the same.
                lines.reverse();
            }
        }
    }
    println!(
        "{} bursts, {groups} groups that count; {runs} runs",
        bursts.len()
    );
    assert!(bursts.len() >= 9 && groups >= 10, "{groups}");
}

/// A logon event at `second` that the example rules read, with more fields.
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
    let Some(folder) = data_set(test, "sigma/correlation_examples") else {
        return;
    };
    let lint = run(&["rules", "lint", &shown(&folder)]);
    lint.assert_success();
    let summary = "3 files, 6 documents: 6 in force, 0 problems";
    assert!(lint.out.contains(summary), "{lint:?}");

    // A rule fires at its threshold and not one line below it.
    let accounts = |second: usize| format!("user{second}");
    let check = |title: &str, needed: usize, line: &dyn Fn(usize) -> Vec<u8>| {
        for (count, fires) in [(needed, true), (needed - 1, false)] {
            let lines: Vec<Vec<u8>> = (0..count).map(line).collect();
            let alerts = standing(&folder, &lines, 2);
            let titles: Vec<(&str, u64)> =
                alerts.iter().map(|row| (row.0.as_str(), row.3)).collect();
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

    // The same lines spread over five minutes and one second raise no alert.
    let wide = |nth: usize| {
        let fields = [("SubStatus", "0xc000006a"), ("TargetUserName", "ann")];
        logon(4625, nth * 75 + usize::from(nth == 4), &fields)
    };
    let alerts = standing(&folder, &(0..5).map(wide).collect::<Vec<_>>(), 2);
    assert!(alerts.is_empty(), "{alerts:#?}");
}
