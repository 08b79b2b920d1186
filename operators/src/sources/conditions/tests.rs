//! The condition monitor, by examples and by its oracle over random histories.

use weir_schema::{AlertId, Level};

use super::*;
use crate::reference::{StandingCondition, standing_conditions};

fn at(seconds: i64) -> ReceiveTime {
    ReceiveTime(seconds * 1_000_000_000)
}

fn entry(kind: ConditionKind, subject: &str, standing: bool, seconds: i64) -> Condition {
    Condition::new(kind, subject, "", standing, at(seconds))
}

/// Plays entries in epochs, and adds the rows up as a reader outside would.
#[derive(Default)]
struct ConditionRun {
    monitor: ConditionMonitor,
    ordinal: u64,
    standing: BTreeMap<(Arc<AlertRow>, Level), isize>,
    retracted: Vec<(AlertId, Cause)>,
}

impl ConditionRun {
    /// Plays an epoch, with its notes rotated by `rotation`.
    fn epoch(&mut self, entries: &[Condition], rotation: usize) {
        let mut notes = Vec::new();
        for entry in entries {
            self.ordinal += 1;
            notes.push(ConditionNote::new(self.ordinal, entry));
        }
        notes.rotate_left(rotation % entries.len().max(1));
        for output in self.monitor.epoch(notes) {
            match output {
                SourceOutput::Row { row, level, diff } => {
                    *self.standing.entry((row, level)).or_default() += diff;
                }
                SourceOutput::Retracted(alert, cause) => self.retracted.push((alert, cause)),
                SourceOutput::Counts(_) | SourceOutput::Marked(..) => {
                    panic!("conditions have no counts")
                }
            }
        }
        self.standing.retain(|_, count| *count != 0);
        let once = self.standing.values().all(|count| *count == 1);
        assert!(once, "each row stands once");
    }

    fn counts(&self) -> Vec<u64> {
        self.standing.keys().map(|(row, _)| row.count).collect()
    }

    /// The standing rows in the words of the oracle.
    fn standing(&self, subjects: &[String]) -> Vec<StandingCondition> {
        let rows = self.standing.keys().map(|(row, _)| {
            let kind = ConditionKind::from_plan(row.plan).expect("a condition");
            let mut named = subjects.iter();
            let subject = named.find(|name| kind.group(name) == row.group);
            StandingCondition {
                kind,
                subject: subject.expect("a subject of the test").clone(),
                first: ReceiveTime(row.first.0),
                last: ReceiveTime(row.last.0),
                count: row.count,
            }
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    }
}

#[test]
fn a_lasting_condition_is_raised_revised_and_over() {
    let mut run = ConditionRun::default();
    let kind = ConditionKind::AlertsLate;
    run.epoch(&[entry(kind, "", true, 10)], 0);
    assert_eq!(run.counts(), [1]);
    run.epoch(&[entry(kind, "", true, 5_000)], 0);
    assert_eq!(run.counts(), [2], "however long it lasts, it is one");
    let alert = run.standing.keys().next().map(|(row, _)| row.alert);
    run.epoch(&[entry(kind, "", false, 5_001)], 0);
    assert!(run.standing.is_empty());
    let over = Cause::Condition(at(5_001));
    assert_eq!(run.retracted, [(alert.expect("it stood"), over)]);
    run.epoch(&[entry(kind, "", false, 5_002)], 0);
    assert_eq!(run.retracted.len(), 1, "a second end has no effect");
}

#[test]
fn momentary_conditions_stay_and_recur_as_one_within_an_hour() {
    let mut run = ConditionRun::default();
    let kind = ConditionKind::UncleanEnd;
    for seconds in [0, 3_600, 7_200] {
        run.epoch(&[entry(kind, "", true, seconds)], 0);
    }
    assert_eq!(run.counts(), [3]);
    run.epoch(&[entry(kind, "", true, 10_801)], 0);
    let mut counts = run.counts();
    counts.sort_unstable();
    assert_eq!(counts, [1, 3], "an hour later it is another one");
    assert!(run.retracted.is_empty());
}

#[test]
fn subjects_are_bounded() {
    let mut run = ConditionRun::default();
    let all = CONDITION_SUBJECTS_MAX + 5;
    for n in 0..all {
        let subject = format!("rule {n}");
        run.epoch(
            &[entry(ConditionKind::RuleOverBudget, &subject, true, 1)],
            0,
        );
    }
    assert_eq!(run.standing.len(), CONDITION_SUBJECTS_MAX);
    let mut momentary = ConditionRun::default();
    for n in 0..all {
        let subject = format!("part {n}");
        momentary.epoch(&[entry(ConditionKind::PartFailed, &subject, true, 1)], 0);
    }
    assert_eq!(momentary.standing.len(), all, "their alerts stay");
    let known: usize = momentary.monitor.kinds.values().map(BTreeMap::len).sum();
    assert_eq!(known, CONDITION_SUBJECTS_MAX);
}

/// A generator of numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn random_histories_equal_the_reference_in_any_epochs() {
    for seed in 1..=300 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        // Some histories have more subjects than are followed.
        let named = if seed % 3 == 0 { 90 } else { 3 };
        let subjects: Vec<String> = (0..named).map(|n| format!("subject {n}")).collect();
        let mut now = 0;
        let mut entries = Vec::new();
        for _ in 0..dice.below(400) {
            // Clocks jump back, too.
            now += dice.below(2_000) as i64 - 300;
            let kind = ConditionKind::ALL[dice.below(9) as usize];
            let kind = if named > 3 {
                ConditionKind::ALL[(seed % 9) as usize]
            } else {
                kind
            };
            let subject = &subjects[dice.below(named) as usize];
            entries.push(entry(kind, subject, dice.below(3) > 0, now));
        }
        let mut expected = standing_conditions(&entries);
        expected.sort();
        let mut run = ConditionRun::default();
        let mut left = &entries[..];
        while !left.is_empty() {
            let size = 1 + dice.below(left.len().min(9) as u64) as usize;
            let (epoch, rest) = left.split_at(size);
            run.epoch(epoch, dice.below(9) as usize);
            left = rest;
        }
        assert_eq!(run.standing(&subjects), expected, "seed {seed}");
    }
}
