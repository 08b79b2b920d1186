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

/// More distinct findings are begun anew.
const TOLD_MAX: usize = 65_536;

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
}

#[derive(Debug)]
pub(crate) struct Lines {
    memo: Memo,
    told: Vec<Told>,
    known: HashMap<Told, u32, FixedState>,
    new: Told,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            memo: Memo::new(LIMITS),
            told: Vec::new(),
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
            if self.told.len() >= TOLD_MAX {
                self.forget();
            }
            let next = self.told.len() as u32; // Below TOLD_MAX.
            let at = *self.known.entry(self.new.clone()).or_insert_with(|| {
                self.told.push(self.new.clone());
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
        self.known.clear();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memo.bytes()
    }
}
