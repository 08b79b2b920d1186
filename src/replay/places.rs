//! Where events stand: from a place in the journal to an ordinal, a file and a line.

use std::collections::{BTreeSet, VecDeque};

use weir_schema::{BatchSeq, Position};

/// Where the events of each batch come from. Eight bytes a batch for good; eight bytes an event
/// from when it is read until its epoch is told, and only where lines are asked for.
#[derive(Default)]
pub struct Places {
    /// By batch: ordinal of its first event, over all inputs from 0.
    first: Vec<u64>,
    /// Batches whose epochs are not told yet, from `told` on.
    lines: VecDeque<BatchLines>,
    told: u64,
    /// Ordinals of events whose lines were cut; each stands for a MiB of input.
    cut: BTreeSet<u64>,
}

/// The lines of one batch.
pub struct BatchLines {
    /// The place of its file among those named.
    pub file: usize,
    /// Of each event, from 1; empty where lines are not asked for.
    pub numbers: Vec<u64>,
}

impl Places {
    /// Takes in the next batch, whose first event is the `first`th of all inputs.
    pub fn push(&mut self, first: u64, lines: BatchLines) {
        self.first.push(first);
        self.lines.push_back(lines);
    }

    pub fn push_cut(&mut self, ordinal: u64) {
        self.cut.insert(ordinal);
    }

    /// The ordinal of an event over all inputs, from 0.
    pub fn ordinal(&self, position: Position) -> Option<u64> {
        let batch = usize::try_from(position.batch().0).ok()?;
        let first = self.first.get(batch)?;
        Some(first + u64::from(position.frame()))
    }

    /// The place of its file, and its line in it.
    pub fn line(&self, position: Position) -> Option<(usize, u64)> {
        let batch = position.batch().0.checked_sub(self.told)?;
        let lines = self.lines.get(usize::try_from(batch).ok()?)?;
        let number = lines.numbers.get(usize::from(position.frame()))?;
        Some((lines.file, *number))
    }

    pub fn is_cut(&self, position: Position) -> bool {
        let ordinal = self.ordinal(position);
        ordinal.is_some_and(|ordinal| self.cut.contains(&ordinal))
    }

    /// Lets go of the lines of batches up to this one, whose epoch was told.
    pub fn tell(&mut self, batch: BatchSeq) {
        while self.told <= batch.0 && self.lines.pop_front().is_some() {
            self.told += 1;
        }
    }
}
