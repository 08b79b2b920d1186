//! Correlations that cannot be meant, and events that fit none: a diagnostic, or an effect that is counted and bounded.

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::http::Request;
use support::{Weir, config, until};
use weir_schema::{GroupKey, TenantKey};

const MEMBERS: &str = "\
title: One
id: 00000000-0000-4000-8000-000000000001
name: one
logsource:
    product: test
detection:
    selection:
        kind: one
    condition: selection
level: low
---
title: Other
id: 00000000-0000-4000-8000-000000000002
name: other
logsource:
    product: test
detection:
    selection:
        kind: other
    condition: selection
level: low
---
title: Never one
id: 00000000-0000-4000-8000-000000000003
name: sieve
logsource:
    product: test
filter:
    rules:
        - other
    selection:
        user: root
    condition: not selection
";

/// A correlation `me` with this section, where the event count of `one` is not written otherwise.
fn correlation(section: &str) -> String {
    let mut lines: Vec<&str> = section.lines().collect();
    for usual in [
        "type: event_count",
        "rules: [one]",
        "group-by: [user]",
        "timespan: 5m",
        "condition: {gte: 2}",
    ] {
        let key = usual.split_once(':').map_or(usual, |(key, _)| key);
        if !section
            .lines()
            .any(|line| line.trim_start_matches('-').starts_with(key))
        {
            lines.push(usual);
        }
    }
    // A line that begins with a dash says which key is left out.
    let lines = lines.iter().filter(|line| !line.starts_with('-'));
    let lines: String = lines.map(|line| format!("    {line}\n")).collect();
    format!(
        "title: Me\nid: 00000000-0000-4000-8000-000000000009\nname: me\ncorrelation:\n{lines}level: low\n"
    )
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    let many: Vec<String> = (0..65).map(|n| format!("rule{n}")).collect();
    let many = format!("rules: [{}]", many.join(", "));
    let cases: &[(&str, &str)] = &[
        // Rules that refer to nothing, to themselves, to what is no detection.
        (
            "rules: [nobody]",
            "waits for rule `nobody`, which does not exist",
        ),
        (
            "rules: [one, nobody]",
            "waits for rule `nobody`, which does not exist",
        ),
        ("rules: [me]", "`me`"),
        (
            "rules: [00000000-0000-4000-8000-000000000009]",
            "`00000000-0000-4000-8000-000000000009`",
        ),
        (
            "rules: [sieve]",
            "`sieve` names a filter, which matches nothing",
        ),
        ("rules: [one, one]", "`rules` lists `one` twice"),
        (
            "rules: [one, 00000000-0000-4000-8000-000000000001]",
            "names a rule that is listed already",
        ),
        ("rules: []", "rules"),
        ("-rules", "rules"),
        (&many, "more than 64 rules"),
        // Timespans of nothing, of less, of more than can be kept.
        ("timespan: 0s", "`0s` is not a usable timespan"),
        ("timespan: -5m", "timespan"),
        ("timespan: 1.5h", "timespan"),
        ("timespan: soon", "timespan"),
        ("timespan: 100y", "`100y` is not a usable timespan"),
        ("timespan: 367d", "`367d` is not a usable timespan"),
        ("timespan: 99999999999999999999d", "timespan"),
        ("-timespan", "time"),
        ("timespan: 5m\ntimeframe: 5m", "time"),
        // Conditions about nothing.
        ("-condition", "condition"),
        ("condition: {gte: -1}", "`gte` needs a whole number from 0"),
        ("condition: {gte: 1.5}", "requires a numeric value"),
        ("condition: {gte: many}", "requires a numeric value"),
        ("condition: {about: 5}", "must have an operator"),
        (
            "condition: {gte: 1, about: 5}",
            "`about` does not belong in this condition",
        ),
        ("condition: two of them", "Condition parse error"),
        ("type: value_count", "needs a `field`"),
        (
            "type: value_sum\ncondition: {field: [a, b], gte: 1}",
            "needs a `field`",
        ),
        (
            "type: value_avg\ncondition: {field: bytes, gte: 1e99}",
            "requires a numeric value",
        ),
        (
            "type: value_percentile\ncondition: {field: ms, gte: 1, percentile: 101}",
            "percentile",
        ),
        (
            "type: value_percentile\ncondition: {field: ms, gte: 1}",
            "percentile",
        ),
        (
            "type: temporal\nrules: [one, other]\ncondition: not one and not other",
            "must be seen",
        ),
        (
            "type: temporal\nrules: [one, other]\ncondition: one",
            "does not name `other`",
        ),
        (
            "type: temporal\nrules: [one, other]\ncondition: one and (other",
            "Condition parse error",
        ),
        (
            "type: temporal\nrules: [one, other]\ncondition: one and third",
            "third",
        ),
        (
            "type: temporal_ordered\nrules: [one, other]\ncondition: {gte: 1}",
            "temporal_ordered",
        ),
        ("type: sometimes", "sometimes"),
        // Groups of nothing.
        ("group-by: ['']", "group-by"),
        ("group-by: {user: name}", "group-by"),
        ("group-by: [user]\naliases: [user]", "aliases"),
        ("group-by: [user]\nwindow: session", "window"),
        (
            "group-by: [user]\nuser: root",
            "unknown key `user` in a correlation",
        ),
    ];
    let mut wrong = Vec::new();
    for (section, expected) in cases {
        std::fs::write(&file, format!("{MEMBERS}---\n{}", correlation(section))).expect("a file");
        let lint = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["rules", "lint"])
            .arg(&file)
            .output()
            .expect("the binary can be started");
        let said = String::from_utf8_lossy(&lint.stdout);
        let named = said.lines().any(|line| {
            let line = line.split_once("rules.yml:");
            line.is_some_and(|(_, said)| said.contains(expected))
        });
        // Whoever waits for a rule is told so, and is in order by itself.
        let code = if expected.starts_with("waits") {
            None
        } else {
            Some(65)
        };
        let coded = code.is_none_or(|code| lint.status.code() == Some(code));
        if !named || !coded || said.contains("panicked") {
            wrong.push(format!("{section}: {:?}\n{said}", lint.status.code()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} correlations refused", cases.len());
}

#[test]
fn two_that_read_each_other_are_both_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    let one = correlation("rules: [you]");
    let other = correlation("rules: [me]");
    let other = other
        .replace("name: me", "name: you")
        .replace("000009", "000008");
    std::fs::write(&file, format!("{one}---\n{other}")).expect("a file");
    let lint = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["rules", "lint"])
        .arg(&file)
        .output()
        .expect("the binary can be started");
    let said = String::from_utf8_lossy(&lint.stdout);
    assert!(!lint.status.success(), "{said}");
    assert!(said.contains("rules.yml"), "{said}");
}

/// Midnight of the test's day, in seconds since 1970: 2026-01-01.
const DAY_S: i64 = 1_767_225_600;

fn time(second: i64) -> String {
    weir_web::rfc3339(weir_schema::EventTime((DAY_S + second) * 1_000_000_000))
}

fn send(weir: &Weir, source: &str, events: &[Value]) {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let path = format!("/api/v1/events?source={source}");
    let reply = weir.send(Request::new("POST", &path).body(lines.join("\n").as_bytes()));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Titles and groups of the alerts that stand, once there are `count`.
fn standing(weir: &Weir, count: usize) -> Vec<String> {
    until(&format!("{count} alerts"), || {
        let listed = weir.get("/api/v1/alerts?limit=1000").json();
        let alerts = listed["alerts"].as_array().expect("a list").clone();
        let shown = |alert: &Value| format!("{} {}", alert["title"], alert["group"]);
        let mut shown: Vec<String> = alerts.iter().map(shown).collect();
        shown.sort();
        (shown.len() >= count).then_some(shown)
    })
}

#[test]
fn events_that_fit_no_correlation_are_counted_and_harm_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yml");
    let count = correlation("condition: {gte: 2}");
    let sum = correlation("type: value_sum\ncondition: {field: bytes, gte: 100}");
    let sum = sum
        .replace("name: me", "name: sum")
        .replace("000009", "000007");
    let sum = sum.replace("title: Me", "title: Sum");
    let text = format!("{MEMBERS}---\n{count}---\n{sum}");
    std::fs::write(&rules, text).expect("a file");
    let paths = rules.display().to_string();
    let more = format!(
        "[rules]\nbuiltin = false\npaths = [{paths:?}]\n[time]\nhorizon = \"1h\"\n\
         [[source]]\nname = \"h\"\ntransport = \"http\"\nlogsource = \"product=test\"\n\
         [[source]]\nname = \"wild\"\ntransport = \"http\"\nlogsource = \"product=test\"\n"
    );
    let weir = Weir::start(&folder.path().join("data"), &config(&more));
    until("the rules run", || {
        let rules = weir.get("/api/v1/rules").json();
        (rules["rules"].as_array()?.len() >= 4).then_some(())
    });
    let one = |second: i64, more: Value| {
        let mut event = json!({"time": time(second), "kind": "one"});
        for (name, value) in more.as_object().expect("an object") {
            event[name] = value.clone();
        }
        event
    };

    // Nobody, nothing and an empty list are no group; each is counted for both correlations.
    let nobody = [
        json!({"bytes": 1}),
        json!({"bytes": 1, "user": null}),
        json!({"bytes": 1, "user": []}),
        json!({"bytes": 1, "account": "a"}),
    ];
    let nobody: Vec<Value> = nobody.into_iter().map(|more| one(36_000, more)).collect();
    send(&weir, "h", &nobody);
    weir.await_metric("weir_facts_ungrouped_total", "", 8);

    // What is no number is in no sum: words, truth, lists, what is too fine or too large.
    let words = ["12 apples", "", "0x10", "1e999", "0.0000000001", "--1"];
    let mut none: Vec<Value> = words
        .iter()
        .map(|text| json!({"user": "n", "bytes": text}))
        .collect();
    none.extend([json!({"user": "n"}), json!({"user": "n", "bytes": true})]);
    none.extend([json!({"user": "n", "bytes": [100, 100]})]);
    let none: Vec<Value> = none.into_iter().map(|more| one(36_000, more)).collect();
    send(&weir, "h", &none);
    weir.await_metric("weir_facts_valueless_total", "", 9);
    // They are events nevertheless: those without a number still count.
    let expected = [r#""Me" {"user":"n"}"#];
    assert_eq!(standing(&weir, 1), expected);

    // A thousand names in one event: a hundred of them are groups, and the next event costs no more.
    let names: Vec<String> = (0..1_000).map(|n| format!("u{n:03}")).collect();
    let before = weir.metric("weir_facts_total", "") as u64;
    let crowd = one(36_100, json!({"user": names, "bytes": 99}));
    send(&weir, "h", &[crowd.clone(), crowd]);
    weir.await_metric("weir_facts_total", "", before + 400);
    // A hundred of each rule: two events, and 198 bytes.
    let said = standing(&weir, 201);
    assert_eq!(said.len(), 201);
    assert!(
        said.contains(&r#""Me" {"user":"u099"}"#.to_owned()),
        "{said:?}"
    );
    assert!(
        !said.contains(&r#""Me" {"user":"u100"}"#.to_owned()),
        "{said:?}"
    );

    // A clock that jumps a century ahead, and one that begins in 1970: a problem, and a fact behind
    // the settled line. Neither moves the others' time.
    let watermark = weir.metric("weir_watermark_seconds", "");
    let jumps = [
        json!({"time": "2126-01-01T00:00:00Z", "kind": "one", "user": "jump"}),
        json!({"time": "2126-01-01T00:00:01Z", "kind": "one", "user": "jump"}),
        json!({"time": "1970-01-01T00:00:00Z", "kind": "one", "user": "jump"}),
        json!({"time": "1970-01-01T00:00:01Z", "kind": "one", "user": "jump"}),
    ];
    send(&weir, "wild", &jumps);
    weir.await_metric("weir_facts_not_re_evaluated_total", "", 2);
    let problems = weir.metric("weir_parse_failures_total", "time_in_future");
    assert!(problems >= 2.0, "{}", weir.get("/metrics").text());
    let again = [
        one(36_200, json!({"user": "after"})),
        one(36_201, json!({"user": "after"})),
    ];
    send(&weir, "h", &again);
    let said = standing(&weir, 202);
    assert!(
        said.contains(&r#""Me" {"user":"after"}"#.to_owned()),
        "{said:?}"
    );
    assert!(!said.iter().any(|alert| alert.contains("jump")), "{said:?}");
    assert!(weir.metric("weir_watermark_seconds", "") >= watermark);
    weir.assert_well();
    weir.stop();
}

/// Names of one user each whose groups are all of one shard, which holds a 64th of a rule's groups.
fn of_one_shard(count: usize) -> Vec<String> {
    let tenant = TenantKey::of(&[b"default"]).0.to_le_bytes();
    let shard = |name: &str| {
        let key = GroupKey::of(&[&tenant, b"user", name.as_bytes()]);
        key.0[1] % 64
    };
    let names = (0_u32..).map(|n| format!("{n}"));
    names.filter(|name| shard(name) == 7).take(count).collect()
}

#[test]
fn a_rule_that_refuses_groups_is_listed_as_incomplete() {
    const SHARD: usize = (4 << 20) / 64;
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yml");
    let other = correlation("rules: [other]")
        .replace("000009", "000007")
        .replace("name: me", "name: you");
    std::fs::write(
        &rules,
        format!("{MEMBERS}---\n{}---\n{other}", correlation("")),
    )
    .expect("a file");
    let paths = rules.display().to_string();
    let config = config(&format!(
        "[rules]\nbuiltin = false\npaths = [{paths:?}]\n\
         [[source]]\nname = \"h\"\ntransport = \"http\"\nlogsource = \"product=test\"\n"
    ));
    let data = folder.path().join("data");
    let weir = Weir::start(&data, &config);
    let listed = |weir: &Weir| -> Option<Vec<String>> {
        let rules = weir.get("/api/v1/rules").json();
        let rules = rules["rules"].as_array()?.iter();
        let rules = rules.filter(|rule| rule["incomplete"] == true);
        Some(
            rules
                .map(|rule| rule["id"].as_str().unwrap_or_default().to_owned())
                .collect(),
        )
    };
    until("the rules run", || {
        let rules = weir.get("/api/v1/rules").json();
        (rules["rules"].as_array()?.len() >= 4).then_some(())
    });
    let event = |name: &String| json!({"time": time(36_000), "kind": "one", "user": name});
    let events: Vec<Value> = of_one_shard(SHARD + 3).iter().map(event).collect();
    let (full, rest) = events.split_at(SHARD);
    send(&weir, "h", full);
    weir.await_metric("weir_facts_total", "", SHARD as u64);
    assert_eq!(weir.metric("weir_facts_limited_total", ""), 0.0);
    assert_eq!(listed(&weir), Some(Vec::new()));

    // Three more are refused, and said to be. Those that have a group go on, and so do other rules.
    send(&weir, "h", rest);
    weir.await_metric("weir_facts_limited_total", "", 3);
    let me = ["00000000-0000-4000-8000-000000000009".to_owned()];
    until("it is listed", || (listed(&weir)? == me).then_some(()));
    assert_eq!(weir.metric("weir_rules_incomplete", ""), 1.0);
    send(&weir, "h", &full[..1]);
    assert_eq!(standing(&weir, 1).len(), 1);
    weir.stop();

    // A restart finds the same, since it reads the same.
    let weir = Weir::start(&data, &config);
    until("it is listed again", || {
        (listed(&weir)? == me).then_some(())
    });
    weir.stop();
}
