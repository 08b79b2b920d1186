//! What-ifs by random histories: a shadow says what the edit would, nothing else hears of it, and
//! its promotion is as if the edit had been made when it began.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{Basis, WhatIfId};

use super::*;

const TRIED: PlanId = PlanId(77);
const WHAT_IF: WhatIfId = WhatIfId(5);

#[derive(Debug, Default)]
struct Seen {
    histories: u32,
    /// Histories in which the shadow told other alerts than the plan at some time.
    differed: u32,
    promoted: u32,
    /// Late facts that came while a shadow ran.
    late: u64,
}

/// What to try of `plan`: other bounds or conditions for `Groups`, also another window for `Facts`.
fn candidate(history: &mut History, plan: &Plan, basis: Basis) -> Plan {
    let mut tried = plan.clone();
    tried.version = RuleVersion(1_000);
    match &mut tried.kind {
        PlanKind::EventCount { bounds } | PlanKind::ValueCount { bounds } => {
            *bounds = random_bounds(&mut history.rng);
        }
        PlanKind::Value { bounds, .. } => *bounds = random_value_bounds(&mut history.rng),
        PlanKind::Temporal { condition, .. } => {
            let other = random_condition(&mut history.rng);
            let marks = |condition: &MemberCondition| {
                let mut marks = [false; 3];
                condition.mark_positive(&mut marks);
                marks
            };
            if matches!(basis, Basis::Facts(_)) || marks(&other) == marks(condition) {
                *condition = other;
            }
        }
        PlanKind::TemporalOrdered { .. } | PlanKind::NotFollowed { .. } | PlanKind::Silence => {}
    }
    if matches!(basis, Basis::Facts(_)) {
        tried.id = PlanId(40);
        tried.rule = "another".into();
        tried.timespan = Span(history.rng.random_range(1..20) * UNIT);
        if history.rng.random_bool(0.5) {
            tried.since = history.clock.watermark.max(EventTime(0));
        }
    } else if history.rng.random_bool(0.2) {
        tried.until = history.clock.watermark.max(EventTime(0));
    }
    tried
}

/// Adds an output up that may be of a plan that is removed.
fn add(standing: &mut BTreeMap<Arc<AlertRow>, isize>, rows: &[(Arc<AlertRow>, isize)]) {
    for (row, diff) in rows {
        *standing.entry(Arc::clone(row)).or_default() += diff;
    }
    standing.retain(|_, diff| *diff != 0);
}

/// The rows of a plan, under the name of `plan`, but for those of alerts that are settled.
fn of(
    rows: &BTreeMap<Arc<AlertRow>, isize>,
    id: PlanId,
    plan: PlanId,
    settled: &BTreeSet<AlertId>,
) -> Vec<StandingAlert> {
    assert!(rows.values().all(|diff| *diff == 1), "{rows:#?}");
    let mine = rows
        .keys()
        .filter(|row| row.plan == id && !settled.contains(&row.alert));
    let named = |row: &Arc<AlertRow>| StandingAlert {
        plan,
        ..standing(row)
    };
    let mut found: Vec<StandingAlert> = mine.map(named).collect();
    found.sort();
    found
}

/// What of `facts` a candidate with facts of its own has, under the id that it has now.
fn copies(facts: &[Fact], of: PlanId, since: EventTime, id: PlanId) -> Vec<Fact> {
    let mine = facts
        .iter()
        .filter(|fact| fact.plan == of && since <= fact.time);
    mine.map(|fact| Fact { plan: id, ..*fact }).collect()
}

fn all(rows: &BTreeMap<Arc<AlertRow>, isize>) -> Vec<StandingAlert> {
    let mut all: Vec<StandingAlert> = rows.keys().map(|row| standing(row)).collect();
    all.sort();
    all
}

/// What two lists of alerts do not have in common.
fn apart(a: &[StandingAlert], b: &[StandingAlert]) -> String {
    let only = |a: &[StandingAlert], b: &[StandingAlert]| {
        let only = a.iter().filter(|row| !b.contains(row));
        only.map(|row| format!("{row:?}\n")).collect::<String>()
    };
    format!("found {}wanted {}", only(a, b), only(b, a))
}

/// A what-if under way: the plan that is tried, and the plan of which it is.
struct Trial {
    plan: Plan,
    of: PlanId,
    promoted: bool,
}

fn play_what_if(
    seed: u64,
    groups: bool,
    only: Option<&'static str>,
    seen: &mut Seen,
) -> Result<(), String> {
    let mut history = History::new(seed, only);
    // One that tries, one in which the edit was made instead, and one that knows of nothing.
    let (mut sut, mut edited, mut plain) = (
        Correlator::default(),
        Correlator::default(),
        Correlator::default(),
    );
    let mut rows: [BTreeMap<Arc<AlertRow>, isize>; 4] = Default::default();
    let mut past: Vec<Fact> = Vec::new();
    let mut trial: Option<Trial> = None;
    let mut differed = false;
    // What was forgotten before the what-if began: nothing changes it any more.
    let mut settled: BTreeSet<AlertId> = BTreeSet::new();
    let mut now = 50;
    for epoch in 1..=40 {
        now += history.rng.random_range(0..8);
        // Edits besides would end the what-if.
        let steps = if epoch == 1 {
            history.plan_steps(epoch)
        } else {
            Vec::new()
        };
        let mut facts = history.facts(now);
        let heard = history.hear(now);
        let clock = history.advance(now);
        let common = directives(&steps, &heard, clock);
        let (mut ours, mut others) = (common.clone(), common.clone());
        let mut backfill = Vec::new();
        if epoch == 12 {
            let plan = history.plans.values().next().cloned().ok_or("no plan")?;
            let basis = if groups || plan.kind.is_absence() {
                Basis::Groups(plan.id)
            } else {
                Basis::Facts(plan.id)
            };
            let tried = candidate(&mut history, &plan, basis);
            let shadow = Arc::new(Plan {
                id: TRIED,
                output: PlanOutput::WhatIf(WHAT_IF),
                ..tried.clone()
            });
            let shadow = Directive::Shadow {
                plan: shadow,
                basis,
            };
            ours.insert(0, shadow);
            others.insert(0, Directive::Put(Arc::new(tried.clone())));
            if tried.id != plan.id {
                backfill = copies(&past, plan.id, tried.since, tried.id);
            }
            trial = Some(Trial {
                plan: tried,
                of: plan.id,
                promoted: false,
            });
        }
        if let Some(trial) = &mut trial
            && !trial.promoted
            && epoch > 20
            && history.rng.random_bool(0.1)
        {
            trial.promoted = true;
            let plan = Arc::new(trial.plan.clone());
            ours.insert(0, Directive::Adopt { plan, from: TRIED });
            seen.promoted += 1;
        }
        past.extend(facts.iter().copied());
        let (mut own, mut theirs) = (facts.clone(), facts.clone());
        if let Some(trial) = &trial {
            let Trial { plan, of, promoted } = trial;
            if plan.id == *of {
                // Rules give a plan no facts after its end.
                let runs = |fact: &Fact| fact.plan != *of || fact.time < plan.until;
                theirs.retain(runs);
                own.retain(|fact| !promoted || runs(fact));
            } else {
                let id = if *promoted { plan.id } else { TRIED };
                own.extend(copies(&facts, *of, plan.since, id));
                theirs.extend(copies(&facts, *of, plan.since, plan.id));
                theirs.extend(backfill);
            }
        }
        own.shuffle(&mut history.rng);
        facts.shuffle(&mut history.rng);
        let said = sut.epoch(Epoch(epoch), &own, &ours);
        if epoch == 12 {
            let begun = said.what_ifs.values().flat_map(|apart| &apart.rows);
            let begun: BTreeSet<AlertId> = begun.map(|(row, _)| row.alert).collect();
            let before = rows[2].keys().map(|row| row.alert);
            settled = before.filter(|alert| !begun.contains(alert)).collect();
        }
        let other = edited.epoch(Epoch(epoch), &theirs, &others);
        let quiet = plain.epoch(Epoch(epoch), &facts, &common);
        add(&mut rows[0], &said.rows);
        add(&mut rows[1], &other.rows);
        add(&mut rows[2], &quiet.rows);
        for apart in said.what_ifs.values() {
            add(&mut rows[3], &apart.rows);
            seen.late += apart.counts.late;
        }
        if trial.as_ref().is_some_and(|trial| trial.promoted) {
            let (a, b) = (all(&rows[0]), all(&rows[1]));
            if a != b {
                return Err(format!("epoch {epoch}, promoted: {}", apart(&a, &b)));
            }
            continue;
        }
        let taken_back = |output: &CorrelatorOutput| {
            let mut alerts = output.retractions.clone();
            alerts.sort();
            alerts
        };
        if rows[0] != rows[2] || taken_back(&said) != taken_back(&quiet) {
            return Err(format!("epoch {epoch}: a what-if changed what is said"));
        }
        if let Some(Trial { plan, .. }) = &trial {
            let (a, b) = (
                of(&rows[3], TRIED, plan.id, &settled),
                of(&rows[1], plan.id, plan.id, &settled),
            );
            if a != b {
                return Err(format!("epoch {epoch}, tried: {}", apart(&a, &b)));
            }
            differed |= a != of(&rows[2], plan.id, plan.id, &settled);
        }
    }
    seen.histories += 1;
    seen.differed += u32::from(differed);
    Ok(())
}

#[test]
fn a_shadow_says_what_the_edit_would_and_its_promotion_is_the_edit() {
    let mut seen = Seen::default();
    for seed in 0..1_500 {
        for groups in [true, false] {
            if let Err(difference) = play_what_if(seed, groups, None, &mut seen) {
                panic!("seed {seed}, groups {groups}: {difference}");
            }
        }
    }
    let least = seen.histories / 4;
    assert!(
        seen.differed > least && seen.promoted > 2 * least && seen.late > u64::from(least),
        "{seen:?}"
    );
    println!("{seen:?}");
}

#[test]
fn a_shadow_that_goes_and_comes_in_one_epoch_is_no_alert() {
    let mut correlator = Correlator::default();
    let shadow = Directive::Shadow {
        plan: Arc::new(Plan {
            output: PlanOutput::WhatIf(WHAT_IF),
            ..(*pair(TRIED)).clone()
        }),
        basis: Basis::Groups(PLAN),
    };
    let put = Directive::Put(pair(PLAN));
    correlator.epoch(
        Epoch(1),
        &[fact(PLAN, 1, 1, 100, 1)],
        &[put, shadow.clone()],
    );
    correlator.epoch(Epoch(2), &[], &[Directive::Remove(TRIED), shadow]);
    let output = correlator.epoch(Epoch(3), &[fact(PLAN, 1, 1, 105, 2)], &[]);
    assert_eq!(output.rows.len(), 1, "{:?}", output.rows);
    assert_eq!(output.what_ifs[&WHAT_IF].rows.len(), 1);
}

#[test]
fn which_settled_alerts_a_promotion_answers_for_does_not_depend_on_the_order_of_facts() {
    let plan = |id: PlanId, version: u64, hearer: PlanOutput| {
        let bounds = vec![Bound::Gte(1)];
        Arc::new(Plan {
            kind: PlanKind::EventCount { bounds },
            version: RuleVersion(version),
            output: hearer,
            ..(*pair(id)).clone()
        })
    };
    let far = TenantClock {
        watermark: EventTime(9_000 * UNIT),
        settled: EventTime(8_000 * UNIT),
        ..TenantClock::start(TenantKey(1))
    };
    let facts: Vec<Fact> = (0..2_500)
        .map(|group| fact(PLAN, 1, group, 100, group))
        .collect();
    let promoted = |facts: &[Fact]| {
        let mut correlator = Correlator::default();
        let shadow = Directive::Shadow {
            plan: plan(TRIED, 2, PlanOutput::WhatIf(WHAT_IF)),
            basis: Basis::Groups(PLAN),
        };
        let put = Directive::Put(plan(PLAN, 1, PlanOutput::Alerts));
        correlator.epoch(Epoch(1), facts, &[put, shadow]);
        let settled = correlator.epoch(Epoch(2), &[], &[Directive::Clock(far)]);
        assert_eq!(settled.what_ifs[&WHAT_IF].counts.limited, 2 * 500);
        let plan = plan(PLAN, 2, PlanOutput::Alerts);
        let adopt = Directive::Adopt { plan, from: TRIED };
        let mut rows = correlator.epoch(Epoch(3), &[], &[adopt]).rows;
        rows.sort();
        rows
    };
    let mut turned = facts.clone();
    turned.reverse();
    let rows = promoted(&facts);
    assert_eq!(rows.len(), 2 * 2_000);
    assert!(rows == promoted(&turned));
}
