//! Groups of events without a host, and values that name nobody.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use weir_detect::{Detections, EventOrigin, RuleBook};
use weir_schema::{GroupKey, TenantKey};

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

/// The fields by which the rules `a` to `d` call the correlation's field `who`.
const NAMES: [&str; 3] = ["who", "src_ip", "dst_ip"];

/// Rules whose members match where `kind` has their letter; `c` names placeholders as values.
fn member_rules() -> [String; 4] {
    let rule = |name: &str, more: &str| {
        RULE.replace("id: a", &format!("id: {name}\nname: {name}"))
            .replace("kind: x", &format!("kind|contains: {name}{more}"))
    };
    let named = rule("c", ", src_ip: ['-', 0.0.0.0, 192.0.2.1]");
    [rule("a", ""), rule("b", ""), named, rule("d", "")]
}

/// A correlation of `members` by `who`, which each member calls as `names` says.
fn by_who(kind: &str, members: &[usize], names: &[&str; 4]) -> String {
    let letters: Vec<&str> = members.iter().map(|at| ["a", "b", "c", "d"][*at]).collect();
    let alias = |at: &usize| format!("{}: {}", ["a", "b", "c", "d"][*at], names[*at]);
    let aliases: Vec<String> = members.iter().map(alias).collect();
    let condition = match kind {
        "event_count" => ", condition: {gte: 1}",
        _ => "",
    };
    format!(
        "title: t\nid: t\ncorrelation: {{type: {kind}, rules: [{}], group-by: [who], timespan: \
         60s, aliases: {{who: {{{}}}}}{condition}}}\n",
        letters.join(", "),
        aliases.join(", ")
    )
}

/// The groups of each member in the facts of the rule `t`, and the members without groups.
fn grouped(rules: &[String; 4], correlation: &str, event: &Value) -> Grouped {
    let mut book = RuleBook::new();
    for rule in rules.iter().map(String::as_str).chain([correlation]) {
        let update = common::add(&mut book, rule, 0);
        assert!(update.diagnostics.is_empty(), "{:?}", update.diagnostics);
    }
    let event = common::event("-/p/-", event, 1);
    let mut found = Detections::default();
    book.detect(&event, TenantKey(1), None, &mut found);
    let of_correlation = |plan| book.plan(plan).is_some_and(|plan| &*plan.rule == "t");
    found.facts.retain(|fact| of_correlation(fact.plan));
    let mut grouped = Grouped {
        ungrouped: found.ungrouped,
        ..Grouped::default()
    };
    for fact in &found.facts {
        assert!(grouped.facts.insert(fact.group), "one fact for each group");
        for member in fact.members.iter() {
            grouped
                .members
                .entry(member)
                .or_default()
                .insert(fact.group);
        }
    }
    grouped
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Grouped {
    facts: BTreeSet<GroupKey>,
    members: BTreeMap<u16, BTreeSet<GroupKey>>,
    ungrouped: u32,
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = || select(vec!["192.0.2.1", "192.0.2.2", "-", "0.0.0.0", ""]);
    prop_oneof![
        3 => text().prop_map(Value::from),
        2 => prop::collection::vec(text(), 0..4).prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

proptest! {
    #![proptest_config(common::proptest_config())]

    /// W12: the members of a plan share their groups, and have those that each has alone.
    #[test]
    fn a_member_has_the_groups_that_it_has_alone(
        kind in "[a-d]{1,4}",
        values in prop::array::uniform3(any_value()),
        names in prop::array::uniform4(select(NAMES.to_vec())),
        members in subsequence(vec![0, 1, 2, 3], 2..=4),
        ordered in any::<bool>(),
    ) {
        let rules = member_rules();
        let mut event = json!({"kind": kind});
        for (name, value) in NAMES.iter().zip(values) {
            event[*name] = value;
        }
        let mut expected = Grouped::default();
        for (place, member) in (0..).zip(&members) {
            let alone = grouped(&rules, &by_who("event_count", &[*member], &names), &event);
            expected.ungrouped += alone.ungrouped;
            expected.facts.extend(&alone.facts);
            if !alone.facts.is_empty() {
                expected.members.insert(place, alone.facts);
            }
        }
        let kind = if ordered { "temporal_ordered" } else { "temporal" };
        let found = grouped(&rules, &by_who(kind, &members, &names), &event);
        prop_assert_eq!(found, expected);
    }
}
