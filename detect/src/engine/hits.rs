//! Atoms, and the needles that a search finds in a text.

/// A test that rules share, by number: a clause, or one test of a clause with `all`.
pub(crate) type Atom = u32;

/// The needles in a stretch of text, as the atoms and guarded tests that they stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NeedleHits {
    pub within: Vec<Atom>,
    /// Numbers of the guarded tests that may pass for the whole text.
    pub guards: Vec<u32>,
    /// Atoms of needles at the start of the stretch.
    pub start: Vec<Atom>,
    /// Atoms of needles at the end of the stretch.
    pub end: Vec<Atom>,
}

impl NeedleHits {
    pub(crate) fn clear(&mut self) {
        self.within.clear();
        self.guards.clear();
        self.start.clear();
        self.end.clear();
    }

    /// The bytes that it takes, with its copy as a key.
    pub(crate) fn bytes(&self) -> usize {
        let parts = [&self.within, &self.guards, &self.start, &self.end];
        let parts: usize = parts.into_iter().map(|part| size_of_val(&**part)).sum();
        2 * (size_of::<Self>() + parts)
    }
}
