//! What-ifs in the whole graph: nothing but those who ask learn of them, and their promotion is
//! exactly what they told.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use rand::prelude::*;
use rand::rngs::StdRng;
use weir_dataflow::{Differing, WhatIfState};
use weir_schema::{
    AlertId, AlertRecord, ChangeKind, Control, EventTime, RuleChange, Span, WhatIfId,
};
use world::{Ear, RULES, START, World, put};

fn tried(text: &str) -> RuleChange {
    RuleChange::Put {
        text: text.to_owned(),
        origin: "test".to_owned(),
    }
}

fn many(count: u64, span: u64) -> RuleChange {
    let text = RULES[2].replace("gte: 4", &format!("gte: {count}"));
    tried(&text.replace("60s", &format!("{span}s")))
}

/// Other thresholds, windows, selections, filters, new rules and removals.
fn candidates() -> Vec<Vec<RuleChange>> {
    let other = |user: u64| {
        let text = RULES[0].replace("action: fail", &format!("action: fail, user: u{user}"));
        vec![tried(&text)]
    };
    let filter = |user: u64| {
        vec![tried(&format!(
            "title: not u{user}\nid: filter-{user}\nlogsource: {{product: shop}}\nfilter: \
             {{rules: [bought], selection: {{user: u{user}}}, condition: not selection}}\n"
        ))]
    };
    let new = |user: u64| {
        vec![tried(&format!(
            "title: New {user}\nid: new-{user}\nlogsource: {{product: shop}}\ndetection: \
             {{selection: {{user: u{user}}}, condition: selection}}\n"
        ))]
    };
    let gone = |rule: &str| {
        let rule = rule.to_owned();
        vec![RuleChange::Remove { rule }]
    };
    let mut all = vec![gone("many"), gone("bought"), gone("both")];
    all.push(vec![many(3, 60), gone("both").remove(0)]);
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
fn a_hundred_what_ifs_change_nothing_that_is_said() {
    let all = candidates();
    let digest = |what_ifs: bool, workers: usize| {
        let mut world = World::new(workers);
        let mut rng = StdRng::seed_from_u64(3);
        for step in 0..70 {
            world.events(&mut rng, START + 6 * step);
            if (25..65).contains(&step) {
                let back = Span::seconds(if step % 2 == 0 { 0 } else { 120 });
                let since = world.watermark().minus(back);
                let some = (0..3).map(|n| 3 * step as usize + n);
                let put = |n: usize| begin(n as u64, since, &all[n % all.len()]);
                // What is no what-if, where there are to be none.
                let drop = |n: usize| Control::WhatIfDrop {
                    id: WhatIfId(n as u64),
                };
                let put = |n: usize| if what_ifs { put(n) } else { drop(n) };
                world.tell(some.map(put).collect());
            }
        }
        let reports = world.host().status().what_ifs().list();
        let running = reports.iter().filter(|r| r.state == WhatIfState::Running);
        let found = (running.count(), world.digest());
        world.close();
        found
    };
    let (running, with) = digest(true, 1);
    let (none, without) = digest(false, 1);
    assert!(running > 100 && none == 0, "{running} {none}");
    assert!(with.len() > 10_000);
    assert!(with == without, "ledger or outbox differ");
    assert!(digest(true, 2) == (running, with), "on two workers");
}

/// The kinds of what was told of alerts since `from`, by alert.
fn kinds(heard: &Ear, from: usize) -> BTreeMap<AlertId, ChangeKind> {
    let heard = heard.0.lock().expect("nobody panicked");
    let told = heard[from..].iter();
    told.map(|change| (change.record.alert, change.kind))
        .collect()
}

#[test]
fn a_promotion_is_exactly_what_was_told() {
    let (mut differed, mut gained, mut lost, mut changed) = (0, 0, 0, 0);
    for (seed, changes) in (0_u64..).zip(&candidates()) {
        let mut world = World::new(1);
        let mut rng = StdRng::seed_from_u64(seed);
        let id = WhatIfId(seed);
        let mut now = START;
        for _ in 0..30 {
            now += 6;
            world.events(&mut rng, now);
        }
        let back = Span::seconds(rng.random_range(0..140));
        let since = world.watermark().minus(back);
        world.tell(vec![begin(seed, since, changes)]);
        for _ in 0..rng.random_range(0..40) {
            now += 6;
            world.events(&mut rng, now);
        }
        if seed % 5 == 0 {
            world.restart();
        }
        let status = world.host().status();
        let report = status.what_ifs().report(id).expect("it runs");
        assert_eq!(report.state, WhatIfState::Running, "{changes:?}");
        let told: Vec<Differing> = status.what_ifs().differing(id).expect("it runs");
        let ids = |wanted: fn(&Differing) -> bool| -> BTreeSet<AlertId> {
            let some = told.iter().filter(|one| wanted(one));
            some.map(|one| one.alert).collect()
        };
        let come = ids(|one| one.live.is_none());
        let go = ids(|one| one.tried.is_none());
        let before = world.standing();
        let from = world.heard.0.lock().expect("nobody panicked").len();
        world.tell(vec![Control::WhatIfPromote { id }]);
        let after = world.standing();
        let seed = format!("seed {seed}: {changes:?}");
        let kept: BTreeSet<AlertId> = before
            .keys()
            .filter(|id| !go.contains(id))
            .copied()
            .collect();
        let expected: BTreeSet<AlertId> = kept.union(&come).copied().collect();
        let found: BTreeSet<AlertId> = after.keys().copied().collect();
        assert_eq!(found, expected, "{seed}");
        for one in &told {
            let (Some(row), Some(record)) = (&one.tried, after.get(&one.alert)) else {
                continue;
            };
            let shape = |r: &AlertRecord| (r.key, r.state, r.first, r.last, r.count, r.version);
            let tried = (
                row.key,
                row.state,
                row.first,
                row.last,
                row.count,
                row.version,
            );
            assert_eq!(shape(record), tried, "{seed}");
        }
        let kinds = kinds(&world.heard, from);
        let of = |kind: ChangeKind| -> BTreeSet<AlertId> {
            let some = kinds.iter().filter(|(_, known)| **known == kind);
            some.map(|(alert, _)| *alert).collect()
        };
        assert_eq!(of(ChangeKind::Raised), come, "{seed}");
        assert_eq!(of(ChangeKind::Retracted), go, "{seed}");
        let revised = report.difference.changed + report.difference.restated;
        assert!(
            of(ChangeKind::Revised).len() <= revised,
            "{seed}: {report:?}"
        );
        differed += usize::from(!told.is_empty());
        gained += come.len();
        lost += go.len();
        changed += report.difference.changed;
        // And what comes then is judged by the rules as they are now, after a restart, too.
        for _ in 0..5 {
            now += 6;
            world.events(&mut rng, now);
        }
        let said = world.digest();
        world.close();
        std::fs::remove_dir_all(world.folder.path().join("ledger")).expect("it is there");
        world.open();
        world.settle();
        assert!(
            world.digest() == said,
            "{seed}: told otherwise after a restart"
        );
        world.close();
    }
    println!("{differed} differed: {gained} gained, {lost} lost, {changed} changed");
    assert!(differed > 20 && gained > 50 && lost > 30 && changed > 50);
}

#[test]
fn a_change_beneath_a_what_if_ends_it() {
    let mut world = World::new(1);
    let mut rng = StdRng::seed_from_u64(1);
    for step in 0..20 {
        world.events(&mut rng, START + 6 * step);
    }
    let since = world.watermark();
    let apart = tried(
        "title: New\nid: new\nlogsource: {product: shop}\n\
         detection: {selection: {action: look}, condition: selection}\n",
    );
    world.tell(vec![
        begin(1, since, &[many(2, 60)]),
        begin(2, since, &[apart]),
    ]);
    let other = RULES[2].replace("gte: 4", "gte: 5");
    world.tell(vec![put(&other, since)]);
    let status = world.host().status();
    let states: Vec<_> = status
        .what_ifs()
        .list()
        .iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states, [WhatIfState::Overtaken, WhatIfState::Running]);
    let before = world.digest();
    world.tell(vec![Control::WhatIfPromote { id: WhatIfId(1) }]);
    assert!(world.digest() == before);
    world.close();
}
