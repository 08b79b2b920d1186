//! Reported cases of rules, each by the name of its row, with inputs of the kind that it stands for.

mod common;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weir_detect::RuleBook;

/// Whether a rule with this selection matches an event with these fields.
fn matches(selection: &str, fields: &Value) -> bool {
    let mut book = RuleBook::new();
    let rule = common::documents::rule_with(&format!(
        "  selection: {{{selection}}}\n  condition: selection\n"
    ));
    let update = common::add(&mut book, &rule, 0);
    assert!(update.diagnostics.is_empty(), "{:?}", update.diagnostics);
    let event = common::event("-/linux/-", fields, 1);
    !common::detect(&book, &event).facts.is_empty()
}

/// c26, c09: what is written on an address beside it does not move it to another network.
#[test]
fn c26_cidr_reads_ipv4_in_ipv6_form_and_zones() {
    for (network, address, expected) in [
        ("10.0.0.0/8", "::ffff:10.0.2.17", true),
        ("10.0.0.0/8", "::FFFF:0a00:0211", true),
        ("10.0.0.0/8", "::ffff:11.0.2.17", false),
        ("127.0.0.0/8", "::ffff:127.0.0.1", true),
        ("0.0.0.0/0", "::ffff:203.0.113.5", true),
        ("::/0", "::ffff:203.0.113.5", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "203.0.113.5", false),
        ("::ffff:10.0.0.0/104", "10.0.2.17", true),
        ("fe80::/10", "fe80::1cae:5aa4:9d8d:106a%12", true),
        ("fe80::/10", "fe80::1%eth0", true),
        ("fe80::/10", "2001:db8::1%12", false),
        ("::1/128", "::1%lo", true),
        ("10.0.0.0/8", "10.0.2.17%12", false),
        ("fe80::/10", "fe80::1%", false),
        ("::/0", "-", false),
        ("0.0.0.0/0", "", false),
    ] {
        let found = matches(
            &format!("src|cidr: '{network}'"),
            &json!({ "src": address }),
        );
        assert_eq!(found, expected, "{address} in {network}");
    }
}

/// c05: both lower cases of the Greek sigma are one letter; composed and decomposed letters are two
/// texts.
#[test]
fn c05_letters_with_two_lower_cases_are_one() {
    for (pattern, text, expected) in [
        ("A: 'οδος'", "ΟΔΟΣ", true),
        ("A: 'ΟΔΟΣ'", "οδος", true),
        ("A: 'οδοσ'", "οδος", true),
        ("A|contains: 'ΔΟΣ'", "η οδος μας", true),
        ("A|endswith: 'σ'", "οδος", true),
        ("A|startswith: 'ς'", "Σοφία", true),
        ("A: 'ο*ς'", "ΟΔΟΣ", true),
        ("A|cased: 'οδος'", "οδοσ", false),
        ("A|cased: 'οδος'", "οδος", true),
        ("A: 'café'", "CAFÉ", true),
        ("A: 'cafe\u{301}'", "CAFÉ", false),
        ("A: 'caf*'", "cafe\u{301}", true),
    ] {
        let found = matches(pattern, &json!({ "A": text }));
        assert_eq!(found, expected, "{pattern} {text}");
    }
    let field = "A|fieldref: B";
    assert!(matches(field, &json!({"A": "οδος", "B": "ΟΔΟΣ"})));
}

/// c15: a placeholder is no further distinct value, alone, in a list or in a tuple.
#[test]
fn c15_placeholders_are_no_distinct_values() {
    let rule = common::documents::rule_with("  s: {kind: x}\n  condition: s\n");
    let count = |field: &str| {
        format!(
            "title: C\nid: c\ncorrelation: {{type: value_count, rules: [t], group-by: [src_ip], \
             timespan: 5m, condition: {{field: {field}, gte: 2}}}}\n"
        )
    };
    for (field, fields, expected) in [
        ("user", json!({"user": "amy"}), true),
        ("user", json!({"user": ["amy", "-"]}), true),
        ("user", json!({"user": "-"}), false),
        ("user", json!({"user": ""}), false),
        ("user", json!({"user": ["-"]}), false),
        ("user", json!({"user": ["-", "", null]}), false),
        ("[user, host]", json!({"user": "amy", "host": "h"}), true),
        ("[user, host]", json!({"user": "amy", "host": "-"}), false),
        ("dst_ip", json!({"dst_ip": "0.0.0.0"}), false),
        ("dst_ip", json!({"dst_ip": ["::", "10.0.0.1"]}), true),
    ] {
        let mut book = RuleBook::new();
        for text in [&rule, &count(field)] {
            let update = common::add(&mut book, text, 0);
            assert!(update.diagnostics.is_empty(), "{:?}", update.diagnostics);
        }
        let mut fields = fields;
        fields["kind"] = "x".into();
        fields["src_ip"] = "203.0.113.9".into();
        let found = common::detect(&book, &common::event("-/linux/-", &fields, 1));
        let counted = found.facts.iter().any(|fact| {
            let plan = book.plan(fact.plan);
            plan.is_some_and(|plan| &*plan.rule == "c")
        });
        assert_eq!(counted, expected, "{field} of {fields}");
    }
}

/// The documents of the built-in rules, each with its file.
fn built_in() -> Vec<(PathBuf, yaml_serde::Value)> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    for folder in std::fs::read_dir(root).expect("the built-in rules") {
        let folder = folder.expect("an entry").path();
        let Ok(files) = std::fs::read_dir(folder) else {
            continue; // A page beside the folders.
        };
        for file in files {
            let path = file.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "yml") {
                let text = std::fs::read_to_string(&path).expect("a rule");
                for (_, text) in weir_detect::split_documents(&text) {
                    let document = yaml_serde::from_str(text).expect("YAML");
                    found.push((path.clone(), document));
                }
            }
        }
    }
    assert!(found.len() > 100, "{}", found.len());
    found
}

fn get<'y>(value: &'y yaml_serde::Value, path: &[&str]) -> Option<&'y yaml_serde::Value> {
    path.iter().try_fold(value, |value, key| value.get(*key))
}

/// Whether some key within the value satisfies `is`.
fn has_key(value: &yaml_serde::Value, is: &impl Fn(&str) -> bool) -> bool {
    match value {
        yaml_serde::Value::Mapping(entries) => entries
            .iter()
            .any(|(key, value)| key.as_str().is_some_and(is) || has_key(value, is)),
        yaml_serde::Value::Sequence(values) => values.iter().any(|value| has_key(value, is)),
        _ => false,
    }
}

/// c21: a failed attempt is not the deed. These sources state the outcome.
#[test]
fn c21_built_in_rules_ask_for_the_outcome_that_their_source_states() {
    let mut asked = 0;
    for (path, document) in built_in() {
        let service = get(&document, &["logsource", "service"]).and_then(|s| s.as_str());
        let wanted: &[&str] = match service {
            Some("sudo" | "su" | "sshd" | "postfix") => &["outcome"],
            Some("cloudtrail") => &["errorCode", "responseElements.ConsoleLogin"],
            _ => continue,
        };
        let detection = get(&document, &["detection"]).expect("a rule");
        let is_outcome =
            |key: &str| wanted.contains(&key.split('|').next().expect("there is a first part"));
        assert!(has_key(detection, &is_outcome), "{}", path.display());
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
}

/// c26: rules that leave out private addresses leave out all of them.
#[test]
fn c26_built_in_rules_know_the_same_private_networks() {
    let mut asked = 0;
    for (path, document) in built_in() {
        let Some(detection) = get(&document, &["detection"]) else {
            continue; // A correlation.
        };
        let condition = get(detection, &["condition"]).and_then(|c| c.as_str());
        let networks = get(detection, &["inside"]).and_then(|inside| {
            let (_, networks) = inside.as_mapping()?.iter().find(|(key, _)| {
                let key = key.as_str().unwrap_or_default();
                key.ends_with("|cidr")
            })?;
            networks.as_sequence()
        });
        let (Some(networks), Some(true)) = (networks, condition.map(|c| c.contains("not inside")))
        else {
            continue; // It asks for no network, or for one of its own.
        };
        for private in [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ] {
            let known = networks.iter().any(|known| known.as_str() == Some(private));
            assert!(known, "{} lacks {private}", path.display());
        }
        asked += 1;
    }
    assert!(asked >= 7, "{asked}");
}
