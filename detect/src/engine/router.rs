//! The router: finds the log sources of an event from what it states and from mappings.

use std::collections::HashMap;

use weir_schema::{Event, LogSource};

use crate::book::index::Route;
use crate::engine::answers::FieldAnswers;
use crate::engine::field::{FieldBuilder, FieldScratch};
use crate::engine::hits::Atom;
use crate::engine::layout::{ByLayout, EventLayout};
use crate::engine::program::is_number;
use crate::sigma::log_sources::{self, SourceCondition, SourceReading};

/// Maximum number of log sources that events state. Beyond it all are cleared, so a sender of made-up
/// log sources cannot fill the memory.
const STATED_MAX: usize = 1_024;

/// Number of slots of the cache of recently stated log sources.
const RECENT: usize = 64;

/// A cheap hash of a log source: the lengths and last bytes of its texts.
fn cheap_hash(logsource: &LogSource) -> usize {
    let hash = |text: &Option<String>| {
        let bytes = text.as_ref().map_or(&[][..], |text| text.as_bytes());
        let end = bytes.last().copied().map_or(0, usize::from);
        bytes.len() + 3 * end
    };
    hash(&logsource.product) + 5 * hash(&logsource.service) + 7 * hash(&logsource.category)
}

/// A reading of a route, and the requirement on events that it admits.
#[derive(Debug)]
struct ReadingRule {
    id: ReadingId,
    requirement: Requirement,
}

#[derive(Debug)]
enum Requirement {
    /// The event's own log source includes this one.
    Stated(LogSource),
    /// An atom of each condition passes, and the event states no other product.
    Atoms(Option<String>, Vec<Atom>),
}

/// A reading of a route, by the indexes of both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadingId {
    pub route: u32,
    pub reading: u32,
}

/// All that decides which readings admit an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RouteKey {
    /// Number of the log source that the event states.
    stated: u32,
    /// The conditions of mappings that the event meets.
    atoms: Vec<Atom>,
}

/// The readings that admit an event, in order, with the key for [`Router::insert`].
#[derive(Debug)]
pub(crate) struct AdmittedReadings {
    pub readings: Vec<ReadingId>,
    key: RouteKey,
}

/// The result of [`Router::find`].
pub(crate) enum RouteLookup {
    /// The index under which the route was inserted.
    Known(usize),
    /// The readings of a new route.
    New(AdmittedReadings),
}

/// Finds the route of an event: the set of readings that admit it.
#[derive(Debug)]
pub(crate) struct Router {
    readings: Vec<ReadingRule>,
    fields: Vec<FieldAnswers>,
    /// Name of a field, to its index into `fields`.
    field_index: HashMap<String, u32>,
    /// For each layout: index into the event's fields, and index into `fields`.
    slots: ByLayout<Vec<(u16, u32)>>,
    /// The log sources that events have stated, by number.
    stated: Vec<LogSource>,
    /// By cheap hash: the number of the log source that last had this hash.
    recent: [u32; RECENT],
    routes: HashMap<RouteKey, usize, foldhash::fast::FixedState>,
    /// The buffer of the last key, for reuse.
    key: Option<RouteKey>,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            readings: Vec::new(),
            fields: Vec::new(),
            field_index: HashMap::new(),
            slots: ByLayout::default(),
            stated: Vec::new(),
            recent: [0; RECENT],
            routes: HashMap::default(),
            key: None,
        }
    }
}

/// Gives equal conditions of mappings the same atom, and collects their tests by field.
#[derive(Default)]
struct ConditionAtoms {
    /// The key is the field, the values as written, and which of them are numbers.
    atoms: HashMap<(String, Vec<String>, Vec<bool>), Atom>,
    field_index: HashMap<String, u32>,
    builders: Vec<FieldBuilder>,
}

impl ConditionAtoms {
    fn atom(&mut self, condition: &SourceCondition) -> Atom {
        let next = self.atoms.len() as Atom; // One for each condition of a mapping.
        let numbers = condition.tests.iter().map(is_number).collect();
        let key = (condition.field.clone(), condition.values.clone(), numbers);
        *self.atoms.entry(key).or_insert_with(|| {
            let name = condition.field.clone();
            let field = *self.field_index.entry(name).or_insert_with(|| {
                self.builders.push(FieldBuilder::default());
                (self.builders.len() - 1) as u32 // One for each field of a condition.
            });
            if let Some(builder) = self.builders.get_mut(field as usize) {
                condition.tests.iter().for_each(|t| builder.add(t, next));
            }
            next
        })
    }
}

impl Router {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut router = Self::default();
        let mut atoms = ConditionAtoms::default();
        for (at, route) in (0..).zip(routes) {
            for (number, reading) in (0..).zip(&route.readings) {
                let requirement = match reading {
                    SourceReading::Stated => Requirement::Stated(route.logsource.clone()),
                    SourceReading::Mapped {
                        product,
                        conditions,
                        ..
                    } => {
                        let conditions = conditions.iter();
                        let atoms = conditions.map(|condition| atoms.atom(condition));
                        Requirement::Atoms(product.clone(), atoms.collect())
                    }
                };
                router.readings.push(ReadingRule {
                    id: ReadingId {
                        route: at,
                        reading: number,
                    },
                    requirement,
                });
            }
        }
        router.field_index = atoms.field_index;
        router.fields = atoms
            .builders
            .into_iter()
            .map(|builder| FieldAnswers::new(builder.build()))
            .collect();
        router
    }

    /// Finds the route of the event, or the readings of a new route.
    pub(crate) fn find(
        &mut self,
        event: &Event<'_>,
        layout: EventLayout<'_>,
        scratch: &mut FieldScratch,
    ) -> RouteLookup {
        let stated = self.stated_number(&event.logsource);
        let mut key = self.key.take().unwrap_or(RouteKey {
            stated,
            atoms: Vec::new(),
        });
        key.stated = stated;
        key.atoms.clear();
        let index = &self.field_index;
        let slots = self.slots.get_or_compute(layout, |names| {
            let names = (0..).zip(names);
            let slots = names.filter_map(|(at, name)| Some((at, *index.get(&**name)?)));
            slots.collect()
        });
        let mut has_lists = false;
        for (position, field) in slots {
            let value = event.fields.get(usize::from(*position)).map(|(_, v)| v);
            let answers = self.fields.get_mut(*field as usize);
            if let (Some(value), Some(answers)) = (value, answers) {
                has_lists |= matches!(value, weir_schema::Value::List(_));
                answers.answer(value, &[], scratch, &mut |answer| {
                    key.atoms.extend(&answer.atoms);
                });
            }
        }
        if has_lists {
            key.atoms.sort_unstable();
            key.atoms.dedup();
        }
        match self.routes.get(&key).copied() {
            Some(route) => {
                self.key = Some(key);
                RouteLookup::Known(route)
            }
            None => RouteLookup::New(self.admitted(key, &event.logsource)),
        }
    }

    /// Remembers the index of a new route.
    pub(crate) fn insert(&mut self, admitted: &AdmittedReadings, route: usize) {
        self.routes.insert(admitted.key.clone(), route);
    }

    pub(crate) fn clear_routes(&mut self) {
        self.routes.clear();
    }

    fn admitted(&self, key: RouteKey, actual: &LogSource) -> AdmittedReadings {
        let mut readings = Vec::new();
        for reading in &self.readings {
            let admits = match &reading.requirement {
                Requirement::Stated(stated) => log_sources::includes(stated, actual),
                Requirement::Atoms(product, atoms) => {
                    log_sources::allows_product(product.as_ref(), actual)
                        && atoms.iter().all(|atom| key.atoms.contains(atom))
                }
            };
            if admits {
                readings.push(reading.id);
            }
        }
        AdmittedReadings { readings, key }
    }

    /// The number of a log source that an event states; adds it if it is new.
    fn stated_number(&mut self, logsource: &LogSource) -> u32 {
        let slot = cheap_hash(logsource) % RECENT;
        let recent = self.recent[slot];
        if self.stated.get(recent as usize) == Some(logsource) {
            return recent;
        }
        let known = self.stated.iter().position(|known| known == logsource);
        let number = known.unwrap_or_else(|| {
            if self.stated.len() >= STATED_MAX {
                self.stated.clear();
                self.routes.clear();
            }
            self.stated.push(logsource.clone());
            self.stated.len() - 1
        });
        let number = number as u32; // Below STATED_MAX.
        self.recent[slot] = number;
        number
    }
}
