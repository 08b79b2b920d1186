//! Cloud logs in JSON: their log sources, times and fields.

mod common;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value as Json;
use weir_parse::{decode, event_json};
use weir_schema::Format;

use common::{context, log_source, rows};

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

/// Every CloudTrail record decodes without a problem and has its fields under Sigma's names.
#[test]
fn decode_cloudtrail_without_problems() {
    let test = "decode_cloudtrail_without_problems";
    for (file, count) in [
        ("stratus_detonations.jsonl", 310),
        ("invictus_aws_cloudtrail.jsonl", 2_900),
        ("otrf_ec2_proxy_s3_exfiltration.jsonl", 103),
    ] {
        let Some(rows) = rows(test, &format!("cloud/{file}")) else {
            return;
        };
        assert_eq!(rows.len(), count, "{file}");
        for mut row in rows {
            let record = match row.get_mut("technique") {
                Some(_) => row["event"].take(),
                None => row,
            };
            let text = record.to_string();
            let event = decode(text.as_bytes(), &context(Format::Json));
            assert_eq!(event.problems, [], "{file}: {text}");
            assert_eq!(log_source(&event), "/aws/cloudtrail", "{file}: {text}");
            let time = record.get("eventTime").or(record.get("@timestamp"));
            let time = chrono::DateTime::parse_from_rfc3339(time.unwrap().as_str().unwrap());
            assert_eq!(Some(event.time.0), time.unwrap().timestamp_nanos_opt());
            let decoded: Json = serde_json::from_str(&event_json(&event)).unwrap();
            let mut flat = HashMap::new();
            flatten("", &record, &mut flat);
            for (name, value) in flat {
                let got = &decoded["fields"][&name];
                // Objects in lists are not flattened: they stay text.
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

/// Compares the log sources of other clouds with the labels of a public collection. A recognized log
/// source must be right; other records may have none.
#[test]
fn recognize_other_clouds_without_errors() {
    let Some(rows) = rows(
        "recognize_other_clouds_without_errors",
        "cloud/panther_cases.jsonl",
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
        let event = decode(text.as_bytes(), &context(Format::Json));
        let types = row["log_types"].as_array().unwrap();
        let source = log_source(&event);
        let fits = |(kind, prefix, _): &&(&'static str, &str, usize)| {
            source.starts_with(prefix)
                && types.iter().any(|t| t.as_str().unwrap().starts_with(kind))
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
