//! Layouts: the names of an event's fields in order, which repeat from event to event.

use std::collections::HashMap;

use weir_schema::Event;

/// More layouts, or more bytes of them, are begun anew: whoever makes up names should not fill
/// memory.
const LAYOUTS_MAX: usize = 4_096;
const LAYOUT_BYTES_MAX: usize = 16 << 20;

/// Layouts of one hash that are told apart by their names; of more the oldest is forgotten.
const ALIKE_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayoutId(u32);

impl LayoutId {
    fn place(self) -> usize {
        self.0 as usize
    }
}

/// What is worked out for a layout once, by whoever reads events of it.
#[derive(Debug)]
pub(crate) struct ByLayout<T> {
    known: Vec<Option<T>>,
    generation: u32,
}

impl<T> Default for ByLayout<T> {
    fn default() -> Self {
        Self {
            known: Vec::new(),
            generation: 0,
        }
    }
}

impl<T> ByLayout<T> {
    /// What is known of the layout; `learn` finds it out of the names where it is new.
    pub(crate) fn of(
        &mut self,
        (layouts, layout): (&Layouts, LayoutId),
        learn: impl FnOnce(&[Box<str>]) -> T,
    ) -> &T {
        if self.generation != layouts.generation() {
            self.generation = layouts.generation();
            self.known.clear();
        }
        let at = layout.place();
        if self.known.len() <= at {
            self.known.resize_with(at + 1, || None);
        }
        self.known[at].get_or_insert_with(|| learn(layouts.names(layout)))
    }
}

/// A name of up to sixteen bytes, whole: its first and last eight, which may be the same ones. Of a
/// longer name these tell most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    first: u64,
    last: u64,
    length: u64,
}

/// Longer names are compared by themselves.
const MARKED_BYTES_MAX: usize = 16;

impl Mark {
    fn of(name: &[u8]) -> Self {
        let (first, last) = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => {
                let fold = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
                (name.iter().fold(0, fold), 0) // Fewer than eight.
            }
        };
        Self {
            first,
            last,
            length: name.len() as u64,
        }
    }

    fn mix(self, hash: u64) -> u64 {
        let mixed = (hash.rotate_left(5) ^ self.first).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ self.last ^ self.length << 56).wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

#[derive(Debug)]
struct Layout {
    marks: Vec<Mark>,
    names: Vec<Box<str>>,
    /// Places of names that their marks do not tell whole.
    long: Vec<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Layouts {
    layouts: Vec<Layout>,
    by_hash: HashMap<u64, Vec<u32>, foldhash::fast::FixedState>,
    generation: u32,
    bytes: usize,
    marks: Vec<Mark>,
}

impl Layouts {
    /// Ids of another generation mean nothing.
    fn generation(&self) -> u32 {
        self.generation
    }

    fn names(&self, id: LayoutId) -> &[Box<str>] {
        let layout = self.layouts.get(id.place());
        layout.map_or(&[], |layout| layout.names.as_slice())
    }

    pub(crate) fn of(&mut self, event: &Event<'_>) -> LayoutId {
        self.marks.clear();
        let mut hash = 0;
        for (name, _) in &event.fields {
            let mark = Mark::of(name.as_bytes());
            hash = mark.mix(hash);
            self.marks.push(mark);
        }
        let alike = self.by_hash.get(&hash);
        for id in alike.into_iter().flatten() {
            let layout = self.layouts.get(*id as usize);
            if layout.is_some_and(|layout| layout.is(&self.marks, event)) {
                return LayoutId(*id);
            }
        }
        let names = event.fields.iter();
        let bytes = names
            .map(|(name, _)| size_of::<(Mark, Box<str>)>() + name.len())
            .sum::<usize>();
        let full = self.bytes + bytes > LAYOUT_BYTES_MAX;
        if full || self.layouts.len() >= LAYOUTS_MAX {
            self.layouts.clear();
            self.by_hash.clear();
            self.bytes = 0;
            self.generation = self.generation.wrapping_add(1);
        }
        self.bytes += bytes;
        let id = self.layouts.len() as u32; // Below LAYOUTS_MAX.
        let names: Vec<Box<str>> = event
            .fields
            .iter()
            .map(|(name, _)| (&**name).into())
            .collect();
        let long = names
            .iter()
            .enumerate()
            .filter(|(_, name)| name.len() > MARKED_BYTES_MAX);
        self.layouts.push(Layout {
            marks: self.marks.clone(),
            long: long.map(|(place, _)| place).collect(),
            names,
        });
        let alike = self.by_hash.entry(hash).or_default();
        if alike.len() >= ALIKE_MAX {
            alike.remove(0);
        }
        alike.push(id);
        LayoutId(id)
    }
}

impl Layout {
    fn is(&self, marks: &[Mark], event: &Event<'_>) -> bool {
        let same = |place: &usize| match (self.names.get(*place), event.fields.get(*place)) {
            (Some(known), Some((name, _))) => **known == **name,
            _ => false, // Places are those of this layout.
        };
        self.marks == marks && self.long.iter().all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use weir_schema::{EventTime, LogSource, Value};

    /// Names that are made up fill no memory, and what is told of a layout is of that event.
    #[test]
    fn layouts_are_bounded() {
        let mut layouts = Layouts::default();
        let mut generations = Vec::new();
        for n in 0..300 {
            let name = |at: usize| (Cow::Owned(format!("{n}.{at:0>250}")), Value::Null);
            let event = Event {
                time: EventTime(0),
                logsource: LogSource::default(),
                fields: (0..1_000).map(name).collect(),
                message: Cow::Borrowed(""),
                problems: Vec::new(),
            };
            let id = layouts.of(&event);
            assert_eq!(id, layouts.of(&event));
            assert_eq!(&*layouts.names(id)[7], &*event.fields[7].0);
            assert!(layouts.bytes <= LAYOUT_BYTES_MAX);
            generations.push(layouts.generation());
        }
        generations.dedup();
        assert!(generations.len() > 3, "{generations:?}");
    }
}
