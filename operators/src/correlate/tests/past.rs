//! Plans that read their past in steps, by random histories: they say nothing before it is through,
//! and then what plain loops say that were given it whole, whose clock stood still meanwhile.

use std::collections::BTreeSet;

use weir_schema::{Basis, WhatIfId};

use super::*;

/// When the plans are put whose past is read.
const PUT_AT: u64 = 12;

#[derive(Debug, Default)]
struct Seen {
    histories: u32,
    /// Histories in which the past alone made alerts.
    raised: u32,
    /// Facts that the settled line had passed when they were handed on, and that counted.
    passed: u32,
    edited: u32,
}

/// A history of which some plans are put late, with what came before as their past.
struct Late {
    history: History,
    /// Those of them that are there.
    held: BTreeSet<PlanId>,
    past: Vec<Fact>,
    through: u64,
    sut: Sut,
    /// The oracle of those plans, and that of the others.
    oracles: [Reference; 2],
}

impl Late {
    fn new(seed: u64, only: Option<&'static str>) -> Self {
        let mut history = History::new(seed, only);
        let through = PUT_AT + history.rng.random_range(1..8);
        Self {
            history,
            held: BTreeSet::new(),
            past: Vec::new(),
            through,
            sut: Sut::default(),
            oracles: Default::default(),
        }
    }

    /// The changes of rules of an epoch. Of a plan that is removed while it waits nothing comes again.
    fn steps(&mut self, epoch: u64) -> Vec<PlanStep> {
        let mut steps = self.history.plan_steps(epoch);
        if epoch == 1 {
            let chain = self.history.only == Some("chain");
            let late = |id: &&PlanId| chain || id.0 == 1;
            self.held = self.history.plans.keys().filter(late).copied().collect();
            steps.retain(|step| !self.held.contains(&id_of(step)));
        } else if epoch < PUT_AT {
            // What is put late has no edits before.
            for step in &steps {
                if let PlanStep::Put(plan) = step {
                    self.history.plans.insert(plan.id, plan.clone());
                }
            }
            steps.retain(|step| !self.held.contains(&id_of(step)));
        } else if epoch == PUT_AT {
            self.held.retain(|id| self.history.plans.contains_key(id));
            steps.retain(|step| !self.held.contains(&id_of(step)));
            let late = self.held.iter();
            let put = |id: &PlanId| PlanStep::Put(self.history.plans[id].clone());
            steps.extend(late.map(put));
        } else if epoch <= self.through {
            let removed = |step: &PlanStep| match step {
                PlanStep::Remove(id) if self.held.contains(id) => Some(*id),
                _ => None,
            };
            let gone: BTreeSet<PlanId> = steps.iter().filter_map(removed).collect();
            for id in &gone {
                self.history.plans.remove(id);
                self.held.remove(id);
            }
            let again = |s: &PlanStep| matches!(s, PlanStep::Put(plan) if gone.contains(&plan.id));
            steps.retain(|step| !again(step));
        }
        steps
    }

    /// What of the past is handed on in an epoch.
    fn piece(&mut self, epoch: u64) -> Vec<Fact> {
        if epoch < PUT_AT || epoch > self.through {
            return Vec::new();
        }
        let left = self.past.len();
        let some = match epoch == self.through {
            true => left,
            false => self.history.rng.random_range(0..=left),
        };
        let mut piece: Vec<Fact> = self.past.drain(..some).collect();
        let plans = &self.history.plans;
        piece.retain(|fact| {
            plans
                .get(&fact.plan)
                .is_some_and(|plan| fact.time < plan.until)
        });
        piece
    }

    fn play(&mut self, seen: &mut Seen) -> Result<(), String> {
        let mut now = 50;
        let mut still: Option<(TenantKey, EventTime, EventTime)> = None;
        for epoch in 1..=40 {
            now += self.history.rng.random_range(0..8);
            let steps = self.steps(epoch);
            let reading = (PUT_AT..self.through).contains(&epoch);
            seen.edited += u32::from(epoch > PUT_AT && reading && !steps.is_empty());
            let mut facts = self.history.facts(now);
            let heard = self.history.hear(now);
            for (source, time) in &heard {
                self.oracles[1].hear(*source, *time);
                if epoch != self.through {
                    self.oracles[0].hear(*source, *time);
                }
            }
            let before = still;
            let line = self.history.clock.settled;
            let clock = self.history.advance(now);
            let told = clock.map(|clock| (clock.tenant, clock.watermark, clock.settled));
            still = told.or(still);
            let mut given = facts.clone();
            if epoch < PUT_AT {
                let late = |fact: &&Fact| self.held.contains(&fact.plan);
                self.past.extend(facts.iter().filter(late));
                facts.retain(|fact| !self.held.contains(&fact.plan));
                given.clone_from(&facts);
            }
            if epoch == PUT_AT {
                let plans = &self.history.plans;
                self.past.retain(|fact| {
                    let plan = plans.get(&fact.plan);
                    plan.is_some_and(|plan| fact.time < plan.until)
                });
                given.extend(&self.past);
                self.past.shuffle(&mut self.history.rng);
            }
            let piece = self.piece(epoch);
            let late = |fact: &&Fact| fact.time < line && epoch > PUT_AT;
            seen.passed += piece.iter().filter(late).count() as u32;
            facts.extend(&piece);
            if epoch == self.through {
                // Its clock moves on, and then it hears what is told in this epoch.
                self.tell_oracles(&steps, &given, before, None);
                for (source, time) in &heard {
                    self.oracles[0].hear(*source, *time);
                }
                self.tell_oracles(&[], &[], still, told);
            } else {
                let late = still.filter(|_| !reading);
                self.tell_oracles(&steps, &given, late, told);
            }
            let links = self.history.links(&facts);
            let other = self.history.links(&given);
            let links_known = links.iter().chain(&other).flatten();
            for link in links_known {
                self.oracles[0].link(*link);
            }
            let mut all = directives(&steps, &heard, clock);
            if epoch == PUT_AT {
                all.extend(self.held.iter().copied().map(Directive::Hold));
            }
            if epoch == self.through {
                all.extend(self.held.iter().copied().map(Directive::Release));
            }
            let plans = &self.history.plans;
            let stage = |fact: &Fact| plans.get(&fact.plan).map_or(0, |plan| plan.chain.stage);
            let mut shuffled: Vec<(u8, Fact)> = facts.iter().map(|f| (stage(f), *f)).collect();
            shuffled.shuffle(&mut self.history.rng);
            let output = self.sut.epoch(Epoch(epoch), &shuffled, &links, &all);
            let early = |(row, _): &&(Arc<AlertRow>, isize)| self.held.contains(&row.plan);
            if reading && let Some((row, _)) = output.rows.iter().find(early) {
                return Err(format!(
                    "epoch {epoch}: said before its past is through: {row:?}"
                ));
            }
            let come = |(row, _): &&(Arc<AlertRow>, isize)| self.held.contains(&row.plan);
            seen.raised += u32::from(epoch == self.through && output.rows.iter().any(|r| come(&r)));
            let removed = |step: &PlanStep| match step {
                PlanStep::Remove(plan) => Some(*plan),
                PlanStep::Put(_) => None,
            };
            let removed: Vec<PlanId> = steps.iter().filter_map(removed).collect();
            self.sut.add(output, &removed)?;
            self.compare(epoch, reading)?;
        }
        seen.histories += 1;
        Ok(())
    }

    fn tell_oracles(
        &mut self,
        steps: &[PlanStep],
        facts: &[Fact],
        late: Option<(TenantKey, EventTime, EventTime)>,
        clock: Option<(TenantKey, EventTime, EventTime)>,
    ) {
        // Plans that were put late go on being the first oracle's.
        let chain = self.history.only == Some("chain");
        let ours = |id: PlanId| chain || id.0 == 1;
        for (oracle, first, clock) in [(0, true, late), (1, false, clock)] {
            let steps: Vec<PlanStep> = steps
                .iter()
                .filter(|step| ours(id_of(step)) == first)
                .cloned()
                .collect();
            let facts: Vec<Fact> = facts
                .iter()
                .filter(|fact| ours(fact.plan) == first)
                .copied()
                .collect();
            self.oracles[oracle].epoch(&steps, &facts, clock.as_slice());
        }
    }

    fn compare(&self, epoch: u64, reading: bool) -> Result<(), String> {
        let mut wanted = self.oracles[1].standing();
        if !reading {
            wanted.extend(self.oracles[0].standing());
        }
        wanted.sort();
        let found = self.sut.rows();
        if found == wanted {
            return Ok(());
        }
        let missing: Vec<_> = wanted.iter().filter(|row| !found.contains(row)).collect();
        let extra: Vec<_> = found.iter().filter(|row| !wanted.contains(row)).collect();
        Err(format!(
            "epoch {epoch}: missing {missing:#?}, extra {extra:#?}"
        ))
    }
}

fn id_of(step: &PlanStep) -> PlanId {
    match step {
        PlanStep::Put(plan) => plan.id,
        PlanStep::Remove(id) => *id,
    }
}

#[test]
fn a_past_that_is_read_in_steps_says_in_the_end_what_it_says_whole() {
    let mut seen = Seen::default();
    for seed in 0..1_500 {
        let only = match seed % 3 {
            0 => Some("chain"),
            1 => Some(TYPES[(seed / 3) as usize % TYPES.len()]),
            _ => None,
        };
        let mut late = Late::new(seed, only);
        if let Err(difference) = late.play(&mut seen) {
            panic!("seed {seed}, {only:?}: {difference}");
        }
    }
    println!("{seen:?}");
    assert!(seen.raised > seen.histories / 3, "{seen:?}");
    assert!(
        seen.passed > seen.histories && seen.edited > 100,
        "{seen:?}"
    );
}

#[test]
fn a_what_if_about_a_plan_that_reads_its_past_waits_with_it() {
    const TRIED: PlanId = PlanId(77);
    let what_if = WhatIfId(5);
    let put = Directive::Put(pair(PLAN));
    let past: Vec<Fact> = (0..40)
        .map(|n| fact(PLAN, 1, n % 3, i64::try_from(n).expect("small"), n))
        .collect();
    for (basis, adopted) in [
        (Basis::Groups(PLAN), false),
        (Basis::Groups(PLAN), true),
        (Basis::Facts(PLAN), false),
        (Basis::Facts(PLAN), true),
    ] {
        let mut correlator = Correlator::default();
        let own = |facts: &[Fact]| -> Vec<Fact> {
            let copy = |fact: &Fact| Fact {
                plan: TRIED,
                ..*fact
            };
            match basis {
                Basis::Facts(_) => facts.iter().chain(facts).copied().collect::<Vec<_>>(),
                _ => facts.to_vec(),
            }
            .into_iter()
            .enumerate()
            .map(|(place, fact)| {
                if place < facts.len() {
                    fact
                } else {
                    copy(&fact)
                }
            })
            .collect()
        };
        let begun = correlator.epoch(Epoch(1), &past[..10], &[put.clone(), Directive::Hold(PLAN)]);
        let shadow = Directive::Shadow {
            plan: Arc::new(Plan {
                id: TRIED,
                output: PlanOutput::WhatIf(what_if),
                ..(*pair(PLAN)).clone()
            }),
            basis,
        };
        // Far behind the settled line that others have by then.
        let far = TenantClock {
            watermark: EventTime(9_000 * UNIT),
            settled: EventTime(8_000 * UNIT),
            ..TenantClock::start(TenantKey(1))
        };
        let next = correlator.epoch(Epoch(2), &past[10..20], &[Directive::Clock(far)]);
        let tried = correlator.epoch(Epoch(3), &own(&past[20..30]), &[shadow]);
        for output in [&begun, &next, &tried] {
            assert!(output.rows.is_empty() && output.retractions.is_empty());
            assert!(output.what_ifs.values().all(|tried| tried.rows.is_empty()));
        }
        let mut through = vec![Directive::Release(PLAN), Directive::Release(TRIED)];
        if adopted && basis == Basis::Groups(PLAN) {
            let plan = pair(PLAN);
            through.insert(0, Directive::Adopt { plan, from: TRIED });
        }
        let said = correlator.epoch(Epoch(4), &own(&past[30..]), &through);
        let counts: Vec<u64> = said.rows.iter().map(|(row, _)| row.count).collect();
        assert_eq!(counts.iter().sum::<u64>(), 40, "{basis:?}, {adopted}");
        if let Some(tried) = said.what_ifs.get(&what_if).filter(|_| !adopted) {
            let tried: Vec<u64> = tried.rows.iter().map(|(row, _)| row.count).collect();
            assert_eq!(tried, counts, "{basis:?}");
        }
    }
}
