//! An event as a rule reads it: under the field names of the rule's log source.

use std::collections::BTreeMap;

use weir_schema::{Event, Value};

/// The field that stands for the event's message, unless the event has a field of that name.
pub(crate) const MESSAGE: &str = "message";

/// The rule's name of a field, to the source's name of it.
pub(crate) type Renames = BTreeMap<String, String>;

/// An event as a rule of a certain log source reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventView<'e> {
    pub event: &'e Event<'e>,
    pub renames: Option<&'e Renames>,
}

impl<'e> EventView<'e> {
    pub(crate) fn new(event: &'e Event<'e>, renames: Option<&'e Renames>) -> Self {
        Self { event, renames }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'e Value<'e>> {
        self.event.get(self.source_name(name))
    }

    /// The source's name of the field.
    fn source_name<'n>(&'n self, name: &'n str) -> &'n str {
        let renamed = self.renames.and_then(|renames| renames.get(name));
        renamed.map_or(name, String::as_str)
    }

    /// Whether the event's message stands for the field if the event has no field of that name.
    pub(crate) fn is_message(&self, name: &str) -> bool {
        self.source_name(name) == MESSAGE
    }
}
