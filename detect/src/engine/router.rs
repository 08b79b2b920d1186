//! Which log sources an event is of: the conditions of their mappings, as questions about values.

use std::collections::HashMap;

use weir_schema::{Event, LogSource};

use crate::engine::field::{Atom, FieldBuilder, Scratch};
use crate::engine::layout::{ByLayout, LayoutId, Layouts};
use crate::engine::program::is_number;
use crate::engine::scope::Asked;
use crate::index::Route;
use crate::sources::{self, Reading};

/// More log sources in words are numbered anew: whoever makes them up should not fill memory.
const WORDS_MAX: usize = 1_024;

/// Log sources in words that are told apart at once.
const RECENT: usize = 64;

/// A few bytes of the words.
fn kind(logsource: &LogSource) -> usize {
    let word = |word: &Option<String>| {
        let bytes = word.as_ref().map_or(&[][..], |word| word.as_bytes());
        let end = bytes.last().copied().map_or(0, usize::from);
        bytes.len() + 3 * end
    };
    word(&logsource.product) + 5 * word(&logsource.service) + 7 * word(&logsource.category)
}

/// A reading of a log source, and what it takes for an event to be read so.
#[derive(Debug)]
struct Gate {
    route: u32,
    reading: u32,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    /// The event's own words.
    Words(LogSource),
    /// An atom of each condition, and no other product.
    Atoms(Option<String>, Vec<Atom>),
}

/// What an event's values and words say of its log source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    words: u32,
    atoms: Vec<Atom>,
}

/// The readings that an event admits, in order; and the key under which to keep their route.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Places of route and reading.
    pub readings: Vec<(u32, u32)>,
    key: Key,
}

#[derive(Debug)]
pub(crate) struct Router {
    gates: Vec<Gate>,
    fields: Vec<Asked>,
    places: HashMap<String, u32>,
    /// By layout: place in the event's fields, and in `fields`.
    slots: ByLayout<Vec<(u16, u32)>>,
    words: Vec<LogSource>,
    /// By a few bytes of the words: the number of those that were last of this kind.
    recent: [u32; RECENT],
    routes: HashMap<Key, usize, foldhash::fast::FixedState>,
    key: Option<Key>,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            gates: Vec::new(),
            fields: Vec::new(),
            places: HashMap::new(),
            slots: ByLayout::default(),
            words: Vec::new(),
            recent: [0; RECENT],
            routes: HashMap::default(),
            key: None,
        }
    }
}

impl Router {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut router = Self::default();
        let mut atoms: HashMap<(String, Vec<String>, Vec<bool>), Atom> = HashMap::new();
        let mut builders: Vec<FieldBuilder> = Vec::new();
        for (at, route) in (0..).zip(routes) {
            for (number, reading) in (0..).zip(&route.readings) {
                let wanted = match reading {
                    Reading::Words => Wanted::Words(route.logsource.clone()),
                    Reading::Mapped {
                        product,
                        conditions,
                        ..
                    } => {
                        let mut wanted = Vec::new();
                        for condition in conditions {
                            let next = atoms.len() as Atom; // One for each condition of a mapping.
                            let numbers = condition.tests.iter().map(is_number).collect();
                            let key = (condition.field.clone(), condition.values.clone(), numbers);
                            let atom = *atoms.entry(key).or_insert_with(|| {
                                let places = &mut router.places;
                                let name = condition.field.clone();
                                let place = *places.entry(name).or_insert_with(|| {
                                    builders.push(FieldBuilder::default());
                                    (builders.len() - 1) as u32 // As many as conditions have fields.
                                });
                                if let Some(builder) = builders.get_mut(place as usize) {
                                    condition.tests.iter().for_each(|t| builder.ask(t, next));
                                }
                                next
                            });
                            wanted.push(atom);
                        }
                        Wanted::Atoms(product.clone(), wanted)
                    }
                };
                router.gates.push(Gate {
                    route: at,
                    reading: number,
                    wanted,
                });
            }
        }
        router.fields = builders
            .into_iter()
            .map(|b| Asked::new(b.build()))
            .collect();
        router
    }

    /// The route's place as it was kept, or what to make it of.
    pub(crate) fn find(
        &mut self,
        event: &Event<'_>,
        layout: (&Layouts, LayoutId),
        scratch: &mut Scratch,
    ) -> Result<usize, Admitted> {
        let words = self.words_of(&event.logsource);
        let mut key = self.key.take().unwrap_or(Key {
            words,
            atoms: Vec::new(),
        });
        key.words = words;
        key.atoms.clear();
        let places = &self.places;
        let slots = self.slots.of(layout, |names| {
            let names = (0..).zip(names);
            let slots = names.filter_map(|(at, name)| Some((at, *places.get(&**name)?)));
            slots.collect()
        });
        let mut lists = false;
        for (position, field) in slots {
            let value = event.fields.get(usize::from(*position)).map(|(_, v)| v);
            let asked = self.fields.get_mut(*field as usize);
            if let (Some(value), Some(asked)) = (value, asked) {
                lists |= matches!(value, weir_schema::Value::List(_));
                asked.ask(value, &[], scratch, &mut |verdict| {
                    key.atoms.extend(&verdict.atoms);
                });
            }
        }
        if lists {
            key.atoms.sort_unstable();
            key.atoms.dedup();
        }
        match self.routes.get(&key).copied() {
            Some(place) => {
                self.key = Some(key);
                Ok(place)
            }
            None => Err(self.admitted(key, &event.logsource)),
        }
    }

    pub(crate) fn keep(&mut self, admitted: &Admitted, place: usize) {
        self.routes.insert(admitted.key.clone(), place);
    }

    pub(crate) fn forget(&mut self) {
        self.routes.clear();
    }

    fn admitted(&self, key: Key, found: &LogSource) -> Admitted {
        let mut readings = Vec::new();
        for gate in &self.gates {
            let admits = match &gate.wanted {
                Wanted::Words(stated) => sources::has_words(stated, found),
                Wanted::Atoms(product, atoms) => {
                    sources::may_be_of(product.as_ref(), found)
                        && atoms.iter().all(|atom| key.atoms.contains(atom))
                }
            };
            if admits {
                readings.push((gate.route, gate.reading));
            }
        }
        Admitted { readings, key }
    }

    fn words_of(&mut self, logsource: &LogSource) -> u32 {
        let kind = kind(logsource) % RECENT;
        let recent = self.recent[kind];
        if self.words.get(recent as usize) == Some(logsource) {
            return recent;
        }
        let known = self.words.iter().position(|known| known == logsource);
        let number = known.unwrap_or_else(|| {
            if self.words.len() >= WORDS_MAX {
                self.words.clear();
                self.routes.clear();
            }
            self.words.push(logsource.clone());
            self.words.len() - 1
        });
        let number = number as u32; // Below WORDS_MAX.
        self.recent[kind] = number;
        number
    }
}
