//! What configuration says that bears on the meaning of rules: placeholders and log sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_schema::EventTime;

/// Longer settings are refused: they are one entry of the journal, and kept in memory.
pub const SETTINGS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// More placeholders are refused; the public rules use 23.
const PLACEHOLDERS_MAX: usize = 1_000;

/// More values of one placeholder are refused: each is a test of its own in every rule.
const VALUES_MAX: usize = 10_000;

/// Longer names of placeholders are refused.
const NAME_BYTES_MAX: usize = 128;

/// More changes are refused, as the rules that use placeholders are cut at each of them.
pub const SETTINGS_CHANGES_MAX: usize = 256;

/// One value of a placeholder, as the rule's author would have written it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Placed {
    Int(i64),
    /// With wildcards and backslashes as in a rule.
    Text(String),
}

/// Placeholder name, without its `%`, to values.
pub type Placeholders = BTreeMap<String, Vec<Placed>>;

/// The small JSON document of [`weir_schema::Control::Settings`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub placeholders: Placeholders,
    /// Texts of mapping files, in the order in which configuration names them.
    pub log_sources: Vec<String>,
}

impl Settings {
    /// Reads what [`Settings::text`] wrote.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > SETTINGS_BYTES_MAX {
            let bytes = text.len();
            return Err(format!(
                "the settings have {bytes} bytes, over {SETTINGS_BYTES_MAX}"
            ));
        }
        let read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        read.check()?;
        Ok(read)
    }

    /// The JSON document, the same for equal settings.
    pub fn text(&self) -> Result<String, String> {
        self.check()?;
        let text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        if text.len() > SETTINGS_BYTES_MAX {
            let bytes = text.len();
            return Err(format!(
                "the settings have {bytes} bytes, over {SETTINGS_BYTES_MAX}"
            ));
        }
        Ok(text)
    }

    /// What is wrong with names and numbers of values.
    pub fn check(&self) -> Result<(), String> {
        if self.placeholders.len() > PLACEHOLDERS_MAX {
            return Err(format!("more than {PLACEHOLDERS_MAX} placeholders"));
        }
        for (name, values) in &self.placeholders {
            let plain = !name.is_empty() && name.bytes().all(is_name_byte);
            if !plain || name.len() > NAME_BYTES_MAX {
                return Err(format!(
                    "`{name}` is no name of a placeholder: letters, digits and `_-.`"
                ));
            }
            if values.is_empty() || values.len() > VALUES_MAX {
                return Err(format!("`{name}` needs 1 to {VALUES_MAX} values"));
            }
        }
        Ok(())
    }
}

pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// What was said when: each holds from its time until the next one's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    /// In order of time, each time once.
    entries: Vec<(EventTime, Arc<Settings>)>,
}

impl Timeline {
    pub(crate) fn current(&self) -> Option<&Arc<Settings>> {
        self.entries.last().map(|(_, settings)| settings)
    }

    pub(crate) fn changes(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn times(&self) -> impl Iterator<Item = EventTime> {
        self.entries.iter().map(|(since, _)| *since)
    }

    /// In force from `since` on, in place of what was to hold then.
    pub(crate) fn put(&mut self, since: EventTime, settings: Settings) {
        self.entries.retain(|(known, _)| *known < since);
        self.entries.push((since, Arc::new(settings)));
    }

    /// The value of a placeholder at `time`. Before it was first given it has the value that was
    /// given first, so that a rule that reaches back has one.
    fn value(&self, name: &str, time: EventTime) -> Option<&Vec<Placed>> {
        let given = |settings: &'_ Arc<Settings>| settings.placeholders.contains_key(name);
        let (past, later): (Vec<_>, Vec<_>) =
            self.entries.iter().partition(|(since, _)| *since <= time);
        let holder = match past.last() {
            Some((_, now)) if given(now) => Some(now),
            // Taken away again, so that it has no value.
            _ if past.iter().any(|(_, settings)| given(settings)) => None,
            _ => later.iter().map(|(_, s)| s).find(|s| given(s)),
        };
        holder.and_then(|settings| settings.placeholders.get(name))
    }

    /// The values of these placeholders at `time`, as far as they have any.
    pub(crate) fn values<'n>(
        &self,
        names: impl IntoIterator<Item = &'n String>,
        time: EventTime,
    ) -> Placeholders {
        let value = |name: &String| Some((name.clone(), self.value(name, time)?.clone()));
        names.into_iter().filter_map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_has_its_value_of_the_time() {
        let settings = |pairs: &[(&str, &str)]| Settings {
            placeholders: pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), vec![Placed::Text((*value).to_owned())]))
                .collect(),
            log_sources: Vec::new(),
        };
        let mut timeline = Timeline::default();
        timeline.put(EventTime(10), settings(&[("A", "1")]));
        timeline.put(EventTime(20), settings(&[("A", "2"), ("B", "1")]));
        timeline.put(EventTime(30), settings(&[("B", "1")]));
        for (name, time, expected) in [
            ("A", 5, Some("1")),
            ("A", 10, Some("1")),
            ("A", 20, Some("2")),
            ("A", 29, Some("2")),
            ("A", 30, None),
            ("B", 5, Some("1")),
            ("B", 40, Some("1")),
            ("C", 40, None),
        ] {
            let found = timeline.value(name, EventTime(time)).cloned();
            let expected = expected.map(|value| vec![Placed::Text(value.to_owned())]);
            assert_eq!(found, expected, "{name} at {time}");
        }
    }

    #[test]
    fn settings_are_read_as_they_were_written_or_refused() {
        let text = r#"{"placeholders":{"A":["x*",5]},"log_sources":["a: b\n"]}"#;
        let settings = Settings::read(text).unwrap();
        assert_eq!(settings.text().unwrap(), text);
        assert_eq!(Settings::read("{}").unwrap(), Settings::default());
        for bad in [
            "",
            "5",
            r#"{"other":1}"#,
            r#"{"placeholders":{"A":[]}}"#,
            r#"{"placeholders":{"A B":["x"]}}"#,
            r#"{"placeholders":{"A":[1.5]}}"#,
        ] {
            assert!(Settings::read(bad).is_err(), "{bad}");
        }
    }
}
