//! Backfills in steps: live alerts continue, a partial backfill raises nothing, and the step size does
//! not change the result.

#[path = "support/graph.rs"]
mod graph;

use std::collections::BTreeSet;

use graph::{RULES, START, TestGraph, put};
use rand::prelude::*;
use rand::rngs::StdRng;
use weir_dataflow::{AlertDifference, WhatIfState};
use weir_schema::{
    AlertId, AlertRecord, Change, ChangeKind, Control, Epoch, EventTime, RuleChange, Span, WhatIfId,
};

/// Old events that a stepwise backfill reads in each epoch: two or three batches.
const STEP: u64 = 32;

/// More events than any test sends, so that one epoch reads them all.
const WHOLE: u64 = 1_000_000;

/// A purchase without a failure nearby. It would fire wrongly on a partial backfill.
const ALONE: &str = "title: Alone\nid: alone\ncorrelation: {type: temporal, rules: [failed, bought], \
     group-by: [user], timespan: 20s, condition: bought and not failed, generate: true}\n";

const LOOKS: &str = "title: Looks\nid: looks\nlogsource: {product: shop}\n\
     detection: {selection: {action: look}, condition: selection}\nweir: {group-by: [user]}\n";

/// A correlation of a correlation: users who fail again and again.
const AGAIN: &str = "title: Again\nid: again\ncorrelation: {type: event_count, rules: [many], \
     group-by: [user], timespan: 150s, condition: {gte: 1}, generate: true}\n";

/// The rule `bought` with a wider selection.
fn bought_or_looked() -> String {
    RULES[1].replace("action: buy", "action: [buy, look]")
}

fn is_reading(graph: &TestGraph) -> bool {
    graph.status().backfill().is_some()
}

/// The standing alerts without epoch and revision, which depend on the step size.
fn rows(graph: &TestGraph) -> Vec<String> {
    let row = |record: &AlertRecord| {
        format!(
            "{} {} {} {:?} {:?} {} {:?} {:?} {} {:?}",
            record.key,
            record.rule,
            record.version,
            record.group,
            record.state,
            record.level.name(),
            record.first,
            record.last,
            record.count,
            record.evidence,
        )
    };
    let mut rows: Vec<String> = graph.standing().values().map(row).collect();
    rows.sort();
    rows
}

/// Changes of rules in step `step` of a history.
fn rule_changes(seed: u64, step: i64, since: EventTime) -> Vec<Control> {
    let remove = |rule: &str| Control::RuleDelete {
        rule: rule.to_owned(),
        since,
    };
    let many = RULES[2].replace("gte: 4", "gte: 3");
    let (first, then) = match seed % 6 {
        0 => (vec![put(LOOKS, since), put(ALONE, since)], vec![]),
        1 => (vec![put(&bought_or_looked(), since)], vec![]),
        // Edited, disabled and removed during the backfill.
        2 => (
            vec![put(LOOKS, since), put(ALONE, since)],
            vec![
                put(&LOOKS.replace("Looks", "Glances"), since),
                remove("alone"),
            ],
        ),
        3 => (
            vec![put(LOOKS, since)],
            vec![
                Control::RuleDisable {
                    rule: "looks".to_owned(),
                    until: since.plus(Span::seconds(60)),
                },
                put(ALONE, since),
            ],
        ),
        4 => (vec![put(AGAIN, since)], vec![put(&many, since)]),
        _ => (
            vec![put(LOOKS, since)],
            vec![put(
                &LOOKS.replace("look}", "buy}"),
                since.plus(Span::seconds(10)),
            )],
        ),
    };
    match step {
        30 => first,
        31 => then,
        _ => Vec::new(),
    }
}

/// Writes 60 epochs of events and rule changes, and calls `between` after each.
fn write_history(graph: &mut TestGraph, seed: u64, mut between: impl FnMut(&mut TestGraph, i64)) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut since = EventTime::MIN;
    for step in 0..60 {
        graph.events(&mut rng, START + 6 * step);
        if step == 30 {
            since = graph.watermark().minus(Span::seconds(100));
        }
        let controls = rule_changes(seed, step, since);
        if !controls.is_empty() {
            graph.control(controls);
        }
        between(graph, step);
    }
    assert!(
        !is_reading(graph),
        "seed {seed}: the backfill is not complete"
    );
}

#[test]
fn the_step_size_does_not_change_the_standing_alerts() {
    for seed in 0..18 {
        let mut whole = TestGraph::with(1, WHOLE);
        write_history(&mut whole, seed, |graph, _| assert!(!is_reading(graph)));
        let wanted = rows(&whole);
        whole.close();
        let mut steps = TestGraph::with(1, STEP);
        let mut reading = 0;
        write_history(&mut steps, seed, |graph, _| {
            reading += u32::from(is_reading(graph))
        });
        assert!(reading > 3, "seed {seed}: read in {reading} epochs");
        assert_eq!(rows(&steps), wanted, "seed {seed}");
        steps.close();
    }
}

#[test]
fn one_journal_gives_one_ledger_on_any_workers_and_after_restarts() {
    for seed in 0..6 {
        let digest = |workers: usize, restart: &dyn Fn(i64) -> bool| {
            let mut graph = TestGraph::with(workers, STEP);
            write_history(&mut graph, seed, |graph, step| {
                if restart(step) {
                    assert!(is_reading(graph), "seed {seed}, step {step}");
                    graph.restart();
                }
            });
            let digest = graph.digest();
            // A replay of the whole journal gives the same.
            graph.close();
            let ledger = graph.folder.path().join("ledger");
            std::fs::remove_dir_all(ledger).expect("it is there");
            graph.open();
            graph.settle();
            assert!(graph.digest() == digest, "seed {seed}: a replay differs");
            graph.close();
            digest
        };
        let expected = digest(1, &|_| false);
        assert!(expected.len() > 10_000);
        assert!(
            digest(2, &|_| false) == expected,
            "seed {seed}: on two workers"
        );
        let restarted = digest(2, &|step| (31..36).contains(&step));
        assert!(restarted == expected, "seed {seed}: over restarts");
    }
}

#[test]
fn other_rules_go_on_and_a_partial_backfill_raises_nothing() {
    let mut graph = TestGraph::with(2, STEP);
    let (mut live, mut begun, mut through) = (0, 0, Epoch(0));
    let mut reading = false;
    write_history(&mut graph, 0, |graph, _| {
        let now = is_reading(graph);
        if now && !reading {
            begun = graph.changes().len();
        }
        if now {
            live = graph.changes().len() - begun;
        } else if reading {
            through = graph.written;
        }
        reading = now;
    });
    assert!(live > 5, "{live} changes during the backfill");
    let changes = graph.changes();
    let new = |change: &&Change| ["looks", "alone"].contains(&&*change.record.rule);
    let changes: Vec<&Change> = changes.iter().filter(new).collect();
    assert!(changes.len() > 5 && through > Epoch(0));
    for change in changes {
        assert!(change.epoch >= through, "{change:?} before {through:?}");
        // The completed backfill has nothing to retract.
        let first = change.epoch == through;
        assert!(!first || change.kind == ChangeKind::Raised, "{change:?}");
    }
    graph.close();
}

#[test]
fn an_edited_selection_revises_alerts_and_retracts_none_that_still_stand() {
    let outcome = |backfill_events: u64| {
        let mut graph = TestGraph::with(1, backfill_events);
        write_history(&mut graph, 1, |_, _| {});
        let changes = graph.changes();
        let standing: BTreeSet<AlertId> = graph.standing().into_keys().collect();
        let retracted = changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Retracted);
        let retracted = retracted.filter(|change| &*change.record.rule == "bought");
        let flapped = retracted
            .filter(|change| standing.contains(&change.record.alert))
            .count();
        let revised = changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Revised);
        let revised = revised
            .filter(|change| &*change.record.rule == "bought")
            .count();
        graph.close();
        (flapped, revised > 0)
    };
    assert_eq!(outcome(WHOLE), (0, true));
    assert_eq!(outcome(STEP), (0, true));
}

fn what_if_state(graph: &TestGraph, id: u64) -> Option<WhatIfState> {
    let report = graph.status().what_ifs().report(WhatIfId(id));
    report.map(|report| report.state)
}

/// Begins a what-if that adds or changes one rule and backfills it.
fn begin(id: u64, text: &str, since: EventTime) -> Control {
    Control::WhatIfPut {
        id: WhatIfId(id),
        changes: vec![RuleChange::Put {
            text: text.to_owned(),
            origin: "test".to_owned(),
        }],
        since,
        from_journal: true,
    }
}

/// Ticks until the what-if has read its backfill. Returns how many ticks that took.
fn await_running(graph: &mut TestGraph, id: u64) -> u32 {
    let live = graph.digest();
    let mut ticks = 0;
    while what_if_state(graph, id) == Some(WhatIfState::Deriving) {
        assert!(graph.digest() == live, "a what-if changed the live graph");
        graph.control(vec![Control::Tick {
            received: weir_schema::ReceiveTime(START * 1_000_000_000),
        }]);
        ticks += 1;
    }
    ticks
}

/// An alert of a difference, whether it stands live, and its key, count, first and last time.
fn difference_row(one: &AlertDifference) -> String {
    let shadow = one
        .shadow
        .as_ref()
        .map(|row| (row.key, row.count, row.first, row.last));
    format!("{:?} {} {shadow:?}", one.alert, one.live.is_some())
}

#[test]
fn a_what_if_with_a_backfill_reports_once_it_is_complete() {
    let differences = |backfill_events: u64| {
        let mut graph = TestGraph::with(2, backfill_events);
        let mut rng = StdRng::seed_from_u64(5);
        for step in 0..30 {
            graph.events(&mut rng, START + 6 * step);
        }
        let since = graph.watermark().minus(Span::seconds(100));
        let live = graph.digest();
        graph.control(vec![
            begin(1, LOOKS, since),
            begin(2, &bought_or_looked(), since),
        ]);
        if backfill_events == STEP {
            assert_eq!(what_if_state(&graph, 1), Some(WhatIfState::Deriving));
            assert!(graph.digest() == live, "a what-if changed the live graph");
        }
        let ticks = await_running(&mut graph, 2);
        assert_eq!(what_if_state(&graph, 1), Some(WhatIfState::Running));
        let before = graph.standing();
        let [looks, bought] = [1, 2].map(|id| {
            let status = graph.status();
            status.what_ifs().alert_differences(WhatIfId(id))
        });
        let (looks, bought) = (looks.expect("it runs"), bought.expect("it runs"));
        graph.control(vec![Control::WhatIfPromote { id: WhatIfId(2) }]);
        let after = graph.standing();
        let gained: Vec<_> = bought.iter().filter(|one| one.live.is_none()).collect();
        assert!(!gained.is_empty());
        for one in gained {
            assert!(!before.contains_key(&one.alert) && after.contains_key(&one.alert));
        }
        graph.close();
        let rows: Vec<String> = looks.iter().chain(&bought).map(difference_row).collect();
        (rows, ticks)
    };
    let (whole, none) = differences(WHOLE);
    let (steps, ticks) = differences(STEP);
    assert_eq!((none, steps), (0, whole));
    assert!(ticks > 3, "{ticks}");
}

#[test]
fn a_promotion_during_a_backfill_continues_it() {
    let play = |workers: usize, restart: bool| {
        let mut graph = TestGraph::with(workers, STEP);
        let mut rng = StdRng::seed_from_u64(7);
        for step in 0..30 {
            graph.events(&mut rng, START + 6 * step);
        }
        let since = graph.watermark().minus(Span::seconds(100));
        graph.control(vec![begin(1, LOOKS, since)]);
        graph.control(vec![Control::WhatIfPromote { id: WhatIfId(1) }]);
        if restart {
            assert!(is_reading(&graph));
            graph.restart();
        }
        while is_reading(&graph) {
            graph.events(&mut rng, START + 180);
        }
        let found = (rows(&graph), graph.digest());
        graph.close();
        found
    };
    let (rows, digest) = play(1, false);
    assert!(rows.iter().any(|row| row.contains(" looks ")));
    assert!(play(2, true).1 == digest);
}
