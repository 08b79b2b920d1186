//! What stands of sources, played second by second.

use weir_schema::{BatchSeq, EventId, Position};

use super::*;

const TENANT: TenantKey = TenantKey(1);

const BOUNDS: SourceBounds = SourceBounds {
    silent: Span::seconds(600),
    lagging: Span::seconds(3_600),
    flooding: 10,
    flooding_events_min: 100,
    clock_skew: Span::seconds(60),
    duration_min: Span::seconds(30),
};

/// Plays epochs, and keeps what stands as an outside would: from the rows alone.
struct Play {
    sources: SourceMonitor,
    batches: u64,
    standing: BTreeMap<(Arc<AlertRow>, Level), isize>,
    retracted: Vec<Cause>,
    troubles: SourceProblemCounts,
}

impl Play {
    fn begin(bounds: SourceBounds) -> Self {
        let mut play = Self {
            sources: SourceMonitor::default(),
            batches: 0,
            standing: BTreeMap::new(),
            retracted: Vec::new(),
            troubles: SourceProblemCounts::default(),
        };
        play.epoch(vec![SourceNote::Start(at(0)), SourceNote::Bounds(bounds)]);
        play
    }

    fn epoch(&mut self, notes: Vec<SourceNote>) {
        for said in self.sources.epoch(notes) {
            match said {
                SourceOutput::Row(row, diff) => *self.standing.entry(row).or_default() += diff,
                SourceOutput::Retracted(_, cause) => self.retracted.push(cause),
                SourceOutput::Troubles(troubles) => self.troubles = troubles,
            }
        }
        self.standing.retain(|_, count| *count != 0);
        assert!(
            self.standing.values().all(|count| *count == 1),
            "a row stands once"
        );
        let standing: u32 = self.troubles.standing.iter().sum();
        assert_eq!(standing as usize, self.standing.len(), "and is counted");
    }

    fn tick(&mut self, now: i64) {
        self.epoch(vec![SourceNote::Now(at(now))]);
    }

    fn hear(&mut self, source: u64, now: i64, time: i64, events: u64) {
        let heard = self.heard(source, now, time, events);
        self.epoch(vec![SourceNote::Heard(heard)]);
    }

    fn heard(&mut self, source: u64, now: i64, time: i64, events: u64) -> SourceBatch {
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

    /// What stands, by rule.
    fn stands(&self) -> Vec<&'static str> {
        let rules = self.standing.keys().map(|(row, _)| {
            let trouble = SourceProblem::of_plan(row.plan).expect("a rule of ours");
            trouble.name()
        });
        let mut rules: Vec<_> = rules.collect();
        rules.sort_unstable();
        rules
    }
}

fn at(seconds: i64) -> ReceiveTime {
    ReceiveTime(seconds * 1_000_000_000)
}

#[test]
fn silence_counts_once_a_source_was_heard_as_long_and_while_someone_listens() {
    let mut play = Play::begin(BOUNDS);
    play.hear(1, 10, 10, 1);
    play.tick(700);
    assert!(play.stands().is_empty(), "it came once");
    play.hear(1, 700, 700, 1);
    play.tick(1_300);
    assert!(play.stands().is_empty(), "not yet");
    play.tick(1_301);
    assert_eq!(play.stands(), ["silent"]);
    play.tick(5_000);
    assert_eq!(play.stands(), ["silent"], "once");
    play.hear(1, 5_001, 5_001, 1);
    assert!(play.stands().is_empty(), "heard again");
    assert!(
        matches!(play.retracted[..], [Cause::Event(_)]),
        "{:?}",
        play.retracted
    );
    play.epoch(vec![
        SourceNote::Start(at(9_000)),
        SourceNote::Bounds(BOUNDS),
    ]);
    play.tick(9_500);
    assert!(play.stands().is_empty(), "nobody listened until then");
    play.tick(9_601);
    assert_eq!(play.stands(), ["silent"]);
}

#[test]
fn a_heartbeat_is_a_sign_of_life() {
    let mut play = Play::begin(BOUNDS);
    play.hear(1, 0, 0, 1);
    play.hear(1, 700, 700, 1);
    let (tenant, source) = (TENANT, SourceKey(1));
    let beat = |now| {
        vec![
            SourceNote::Heartbeat { tenant, source },
            SourceNote::Now(at(now)),
        ]
    };
    play.epoch(beat(1_200));
    play.tick(1_301);
    assert!(play.stands().is_empty());
    play.tick(1_801);
    assert_eq!(play.stands(), ["silent"]);
    play.epoch(beat(1_900));
    assert!(play.stands().is_empty());
}

#[test]
fn a_source_lags_behind_the_furthest_of_its_tenant() {
    let mut play = Play::begin(BOUNDS);
    for now in (10_000..10_040).step_by(10) {
        play.hear(1, now, now, 1);
        play.hear(2, now, now - 3_601, 1);
        assert_eq!(play.stands().is_empty(), now < 10_030, "patience, {now}");
    }
    assert_eq!(play.stands(), ["lagging"]);
    play.hear(2, 10_041, 10_041, 1);
    assert!(play.stands().is_empty());
    let mut alone = Play::begin(BOUNDS);
    for now in 0..100 {
        alone.hear(1, 1_000_000 + now, now, 1);
    }
    assert!(
        alone.stands().is_empty(),
        "old logs alone lag behind nothing"
    );
}

#[test]
fn a_flood_is_more_than_usual_and_more_than_a_little() {
    for (usual, flood, expected) in [
        (20, 199, false),
        (20, 201, true),
        // Ten times as many, and still a little.
        (1, 99, false),
        (1, 101, true),
    ] {
        let mut play = Play::begin(BOUNDS);
        for minute in 0..61 {
            play.hear(1, minute * 60, minute * 60, usual);
        }
        play.hear(1, 61 * 60, 61 * 60, flood);
        assert_eq!(
            !play.stands().is_empty(),
            expected,
            "{flood} after {usual} a minute"
        );
        play.tick(61 * 60 + 59);
        assert_eq!(
            !play.stands().is_empty(),
            expected,
            "the minute is not over"
        );
        play.tick(63 * 60);
        assert!(play.stands().is_empty(), "and a minute without is over");
    }
    let mut new = Play::begin(BOUNDS);
    new.hear(1, 0, 0, 1_000_000);
    assert!(new.stands().is_empty(), "what is usual is not known yet");
}

#[test]
fn a_flood_does_not_soon_become_what_is_usual() {
    let mut play = Play::begin(BOUNDS);
    for minute in 0..120 {
        play.hear(1, minute * 60, minute * 60, 20);
    }
    for minute in 120..140 {
        play.hear(1, minute * 60, minute * 60, 5_000);
        assert_eq!(play.stands(), ["flooding"], "minute {minute}");
    }
}

#[test]
fn a_clock_that_runs_ahead_is_told_after_a_while_and_forgiven_after_a_calm() {
    let mut play = Play::begin(BOUNDS);
    play.hear(1, 1_000, 1_061, 1);
    play.hear(1, 1_000, 2_000, 1);
    assert!(play.stands().is_empty(), "one may be a broken line");
    play.hear(1, 1_030, 2_000, 1);
    assert_eq!(play.stands(), ["clock_skew"]);
    let (row, level) = play.standing.keys().next().expect("one stands");
    assert_eq!(
        (row.count, row.evidence.head.len(), *level),
        (3, 2, Level::Low)
    );
    for n in 0..20 {
        play.hear(1, 1_040 + n, 2_000, 1);
    }
    assert_eq!(play.stands(), ["clock_skew"]);
    let count = play.standing.keys().next().map(|(row, _)| row.count);
    assert_eq!(count, Some(16), "told again at powers of two");
    play.tick(1_359);
    assert_eq!(play.stands(), ["clock_skew"]);
    play.tick(1_361);
    assert!(play.stands().is_empty());
    // It was no reason to think that others lag.
    for n in 0..100 {
        play.hear(2, 1_361 + n, 1_361 + n, 1);
    }
    assert!(play.stands().is_empty());
}

#[test]
fn other_bounds_take_back_what_was_said_under_those_before() {
    let mut play = Play::begin(BOUNDS);
    play.hear(1, 0, 0, 1);
    play.hear(1, 700, 700, 1);
    play.tick(2_000);
    assert_eq!(play.stands(), ["silent"]);
    play.epoch(vec![
        SourceNote::Start(at(2_001)),
        SourceNote::Bounds(BOUNDS),
    ]);
    assert_eq!(
        play.stands(),
        ["silent"],
        "a start with the same bounds changes nothing"
    );
    play.epoch(vec![SourceNote::Bounds(SourceBounds::default())]);
    assert!(play.stands().is_empty());
    assert!(
        matches!(play.retracted[..], [Cause::Rule(_)]),
        "{:?}",
        play.retracted
    );
}

#[test]
fn the_order_within_an_epoch_does_not_matter() {
    let mut play = Play::begin(BOUNDS);
    let mut notes = vec![SourceNote::Now(at(9_000)), SourceNote::Start(at(8_000))];
    for n in 0..6 {
        let heard = play.heard(n % 3, 9_000 - 100 * n as i64, 9_100 * (n as i64 % 2), 5);
        notes.push(SourceNote::Heard(heard));
    }
    let mut expected = None;
    for _ in 0..notes.len() {
        notes.rotate_left(1);
        let mut play = Play::begin(SourceBounds {
            duration_min: Span(0),
            ..BOUNDS
        });
        play.epoch(notes.clone());
        let stands: Vec<_> = play.standing.into_keys().collect();
        assert!(!stands.is_empty());
        assert_eq!(*expected.get_or_insert_with(|| stands.clone()), stands);
    }
}
