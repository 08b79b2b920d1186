//! What-ifs in the whole graph: they change nothing live, and a promotion does what they reported.

#[path = "support/graph.rs"]
mod graph;

use std::collections::{BTreeMap, BTreeSet};

use graph::{RULES, START, TestGraph, put};
use rand::prelude::*;
use rand::rngs::StdRng;
use weir_dataflow::{AlertDifference, WhatIfState};
use weir_schema::{
    AlertId, AlertRecord, ChangeKind, Control, EventTime, RuleChange, Span, WhatIfId,
};

fn rule_change(text: &str) -> RuleChange {
    RuleChange::Put {
        text: text.to_owned(),
        origin: "test".to_owned(),
    }
}

/// The correlation `many` with another threshold and timespan, in seconds.
fn many(count: u64, span: u64) -> RuleChange {
    let text = RULES[2].replace("gte: 4", &format!("gte: {count}"));
    rule_change(&text.replace("60s", &format!("{span}s")))
}

/// Other thresholds, windows, selections, filters, new rules and removals.
fn candidates() -> Vec<Vec<RuleChange>> {
    let other = |user: u64| {
        let text = RULES[0].replace("action: fail", &format!("action: fail, user: u{user}"));
        vec![rule_change(&text)]
    };
    let filter = |user: u64| {
        vec![rule_change(&format!(
            "title: not u{user}\nid: filter-{user}\nlogsource: {{product: shop}}\nfilter: \
             {{rules: [bought], selection: {{user: u{user}}}, condition: not selection}}\n"
        ))]
    };
    let new = |user: u64| {
        vec![rule_change(&format!(
            "title: New {user}\nid: new-{user}\nlogsource: {{product: shop}}\ndetection: \
             {{selection: {{user: u{user}}}, condition: selection}}\n"
        ))]
    };
    let removed = |rule: &str| {
        let rule = rule.to_owned();
        vec![RuleChange::Remove { rule }]
    };
    let mut all = vec![removed("many"), removed("bought"), removed("both")];
    all.push(vec![many(3, 60), removed("both").remove(0)]);
    for at in 0..8 {
        all.extend([vec![many(2 + at, 60)], vec![many(3, 10 + 10 * at)]]);
        all.extend([other(at), filter(at), new(at)]);
    }
    all
}

fn begin(id: u64, since: EventTime, changes: &[RuleChange]) -> Control {
    Control::WhatIfPut {
        id: WhatIfId(id),
        changes: changes.to_vec(),
        since,
        from_journal: true,
    }
}

#[test]
fn a_hundred_what_ifs_leave_ledger_and_outbox_alone() {
    let all = candidates();
    let digest = |what_ifs: bool, workers: usize| {
        let mut graph = TestGraph::new(workers);
        let mut rng = StdRng::seed_from_u64(3);
        for step in 0..70 {
            graph.events(&mut rng, START + 6 * step);
            if (25..65).contains(&step) {
                let back = Span::seconds(if step % 2 == 0 { 0 } else { 120 });
                let since = graph.watermark().minus(back);
                let some = (0..3).map(|n| 3 * step as usize + n);
                let put = |n: usize| begin(n as u64, since, &all[n % all.len()]);
                // Without what-ifs, a control that drops nothing takes their place.
                let drop = |n: usize| Control::WhatIfDrop {
                    id: WhatIfId(n as u64),
                };
                let put = |n: usize| if what_ifs { put(n) } else { drop(n) };
                graph.control(some.map(put).collect());
            }
        }
        let reports = graph.host().status().what_ifs().list();
        let running = reports.iter().filter(|r| r.state == WhatIfState::Running);
        let found = (running.count(), graph.digest());
        graph.close();
        found
    };
    let (running, with) = digest(true, 1);
    let (none, without) = digest(false, 1);
    assert!(running > 100 && none == 0, "{running} {none}");
    assert!(with.len() > 10_000);
    assert!(with == without, "ledger or outbox differ");
    assert!(digest(true, 2) == (running, with), "on two workers");
}

/// The kind of the last change of each alert since the change number `from`.
fn kinds(graph: &TestGraph, from: usize) -> BTreeMap<AlertId, ChangeKind> {
    let changes = graph.changes();
    let changes = changes[from..].iter();
    changes
        .map(|change| (change.record.alert, change.kind))
        .collect()
}

/// Alerts that a promotion raised, retracted, and would only have revised.
#[derive(Default)]
struct Tally {
    differing: usize,
    gained: usize,
    lost: usize,
    changed: usize,
}

#[test]
fn a_promotion_makes_the_reported_changes() {
    let mut tally = Tally::default();
    for (seed, changes) in (0_u64..).zip(&candidates()) {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut graph, now) = graph_with_what_if(seed, changes, &mut rng);
        promote(&mut graph, seed, changes, &mut tally);
        assert_replay_after_promotion(graph, seed, now, &mut rng);
    }
    let Tally {
        differing,
        gained,
        lost,
        changed,
    } = tally;
    println!("{differing} differed: {gained} gained, {lost} lost, {changed} changed");
    assert!(differing > 20 && gained > 50 && lost > 30 && changed > 50);
}

/// A graph with a what-if that has run for a while, and the current time.
fn graph_with_what_if(seed: u64, changes: &[RuleChange], rng: &mut StdRng) -> (TestGraph, i64) {
    let mut graph = TestGraph::new(1);
    let mut now = START;
    for _ in 0..30 {
        now += 6;
        graph.events(rng, now);
    }
    let back = Span::seconds(rng.random_range(0..140));
    let since = graph.watermark().minus(back);
    graph.control(vec![begin(seed, since, changes)]);
    for _ in 0..rng.random_range(0..40) {
        now += 6;
        graph.events(rng, now);
    }
    if seed.is_multiple_of(5) {
        graph.restart();
    }
    (graph, now)
}

/// Promotes the what-if and compares the changes with its report.
fn promote(graph: &mut TestGraph, seed: u64, changes: &[RuleChange], tally: &mut Tally) {
    let id = WhatIfId(seed);
    let status = graph.host().status();
    let report = status.what_ifs().report(id).expect("it runs");
    assert_eq!(report.state, WhatIfState::Running, "{changes:?}");
    let differences: Vec<AlertDifference> =
        status.what_ifs().alert_differences(id).expect("it runs");
    let ids = |wanted: fn(&AlertDifference) -> bool| -> BTreeSet<AlertId> {
        let some = differences.iter().filter(|one| wanted(one));
        some.map(|one| one.alert).collect()
    };
    let gained = ids(|one| one.live.is_none());
    let lost = ids(|one| one.shadow.is_none());
    let before = graph.standing();
    let from = graph.changes().len();
    graph.control(vec![Control::WhatIfPromote { id }]);
    let after = graph.standing();
    let seed = format!("seed {seed}: {changes:?}");
    let stayed: BTreeSet<AlertId> = before
        .keys()
        .filter(|id| !lost.contains(id))
        .copied()
        .collect();
    let expected: BTreeSet<AlertId> = stayed.union(&gained).copied().collect();
    let found: BTreeSet<AlertId> = after.keys().copied().collect();
    assert_eq!(found, expected, "{seed}");
    assert_rows_as_reported(&differences, &after, &seed);
    let kinds = kinds(graph, from);
    let changed = |kind: ChangeKind| -> BTreeSet<AlertId> {
        let some = kinds.iter().filter(|(_, known)| **known == kind);
        some.map(|(alert, _)| *alert).collect()
    };
    assert_eq!(changed(ChangeKind::Raised), gained, "{seed}");
    assert_eq!(changed(ChangeKind::Retracted), lost, "{seed}");
    let revised = report.difference.changed + report.difference.restated;
    assert!(
        changed(ChangeKind::Revised).len() <= revised,
        "{seed}: {report:?}"
    );
    tally.differing += usize::from(!differences.is_empty());
    tally.gained += gained.len();
    tally.lost += lost.len();
    tally.changed += report.difference.changed;
}

/// Each standing alert has the row that the what-if reported.
fn assert_rows_as_reported(
    differences: &[AlertDifference],
    standing: &BTreeMap<AlertId, AlertRecord>,
    seed: &str,
) {
    for one in differences {
        let (Some(row), Some(record)) = (&one.shadow, standing.get(&one.alert)) else {
            continue;
        };
        let shape = |r: &AlertRecord| (r.key, r.state, r.first, r.last, r.count, r.version);
        let reported = (
            row.key,
            row.state,
            row.first,
            row.last,
            row.count,
            row.version,
        );
        assert_eq!(shape(record), reported, "{seed}");
    }
}

/// The promoted rules evaluate new events, and a replay of the journal gives the same ledger.
fn assert_replay_after_promotion(mut graph: TestGraph, seed: u64, now: i64, rng: &mut StdRng) {
    for step in 1..=5 {
        graph.events(rng, now + 6 * step);
    }
    let digest = graph.digest();
    graph.close();
    std::fs::remove_dir_all(graph.folder.path().join("ledger")).expect("it is there");
    graph.open();
    graph.settle();
    assert!(graph.digest() == digest, "seed {seed}: a replay differs");
    graph.close();
}

#[test]
fn a_change_of_its_rules_overtakes_a_what_if() {
    let mut graph = TestGraph::new(1);
    let mut rng = StdRng::seed_from_u64(1);
    for step in 0..20 {
        graph.events(&mut rng, START + 6 * step);
    }
    let since = graph.watermark();
    let unrelated = rule_change(
        "title: New\nid: new\nlogsource: {product: shop}\n\
         detection: {selection: {action: look}, condition: selection}\n",
    );
    graph.control(vec![
        begin(1, since, &[many(2, 60)]),
        begin(2, since, &[unrelated]),
    ]);
    let other = RULES[2].replace("gte: 4", "gte: 5");
    graph.control(vec![put(&other, since)]);
    let status = graph.host().status();
    let states: Vec<_> = status
        .what_ifs()
        .list()
        .iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states, [WhatIfState::Overtaken, WhatIfState::Running]);
    let before = graph.digest();
    graph.control(vec![Control::WhatIfPromote { id: WhatIfId(1) }]);
    assert!(graph.digest() == before);
    graph.close();
}
