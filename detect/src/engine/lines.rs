//! What lines of long texts have shown: scripts and event contexts repeat line by line.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::engine::field::Atom;
use crate::engine::memo::{Limits, Memo, Remembered};

/// A line may be a command of the greatest length that Windows takes, 32,767 characters.
const LIMITS: Limits = Limits {
    value_bytes: 32 << 10,
    arena_bytes: 2 << 20,
};

/// More distinct findings are begun anew; as many as so many bytes hold, since a long line may show
/// thousands.
const TOLD_MAX: usize = 65_536;
const TOLD_BYTES_MAX: usize = 2 << 20;

/// What a stretch of text shows by the needles in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    pub within: Vec<Atom>,
    /// Places of tests that may hold for the whole text.
    pub guards: Vec<u32>,
    /// Of needles that begin the stretch.
    pub start: Vec<Atom>,
    /// Of needles that end it.
    pub end: Vec<Atom>,
}

impl Told {
    pub(crate) fn clear(&mut self) {
        self.within.clear();
        self.guards.clear();
        self.start.clear();
        self.end.clear();
    }

    /// Bytes that it takes, with its copy as a key.
    fn bytes(&self) -> usize {
        let parts = [&self.within, &self.guards, &self.start, &self.end];
        let parts: usize = parts.into_iter().map(|part| size_of_val(&**part)).sum();
        2 * (size_of::<Self>() + parts)
    }
}

#[derive(Debug)]
pub(crate) struct Lines {
    memo: Memo,
    told: Vec<Told>,
    told_bytes: usize,
    known: HashMap<Told, u32, FixedState>,
    new: Told,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            memo: Memo::new(LIMITS),
            told: Vec::new(),
            told_bytes: 0,
            known: HashMap::default(),
            new: Told::default(),
        }
    }
}

impl Lines {
    /// What the line shows; `scan` finds it out where it is not known.
    pub(crate) fn of(&mut self, line: &str, scan: impl FnOnce(&mut Told)) -> &Told {
        let hash = match self.memo.get(line.as_bytes()) {
            Remembered::Verdict(at) => return self.told.get(at as usize).unwrap_or(&self.new),
            Remembered::Unknown(hash) => Some(hash),
            Remembered::Unkept => None,
        };
        scan(&mut self.new);
        if let Some(hash) = hash {
            let full = self.told_bytes + self.new.bytes() > TOLD_BYTES_MAX;
            if full || self.told.len() >= TOLD_MAX {
                self.forget();
            }
            let next = self.told.len() as u32; // Below TOLD_MAX.
            let at = *self.known.entry(self.new.clone()).or_insert_with(|| {
                self.told.push(self.new.clone());
                self.told_bytes += self.new.bytes();
                next
            });
            if !self.memo.keep(hash, line.as_bytes(), at) {
                self.forget();
            }
        }
        &self.new
    }

    pub(crate) fn forget(&mut self) {
        self.memo.forget();
        self.told.clear();
        self.told_bytes = 0;
        self.known.clear();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memo.bytes() + self.told_bytes
    }
}
