//! Cloud logs in JSON: their log sources, times and fields.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde_json::Value as Json;
use weir_parse::{Context, Zone, decode, event_json};
use weir_schema::{Event, Format, ReceiveTime, Span};

fn context() -> Context<'static> {
    Context {
        format: Format::Json,
        // 2027-01-15T08:00:00Z
        received: ReceiveTime(1_800_000_000_000_000_000),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    }
}

fn rows(test: &str, file: &str) -> Option<Vec<Json>> {
    let folder = match std::env::var_os("WEIR_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let path = folder.join("cloud").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        // Straight to standard error, since libtest hides what a test that passes prints.
        let absent = format!("SKIPPED: {test}: no {file} in the data folder (WEIR_DATA)\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), absent.as_bytes());
        return None;
    };
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(rows.collect())
}

fn source(event: &Event<'_>) -> String {
    let source = &event.logsource;
    [&source.category, &source.product, &source.service]
        .map(|word| word.clone().unwrap_or_default())
        .join("/")
}

fn flatten(path: &str, value: &Json, out: &mut HashMap<String, Json>) {
    if let Json::Object(object) = value {
        for (key, value) in object {
            let dot = if path.is_empty() { "" } else { "." };
            flatten(&format!("{path}{dot}{key}"), value, out);
        }
    } else {
        out.insert(path.to_owned(), value.clone());
    }
}

/// Every record of CloudTrail reads without a problem, and has what it says under Sigma's names.
#[test]
fn cloudtrail_is_read_without_a_problem() {
    let test = "cloudtrail_is_read_without_a_problem";
    for (file, count) in [
        ("stratus_detonations.jsonl", 310),
        ("invictus_aws_cloudtrail.jsonl", 2_900),
        ("otrf_ec2_proxy_s3_exfiltration.jsonl", 103),
    ] {
        let Some(rows) = rows(test, file) else {
            return;
        };
        assert_eq!(rows.len(), count, "{file}");
        for mut row in rows {
            let record = match row.get_mut("technique") {
                Some(_) => row["event"].take(),
                None => row,
            };
            let text = record.to_string();
            let event = decode(text.as_bytes(), &context());
            assert_eq!(event.problems, [], "{file}: {text}");
            assert_eq!(source(&event), "/aws/cloudtrail", "{file}: {text}");
            let time = record.get("eventTime").or(record.get("@timestamp"));
            let time = chrono::DateTime::parse_from_rfc3339(time.unwrap().as_str().unwrap());
            assert_eq!(Some(event.time.0), time.unwrap().timestamp_nanos_opt());
            let own: Json = serde_json::from_str(&event_json(&event)).unwrap();
            let mut flat = HashMap::new();
            flatten("", &record, &mut flat);
            for (name, value) in flat {
                let got = &own["fields"][&name];
                // Objects in lists have no name of their own: they stay text.
                let is_plain = !value
                    .as_array()
                    .is_some_and(|l| l.iter().any(Json::is_object));
                assert!(
                    !is_plain || *got == value,
                    "{file} {name}: {got}, not {value}"
                );
            }
        }
    }
}

/// Kinds of log that name themselves, by the source that a labelled collection gives them: what is
/// recognised is right, and the rest is left open.
#[test]
fn other_clouds_are_recognised_or_left_open() {
    let Some(rows) = rows(
        "other_clouds_are_recognised_or_left_open",
        "panther_cases.jsonl",
    ) else {
        return;
    };
    let known = [
        ("AWS.CloudTrail", "/aws/cloudtrail", 400),
        ("Amazon.EKS.Audit", "application/kubernetes/audit", 20),
        ("GCP.AuditLog", "/gcp/gcp.audit", 30),
        ("Okta.SystemLog", "/okta/okta", 5),
        ("GitHub.Audit", "/github/audit", 1),
        ("Azure.Audit", "/azure/", 20),
        ("Azure.MonitorActivity", "/azure/", 80),
        ("Microsoft365.Audit", "/m365/", 4),
        ("Windows.EventLogs", "/windows/", 2),
    ];
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for row in &rows {
        let text = row["event"].to_string();
        let event = decode(text.as_bytes(), &context());
        let types = row["log_types"].as_array().unwrap();
        let source = source(&event);
        let fits = |(kind, word, _): &&(&'static str, &str, usize)| {
            source.starts_with(word) && types.iter().any(|t| t.as_str().unwrap().starts_with(kind))
        };
        if let Some((kind, _, _)) = known.iter().find(fits) {
            *counts.entry((kind, String::new())).or_default() += 1;
        } else if source != "//" {
            *counts
                .entry(("wrong", format!("{source} {types:?} {text}")))
                .or_default() += 1;
        }
    }
    let wrong: Vec<_> = counts.keys().filter(|(kind, _)| *kind == "wrong").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (kind, _, least) in known {
        let count = counts
            .get(&(kind, String::new()))
            .copied()
            .unwrap_or_default();
        assert!(count >= least, "{kind}: {count}");
        println!("{kind}: {count}");
    }
}
