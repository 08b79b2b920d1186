//! Groups of events without a host, and values that name nobody.

mod common;

use serde_json::{Value, json};
use weir_detect::{Detections, EventOrigin, RuleBook};

const RULE: &str =
    "title: a\nid: a\nlogsource: {product: p}\ndetection: {s: {kind: x}, condition: s}\n";

/// The groups of an event of the source `relay7`, for a rule with more keys.
fn groups(rules: &[&str], fields: &Value) -> Vec<String> {
    let mut book = RuleBook::new();
    for rule in rules {
        let update = common::add(&mut book, rule, 0);
        assert!(update.diagnostics.is_empty(), "{:?}", update.diagnostics);
    }
    let event = common::event("-/p/-", fields, 1);
    let origin = EventOrigin {
        tenant: common::TENANT,
        source: "relay7",
    };
    let mut found = Detections::default();
    book.detect(&event, origin, None, &mut found);
    let named = found.facts.iter().map(|fact| {
        let group = book.group_fields(fact.plan, &event, origin, fact.group);
        let pairs = group.expect("its own event has the group").into_iter();
        let pairs = pairs.map(|field| format!("{}={}", field.name, field.value));
        pairs.collect::<Vec<_>>().join(" ")
    });
    named.collect()
}

/// F18, G41: events of two devices, accounts or sources share no group.
#[test]
fn a_rule_that_names_no_group_takes_who_the_event_names() {
    for (fields, expected) in [
        (json!({"host": "h", "devname": "d"}), "host=h"),
        (json!({"host": "-", "devname": "d"}), "devname=d"),
        (json!({"host.name": "h", "devname": "d"}), "host.name=h"),
        (
            json!({"host": "", "dvchost": "N/A", "dvc": "0.0.0.0"}),
            "source=relay7",
        ),
        (
            json!({"recipientAccountId": "1", "userIdentity.arn": "u"}),
            "recipientAccountId=1 userIdentity.arn=u",
        ),
        (json!({"UserId": "u@example.com"}), "UserId=u@example.com"),
        (json!({"OrganizationId": "o"}), "OrganizationId=o"),
        (json!({"n": 1}), "source=relay7"),
    ] {
        let mut fields = fields;
        fields["kind"] = "x".into();
        assert_eq!(groups(&[RULE], &fields), [expected], "{fields}");
    }
    let both = json!({"kind": "x", "host": ["a", "-", "b"]});
    assert_eq!(groups(&[RULE], &both), ["host=a", "host=b"]);
}

#[test]
fn a_placeholder_is_a_missing_field_unless_the_rule_names_it() {
    let named = format!("{RULE}weir: {{group-by: [user]}}\n");
    assert_eq!(
        groups(&[&named], &json!({"kind": "x", "user": "-"})),
        ["user="]
    );
    let member = RULE.replace("id: a", "id: a\nname: a");
    let count = "title: c\nid: c\ncorrelation: {type: event_count, rules: [a], group-by: [src_ip], \
                 timespan: 60s, condition: {gte: 2}}\n";
    let distinct = "title: d\nid: d\ncorrelation: {type: value_count, rules: [a], group-by: [n], \
                    timespan: 60s, condition: {field: src_ip, gte: 2}}\n";
    for (address, kept) in [("203.0.113.7", true), ("0.0.0.0", false), ("-", false)] {
        let event = json!({"kind": "x", "src_ip": address, "n": 1});
        assert_eq!(
            groups(&[&member, count], &event).len(),
            usize::from(kept),
            "{address}"
        );
        assert_eq!(
            groups(&[&member, distinct], &event).len(),
            usize::from(kept),
            "{address}"
        );
    }
    let names_it = member.replace("kind: x", "kind: x, src_ip: [0.0.0.0, 203.0.113.7]");
    let event = json!({"kind": "x", "src_ip": "0.0.0.0", "n": 1});
    assert_eq!(groups(&[&names_it, count], &event), ["src_ip=0.0.0.0"]);
    assert_eq!(groups(&[&names_it, distinct], &event), ["n=1"]);
}
