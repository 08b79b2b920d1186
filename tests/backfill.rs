//! The past that new rules are to see, read in steps: live alerts come meanwhile, nothing is said of a
//! half, and how much an epoch hands on changes nothing of what stands in the end.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use rand::prelude::*;
use rand::rngs::StdRng;
use weir_dataflow::WhatIfState;
use weir_schema::{
    AlertId, AlertRecord, Change, ChangeKind, Control, Epoch, EventTime, RuleChange, Span, WhatIfId,
};
use world::{RULES, START, World, put};

/// So many events an epoch has with those of the past, where it is read in steps: two batches or three.
const STEP: u64 = 32;

/// More than all that is sent here.
const WHOLE: u64 = 1_000_000;

/// A rule that fires where a look is not followed by another one soon: half of a past would have it
/// fire where the whole does not.
const ALONE: &str = "title: Alone\nid: alone\ncorrelation: {type: temporal, rules: [failed, bought], \
     group-by: [user], timespan: 20s, condition: bought and not failed, generate: true}\n";

const LOOKS: &str = "title: Looks\nid: looks\nlogsource: {product: shop}\n\
     detection: {selection: {action: look}, condition: selection}\nweir: {group-by: [user]}\n";

/// Of a chain: users who fail again and again.
const AGAIN: &str = "title: Again\nid: again\ncorrelation: {type: event_count, rules: [many], \
     group-by: [user], timespan: 150s, condition: {gte: 1}, generate: true}\n";

/// An edit of what `bought` selects.
fn bought_or_looked() -> String {
    RULES[1].replace("action: buy", "action: [buy, look]")
}

fn changes(world: &World) -> Vec<Change> {
    world.heard.0.lock().expect("nobody panicked").clone()
}

fn is_reading(world: &World) -> bool {
    world.status().backfill().is_some()
}

/// The standing rows, but for in which epoch and revision they were said.
fn rows(world: &World) -> Vec<String> {
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
    let mut rows: Vec<String> = world.standing().values().map(row).collect();
    rows.sort();
    rows
}

/// What is done to the rules in step `step` of a play.
fn acts(seed: u64, step: i64, since: EventTime) -> Vec<Control> {
    let remove = |rule: &str| Control::RuleRemove {
        rule: rule.to_owned(),
    };
    let many = RULES[2].replace("gte: 4", "gte: 3");
    let (first, then) = match seed % 6 {
        0 => (vec![put(LOOKS, since), put(ALONE, since)], vec![]),
        1 => (vec![put(&bought_or_looked(), since)], vec![]),
        // Edited, ended and removed while it reads.
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

/// Plays 60 epochs of events with changes of rules among them; calls `between` after each.
fn play(world: &mut World, seed: u64, mut between: impl FnMut(&mut World, i64)) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut since = EventTime::MIN;
    for step in 0..60 {
        world.events(&mut rng, START + 6 * step);
        if step == 30 {
            since = world.watermark().minus(Span::seconds(100));
        }
        let acts = acts(seed, step, since);
        if !acts.is_empty() {
            world.tell(acts);
        }
        between(world, step);
    }
    assert!(!is_reading(world), "seed {seed}: more is left than epochs");
}

#[test]
fn steps_change_nothing_of_what_stands_in_the_end() {
    for seed in 0..18 {
        let mut whole = World::with(1, WHOLE);
        play(&mut whole, seed, |world, _| assert!(!is_reading(world)));
        let wanted = rows(&whole);
        whole.close();
        let mut steps = World::with(1, STEP);
        let mut reading = 0;
        play(&mut steps, seed, |world, _| {
            reading += u32::from(is_reading(world))
        });
        assert!(reading > 3, "seed {seed}: read in {reading} epochs");
        assert_eq!(rows(&steps), wanted, "seed {seed}");
        steps.close();
    }
}

#[test]
fn the_same_journal_says_the_same_on_any_workers_and_after_any_restart() {
    for seed in 0..6 {
        let digest = |workers: usize, restart: &dyn Fn(i64) -> bool| {
            let mut world = World::with(workers, STEP);
            play(&mut world, seed, |world, step| {
                if restart(step) {
                    assert!(is_reading(world), "seed {seed}, step {step}");
                    world.restart();
                }
            });
            let said = world.digest();
            // And by whoever derives all of it anew.
            world.close();
            let ledger = world.folder.path().join("ledger");
            std::fs::remove_dir_all(ledger).expect("it is there");
            world.open();
            world.settle();
            assert!(
                world.digest() == said,
                "seed {seed}: a replay says otherwise"
            );
            world.close();
            said
        };
        let said = digest(1, &|_| false);
        assert!(said.len() > 10_000);
        assert!(digest(2, &|_| false) == said, "seed {seed}: on two workers");
        let restarted = digest(2, &|step| (31..36).contains(&step));
        assert!(restarted == said, "seed {seed}: over restarts");
    }
}

#[test]
fn others_go_on_and_the_rule_itself_says_nothing_of_a_half() {
    let mut world = World::with(2, STEP);
    let (mut live, mut begun, mut through) = (0, 0, Epoch(0));
    let mut reading = false;
    play(&mut world, 0, |world, _| {
        let now = is_reading(world);
        if now && !reading {
            begun = changes(world).len();
        }
        if now {
            live = changes(world).len() - begun;
        } else if reading {
            through = world.written;
        }
        reading = now;
    });
    assert!(live > 5, "{live} changes while the past was read");
    let told = changes(&world);
    let new = |change: &&Change| ["looks", "alone"].contains(&&*change.record.rule);
    let told: Vec<&Change> = told.iter().filter(new).collect();
    assert!(told.len() > 5 && through > Epoch(0));
    for change in told {
        assert!(change.epoch >= through, "{change:?} before {through:?}");
        // With the whole past read, nothing of it has to be taken back.
        let first = change.epoch == through;
        assert!(!first || change.kind == ChangeKind::Raised, "{change:?}");
    }
    world.close();
}

#[test]
fn an_edit_of_what_a_rule_selects_takes_nothing_back_that_it_says_again() {
    let flapped = |past_events: u64| {
        let mut world = World::with(1, past_events);
        play(&mut world, 1, |_, _| {});
        let told = changes(&world);
        let stood: BTreeSet<AlertId> = world.standing().into_keys().collect();
        let back = told
            .iter()
            .filter(|change| change.kind == ChangeKind::Retracted);
        let back = back.filter(|change| &*change.record.rule == "bought");
        let again = back
            .filter(|change| stood.contains(&change.record.alert))
            .count();
        let revised = told
            .iter()
            .filter(|change| change.kind == ChangeKind::Revised);
        let revised = revised
            .filter(|change| &*change.record.rule == "bought")
            .count();
        world.close();
        (again, revised > 0)
    };
    assert_eq!(flapped(WHOLE), (0, true));
    assert_eq!(flapped(STEP), (0, true));
}

#[test]
fn a_what_if_that_reads_the_past_answers_once_it_is_read() {
    let changes = |text: &str| {
        vec![RuleChange::Put {
            text: text.to_owned(),
            origin: "test".to_owned(),
        }]
    };
    let difference = |past_events: u64| {
        let mut world = World::with(2, past_events);
        let mut rng = StdRng::seed_from_u64(5);
        for step in 0..30 {
            world.events(&mut rng, START + 6 * step);
        }
        let since = world.watermark().minus(Span::seconds(100));
        let begin = |id: u64, text: &str| Control::WhatIfPut {
            id: WhatIfId(id),
            changes: changes(text),
            since,
            from_journal: true,
        };
        let live = world.digest();
        world.tell(vec![begin(1, LOOKS), begin(2, &bought_or_looked())]);
        let state = |world: &World, id: u64| {
            let report = world.status().what_ifs().report(WhatIfId(id));
            report.map(|report| report.state)
        };
        let mut waited = 0;
        if past_events == STEP {
            assert_eq!(state(&world, 1), Some(WhatIfState::Deriving));
        }
        while state(&world, 2) == Some(WhatIfState::Deriving) {
            assert_eq!(world.digest(), live);
            world.tell(vec![Control::Tick {
                received: weir_schema::ReceiveTime(START * 1_000_000_000),
            }]);
            waited += 1;
        }
        assert_eq!(state(&world, 1), Some(WhatIfState::Running));
        let before = world.standing();
        let told: BTreeMap<u64, _> = [1, 2]
            .into_iter()
            .filter_map(|id| Some((id, world.status().what_ifs().differing(WhatIfId(id))?)))
            .collect();
        world.tell(vec![Control::WhatIfPromote { id: WhatIfId(2) }]);
        let after = world.standing();
        let come = told[&2].iter().filter(|one| one.live.is_none());
        assert!(come.clone().count() > 0);
        for one in come {
            assert!(!before.contains_key(&one.alert) && after.contains_key(&one.alert));
        }
        world.close();
        let rows = |one: &weir_dataflow::Differing| {
            let tried = one
                .tried
                .as_ref()
                .map(|row| (row.key, row.count, row.first, row.last));
            (one.alert, one.live.is_some(), tried)
        };
        let rows: Vec<Vec<_>> = told
            .values()
            .map(|all| all.iter().map(rows).collect())
            .collect();
        (rows, waited)
    };
    let (whole, none) = difference(WHOLE);
    let (steps, waited) = difference(STEP);
    assert_eq!((none, steps), (0, whole));
    assert!(waited > 3, "{waited}");
}

#[test]
fn a_promotion_while_the_past_is_read_goes_on_reading() {
    let play = |workers: usize, restart: bool| {
        let mut world = World::with(workers, STEP);
        let mut rng = StdRng::seed_from_u64(7);
        for step in 0..30 {
            world.events(&mut rng, START + 6 * step);
        }
        let since = world.watermark().minus(Span::seconds(100));
        let change = RuleChange::Put {
            text: LOOKS.to_owned(),
            origin: "test".to_owned(),
        };
        world.tell(vec![Control::WhatIfPut {
            id: WhatIfId(1),
            changes: vec![change],
            since,
            from_journal: true,
        }]);
        world.tell(vec![Control::WhatIfPromote { id: WhatIfId(1) }]);
        if restart {
            assert!(is_reading(&world));
            world.restart();
        }
        while is_reading(&world) {
            world.events(&mut rng, START + 180);
        }
        let found = (rows(&world), world.digest());
        world.close();
        found
    };
    let (rows, digest) = play(1, false);
    assert!(rows.iter().any(|row| row.contains(" looks ")));
    assert!(play(2, true).1 == digest);
}
