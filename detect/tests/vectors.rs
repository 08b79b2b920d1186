//! The test vectors of the specification, and rules that must compile.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use weir_detect::{RuleBook, check, split_documents};
use weir_schema::{FactValue, Plan, PlanKind, PlanOutput};

fn lines(test: &str, file: &str) -> Vec<Json> {
    let Some(path) = common::data(test, file) else {
        return Vec::new();
    };
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn pass_the_detection_vectors() {
    let mut wrong = Vec::new();
    for case in lines(
        "pass_the_detection_vectors",
        "sigma/vectors/detection.jsonl",
    ) {
        let mut book = RuleBook::new();
        // JSON is valid YAML.
        let update = common::add(&mut book, &case["rule"].to_string(), i64::MIN);
        if !update.diagnostics.is_empty() {
            wrong.push(format!(
                "{}: refused: {:?}",
                case["name"], update.diagnostics
            ));
            continue;
        }
        for vector in case["events"].as_array().unwrap() {
            let event = common::event("test/-/-", &vector["event"], 1);
            let detected = common::detect(&book, &event);
            let matched = !detected.matches.is_empty();
            if Some(matched) != vector["match"].as_bool() {
                wrong.push(format!("{}: {vector}: {matched}", case["name"]));
            }
            assert_eq!(
                matched,
                !detected.facts.is_empty(),
                "{}: {vector}",
                case["name"]
            );
            let id = case["rule"]["id"].as_str().unwrap();
            let explanation = book.explain(id, &event).unwrap();
            assert_eq!(explanation.matched, matched, "{}: {vector}", case["name"]);
            assert!(
                explanation.decisive().count() > 0,
                "{}: {vector}",
                case["name"]
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the first event at which the plan with the title fires, by counting facts.
fn first_alert(book: &RuleBook, case: &Json) -> Option<usize> {
    let title = case["alert_title"].as_str().unwrap();
    let mut seen: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (at, json) in case["events"].as_array().unwrap().iter().enumerate() {
        let seconds = json["ts"].as_i64().unwrap();
        let event = common::event("authentication/-/-", json, seconds);
        let detected = common::detect(book, &event);
        let facts = detected.facts.into_iter();
        let mut next: Vec<_> = facts
            .flat_map(|fact| {
                let one = move |member| (fact.plan, fact.group, member, fact.value);
                fact.members.iter().map(one)
            })
            .collect();
        // A member's plan that fires makes a fact of the plan that reads it.
        while let Some((plan, group, member, value)) = next.pop() {
            let plan = book.plan(plan).unwrap();
            let facts = seen.entry((plan.id, group)).or_default();
            facts.push((event.time.0, member, value));
            facts.retain(|(time, ..)| *time >= event.time.minus(plan.timespan).0);
            if !fires(plan, facts) {
                continue;
            }
            if let PlanOutput::Plan(membership) = plan.output {
                let links = detected.links.iter().flatten();
                let link = links
                    .into_iter()
                    .find(|l| (l.plan, l.group) == (plan.id, group));
                let link = link.expect("a group of a member's plan has a link");
                next.push((membership.plan, link.to, membership.member, link.value));
            } else if plan.title == title {
                return Some(at);
            }
        }
    }
    None
}

/// Whether the window that ends with the last of these facts fires.
fn fires(plan: &Plan, facts: &[(i64, u16, FactValue)]) -> bool {
    match &plan.kind {
        PlanKind::EventCount { bounds } => {
            bounds.iter().all(|bound| bound.holds(facts.len() as u64))
        }
        PlanKind::Temporal { condition, .. } => {
            condition.holds(&|member| facts.iter().any(|(_, m, _)| *m == member))
        }
        PlanKind::TemporalOrdered { members } => {
            // In the vectors no event matches two rules, and times only increase.
            let mut next = 0;
            for (_, member, _) in facts.iter() {
                next += u16::from(*member == next);
            }
            next == *members
        }
        PlanKind::ValueCount { bounds } => {
            let values: BTreeSet<_> = facts.iter().map(|(_, _, value)| value).collect();
            bounds.iter().all(|bound| bound.holds(values.len() as u64))
        }
        PlanKind::Value { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => {
            panic!("no vector has numbers or absence")
        }
    }
}

#[test]
fn pass_all_correlation_vectors() {
    let mut passed = 0;
    for case in lines(
        "pass_all_correlation_vectors",
        "sigma/vectors/correlation.jsonl",
    ) {
        let mut book = RuleBook::new();
        for (_, text) in split_documents(case["rules_yaml"].as_str().unwrap()) {
            let diagnostics = common::add(&mut book, text, i64::MIN).diagnostics;
            assert!(diagnostics.is_empty(), "{}: {diagnostics:#?}", case["name"]);
        }
        let expected = case["expect_first_alert_at_event"].as_u64();
        let found = first_alert(&book, &case).map(|at| at as u64);
        assert_eq!(found, expected, "{}", case["name"]);
        passed += 1;
    }
    eprintln!("correlation vectors: {passed} pass");
    assert!(
        passed == 0 || passed >= 28,
        "{passed} vectors, not 0 or all"
    );
}

fn rule_files(folder: &std::path::Path, out: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rule_files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            out.push(path);
        }
    }
}

/// Returns the number of documents, and the reasons for refusals.
fn compile_all(folder: &std::path::Path) -> (usize, BTreeMap<String, usize>) {
    let mut files = Vec::new();
    rule_files(folder, &mut files);
    let (mut documents, mut reasons) = (0, BTreeMap::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (_, text) in split_documents(&text) {
            documents += 1;
            let found = check(text, &file.display().to_string());
            if let Some(refusal) = found.iter().find(|diagnostic| diagnostic.refused) {
                *reasons.entry(refusal.message.clone()).or_insert(0) += 1;
            }
        }
    }
    (documents, reasons)
}

#[test]
fn compile_public_rules() {
    let mut all = BTreeMap::new();
    for part in [
        "rules",
        "rules-emerging-threats",
        "rules-threat-hunting",
        "correlation_examples",
    ] {
        let Some(folder) = common::data("compile_public_rules", &format!("sigma/{part}")) else {
            return;
        };
        let (documents, reasons) = compile_all(&folder);
        let refused: usize = reasons.values().sum();
        eprintln!(
            "{part}: {} of {documents} documents compile",
            documents - refused
        );
        assert!(
            refused * 10 <= documents || part == "correlation_examples",
            "{part}: {reasons:#?}"
        );
        all.extend(reasons);
    }
    eprintln!("refused: {all:#?}");
}

#[test]
fn refuse_old_forms_with_a_reason() {
    let Some(folder) = common::data("refuse_old_forms_with_a_reason", "sigma/unsupported") else {
        return;
    };
    let mut files = Vec::new();
    rule_files(&folder, &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // A few files are valid Sigma with another status.
        if !text.contains("status: unsupported") {
            continue;
        }
        let refused = split_documents(&text).iter().any(|(_, text)| {
            check(text, "x")
                .iter()
                .any(|d| d.refused && !d.message.is_empty())
        });
        assert!(refused, "{}", file.display());
    }
}

#[test]
fn compile_our_rules() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let (documents, reasons) = compile_all(&folder);
    assert!(documents > 0 && reasons.is_empty(), "{reasons:#?}");
}
