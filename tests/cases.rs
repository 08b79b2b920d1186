//! Reported cases of rules and alerts through the binary, each by the name of its row.
//!
//! The inputs that people sent are not part of the project. They lie in the folder `WEIR_CASES`, or in
//! `cases` beside `WEIR_DATA`; the tests of single rows write inputs of the same kind.

mod support;

use std::path::PathBuf;

use support::command::run;
use support::files::{shown, write};

/// A receipt after the times of all lines.
const RECEIVED: &str = "2026-12-01T00:00:00Z";

/// The titles and groups of the alerts that stand at the end.
fn standing(args: &[&str]) -> Vec<String> {
    let all = [&["replay", "--received", RECEIVED, "--final"], args].concat();
    let ended = run(&all);
    ended.assert_success();
    let row = |alert: serde_json::Value| {
        let group = alert["group"].as_object().expect("a group");
        let values: Vec<_> = group.values().filter_map(|value| value.as_str()).collect();
        let title = alert["title"].as_str().expect("a title");
        format!("{title}: {} ({})", values.join(" "), alert["count"])
    };
    ended.json_lines().into_iter().map(row).collect()
}

/// c21: what sudo refused did not happen.
#[test]
fn c21_a_refused_sudo_opens_no_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = |second: u32, host: &str, refusal: &str| {
        format!(
            "<85>Apr 30 09:00:{second:02} {host} sudo: mia : {refusal}TTY=pts/0 ; PWD=/home/mia ; \
             USER=root ; COMMAND=/bin/bash\n"
        )
    };
    let lines = [
        line(1, "a", "1 incorrect password attempt ; "),
        line(2, "a", "3 incorrect password attempts ; "),
        line(3, "a", "user NOT in sudoers ; "),
        line(4, "a", "command not allowed ; "),
        line(5, "b", ""),
    ];
    let file = write(folder.path(), "sudo.log", lines.concat());
    assert_eq!(
        standing(&[&file]),
        [
            "sudo refuses somebody again and again: mia a (4)",
            "Interactive root shell through sudo: b (1)",
        ]
    );
}

/// A logon record with these fields.
fn logon(second: u32, rest: &str) -> String {
    format!(
        "{{\"TimeCreated\":\"2026-05-01T10:00:{second:02}.000Z\",\"Channel\":\"Security\",\
         \"Provider_Name\":\"Microsoft-Windows-Security-Auditing\",{rest}}}\n"
    )
}

/// c26: a mapped public address is public, a private one with a zone or in IPv6 form is not.
#[test]
fn c26_remote_desktop_reads_the_address_in_every_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let addresses = [
        "::ffff:198.51.100.7",
        "::ffff:172.16.9.9",
        "::ffff:127.0.0.1",
        "fe80::9%4",
        "fd00::9",
        "2001:db8::9",
        "::",
        "-",
    ];
    let line = |(at, address): (u32, &str)| {
        let rest = format!(
            "\"EventID\":4624,\"LogonType\":10,\"Computer\":\"w{at}\",\"TargetUserName\":\"mia\",\
             \"IpAddress\":\"{address}\""
        );
        logon(at, &rest)
    };
    let lines: String = (0..).zip(addresses).map(line).collect();
    let file = write(folder.path(), "rdp.jsonl", lines);
    assert_eq!(
        standing(&[&file]),
        [
            "Logon over Remote Desktop from a public address: w0 (1)",
            "Logon over Remote Desktop from a public address: w5 (1)",
        ]
    );
}

/// c15: an account without a name is no account that somebody guesses.
#[test]
fn c15_refused_logons_without_a_name_accuse_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lines = String::new();
    for at in 0..40 {
        let name = ["", "-", "N/A", "mia"][at as usize % 4];
        // Only two of the 40 have a name.
        let name = if name == "mia" && at > 8 { "-" } else { name };
        let rest = format!(
            "\"EventID\":4625,\"LogonType\":3,\"Computer\":\"w{at}\",\"TargetUserName\":\"{name}\",\
             \"IpAddress\":\"203.0.113.{at}\""
        );
        lines += &logon(at, &rest);
    }
    let file = write(folder.path(), "refused.jsonl", lines);
    assert_eq!(standing(&[&file]), [""; 0]);
}

/// A rule, and correlations that stand before what they read.
const OUTER_FIRST: &str = "title: Outer\nid: outer\nstatus: test\ncorrelation: {type: event_count, \
    rules: [inner], group-by: [u], timespan: 1h, condition: {gte: 2}}\nlevel: high\n---\n\
    title: Inner\nid: inner-id\nname: inner\nstatus: test\ncorrelation: {type: event_count, \
    rules: [base], group-by: [u], timespan: 1m, condition: {gte: 2}}\nlevel: low\n---\n\
    title: Base\nid: base\nstatus: test\nlogsource: {product: shop}\ndetection: {s: {kind: b}, \
    condition: s}\nlevel: low\n";

/// c11b: a load has the problems of its end.
#[test]
fn c11b_a_correlation_before_its_members_is_no_problem() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = write(folder.path(), "rules/a.yml", OUTER_FIRST);
    let mut lines = String::new();
    for minute in [0, 10] {
        for second in [0, 1] {
            lines += &format!(
                "{{\"time\":\"2026-05-01T10:{minute:02}:{second:02}Z\",\"kind\":\"b\",\"u\":\"x\",\
                 \"logsource\":{{\"product\":\"shop\"}}}}\n"
            );
        }
    }
    let file = write(folder.path(), "shop.jsonl", lines);
    let ended = run(&[
        "replay",
        "--received",
        RECEIVED,
        "--final",
        "--rules",
        &rules,
        &file,
    ]);
    ended.assert_success();
    assert!(!ended.err.contains("waits for"), "{}", ended.err);
    assert_eq!(ended.json_lines().len(), 1, "{}", ended.out);
    run(&["rules", "lint", &rules]).assert_success();
    // In files, where the first by name is the outermost; and one that never comes.
    let parts: Vec<&str> = OUTER_FIRST.split("---\n").collect();
    for (name, text) in ["1.yml", "2.yml", "3.yml"].into_iter().zip(parts) {
        write(folder.path(), &format!("split/{name}"), text);
    }
    let split = shown(&folder.path().join("split"));
    let args = ["replay", "--received", RECEIVED, "--rules", &split, &file];
    run(&args).assert_success();
    std::fs::remove_file(folder.path().join("split/3.yml")).expect("it is there");
    let ended = run(&args);
    assert_eq!(ended.code, Some(65), "{ended:?}");
    assert!(ended.err.contains("waits for rule `base`"), "{}", ended.err);
}

/// The folder of the inputs that people sent; `None`, and says so, if there is none.
fn folder(test: &str) -> Option<PathBuf> {
    let beside = || Some(PathBuf::from(std::env::var_os("WEIR_DATA")?).join("../cases"));
    let named = std::env::var_os("WEIR_CASES").map(PathBuf::from);
    let folder = named.or_else(beside).map(|folder| folder.join("detect"));
    let found = folder.filter(|folder| folder.exists());
    if found.is_none() {
        support::skipped(test, "no folder of cases (WEIR_CASES)");
    }
    found
}

#[test]
fn inputs_that_people_sent_have_their_alerts() {
    let Some(folder) = folder("inputs_that_people_sent_have_their_alerts") else {
        return;
    };
    for (input, expected) in [
        (
            "c21/sudo.log",
            &["sudo refuses somebody again and again: amy host1 (6)"][..],
        ),
        ("c15/windows_empty_user.jsonl", &[]),
        (
            "c26/rdp.jsonl",
            &[
                "Logon over Remote Desktop from a public address: PC4.corp.example (1)",
                "Logon over Remote Desktop from a public address: PC5.corp.example (1)",
            ],
        ),
    ] {
        assert_eq!(
            standing(&[&shown(&folder.join(input))]),
            expected,
            "{input}"
        );
    }
    let path = |input: &str| shown(&folder.join(input));
    let (rules, events) = (path("c11/outer_first.yml"), path("c11/outer_first.jsonl"));
    assert_eq!(
        standing(&["--rules", &rules, &events]),
        ["Twice, and once more: x (3)"]
    );
    for (input, code, words) in [
        ("c27/fraction.yml", 0, "0 problems, 0 remarks"),
        ("c27/ordered_temporal.yml", 65, "(write `temporal_ordered`)"),
        (
            "c04/rules.yml",
            65,
            "add `base64` or `base64offset` after it",
        ),
        ("c06/rules.yml", 0, "5 remarks"),
        ("c07/rules.yml", 65, "`all of keywords` is one selection"),
    ] {
        let ended = run(&["rules", "lint", &path(input)]);
        assert_eq!(ended.code, Some(code), "{input}: {}", ended.out);
        assert!(ended.out.contains(words), "{input}: {}", ended.out);
    }
}
