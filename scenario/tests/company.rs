//! The generated company: its bytes depend on the seed, and plain loops find the expected alerts.

use std::collections::BTreeMap;

use weir_scenario::catalogue::{ALERTING_RULES, AlertingRule, RuleCondition};
use weir_scenario::company::{BACKGROUND_LINES, Company};
use weir_scenario::{DeliveryPayload, DeliveryTransport, ExpectedAlert, PlannedDelivery, Scenario};
use weir_schema::EventTime;

/// 2026-03-02T08:00:00.25Z: the quarter second must be truncated.
const START: EventTime = EventTime(1_772_438_400_250_000_000);

const SEEDS: [u64; 4] = [1, 2, 42, u64::MAX];

/// One matched event of a group: its time, and the index of the member that matches it.
type MemberEvent = (EventTime, usize);

fn members(kind: RuleCondition) -> Vec<&'static str> {
    match kind {
        RuleCondition::Count { member, .. } => vec![member],
        RuleCondition::Both { members } => members.to_vec(),
        RuleCondition::Without { member, missing } => vec![member, missing],
    }
}

fn fires(kind: RuleCondition, window: &[MemberEvent]) -> bool {
    let has = |member: usize| window.iter().any(|(_, m)| *m == member);
    match kind {
        RuleCondition::Count { at_least, .. } => window.len() as u64 >= at_least,
        RuleCondition::Both { .. } => has(0) && has(1),
        RuleCondition::Without { .. } => has(0) && !has(1),
    }
}

/// The events that the members of a rule match, by group, sorted by time.
fn groups(
    rule: &AlertingRule,
    deliveries: &[&PlannedDelivery],
) -> BTreeMap<Vec<String>, Vec<MemberEvent>> {
    let members = members(rule.condition);
    let mut groups: BTreeMap<Vec<String>, Vec<MemberEvent>> = BTreeMap::new();
    for delivery in deliveries {
        for detection in &delivery.detections {
            let Some(member) = members.iter().position(|m| *m == detection.member) else {
                continue;
            };
            let value = |name: &&str| {
                let mut fields = detection.fields.iter();
                let field = fields.find(|(field, _)| field == name);
                field
                    .map(|(_, value)| value.clone())
                    .expect("a detection has the fields of its rules")
            };
            let group = rule.group_by.iter().map(value).collect();
            let events = groups.entry(group).or_default();
            events.push((delivery.time, member));
        }
    }
    groups.values_mut().for_each(|events| events.sort());
    groups
}

/// Finds the episodes of a group: the times at which the rule fires, split at gaps.
fn episodes(rule: &AlertingRule, events: &[MemberEvent]) -> Vec<Vec<EventTime>> {
    // The missing member of `Without` is no anchor.
    let is_without = matches!(rule.condition, RuleCondition::Without { .. });
    let anchors = events
        .iter()
        .filter(|(_, member)| *member == 0 || !is_without);
    let mut anchors: Vec<EventTime> = anchors.map(|(t, _)| *t).collect();
    anchors.dedup();
    let window = |t: EventTime| -> Vec<MemberEvent> {
        let from = t.minus(rule.timespan);
        let inside = events.iter().filter(|(at, _)| from <= *at && *at <= t);
        inside.copied().collect()
    };
    anchors.retain(|t| fires(rule.condition, &window(*t)));
    let mut episodes: Vec<Vec<EventTime>> = Vec::new();
    for t in anchors {
        match episodes.last_mut() {
            Some(episode) if t.minus(rule.timespan) <= *episode.last().unwrap() => {
                episode.push(t);
            }
            _ => episodes.push(vec![t]),
        }
    }
    episodes
}

/// Finds the alerts of a rule by checking every window of every group.
fn alerts(rule: &AlertingRule, deliveries: &[&PlannedDelivery]) -> Vec<ExpectedAlert> {
    let mut found = Vec::new();
    for (group, events) in groups(rule, deliveries) {
        for episode in episodes(rule, &events) {
            let in_window = |at: EventTime| {
                let mut anchors = episode.iter();
                anchors.any(|t| t.minus(rule.timespan) <= at && at <= *t)
            };
            let inside = events.iter().map(|(at, _)| *at);
            let inside: Vec<EventTime> = inside.filter(|at| in_window(*at)).collect();
            let names = rule.group_by.iter().map(|&name| name.to_owned());
            found.push(ExpectedAlert {
                rule: rule.id.to_owned(),
                title: rule.title.to_owned(),
                group: names.zip(group.clone()).collect(),
                first: *inside.first().unwrap(),
                last: *inside.last().unwrap(),
                count: inside.len() as u64,
                retracted: false,
            });
        }
    }
    found
}

fn all_alerts(scenario: &Scenario, with_late: bool) -> Vec<ExpectedAlert> {
    let deliveries: Vec<&PlannedDelivery> = scenario
        .deliveries
        .iter()
        .filter(|d| with_late || !d.late)
        .collect();
    let mut found: Vec<ExpectedAlert> = ALERTING_RULES
        .iter()
        .flat_map(|rule| alerts(rule, &deliveries))
        .collect();
    found.sort();
    found
}

#[test]
fn expected_alerts_match_plain_loops_over_the_detections() {
    for seed in SEEDS {
        for lines in [0, BACKGROUND_LINES, 10 * BACKGROUND_LINES] {
            let scenario = Company::new(seed).plan_with(START, lines);
            let (standing, retracted): (Vec<_>, Vec<_>) = scenario
                .expected
                .iter()
                .cloned()
                .partition(|alert| !alert.retracted);
            assert_eq!(
                all_alerts(&scenario, true),
                standing,
                "seed {seed}, {lines} lines"
            );
            let mut before: Vec<ExpectedAlert> = standing;
            before.extend(retracted.iter().cloned().map(|alert| ExpectedAlert {
                retracted: false,
                ..alert
            }));
            before.sort();
            assert_eq!(
                all_alerts(&scenario, false),
                before,
                "seed {seed}, {lines} lines"
            );
            assert_eq!(retracted.len(), 1, "seed {seed}");
        }
    }
}

/// Groups of count rules with enough events, but whose best window lacks one.
fn near_misses(scenario: &Scenario) -> Vec<String> {
    let mut found = Vec::new();
    for rule in ALERTING_RULES {
        let RuleCondition::Count { at_least, member } = rule.condition else {
            continue;
        };
        let mut groups: BTreeMap<Vec<&str>, Vec<EventTime>> = BTreeMap::new();
        for delivery in &scenario.deliveries {
            for detection in delivery
                .detections
                .iter()
                .filter(|detection| detection.member == member)
            {
                let value = |name: &&str| {
                    let field = detection.fields.iter().find(|(field, _)| field == name);
                    field.map_or("", |(_, value)| value)
                };
                let group = rule.group_by.iter().map(value).collect();
                groups.entry(group).or_default().push(delivery.time);
            }
        }
        for (group, times) in groups {
            let inside = |t: &EventTime| {
                let from = t.minus(rule.timespan);
                times.iter().filter(|at| from <= **at && *at <= t).count() as u64
            };
            let best = times.iter().map(inside).max();
            if times.len() as u64 >= at_least && best == at_least.checked_sub(1) {
                found.push(format!("{} {}", rule.name, group.join(" ")));
            }
        }
    }
    found
}

#[test]
fn scenarios_contain_near_misses() {
    for seed in SEEDS {
        let scenario = Company::new(seed).plan(START);
        let found = near_misses(&scenario);
        for start in [
            "ssh_password_guessing 192.0.2.78",
            "ssh_account_under_guessing reporting",
            "firewall_port_scan 198.51.100.200 10.20.1.10",
            "web_missing_pages 198.51.100.201",
            "sudo_denied ",
        ] {
            let there = found.iter().any(|near| near.starts_with(start));
            assert!(there, "seed {seed}: {start} is not among {found:?}");
        }
    }
}

#[test]
fn scenarios_depend_on_the_seed() {
    for seed in SEEDS {
        let (a, b) = (
            Company::new(seed).plan(START),
            Company::new(seed).plan(START),
        );
        assert!(
            a.deliveries == b.deliveries && a.expected == b.expected,
            "seed {seed}"
        );
        let other = Company::new(seed.wrapping_add(1)).plan(START);
        assert!(a.deliveries != other.deliveries, "seed {seed}");
    }
}

#[test]
fn scenarios_have_the_stated_length_and_mix() {
    let company = Company::new(3);
    assert_eq!((company.hosts().count(), company.people.len()), (100, 100));
    let scenario = company.plan(START);
    assert_eq!(scenario.start.0 % 1_000_000_000, 0);
    assert!(scenario.deliveries.len() > BACKGROUND_LINES);
    assert!(scenario.deliveries.is_sorted_by_key(|delivery| delivery.at));
    for via in [
        DeliveryTransport::Udp,
        DeliveryTransport::Tcp,
        DeliveryTransport::Agent,
    ] {
        assert!(
            scenario.deliveries_over(via) > 200,
            "{via:?}: {}",
            scenario.deliveries_over(via)
        );
    }
    for delivery in &scenario.deliveries {
        assert!(delivery.at <= scenario.length && delivery.time >= scenario.start);
        // UDP may lose datagrams, so no alert depends on it.
        assert!(
            delivery.transport != DeliveryTransport::Udp || delivery.detections.is_empty(),
            "{delivery:?}"
        );
        if let DeliveryPayload::Line(line) = &delivery.payload {
            assert!(line.is_ascii() && !line.contains(&b'\n') && line.starts_with(b"<"));
        }
    }
}

#[test]
fn the_catalogue_matches_the_rule_files() {
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    for rule in ALERTING_RULES {
        let text = std::fs::read_to_string(rules.join(rule.file)).expect(rule.file);
        let document = text
            .split("---\n")
            .find(|document| document.contains(&format!("\nname: {}\n", rule.name)))
            .expect(rule.name);
        let contains = |text: String| assert!(document.contains(&text), "{}: {text}", rule.name);
        contains(format!("title: {}\nid: {}\n", rule.title, rule.id));
        if let RuleCondition::Count {
            member,
            at_least: 1,
        } = rule.condition
        {
            assert_eq!((member, rule.group_by), (rule.name, &["host"][..]));
            continue;
        }
        contains(format!("timespan: {}m\n", rule.timespan.0 / 60_000_000_000));
        let items = |names: &[&str]| -> String {
            names
                .iter()
                .map(|name| format!("        - {name}\n"))
                .collect()
        };
        contains(format!("    rules:\n{}", items(&members(rule.condition))));
        contains(format!(
            "    group-by:\n{}    timespan",
            items(rule.group_by)
        ));
        match rule.condition {
            RuleCondition::Count { at_least, .. } => contains(format!("gte: {at_least}\n")),
            RuleCondition::Both { members: [a, b] } => {
                contains(format!("condition: {a} and {b}\n"))
            }
            RuleCondition::Without { member, missing } => {
                contains(format!("condition: {member} and not {missing}\n"));
            }
        }
    }
}
