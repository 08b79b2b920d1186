//! The source monitor, second by second.

use std::collections::BTreeMap;

use weir_schema::{BatchSeq, EventId, EventTime, Position, Span};

use super::*;
use crate::source_problem::SourceProblem;

mod marked;

const TENANT: TenantKey = TenantKey(1);

const BOUNDS: SourceBounds = SourceBounds {
    silent: Span::seconds(600),
    lagging: Span::seconds(3_600),
    flooding: 10,
    flooding_events_min: 100,
    clock_skew: Span::seconds(60),
    duration_min: Span::seconds(30),
};

/// Plays epochs, and adds the rows up as a reader outside would.
struct MonitorRun {
    monitor: SourceMonitor,
    batches: u64,
    standing: BTreeMap<(Arc<AlertRow>, Level), isize>,
    retracted: Vec<Cause>,
    counts: SourceProblemCounts,
    marked: BTreeMap<(SourceKey, TimeMark), u64>,
}

impl MonitorRun {
    fn begin(bounds: SourceBounds) -> Self {
        let mut run = Self {
            monitor: SourceMonitor::default(),
            batches: 0,
            standing: BTreeMap::new(),
            retracted: Vec::new(),
            counts: SourceProblemCounts::default(),
            marked: BTreeMap::new(),
        };
        run.epoch(vec![SourceNote::Start(at(0)), SourceNote::Bounds(bounds)]);
        run
    }

    fn epoch(&mut self, notes: Vec<SourceNote>) {
        for output in self.monitor.epoch(notes) {
            match output {
                SourceOutput::Row { row, level, diff } => {
                    *self.standing.entry((row, level)).or_default() += diff;
                }
                SourceOutput::Retracted(_, cause) => self.retracted.push(cause),
                SourceOutput::Counts(counts) => self.counts = counts,
                SourceOutput::Marked(source, mark, events) => {
                    *self.marked.entry((source, mark)).or_default() += events;
                }
            }
        }
        self.standing.retain(|_, count| *count != 0);
        assert!(
            self.standing.values().all(|count| *count == 1),
            "each row stands once"
        );
        let standing: u32 = self.counts.standing.iter().sum();
        assert_eq!(
            standing as usize,
            self.standing.len(),
            "the counts match the rows"
        );
    }

    fn tick(&mut self, now: i64) {
        self.epoch(vec![SourceNote::Now(at(now))]);
    }

    fn receive(&mut self, source: u64, now: i64, time: i64, events: u64) {
        let batch = self.batch(source, now, time, events);
        self.epoch(vec![SourceNote::Batch(batch)]);
    }

    fn batch(&mut self, source: u64, now: i64, time: i64, events: u64) -> SourceBatch {
        self.batches += 1;
        let newest = EvidenceItem {
            time: EventTime(time * 1_000_000_000),
            event: EventId::of(&[&self.batches.to_le_bytes()]),
            position: Position::new(BatchSeq(self.batches), 0),
        };
        let skewed = time - now > 60;
        SourceBatch {
            tenant: TENANT,
            source: SourceKey(source),
            received: at(now),
            events,
            newest,
            credible: time - now <= 300,
            skewed: u64::from(skewed),
            first_skewed: skewed.then_some(newest),
        }
    }

    /// The standing problems, by name.
    fn standing_problems(&self) -> Vec<&'static str> {
        let names = self.standing.keys().map(|(row, _)| {
            let problem = SourceProblem::from_plan(row.plan).expect("a built-in rule");
            problem.name()
        });
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }
}

fn at(seconds: i64) -> ReceiveTime {
    ReceiveTime(seconds * 1_000_000_000)
}

#[test]
fn silence_needs_as_long_an_activity_and_a_running_server() {
    let mut run = MonitorRun::begin(BOUNDS);
    run.receive(1, 10, 10, 1);
    run.tick(700);
    assert!(run.standing_problems().is_empty(), "it was received once");
    run.receive(1, 700, 700, 1);
    run.tick(1_300);
    assert!(run.standing_problems().is_empty(), "not yet");
    run.tick(1_301);
    assert_eq!(run.standing_problems(), ["silent"]);
    run.tick(5_000);
    assert_eq!(run.standing_problems(), ["silent"], "raised once");
    run.receive(1, 5_001, 5_001, 1);
    assert!(run.standing_problems().is_empty(), "received again");
    assert!(
        matches!(run.retracted[..], [Cause::Event(_)]),
        "{:?}",
        run.retracted
    );
    run.epoch(vec![
        SourceNote::Start(at(9_000)),
        SourceNote::Bounds(BOUNDS),
    ]);
    run.tick(9_500);
    assert!(
        run.standing_problems().is_empty(),
        "the server was down until then"
    );
    run.tick(9_601);
    assert_eq!(run.standing_problems(), ["silent"]);
}

#[test]
fn a_heartbeat_prevents_and_retracts_silence() {
    let mut run = MonitorRun::begin(BOUNDS);
    run.receive(1, 0, 0, 1);
    run.receive(1, 700, 700, 1);
    let (tenant, source) = (TENANT, SourceKey(1));
    let beat = |now| {
        vec![
            SourceNote::Heartbeat { tenant, source },
            SourceNote::Now(at(now)),
        ]
    };
    run.epoch(beat(1_200));
    run.tick(1_301);
    assert!(run.standing_problems().is_empty());
    run.tick(1_801);
    assert_eq!(run.standing_problems(), ["silent"]);
    run.epoch(beat(1_900));
    assert!(run.standing_problems().is_empty());
}

#[test]
fn a_source_lags_behind_the_furthest_of_its_tenant() {
    let mut run = MonitorRun::begin(BOUNDS);
    for now in (10_000..10_040).step_by(10) {
        run.receive(1, now, now, 1);
        run.receive(2, now, now - 3_601, 1);
        assert_eq!(
            run.standing_problems().is_empty(),
            now < 10_030,
            "too short a lag, {now}"
        );
    }
    assert_eq!(run.standing_problems(), ["lagging"]);
    run.receive(2, 10_041, 10_041, 1);
    assert!(run.standing_problems().is_empty());
    let mut alone = MonitorRun::begin(BOUNDS);
    for now in 0..100 {
        alone.receive(1, 1_000_000 + now, now, 1);
    }
    assert!(
        alone.standing_problems().is_empty(),
        "the only source lags behind none"
    );
}

#[test]
fn a_flood_exceeds_the_usual_rate_and_the_minimum() {
    for (usual, flood, expected) in [
        (20, 199, false),
        (20, 201, true),
        // More than ten times as many, but below the minimum.
        (1, 99, false),
        (1, 101, true),
    ] {
        let mut run = MonitorRun::begin(BOUNDS);
        for minute in 0..61 {
            run.receive(1, minute * 60, minute * 60, usual);
        }
        run.receive(1, 61 * 60, 61 * 60, flood);
        assert_eq!(
            !run.standing_problems().is_empty(),
            expected,
            "{flood} after {usual} per minute"
        );
        run.tick(61 * 60 + 59);
        assert_eq!(
            !run.standing_problems().is_empty(),
            expected,
            "the minute is not complete"
        );
        run.tick(63 * 60);
        assert!(
            run.standing_problems().is_empty(),
            "a minute without a flood is complete"
        );
    }
    let mut new = MonitorRun::begin(BOUNDS);
    new.receive(1, 0, 0, 1_000_000);
    assert!(
        new.standing_problems().is_empty(),
        "the usual rate is not known yet"
    );
}

#[test]
fn a_flood_does_not_soon_become_usual() {
    let mut run = MonitorRun::begin(BOUNDS);
    for minute in 0..120 {
        run.receive(1, minute * 60, minute * 60, 20);
    }
    for minute in 120..140 {
        run.receive(1, minute * 60, minute * 60, 5_000);
        assert_eq!(run.standing_problems(), ["flooding"], "minute {minute}");
    }
}

#[test]
fn a_clock_ahead_is_reported_after_a_while_and_retracted_after_a_calm() {
    let mut run = MonitorRun::begin(BOUNDS);
    run.receive(1, 1_000, 1_061, 1);
    run.receive(1, 1_000, 2_000, 1);
    assert!(
        run.standing_problems().is_empty(),
        "a single line may be broken"
    );
    run.receive(1, 1_030, 2_000, 1);
    assert_eq!(run.standing_problems(), ["clock_skew"]);
    let (row, level) = run.standing.keys().next().expect("one stands");
    assert_eq!(
        (row.count, row.evidence.head.len(), *level),
        (3, 2, Level::Low)
    );
    for n in 0..20 {
        run.receive(1, 1_040 + n, 2_000, 1);
    }
    assert_eq!(run.standing_problems(), ["clock_skew"]);
    let count = run.standing.keys().next().map(|(row, _)| row.count);
    assert_eq!(count, Some(16), "revised at powers of two");
    run.tick(1_359);
    assert_eq!(run.standing_problems(), ["clock_skew"]);
    run.tick(1_361);
    assert!(run.standing_problems().is_empty());
    // The skewed times do not make other sources lag.
    for n in 0..100 {
        run.receive(2, 1_361 + n, 1_361 + n, 1);
    }
    assert!(run.standing_problems().is_empty());
}

#[test]
fn changed_bounds_retract_the_alerts_of_the_previous_ones() {
    let mut run = MonitorRun::begin(BOUNDS);
    run.receive(1, 0, 0, 1);
    run.receive(1, 700, 700, 1);
    run.tick(2_000);
    assert_eq!(run.standing_problems(), ["silent"]);
    run.epoch(vec![
        SourceNote::Start(at(2_001)),
        SourceNote::Bounds(BOUNDS),
    ]);
    assert_eq!(
        run.standing_problems(),
        ["silent"],
        "a start with the same bounds changes nothing"
    );
    run.epoch(vec![SourceNote::Bounds(SourceBounds::default())]);
    assert!(run.standing_problems().is_empty());
    assert!(
        matches!(run.retracted[..], [Cause::Rule(_)]),
        "{:?}",
        run.retracted
    );
}

#[test]
fn order_within_an_epoch_has_no_effect() {
    let mut run = MonitorRun::begin(BOUNDS);
    let mut notes = vec![SourceNote::Now(at(9_000)), SourceNote::Start(at(8_000))];
    for n in 0..6 {
        let batch = run.batch(n % 3, 9_000 - 100 * n as i64, 9_100 * (n as i64 % 2), 5);
        notes.push(SourceNote::Batch(batch));
    }
    let mut expected = None;
    for _ in 0..notes.len() {
        notes.rotate_left(1);
        let mut run = MonitorRun::begin(SourceBounds {
            duration_min: Span(0),
            ..BOUNDS
        });
        run.epoch(notes.clone());
        let stands: Vec<_> = run.standing.into_keys().collect();
        assert!(!stands.is_empty());
        assert_eq!(*expected.get_or_insert_with(|| stands.clone()), stands);
    }
}
