//! The variants in which a story runs: each must give the same effects under every line.

use std::fmt;

/// How the events of a chapter are split into deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// All events of a chapter in one delivery.
    Whole,
    /// Each event in a delivery of its own.
    EventByEvent,
    /// In a random order and in deliveries of random size, both by seed.
    Shuffled(u64),
}

/// The form in which events with fields arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventForm {
    /// As JSON text.
    Raw,
    /// As agent events.
    Parsed,
}

/// One variant of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunVariant {
    pub workers: usize,
    pub batching: Batching,
    /// Restarts the system from its store at each line.
    pub restart_at_lines: bool,
    pub form: EventForm,
}

impl fmt::Display for RunVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.workers == 1 { "" } else { "s" };
        write!(f, "{} worker{plural}", self.workers)?;
        match self.batching {
            Batching::Whole => write!(f, ", each chapter in one batch")?,
            Batching::EventByEvent => write!(f, ", one event per batch")?,
            Batching::Shuffled(seed) => write!(f, ", shuffled by seed {seed}")?,
        }
        if self.restart_at_lines {
            write!(f, ", restarted at each line")?;
        }
        match self.form {
            EventForm::Raw => write!(f, ", raw bytes"),
            EventForm::Parsed => write!(f, ", parsed events"),
        }
    }
}

/// All 36 combinations. `seed` selects the shuffle.
#[must_use]
pub fn variants_full(seed: u64) -> Vec<RunVariant> {
    let mut variants = Vec::new();
    for workers in [1, 2, 4] {
        for batching in [
            Batching::Whole,
            Batching::EventByEvent,
            Batching::Shuffled(seed),
        ] {
            for restart_at_lines in [false, true] {
                for path in [EventForm::Raw, EventForm::Parsed] {
                    variants.push(RunVariant {
                        workers,
                        batching,
                        restart_at_lines,
                        form: path,
                    });
                }
            }
        }
    }
    variants
}

/// A few variants with each value of each choice at least once, and one more selected by `seed`.
#[must_use]
pub fn variants_quick(seed: u64) -> Vec<RunVariant> {
    let variant = |workers, batching, restart_at_lines, path| RunVariant {
        workers,
        batching,
        restart_at_lines,
        form: path,
    };
    let mut variants = vec![
        variant(1, Batching::Whole, false, EventForm::Raw),
        variant(2, Batching::EventByEvent, true, EventForm::Parsed),
        variant(4, Batching::Shuffled(seed), false, EventForm::Raw),
    ];
    let full = variants_full(seed);
    let picked = full.get(SeededRng::new(seed).below(full.len())).copied();
    variants.extend(picked.filter(|picked| !variants.contains(picked)));
    variants
}

/// A small seeded generator (`SplitMix64`): a seed is enough to repeat a run.
pub(crate) struct SeededRng(u64);

impl SeededRng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
