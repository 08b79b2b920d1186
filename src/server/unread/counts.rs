//! Counts of events and of unread ones, by source, over a sliding window. Pure: its clock is an
//! argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use weir_dataflow::BatchNote;
use weir_ingest::SourceName;
use weir_schema::Position;

/// Parts of the window: it slides by a twelfth, which is five minutes of an hour.
const SLICES: u32 = 12;

/// Most events of a source that are remembered as samples, the newest ones. Three differing ones are
/// chosen among them.
const SAMPLES_MAX: usize = 12;

/// The events of one source in the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCount {
    pub name: SourceName,
    pub events: u64,
    /// Events without a log source, or with a problem.
    pub unread: u64,
    /// Places of unread events, newest first.
    pub samples: Vec<Position>,
}

impl SourceCount {
    /// The share of unread events, in whole percents.
    pub fn percent(&self) -> u64 {
        self.unread.saturating_mul(100) / self.events.max(1)
    }
}

/// The counts of all sources that sent events in the window.
///
/// **Bound.** The names come from the table of sources with metrics of their own, which has a limit.
#[derive(Debug)]
pub struct UnreadCounts {
    slice: Duration,
    sources: BTreeMap<SourceName, SourceWindow>,
}

#[derive(Debug, Default)]
struct SourceWindow {
    slices: VecDeque<Slice>,
    samples: VecDeque<Position>,
}

#[derive(Debug)]
struct Slice {
    number: u128,
    events: u64,
    unread: u64,
}

impl UnreadCounts {
    pub fn new(window: Duration) -> Self {
        Self {
            slice: (window / SLICES).max(Duration::from_millis(1)),
            sources: BTreeMap::new(),
        }
    }

    fn number(&self, now: Duration) -> u128 {
        now.as_nanos() / self.slice.as_nanos()
    }

    /// Adds a batch.
    pub fn record(&mut self, now: Duration, source: SourceName, batch: &BatchNote) {
        let number = self.number(now);
        let window = self.sources.entry(source).or_default();
        window.forget_before(number);
        match window
            .slices
            .back_mut()
            .filter(|last| last.number == number)
        {
            Some(last) => {
                last.events += batch.events;
                last.unread += batch.unread;
            }
            None => window.slices.push_back(Slice {
                number,
                events: batch.events,
                unread: batch.unread,
            }),
        }
        for sample in &batch.unread_samples {
            window.samples.push_front(*sample);
        }
        window.samples.truncate(SAMPLES_MAX);
    }

    /// The sources with events in the window that ends now, in order of their names.
    pub fn list(&mut self, now: Duration) -> Vec<SourceCount> {
        let number = self.number(now);
        self.sources.retain(|_, window| {
            window.forget_before(number);
            !window.slices.is_empty()
        });
        let counts = self.sources.iter().map(|(name, window)| SourceCount {
            name: name.clone(),
            events: window.slices.iter().map(|slice| slice.events).sum(),
            unread: window.slices.iter().map(|slice| slice.unread).sum(),
            samples: window.samples.iter().copied().collect(),
        });
        counts.collect()
    }
}

impl SourceWindow {
    /// Forgets the slices before the window whose last slice has this number.
    fn forget_before(&mut self, number: u128) {
        let is_old = |slice: &&Slice| slice.number + u128::from(SLICES) <= number;
        while self.slices.front().filter(is_old).is_some() {
            self.slices.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_schema::{BatchSeq, EventTime, Problem, SourceKey};

    use super::*;

    fn name(source: &str) -> SourceName {
        SourceName {
            tenant: "default".to_owned(),
            source: source.to_owned(),
        }
    }

    fn batch(seq: u64, events: u64, unread: u64) -> BatchNote {
        let samples = unread.min(3) as u16;
        BatchNote {
            batch: BatchSeq(seq),
            greatest: EventTime::MIN,
            latest: EventTime::MIN,
            events,
            matches: 0,
            facts: 0,
            ungrouped: 0,
            valueless: 0,
            problems: [0; Problem::ALL.len()],
            events_with_problems: 0,
            unread,
            unread_samples: (0..samples)
                .map(|frame| Position::new(BatchSeq(seq), frame))
                .collect(),
            source: SourceKey(1),
        }
    }

    #[test]
    fn counts_slide_with_their_window_and_samples_are_the_newest() {
        let mut counts = UnreadCounts::new(Duration::from_secs(3_600));
        let at = |minutes: u64| Duration::from_secs(60 * minutes);
        for minute in 0..180 {
            counts.record(
                at(minute),
                name("a"),
                &batch(minute, 10, u64::from(minute % 2 == 0)),
            );
            let found = counts.list(at(minute));
            let [found] = &found[..] else {
                panic!("one source")
            };
            // Whole slices of five minutes: at most an hour, at least 55 minutes.
            let expected = if minute < 60 {
                minute + 1
            } else {
                55 + minute % 5 + 1
            };
            assert_eq!(found.events, 10 * expected, "minute {minute}");
            assert!(found.samples.len() <= SAMPLES_MAX);
            assert_eq!(found.samples[0].batch(), BatchSeq(minute - minute % 2));
            assert_eq!(found.percent(), found.unread * 100 / found.events);
        }
        assert_eq!(counts.list(at(234)).len(), 1);
        assert!(counts.list(at(235)).is_empty(), "it was forgotten");
        assert!(counts.sources.is_empty());
    }

    #[test]
    fn sources_are_counted_apart() {
        let mut counts = UnreadCounts::new(Duration::from_secs(3_600));
        counts.record(Duration::ZERO, name("b"), &batch(1, 4, 4));
        counts.record(Duration::ZERO, name("a"), &batch(2, 6, 0));
        let found = counts.list(Duration::ZERO);
        let found: Vec<_> = found
            .iter()
            .map(|source| (source.name.source.as_str(), source.events, source.unread))
            .collect();
        assert_eq!(found, [("a", 6, 0), ("b", 4, 4)]);
    }
}
