//! Repairs of the clock: a journal with a wrong stretch and its repair gives the alerts of a right clock.

use std::collections::BTreeMap;
use std::path::Path;

use rand::SeedableRng;
use rand::prelude::*;
use rand::rngs::StdRng;
use weir::server::derive::derive_ledger;
use weir_schema::{
    AlertId, AlertRecord, Batch, BatchSeq, Cause, ClockRepair, Control, Entry, Epoch, EventTime,
    Format, ReceiveTime, Span, TimeBounds, Transport,
};
use weir_store::journal::{Journal, JournalOptions, JournalReader, JournalWriter};
use weir_store::ledger::Ledger;

/// 2026-03-02T00:00:00Z, in seconds.
const START: i64 = 1_772_409_600;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

const RULES: [&str; 3] = [
    "title: Failed\nname: failed\nid: failed\nlogsource: {product: shop}\n\
     detection: {selection: {action: fail}, condition: selection}\n",
    "title: Many fail\nname: many\nid: many\ncorrelation: {type: event_count, rules: [failed], \
     group-by: [user], timespan: 60s, condition: {gte: 4}}\n",
    "title: Often many\nid: often\ncorrelation: {type: event_count, rules: [many], \
     group-by: [user], timespan: 300s, condition: {gte: 2}, generate: true}\n",
];

/// The epochs of a history: those of the wrong stretch lie between the two numbers.
struct History {
    seed: u64,
    shift: i64,
    wrong: std::ops::Range<i64>,
    /// Whether the receive times of the stretch are wrong, and the repair stands behind them.
    is_wrong: bool,
}

/// Steps of ten seconds: before the repair, and after it.
const STEPS: i64 = 24;
const STEPS_AFTER: i64 = 8;

impl History {
    /// Writes the journal. Returns the epoch of the repair.
    fn write(&self, dir: &Path) -> (JournalWriter, Epoch) {
        let options = JournalOptions {
            fsync: false,
            ..JournalOptions::default()
        };
        let (mut writer, _) = Journal::open(dir, options).expect("a journal");
        let start = Control::Start {
            version: "test".to_owned(),
            bounds: TimeBounds {
                lateness: Span::seconds(20),
                horizon: Some(Span::seconds(150)),
                ..TimeBounds::default()
            },
            received: ReceiveTime(START * SECOND),
        };
        let rules = RULES.iter().map(|text| Control::RulePut {
            text: (*text).to_owned(),
            origin: "test".to_owned(),
            since: EventTime::MIN,
        });
        let controls = std::iter::once(start).chain(rules).map(Entry::Control);
        seal(&mut writer, controls.collect());
        let mut rng = StdRng::seed_from_u64(self.seed);
        let (mut from, mut to) = (Epoch(0), Epoch(0));
        for step in 0..STEPS {
            let is_wrong = self.wrong.contains(&step);
            let shift = if is_wrong && self.is_wrong {
                self.shift
            } else {
                0
            };
            let epoch = seal(&mut writer, self.step(&mut rng, step, shift));
            if is_wrong {
                from = if from == Epoch(0) { epoch } else { from };
                to = epoch;
            }
        }
        let repair = Control::ClockRepair(ClockRepair {
            number: 1,
            from,
            to,
            batches_from: BatchSeq(self.wrong.start as u64 * 2),
            batches_to: BatchSeq(self.wrong.end as u64 * 2),
            shift: Span::seconds(-self.shift),
            received: ReceiveTime((START + STEPS * 10) * SECOND),
        });
        let none = Control::Reading { number: 0 };
        let control = if self.is_wrong { repair } else { none };
        let repaired = seal(&mut writer, vec![Entry::Control(control)]);
        for step in STEPS..STEPS + STEPS_AFTER {
            let entries = self.step(&mut rng, step, 0);
            seal(&mut writer, entries);
        }
        (writer, repaired)
    }

    /// Two batches and a tick, received `shift` seconds from when they were.
    fn step(&self, rng: &mut StdRng, step: i64, shift: i64) -> Vec<Entry> {
        let now = START + step * 10;
        let received = ReceiveTime((now + shift) * SECOND);
        let mut entries = vec![Entry::Control(Control::Tick { received })];
        for source in ["one", "two"] {
            let frame = |rng: &mut StdRng| {
                let back = rng.random_range(0..40);
                let time = chrono::DateTime::from_timestamp(now - back, 0).expect("a time");
                let actions = ["fail", "fail", "look"];
                let action = actions.choose(rng).expect("not empty");
                let mut line = serde_json::json!({
                    "action": action,
                    "user": format!("u{}", rng.random_range(0..3)),
                    "host": "h",
                    "n": rng.random::<u32>(),
                });
                // Every other line has no time of its own.
                if rng.random_bool(0.5) {
                    line["@timestamp"] = time.to_rfc3339().into();
                }
                line.to_string()
            };
            let count = rng.random_range(1..4);
            entries.push(Entry::from(Batch {
                tenant: "default".to_owned(),
                source: source.to_owned(),
                transport: Transport::Tcp,
                format: Format::Json,
                peer: None,
                zone: None,
                logsource: Some("product=shop".to_owned()),
                received,
                delivery: None,
                frames: (0..count).map(|_| frame(rng)).collect(),
            }));
        }
        entries
    }
}

fn seal(writer: &mut JournalWriter, entries: Vec<Entry>) -> Epoch {
    for entry in &entries {
        writer.append(entry).expect("it can be written");
    }
    let epoch = writer.seal().expect("sealed");
    writer.sync().expect("synced");
    epoch
}

/// The ledger as text, and its standing alerts.
struct Derived {
    text: String,
    standing: BTreeMap<AlertId, AlertRecord>,
}

fn derive(journal: &JournalReader, until: Epoch, workers: usize, dir: &Path) -> Derived {
    let ledger = derive_ledger(journal.clone(), until, workers, dir, |_| {});
    read(&ledger.expect("the graph runs"))
}

fn read(ledger: &Ledger) -> Derived {
    let mut text = Vec::new();
    ledger.export(&mut text).expect("it can be read");
    let all = ledger.records(None, 1_000_000).expect("it can be read");
    let standing = all.into_iter().filter(|record| record.standing);
    Derived {
        text: String::from_utf8(text).expect("it is text"),
        standing: standing.map(|record| (record.alert, record)).collect(),
    }
}

/// The standing alerts without ids, revisions and causes.
fn stated(derived: &Derived) -> Vec<String> {
    let stated = derived.standing.values().map(|record| {
        let record = AlertRecord {
            alert: record.key,
            revision: 0,
            raised: Epoch(0),
            cause: Cause::RuleRemoved,
            ..record.clone()
        };
        format!("{record:?}")
    });
    let mut stated: Vec<String> = stated.collect();
    stated.sort();
    stated
}

/// Fails if an alert shares an event with an alert of before, and neither it nor another has the id.
fn assert_ids_are_kept(
    unrepaired: &BTreeMap<AlertId, AlertRecord>,
    repaired: &BTreeMap<AlertId, AlertRecord>,
) {
    let evidence = |record: &AlertRecord| {
        let items = record.evidence.head.iter().chain(&record.evidence.tail);
        items.map(|item| item.position).collect::<Vec<_>>()
    };
    for record in repaired.values() {
        let shares = |old: &&AlertRecord| {
            old.rule == record.rule
                && evidence(old)
                    .iter()
                    .any(|one| evidence(record).contains(one))
        };
        let mut olds = unrepaired.values().filter(shares).peekable();
        // Two alerts of before may have become one, or one two.
        let others = repaired
            .values()
            .filter(|other| other.alert != record.alert && unrepaired.contains_key(&other.alert));
        let taken: Vec<AlertId> = others.map(|other| other.alert).collect();
        if olds.peek().is_some() && !olds.any(|old| taken.contains(&old.alert)) {
            assert!(unrepaired.contains_key(&record.alert), "{record:?}");
        }
    }
}

/// Checks one history. Returns how many standing alerts the repair changed.
fn check(seed: u64, shift: i64) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let mut rng = StdRng::seed_from_u64(seed);
    let begin = rng.random_range(3..12);
    let mut history = History {
        seed,
        shift,
        wrong: begin..begin + rng.random_range(1..6),
        is_wrong: true,
    };
    let (writer, repaired) = history.write(&at("wrong"));
    let journal = writer.reader();
    let end = journal.last_sealed();
    history.is_wrong = false;
    let (right, _) = history.write(&at("right"));
    assert_eq!(right.reader().last_sealed(), end);

    // The alerts are those of a right clock, on any number of workers, to the byte.
    let oracle = derive(&right.reader(), end, 1, &at("oracle"));
    let whole = derive(&journal, end, 1, &at("1"));
    assert_eq!(stated(&whole), stated(&oracle), "seed {seed}, {shift} s");
    for workers in [2, 4] {
        let other = derive(&journal, end, workers, &at(&workers.to_string()));
        assert_eq!(other.text, whole.text, "seed {seed}, {workers} workers");
    }

    // A ledger that lived through it is the same, wherever its runs ended.
    let before = Epoch(repaired.0 - 1);
    let mut lived = derive(&journal, before, 2, &at("lived"));
    let unrepaired = std::mem::take(&mut lived.standing);
    let after = derive(&journal, repaired, 1, &at("lived"));
    lived = derive(&journal, end, 1, &at("lived"));
    assert_eq!(lived.text, whole.text, "seed {seed}, {shift} s");

    assert_ids_are_kept(&unrepaired, &after.standing);
    let differs = |record: &&AlertRecord| record.cause == Cause::ClockRepair;
    after.standing.values().filter(differs).count()
}

/// W2: after the repair of a clock that was wrong once, alerts are those of a right clock.
#[test]
fn a_repaired_journal_gives_the_alerts_of_a_right_clock() {
    let mut changed = 0;
    for seed in 0..3 {
        for shift in [2 * DAY, -2 * DAY, 3_650 * DAY] {
            changed += check(seed, shift);
        }
    }
    // A repair that changes nothing would pass, too.
    assert!(changed >= 9, "{changed} alerts changed");
}
