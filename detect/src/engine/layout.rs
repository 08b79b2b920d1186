//! Layouts: the names of an event's fields in order, which repeat from event to event.

use std::collections::HashMap;

use weir_schema::Event;

/// More layouts are begun anew: whoever makes up names should not fill memory.
const LAYOUTS_MAX: usize = 4_096;

/// Layouts of one hash that are told apart by their names; of more the oldest is forgotten.
const ALIKE_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayoutId(u32);

impl LayoutId {
    pub(crate) fn place(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Default)]
pub(crate) struct Layouts {
    names: Vec<Vec<Box<str>>>,
    by_hash: HashMap<u64, Vec<u32>, foldhash::fast::FixedState>,
    generation: u32,
}

impl Layouts {
    /// Ids of another generation mean nothing.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn names(&self, id: LayoutId) -> &[Box<str>] {
        self.names.get(id.place()).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn of(&mut self, event: &Event<'_>) -> LayoutId {
        let hash = hash(event);
        let alike = self.by_hash.get(&hash);
        for id in alike.into_iter().flatten() {
            if self.is(*id, event) {
                return LayoutId(*id);
            }
        }
        if self.names.len() >= LAYOUTS_MAX {
            self.names.clear();
            self.by_hash.clear();
            self.generation = self.generation.wrapping_add(1);
        }
        let id = self.names.len() as u32; // Below LAYOUTS_MAX.
        let names = event.fields.iter().map(|(name, _)| Box::from(&**name));
        self.names.push(names.collect());
        let alike = self.by_hash.entry(hash).or_default();
        if alike.len() >= ALIKE_MAX {
            alike.remove(0);
        }
        alike.push(id);
        LayoutId(id)
    }

    fn is(&self, id: u32, event: &Event<'_>) -> bool {
        let names = self.names.get(id as usize);
        names.is_some_and(|names| {
            names.len() == event.fields.len()
                && names
                    .iter()
                    .zip(&event.fields)
                    .all(|(known, (name, _))| **known == **name)
        })
    }
}

/// A few bytes of each name are enough: names are compared whole where the hashes are equal.
fn hash(event: &Event<'_>) -> u64 {
    event.fields.iter().fold(0, |hash: u64, (name, _)| {
        let bytes = name.as_bytes();
        let at = |place: usize| u64::from(bytes.get(place).copied().unwrap_or(0));
        let length = bytes.len();
        let mark = length as u64
            | at(0) << 16
            | at(length / 2) << 24
            | at(length.saturating_sub(1)) << 32
            | at(length.saturating_sub(4)) << 40;
        (hash.rotate_left(7) ^ mark).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
