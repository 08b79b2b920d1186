//! Settings that change the meaning of rules: placeholders and mappings of log sources.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_schema::EventTime;

use crate::sigma::placeholders::{PlaceholderValue, Placeholders, is_name_byte};

/// Maximum length of the settings. They are one entry of the journal, and stay in memory.
pub const SETTINGS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Maximum number of placeholders. The public rules use 23.
const PLACEHOLDERS_MAX: usize = 1_000;

/// Maximum number of values of one placeholder. Each is a test of its own in every rule.
const VALUES_MAX: usize = 10_000;

/// Maximum length of the name of a placeholder.
const NAME_BYTES_MAX: usize = 128;

/// Maximum number of changes. The rules that use placeholders are split at each of them.
pub const SETTINGS_CHANGES_MAX: usize = 256;

/// The settings, stored as the JSON document of [`weir_schema::Control::Settings`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub placeholders: Placeholders,
    /// Texts of mapping files, in the order of the configuration.
    pub log_sources: Vec<String>,
}

impl Settings {
    /// Reads the output of [`Settings::text`].
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > SETTINGS_BYTES_MAX {
            let bytes = text.len();
            return Err(format!(
                "the settings have {bytes} bytes, more than {SETTINGS_BYTES_MAX}"
            ));
        }
        let read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        read.check()?;
        Ok(read)
    }

    /// The JSON document. Equal settings give equal text.
    pub fn text(&self) -> Result<String, String> {
        self.check()?;
        let text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        if text.len() > SETTINGS_BYTES_MAX {
            let bytes = text.len();
            return Err(format!(
                "the settings have {bytes} bytes, more than {SETTINGS_BYTES_MAX}"
            ));
        }
        Ok(text)
    }

    /// Checks the names of placeholders, and their numbers of values.
    pub fn check(&self) -> Result<(), String> {
        if self.placeholders.len() > PLACEHOLDERS_MAX {
            return Err(format!("more than {PLACEHOLDERS_MAX} placeholders"));
        }
        for (name, values) in &self.placeholders {
            let plain = !name.is_empty() && name.bytes().all(is_name_byte);
            if !plain || name.len() > NAME_BYTES_MAX {
                return Err(format!(
                    "`{name}` is not a name of a placeholder: use letters, digits and `_-.`"
                ));
            }
            if values.is_empty() || values.len() > VALUES_MAX {
                return Err(format!("`{name}` needs 1 to {VALUES_MAX} values"));
            }
        }
        Ok(())
    }
}

/// The history of settings. Each applies from its time until that of the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingsTimeline {
    /// In order of time, each time once.
    entries: Vec<(EventTime, Arc<Settings>)>,
}

impl SettingsTimeline {
    pub(crate) fn current(&self) -> Option<&Arc<Settings>> {
        self.entries.last().map(|(_, settings)| settings)
    }

    pub(crate) fn changes(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn times(&self) -> impl Iterator<Item = EventTime> {
        self.entries.iter().map(|(since, _)| *since)
    }

    /// Applies the settings from `since` on. Replaces settings of later times.
    pub(crate) fn set(&mut self, since: EventTime, settings: Settings) {
        self.entries.retain(|(known, _)| *known < since);
        self.entries.push((since, Arc::new(settings)));
    }

    /// The value of a placeholder at `time`.
    ///
    /// Before it was first set it has its first value, so a rule can read older events.
    fn value(&self, name: &str, time: EventTime) -> Option<&Vec<PlaceholderValue>> {
        let given = |settings: &'_ Arc<Settings>| settings.placeholders.contains_key(name);
        let (past, later): (Vec<_>, Vec<_>) =
            self.entries.iter().partition(|(since, _)| *since <= time);
        let holder = match past.last() {
            Some((_, now)) if given(now) => Some(now),
            // It was removed, so it has no value.
            _ if past.iter().any(|(_, settings)| given(settings)) => None,
            _ => later.iter().map(|(_, s)| s).find(|s| given(s)),
        };
        holder.and_then(|settings| settings.placeholders.get(name))
    }

    /// The values of these placeholders at `time`. Those without a value are left out.
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
    fn placeholders_have_the_value_of_their_time() {
        let settings = |pairs: &[(&str, &str)]| Settings {
            placeholders: pairs
                .iter()
                .map(|(name, value)| {
                    (
                        (*name).to_owned(),
                        vec![PlaceholderValue::Text((*value).to_owned())],
                    )
                })
                .collect(),
            log_sources: Vec::new(),
        };
        let mut timeline = SettingsTimeline::default();
        timeline.set(EventTime(10), settings(&[("A", "1")]));
        timeline.set(EventTime(20), settings(&[("A", "2"), ("B", "1")]));
        timeline.set(EventTime(30), settings(&[("B", "1")]));
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
            let expected = expected.map(|value| vec![PlaceholderValue::Text(value.to_owned())]);
            assert_eq!(found, expected, "{name} at {time}");
        }
    }

    #[test]
    fn read_settings_back_or_refuse_them() {
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
