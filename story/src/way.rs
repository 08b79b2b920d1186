//! The ways in which a story is told: each must give the same effects under every line.

use std::fmt;

/// How the events of a chapter are cut into deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// The chapter in one delivery.
    Whole,
    /// Each event in a delivery of its own.
    DropByDrop,
    /// In another order, cut at other places, both by seed.
    Shuffled(u64),
}

/// In which form events of fields arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// As JSON text.
    Raw,
    /// As agent events.
    Parsed,
}

/// One way of telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub workers: usize,
    pub batching: Batching,
    /// Restarts the system from its store at each line.
    pub restart_at_lines: bool,
    pub path: Path,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.workers == 1 { "" } else { "s" };
        write!(f, "{} worker{plural}", self.workers)?;
        match self.batching {
            Batching::Whole => write!(f, ", each chapter in one batch")?,
            Batching::DropByDrop => write!(f, ", drop by drop")?,
            Batching::Shuffled(seed) => write!(f, ", shuffled by seed {seed}")?,
        }
        if self.restart_at_lines {
            write!(f, ", restarted at each line")?;
        }
        match self.path {
            Path::Raw => write!(f, ", raw bytes"),
            Path::Parsed => write!(f, ", parsed events"),
        }
    }
}

/// The full product, 36 ways; `seed` shuffles.
#[must_use]
pub fn ways_full(seed: u64) -> Vec<Way> {
    let mut ways = Vec::new();
    for workers in [1, 2, 4] {
        for batching in [
            Batching::Whole,
            Batching::DropByDrop,
            Batching::Shuffled(seed),
        ] {
            for restart_at_lines in [false, true] {
                for path in [Path::Raw, Path::Parsed] {
                    ways.push(Way {
                        workers,
                        batching,
                        restart_at_lines,
                        path,
                    });
                }
            }
        }
    }
    ways
}

/// Each value of each choice at least once, and one way of the full product by seed.
#[must_use]
pub fn ways_quick(seed: u64) -> Vec<Way> {
    let way = |workers, batching, restart_at_lines, path| Way {
        workers,
        batching,
        restart_at_lines,
        path,
    };
    let mut ways = vec![
        way(1, Batching::Whole, false, Path::Raw),
        way(2, Batching::DropByDrop, true, Path::Parsed),
        way(4, Batching::Shuffled(seed), false, Path::Raw),
    ];
    let full = ways_full(seed);
    let picked = full.get(Dice::new(seed).below(full.len())).copied();
    ways.extend(picked.filter(|picked| !ways.contains(picked)));
    ways
}

/// A small seeded generator (`SplitMix64`), so that a seed alone repeats a telling.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.roll() % bound).unwrap_or(0)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
