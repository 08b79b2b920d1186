//! Places of events: maps a position in the journal to an ordinal, a file and a line.

use std::collections::{BTreeSet, VecDeque};

use weir_schema::{BatchSeq, Position};

/// The file and the lines of each batch.
///
/// Costs eight bytes a batch. If line numbers are printed, it also costs eight bytes an event, from
/// when the event is read until its epoch is printed.
#[derive(Default)]
pub struct EventPlaces {
    /// Ordinal of the first event of each batch, over all files, from 0.
    first: Vec<u64>,
    /// Lines of batches whose epochs are not printed yet; the first is that of batch `released`.
    lines: VecDeque<BatchLines>,
    released: u64,
    /// Ordinals of events whose lines were cut; there is at most one for each MiB of input.
    cut: BTreeSet<u64>,
}

/// The lines of one batch.
pub struct BatchLines {
    /// Place of the file among all files.
    pub file: usize,
    /// Line number of each event, from 1; empty if line numbers are not printed.
    pub numbers: Vec<u64>,
}

impl EventPlaces {
    /// Adds the next batch, whose first event has the ordinal `first`.
    pub fn push(&mut self, first: u64, lines: BatchLines) {
        self.first.push(first);
        self.lines.push_back(lines);
    }

    /// Notes that the line of an event was cut.
    pub fn push_cut(&mut self, ordinal: u64) {
        self.cut.insert(ordinal);
    }

    /// The ordinal of an event over all files, from 0.
    pub fn ordinal(&self, position: Position) -> Option<u64> {
        let batch = usize::try_from(position.batch().0).ok()?;
        let first = self.first.get(batch)?;
        Some(first + u64::from(position.frame()))
    }

    /// The place of an event's file, and its line in it.
    pub fn line(&self, position: Position) -> Option<(usize, u64)> {
        let batch = position.batch().0.checked_sub(self.released)?;
        let lines = self.lines.get(usize::try_from(batch).ok()?)?;
        let number = lines.numbers.get(usize::from(position.frame()))?;
        Some((lines.file, *number))
    }

    /// Whether the line of an event was cut.
    pub fn is_cut(&self, position: Position) -> bool {
        let ordinal = self.ordinal(position);
        ordinal.is_some_and(|ordinal| self.cut.contains(&ordinal))
    }

    /// Drops the lines of batches up to this one, whose epoch is printed.
    pub fn release(&mut self, batch: BatchSeq) {
        while self.released <= batch.0 && self.lines.pop_front().is_some() {
            self.released += 1;
        }
    }
}
