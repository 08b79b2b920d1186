//! Drives a desk through consumers that crash, answer late, twice, with errors or never, and restarts.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use weir_schema::said::{OutboxFilter, Histories};
use weir_schema::{
    AlertRecord, AlertState, Cause, Change, ChangeKind, Epoch, EventTime, Evidence, Level,
    RuleVersion,
};

use super::*;
use crate::position::Position;

const PATIENCE: Patience = Patience {
    retry_min: Span::seconds(1),
    retry_max: Span::seconds(60),
    tries_max: 3,
    age_max: Span::seconds(3_600),
};

struct Kept(Vec<Change>);

impl Histories for Kept {
    type Error = std::convert::Infallible;

    fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, Self::Error> {
        let mut newest = self.0.iter().rev().map(|change| (&change.record, change));
        let found = newest.find(|(record, _)| record.alert == alert && record.revision < revision);
        Ok(found.map(|(_, change)| change.clone()))
    }
}

/// Which alert, what happens, whether it is provisional.
type Move = (u64, u8, bool);

/// A history that the ledger could keep.
fn history(moves: &[Move]) -> Vec<Change> {
    let mut standing = BTreeSet::new();
    let mut revisions: BTreeMap<AlertId, u64> = BTreeMap::new();
    let mut changes = Vec::new();
    for (epoch, (alert, action, provisional)) in (1..).zip(moves) {
        let alert = AlertId([0, *alert]);
        let stood = standing.contains(&alert);
        let mut supersedes = Vec::new();
        let kind = match action {
            _ if !stood => ChangeKind::Raised,
            0 => ChangeKind::Retracted,
            1 => {
                let other = standing.iter().copied().find(|other| *other != alert);
                supersedes.extend(other);
                ChangeKind::Revised
            }
            _ => ChangeKind::Revised,
        };
        standing.retain(|other| !supersedes.contains(other));
        match kind {
            ChangeKind::Retracted => standing.remove(&alert),
            _ => standing.insert(alert),
        };
        let revision = revisions.entry(alert).or_default();
        *revision += 1;
        let (epoch, ordinal) = (Epoch(epoch), 0);
        let record = record(alert, *revision, *provisional);
        changes.push(Change {
            kind,
            epoch,
            ordinal,
            supersedes,
            record,
        });
    }
    changes
}

fn record(alert: AlertId, revision: u64, provisional: bool) -> AlertRecord {
    AlertRecord {
        alert,
        key: alert,
        revision,
        standing: true,
        raised: Epoch(1),
        rule: "r".into(),
        version: RuleVersion(1),
        title: String::new(),
        level: Level::Low,
        tenant: String::new(),
        group: Vec::new(),
        state: match provisional {
            true => AlertState::Provisional,
            false => AlertState::Confirmed,
        },
        first: EventTime(0),
        last: EventTime(0),
        count: 1,
        limited: false,
        supersedes: Vec::new(),
        evidence: Evidence::default(),
        cause: Cause::RuleRemoved,
    }
}

/// Who is told; knows a message that comes again by its id.
#[derive(Default)]
struct Consumer {
    seen: BTreeMap<AlertId, u64>,
    believed: BTreeSet<AlertId>,
}

impl Consumer {
    fn hear(&mut self, word: ChangeKind, change: &Change) {
        let (alert, revision) = (change.record.alert, change.record.revision);
        let newest = self.seen.entry(alert).or_default();
        if revision <= *newest {
            return; // It came before.
        }
        *newest = revision;
        self.believed
            .retain(|other| !change.supersedes.contains(other));
        match word {
            ChangeKind::Retracted => self.believed.remove(&alert),
            _ => self.believed.insert(alert),
        };
    }
}

/// A server, its journal, and the consumer.
struct World {
    kept: Kept,
    filter: OutboxFilter,
    desk: Desk,
    /// What the journal says of the sink.
    position: Position,
    now: ReceiveTime,
    under_way: Vec<(AlertId, Row)>,
    consumer: Consumer,
    sent: usize,
}

impl World {
    fn word(&self, change: &Change) -> Option<ChangeKind> {
        let Ok(word) = self.filter.word(&self.kept, change);
        word
    }

    fn row(change: &Change, word: ChangeKind) -> Row {
        Row {
            at: Cursor::of(change),
            revision: change.record.revision,
            word,
            supersedes: change.supersedes.clone(),
        }
    }

    fn rows(&self, alert: AlertId, from: Cursor, read: Cursor) -> Vec<Row> {
        let of_it = self.kept.0.iter();
        let of_it = of_it.filter(|change| change.record.alert == alert);
        let held = of_it.filter(|change| (from..=read).contains(&Cursor::of(change)));
        let rows = held.filter_map(|change| Some(Self::row(change, self.word(change)?)));
        rows.collect()
    }

    fn read(&mut self) -> bool {
        let next = self
            .kept
            .0
            .iter()
            .find(|change| Cursor::of(change) > self.desk.read());
        let Some(change) = next.filter(|_| self.desk.has_room()).cloned() else {
            return false;
        };
        let word = self.word(&change);
        let wanted = word.map(|_| change.record.alert);
        let row = Self::row(&change, word.unwrap_or(change.kind));
        self.desk.put(row, wanted, self.now);
        true
    }

    fn begin(&mut self) -> bool {
        let mut next = self.desk.next(self.now);
        if self.desk.wants_keep() {
            self.journal();
            next = self.desk.next(self.now);
        }
        let is_any = next.is_some();
        self.under_way.extend(next);
        is_any
    }

    /// Something that is under way ends.
    fn end(&mut self, which: usize, heard: bool, answered: bool, gone: bool, jitter: f64) {
        let (alert, row) = self.under_way.remove(which);
        let change = self
            .kept
            .0
            .iter()
            .find(|change| Cursor::of(change) == row.at);
        let change = change.expect("it was read");
        if heard {
            assert_eq!(self.word(change), Some(row.word));
            self.consumer.hear(row.word, change);
            self.sent += 1;
        }
        if heard && answered {
            return self.desk.delivered(alert, self.now);
        }
        let failure = Failure {
            reason: "no answer".to_owned(),
            pause: (jitter > 0.9).then_some(Span::seconds(30)),
            gone,
        };
        self.desk.failed(alert, self.now, &failure, jitter);
    }

    fn journal(&mut self) {
        if let Some(entry) = self.desk.entry("s") {
            self.position.follow(&entry);
            self.desk.keep(&entry);
            assert_eq!(self.desk.entry("s"), None);
        }
    }

    fn restart(&mut self) {
        // What was under way may still be heard; its answer is not.
        self.under_way.clear();
        let read = self.position.read().unwrap_or(Cursor::START);
        let rows = |alert, from| Ok::<_, ()>(self.rows(alert, from, read));
        self.desk = Desk::resume(&self.position, read, PATIENCE, rows).expect("it cannot fail");
    }

    fn revive(&mut self) {
        let dead: Vec<_> = self.desk.dead().iter().map(|(a, d)| (*a, d.from)).collect();
        for (alert, from) in dead {
            let rows = self.rows(alert, from, self.desk.read());
            let listed = self.desk.dead()[&alert].rows;
            assert!(listed >= rows.len() as u64, "{listed} of {}", rows.len());
            assert!(self.desk.revive(alert, rows, self.now));
        }
        if self.desk.stopped().is_some() {
            self.desk.go_on(self.now);
        }
    }

    /// The consumer is well again, and people send the dead letters once more.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.revive();
            while self.read() {}
            if !self.begin() && self.under_way.is_empty() {
                let Some(due) = self.desk.due(self.now) else {
                    break;
                };
                self.now = due;
            }
            while !self.under_way.is_empty() {
                self.end(0, true, true, false, 0.0);
            }
        }
    }
}

fn world(moves: &[Move]) -> World {
    World {
        kept: Kept(history(moves)),
        filter: OutboxFilter::default(),
        desk: Desk::begin(Cursor::START, PATIENCE),
        position: Position::default(),
        now: ReceiveTime(0),
        under_way: Vec::new(),
        consumer: Consumer::default(),
        sent: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever consumer, network and server go through: in the end the consumer believes of each
    /// alert what stands, and heard of none a later revision before an earlier one.
    #[test]
    fn a_consumer_ends_up_with_what_stands(
        moves in prop::collection::vec((0..5_u64, 0..5_u8, any::<bool>()), 0..40),
        seed in any::<u64>(),
    ) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut world = world(&moves);
        for _ in 0..300 {
            match rng.random_range(0..100) {
                0..30 => drop(world.read()),
                30..60 => drop(world.begin()),
                60..90 if !world.under_way.is_empty() => {
                    let which = rng.random_range(0..world.under_way.len());
                    let (heard, answered) = (rng.random_bool(0.6), rng.random_bool(0.6));
                    let gone = rng.random_bool(0.01);
                    world.end(which, heard, answered, gone, rng.random());
                }
                60..94 => world.now = world.desk.due(world.now).unwrap_or(world.now),
                94..97 => world.journal(),
                97..99 => world.restart(),
                _ => world.revive(),
            }
        }
        world.settle();
        let mut standing = BTreeSet::new();
        for change in &world.kept.0 {
            standing.retain(|alert| !change.supersedes.contains(alert));
            match world.word(change) {
                Some(ChangeKind::Retracted) => standing.remove(&change.record.alert),
                Some(_) => standing.insert(change.record.alert),
                None => false,
            };
        }
        prop_assert_eq!(&world.consumer.believed, &standing);
        prop_assert_eq!(world.desk.waiting(), 0);
        prop_assert!(world.desk.dead().is_empty());
        prop_assert!(world.desk.merges.is_empty() && world.desk.rows == 0);
        // And from what the journal then says, nothing is sent twice.
        world.journal();
        world.restart();
        let sent = world.sent;
        world.settle();
        prop_assert_eq!(world.sent, sent);
    }
}

#[test]
fn one_alert_that_fails_does_not_hold_up_another() {
    let mut world = world(&[(1, 2, false), (2, 2, false), (1, 2, false), (3, 2, false)]);
    while world.read() {}
    let (bad, other) = (AlertId([0, 1]), AlertId([0, 2]));
    assert!(world.begin());
    world.end(0, false, false, false, 0.0);
    assert!(world.begin());
    assert_eq!(world.under_way[0].0, other);
    world.end(0, true, true, false, 0.0);
    // Who answers one is asked for the others at once; given up after three tries, with all of it.
    for _ in 0..20 {
        if !world.begin() {
            let Some(due) = world.desk.due(world.now) else {
                break;
            };
            world.now = due;
            continue;
        }
        let heard = world.under_way[0].0 != bad;
        world.end(0, heard, heard, false, 0.0);
    }
    let dead = &world.desk.dead()[&bad];
    let places: Vec<u64> = [dead.from, dead.last].map(|at| at.epoch.0).to_vec();
    assert_eq!((places, world.consumer.believed.len()), (vec![1, 3], 2));
}

#[test]
fn an_alert_that_is_refused_among_others_that_are_taken_is_not_given_up_early() {
    let mut world = world(&(0..2_000).map(|n| (n, 2, false)).collect::<Vec<Move>>());
    let patience = Patience {
        retry_max: Span::seconds(300),
        tries_max: 100,
        ..PATIENCE
    };
    world.desk = Desk::begin(Cursor::START, patience);
    let (bad, mut tries) = (AlertId([0, 0]), 0);
    // A hundred are taken a second, for twenty seconds.
    while world.read() {
        while world.begin() {
            let is_bad = world.under_way[0].0 == bad;
            tries += u32::from(is_bad);
            world.end(0, !is_bad, !is_bad, false, 0.5);
        }
        world.now = world.now.plus(Span(Span::SECOND.0 / 100));
    }
    assert!((2..=12).contains(&tries), "{tries}");
    assert!(world.desk.dead().is_empty());
}

#[test]
fn a_consumer_that_never_answers_costs_bounded_space() {
    let moves: Vec<Move> = (0..5_000).map(|n| (n % 2_000, 2, false)).collect();
    let mut world = world(&moves);
    for _ in 0..200_000 {
        while world.read() {}
        if world.begin() {
            world.end(0, false, false, false, 1.0);
        } else if let Some(due) = world.desk.due(world.now) {
            world.now = due;
        }
        assert!(world.desk.waiting() <= ALERTS_MAX && world.desk.rows <= ROWS_MAX);
        assert!(world.desk.dead().len() <= DEAD_MAX);
    }
    assert_eq!(
        (world.desk.dead().len(), world.desk.waiting()),
        (DEAD_MAX, ALERTS_MAX)
    );
    world.settle();
    assert_eq!(world.consumer.believed.len(), 2_000);
}

/// As configuration has it where it says nothing.
const DEFAULT: Patience = Patience {
    retry_min: Span::seconds(1),
    retry_max: Span::seconds(300),
    tries_max: 100,
    age_max: Span::seconds(24 * 3_600),
};

/// Two hours in which alerts go on to come and nothing is heard of the consumer: each attempt takes
/// `attempt`. `at_once`: how many it has under way, as its kind of sink has.
fn down_for_two_hours(at_once: usize, attempt: Span) {
    // Three rows of each of a thousand alerts, of which half are taken back.
    let action = |n: u64| {
        if n >= 2_000 && n.is_multiple_of(2) {
            0
        } else {
            2
        }
    };
    let moves: Vec<Move> = (0..3_000).map(|n| (n % 1_000, action(n), false)).collect();
    let mut world = world(&moves);
    world.desk = Desk::begin(Cursor::START, DEFAULT);
    let (mut tries, end) = (0, ReceiveTime(0).plus(Span::seconds(2 * 3_600)));
    while world.now < end {
        while world.read() {}
        while world.under_way.len() < at_once && world.begin() {}
        if world.under_way.is_empty() {
            world.now = world.desk.due(world.now).expect("something is owed");
        } else {
            world.now = world.now.plus(attempt);
        }
        while !world.under_way.is_empty() {
            world.end(0, false, false, false, 0.5);
            tries += 1;
        }
        world.journal();
        let (waiting, rows) = (world.desk.waiting(), world.desk.rows);
        assert!(
            waiting <= ALERTS_MAX && rows <= ROWS_MAX,
            "{waiting} {rows}"
        );
        // What the journal holds of the sink is bounded as the sink is.
        assert!(world.position.0.held.len() <= ALERTS_MAX + DEAD_MAX);
    }
    assert!(world.desk.dead().is_empty());
    // Of each alert that it may hold some forty times in two hours: no storm.
    assert!(tries < ALERTS_MAX * 60, "{tries}");
    // The server ends in the middle of it, too.
    world.restart();
    world.settle();
    assert_eq!(world.consumer.believed.len(), 500);
    assert_eq!(world.consumer.seen.len(), 1_000);
    assert!(world.consumer.seen.values().all(|newest| *newest == 3));
}

#[test]
fn a_consumer_that_is_down_for_two_hours_misses_nothing() {
    // Webhooks have eight under way, Alertmanager and CEF one; refused at once, or at the timeout.
    for (at_once, attempt_s) in [(8, 0), (8, 15), (1, 0), (1, 15)] {
        down_for_two_hours(at_once, Span::seconds(attempt_s));
    }
}

#[test]
fn a_dead_letter_counts_what_it_holds_and_is_sent_again_in_order() {
    // Alert 1 is raised, revised four times and retracted; 2 is another.
    let last = [
        (1, 2, false),
        (1, 2, false),
        (2, 2, false),
        (1, 2, false),
        (1, 0, false),
    ];
    let mut world = world(&[&[(1, 2, false), (1, 2, false)][..], &last].concat());
    let bad = AlertId([0, 1]);
    assert!(world.read() && world.read());
    while !world.desk.dead().contains_key(&bad) {
        if world.begin() {
            world.end(0, false, false, false, 0.0);
        } else {
            world.now = world.desk.due(world.now).expect("it is tried again");
        }
    }
    assert_eq!(world.desk.dead()[&bad].rows, 2);
    while world.read() {}
    assert_eq!(world.desk.dead()[&bad].rows, 6);
    // Told of none of it meanwhile, and counted alike after a restart.
    while world.begin() {
        world.end(0, true, true, false, 0.0);
    }
    assert_eq!((world.sent, world.consumer.seen.get(&bad)), (1, None));
    world.journal();
    world.restart();
    assert_eq!(world.desk.dead()[&bad].rows, 6);
    world.revive();
    let mut revisions = Vec::new();
    while world.begin() {
        revisions.push((world.under_way[0].1.revision, world.under_way[0].1.word));
        world.end(0, true, true, false, 0.0);
    }
    use ChangeKind::{Raised, Retracted, Revised};
    let words = [Raised, Revised, Revised, Revised, Revised, Retracted];
    assert!(revisions.into_iter().eq((1..).zip(words)));
    assert!(world.desk.dead().is_empty() && world.desk.rows == 0);
}

#[test]
fn a_pause_holds_all_that_is_sent_and_is_bounded() {
    let mut world = world(&[(1, 2, false), (2, 2, false)]);
    while world.read() {}
    let table = [
        (Span(-1), 0),
        (Span::seconds(7), 7),
        (Span(i64::MAX), 3_600),
    ];
    for (asked, expected) in table {
        let failure = Failure {
            reason: "later".to_owned(),
            pause: Some(asked),
            gone: false,
        };
        let until = world.now.plus(Span::seconds(expected));
        world.desk.heed(&failure, world.now);
        let just_before = ReceiveTime(until.0 - 1);
        assert!(
            expected == 0 || world.desk.is_held(just_before),
            "{asked:?}"
        );
        assert!(!world.desk.is_held(until), "{asked:?}");
        world.now = until;
    }
}

#[test]
fn delays_double_up_to_the_longest_and_are_spread() {
    let table = [
        (1, 0.0, 500),
        (1, 1.0, 1_000),
        (2, 1.0, 2_000),
        (6, 1.0, 32_000),
    ];
    let more = [(7, 1.0, 60_000), (7, 0.0, 30_000), (u32::MAX, 0.5, 45_000)];
    for (tries, jitter, expected_ms) in table.into_iter().chain(more) {
        let delay = PATIENCE.delay(tries, jitter);
        assert_eq!(
            delay.0 / 1_000_000,
            expected_ms,
            "after {tries} tries, {jitter}"
        );
    }
}
