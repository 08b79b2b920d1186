//! Layouts: the field names of an event in order. Most events share one of a few layouts.

use std::collections::HashMap;

use weir_schema::Event;

/// Maximum number of layouts. Beyond it, or beyond the bytes below, all are cleared, so a sender
/// of made-up names cannot fill the memory.
const LAYOUTS_MAX: usize = 4_096;

/// Maximum size of all layouts.
const LAYOUT_BYTES_MAX: usize = 16 << 20;

/// Maximum number of layouts with one hash. The oldest is dropped first.
const SAME_HASH_MAX: usize = 4;

/// The index of a layout, valid for one generation of [`Layouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayoutId(u32);

/// The layout of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventLayout<'a> {
    pub layouts: &'a Layouts,
    pub id: LayoutId,
}

impl LayoutId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A value for each layout, computed once.
#[derive(Debug)]
pub(crate) struct ByLayout<T> {
    values: Vec<Option<T>>,
    generation: u32,
}

impl<T> Default for ByLayout<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            generation: 0,
        }
    }
}

impl<T> ByLayout<T> {
    /// The value for the layout. `compute` derives it from the field names.
    pub(crate) fn get_or_compute(
        &mut self,
        layout: EventLayout<'_>,
        compute: impl FnOnce(&[Box<str>]) -> T,
    ) -> &T {
        let layouts = layout.layouts;
        if self.generation != layouts.generation() {
            self.generation = layouts.generation();
            self.values.clear();
        }
        let at = layout.id.index();
        if self.values.len() <= at {
            self.values.resize_with(at + 1, || None);
        }
        self.values[at].get_or_insert_with(|| compute(layouts.names(layout.id)))
    }
}

/// The first and last eight bytes of a name, which may overlap, and its length.
///
/// Equal keys mean equal names up to sixteen bytes. Longer names must be compared as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NameKey {
    first: u64,
    last: u64,
    length: u64,
}

/// Maximum length of a name that its key determines.
const KEYED_BYTES_MAX: usize = 16;

impl NameKey {
    fn of(name: &[u8]) -> Self {
        let (first, last) = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => {
                let fold = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
                (name.iter().fold(0, fold), 0) // Fewer than eight bytes.
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
    keys: Vec<NameKey>,
    names: Vec<Box<str>>,
    /// Indexes of the names that are longer than a key.
    long: Vec<usize>,
}

/// All layouts, found by the names of an event.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    layouts: Vec<Layout>,
    by_hash: HashMap<u64, Vec<u32>, foldhash::fast::FixedState>,
    generation: u32,
    bytes: usize,
    keys: Vec<NameKey>,
}

impl Layouts {
    /// Ids are valid within one generation.
    fn generation(&self) -> u32 {
        self.generation
    }

    fn names(&self, id: LayoutId) -> &[Box<str>] {
        let layout = self.layouts.get(id.index());
        layout.map_or(&[], |layout| layout.names.as_slice())
    }

    /// The layout of the event; adds it if it is new.
    pub(crate) fn find_or_add(&mut self, event: &Event<'_>) -> LayoutId {
        self.keys.clear();
        let mut hash = 0;
        for (name, _) in &event.fields {
            let key = NameKey::of(name.as_bytes());
            hash = key.mix(hash);
            self.keys.push(key);
        }
        let same_hash = self.by_hash.get(&hash);
        for id in same_hash.into_iter().flatten() {
            let layout = self.layouts.get(*id as usize);
            if layout.is_some_and(|layout| layout.matches(&self.keys, event)) {
                return LayoutId(*id);
            }
        }
        let names = event.fields.iter();
        let bytes = names
            .map(|(name, _)| size_of::<(NameKey, Box<str>)>() + name.len())
            .sum::<usize>();
        let is_full = self.bytes + bytes > LAYOUT_BYTES_MAX;
        if is_full || self.layouts.len() >= LAYOUTS_MAX {
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
            .filter(|(_, name)| name.len() > KEYED_BYTES_MAX);
        self.layouts.push(Layout {
            keys: self.keys.clone(),
            long: long.map(|(place, _)| place).collect(),
            names,
        });
        let same_hash = self.by_hash.entry(hash).or_default();
        if same_hash.len() >= SAME_HASH_MAX {
            same_hash.remove(0);
        }
        same_hash.push(id);
        LayoutId(id)
    }
}

impl Layout {
    fn matches(&self, keys: &[NameKey], event: &Event<'_>) -> bool {
        let same = |place: &usize| match (self.names.get(*place), event.fields.get(*place)) {
            (Some(known), Some((name, _))) => **known == **name,
            _ => false, // The event has fewer fields.
        };
        self.keys == keys && self.long.iter().all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use weir_schema::{EventTime, LogSource, Value};

    /// Made-up names do not fill the memory, and the names of a layout are those of its event.
    #[test]
    fn layouts_are_bounded() {
        let mut layouts = Layouts::default();
        let mut generations = Vec::new();
        for n in 0..300 {
            let name = |at: usize| (Cow::Owned(format!("{n}.{at:0>250}")), Value::Null);
            let event = Event {
                time: EventTime(0),
                stated: None,
                logsource: LogSource::default(),
                fields: (0..1_000).map(name).collect(),
                message: Cow::Borrowed(""),
                problems: Vec::new(),
                weight: weir_schema::Weight::ONE,
            };
            let id = layouts.find_or_add(&event);
            assert_eq!(id, layouts.find_or_add(&event));
            assert_eq!(&*layouts.names(id)[7], &*event.fields[7].0);
            assert!(layouts.bytes <= LAYOUT_BYTES_MAX);
            generations.push(layouts.generation());
        }
        generations.dedup();
        assert!(generations.len() > 3, "{generations:?}");
    }
}
