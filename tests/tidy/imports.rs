//! Which crate may import which: the table of `docs/ARCHITECTURE.md`, by folder.

use std::collections::{BTreeMap, BTreeSet};

use crate::{fail_with, read};

/// A crate's folder, and the crates of the workspace that it may name in `[dependencies]`.
///
/// Tests and examples may name any of them (`[dev-dependencies]`).
const WORKSPACE: &[(&str, &[&str])] = &[
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
    // The load generator names detections by their schema types; it never runs the graph.
    ("scenario", &["schema"]),
    // Its load is judged without the graph; the benchmark of the correlator runs that operator alone.
    // `weir-torture` reads the journal of a stopped server itself, to judge what the server counts.
    ("benchmarks", &["schema", "operators", "scenario", "store"]),
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

/// A foreign crate, and the folders that alone name it in `[dependencies]`. One folder per foreign
/// crate keeps it exchangeable.
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
    ("aho-corasick", &["detect"]),
    ("yaml_serde", &["detect"]),
    ("syslog_loose", &["ingest/parse"]),
    ("clap", &[".", "benchmarks"]),
    // The client library writes agent events; all others read them through schema.
    ("flatbuffers", &["schema"]),
    ("anyhow", &[".", "benchmarks"]),
    ("toml", &["."]),
    ("evtx", &["."]),
    ("prost", &["web"]),
    ("hyper", &["respond"]),
];

/// The page that says why each dependency is there.
const REASONS: &str = "docs/decisions/010-dependencies.md";

#[test]
fn crates_import_what_the_table_allows() {
    let manifest = manifest(".");
    let members = manifest["workspace"]["members"].as_array();
    let members = members.expect("members are a list").iter();
    let members: Vec<&str> = members
        .filter_map(|member| member.as_str())
        .chain(["."])
        .collect();
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for member in members {
        check_member(member, &mut used, &mut faults);
    }
    let declared = manifest["workspace"]["dependencies"].as_table();
    let declared = declared.expect("dependencies are a table").keys();
    let unused = declared.filter(|name| !used.contains(*name));
    faults.extend(unused.map(|name| format!("Cargo.toml: no crate uses {name}; remove it")));
    fail_with(&faults, "the import table does not hold");
}

fn check_member(member: &str, used: &mut BTreeSet<String>, faults: &mut Vec<String>) {
    let known: BTreeMap<&str, &[&str]> = WORKSPACE.iter().copied().collect();
    let Some(allowed) = known.get(member) else {
        faults.push(format!(
            "{member}: add it to WORKSPACE in tests/tidy/imports.rs"
        ));
        return;
    };
    let path = format!("{member}/Cargo.toml");
    let manifest = manifest(member);
    let reasons = read(REASONS);
    let (shipped, tests) = (
        names(&manifest, "dependencies"),
        names(&manifest, "dev-dependencies"),
    );
    for name in shipped.iter().chain(&tests) {
        used.insert(name.clone());
        if !name.starts_with("weir-") && !reasons.contains(&format!("`{name}`")) {
            faults.push(format!("{path}: say in {REASONS} what {name} is for"));
        }
    }
    for name in &shipped {
        if let Some(ours) = name.strip_prefix("weir-") {
            if !allowed.contains(&ours) {
                faults.push(format!("{path}: {member} may not import {name}"));
            }
            continue;
        }
        let entry = FOREIGN.iter().find(|(foreign, _)| foreign == name);
        if let Some((_, folders)) = entry.filter(|(_, folders)| !folders.contains(&member)) {
            faults.push(format!(
                "{path}: only {} may name {name}",
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

fn manifest(member: &str) -> toml::Table {
    let text = read(&format!("{member}/Cargo.toml"));
    text.parse().expect("a manifest is TOML")
}

fn names(manifest: &toml::Table, table: &str) -> Vec<String> {
    let table = manifest.get(table).and_then(toml::Value::as_table);
    table
        .into_iter()
        .flat_map(|table| table.keys().cloned())
        .collect()
}
