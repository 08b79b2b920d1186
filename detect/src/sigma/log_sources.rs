//! Mappings from an event's fields to Sigma log sources: for example, from channel and event id to
//! a category.
//!
//! A mapping file is one YAML document; `docs/sigma.md` describes its format. The built-in ones
//! are in `detect/sources`. A rule reads an event if the event's own log source includes the one
//! that the rule states, or if the event meets an entry of a mapping. In the second case it reads
//! the fields under the names that the entry gives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{LogSource, Value};

use crate::sigma::diagnostic::Diagnostic;
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::number::Number;
use crate::sigma::pattern::{Pattern, PatternToken};
use crate::sigma::value_test::ValueTest;
use crate::sigma::view::{EventView, Renames};
use crate::sigma::yaml::{self, YamlNode};

/// The built-in mappings: name and text.
const BUILT_IN: [(&str, &str); 2] = [
    ("windows.yml", include_str!("../../sources/windows.yml")),
    ("linux.yml", include_str!("../../sources/linux.yml")),
];

/// Maximum number of entries in all mappings. Every event is tested against them.
pub const ENTRIES_MAX: usize = 2_000;

/// Maximum number of values of one condition.
const VALUES_MAX: usize = 200;

/// A condition on a field of an event: it must have one of the values.
#[derive(Clone, Debug)]
pub(crate) struct SourceCondition {
    pub field: String,
    pub tests: Vec<ValueTest>,
    /// The values as the mapping writes them, in order.
    pub values: Vec<String>,
}

/// An entry of a mapping: conditions under which an event belongs to a log source.
#[derive(Clone, Debug)]
pub struct SourceEntry {
    pub logsource: LogSource,
    pub(crate) conditions: Vec<SourceCondition>,
    /// The rule's name of a field, to the source's name of it.
    pub fields: Arc<Renames>,
    /// The fields that the source is known to have, under its own names.
    pub provides: Vec<String>,
}

/// A way in which rules of one log source read an event.
#[derive(Clone, Debug)]
pub(crate) enum SourceReading {
    /// The event's own log source must include the one that the rule states.
    Stated,
    /// All these conditions must hold, and the event must not state another product.
    Mapped {
        product: Option<String>,
        conditions: Vec<SourceCondition>,
        renames: Arc<Renames>,
    },
}

/// All mappings.
#[derive(Clone, Debug)]
pub struct LogSources {
    entries: Vec<SourceEntry>,
}

impl Default for LogSources {
    fn default() -> Self {
        Self::with(&[]).0
    }
}

impl LogSources {
    /// Reads the built-in mappings and those of `extra`, each a text.
    ///
    /// A mapping that cannot be read is reported and left out.
    #[must_use]
    pub fn with(extra: &[String]) -> (Self, Vec<Diagnostic>) {
        let (mut entries, mut diagnostics) = (Vec::new(), Vec::new());
        let built_in = BUILT_IN
            .iter()
            .map(|(name, text)| ((*name).to_owned(), *text));
        let more = (1..)
            .zip(extra)
            .map(|(n, text)| (format!("log sources {n}"), text.as_str()));
        for (origin, text) in built_in.chain(more) {
            match read(text) {
                Ok(found) if entries.len() + found.len() <= ENTRIES_MAX => entries.extend(found),
                Ok(_) => {
                    let message = format!("more than {ENTRIES_MAX} entries in all mappings");
                    diagnostics.push(Issue::new(message).into_diagnostic(&origin, text, true));
                }
                Err(issue) => diagnostics.push(issue.into_diagnostic(&origin, text, true)),
            }
        }
        (Self { entries }, diagnostics)
    }

    #[must_use]
    pub fn entries(&self) -> &[SourceEntry] {
        &self.entries
    }

    /// The entries that define the stated category, and those that define the stated service.
    fn entries_for<'a>(&'a self, stated: &'a LogSource) -> [Vec<&'a SourceEntry>; 2] {
        let has_product = move |entry: &&SourceEntry| {
            stated.product.is_none() || stated.product == entry.logsource.product
        };
        let entries = || self.entries.iter().filter(has_product);
        let category = entries()
            .filter(|e| stated.category.is_some() && e.logsource.category == stated.category);
        let service =
            entries().filter(|e| stated.service.is_some() && e.logsource.service == stated.service);
        [category.collect(), service.collect()]
    }

    /// Every way in which a rule of this log source reads an event.
    pub(crate) fn readings(&self, stated: &LogSource) -> Vec<SourceReading> {
        let mut readings = vec![SourceReading::Stated];
        let [categories, services] = self.entries_for(stated);
        match (&stated.category, &stated.service) {
            (Some(_), Some(_)) => {
                for category in &categories {
                    let both = services.iter().map(|service| mapped(&[category, service]));
                    readings.extend(both);
                }
            }
            _ => readings.extend(categories.iter().chain(&services).map(|one| mapped(&[one]))),
        }
        readings
    }
}

/// Whether `actual` has the category, product and service that `stated` has.
pub(crate) fn includes(stated: &LogSource, actual: &LogSource) -> bool {
    let includes =
        |stated: &Option<String>, actual: &Option<String>| stated.is_none() || stated == actual;
    includes(&stated.product, &actual.product)
        && includes(&stated.service, &actual.service)
        && includes(&stated.category, &actual.category)
}

/// Whether an event does not contradict a mapping's product: it states none, or the same.
pub(crate) fn allows_product(product: Option<&String>, actual: &LogSource) -> bool {
    let own = actual.product.as_ref();
    own.is_none() || product.is_none() || own == product
}

fn mapped(entries: &[&SourceEntry]) -> SourceReading {
    let mut renames = Arc::<Renames>::default();
    let mut conditions: Vec<SourceCondition> = Vec::new();
    for entry in entries {
        // Share the map if possible: the engine compares renames by their address.
        if renames.is_empty() {
            renames = entry.fields.clone();
        } else if !entry.fields.is_empty() {
            let more = entry.fields.iter().map(|(a, b)| (a.clone(), b.clone()));
            Arc::make_mut(&mut renames).extend(more);
        }
        conditions.extend(entry.conditions.iter().cloned());
    }
    let product = entries
        .iter()
        .find_map(|entry| entry.logsource.product.clone());
    SourceReading::Mapped {
        product,
        conditions,
        renames,
    }
}

impl SourceCondition {
    pub(crate) fn holds(&self, value: Option<&Value<'_>>, view: &EventView<'_>) -> bool {
        self.tests.iter().any(|test| test.holds(value, view))
    }
}

impl SourceReading {
    /// Whether a rule of the stated log source reads the event in this way.
    pub(crate) fn admits(&self, stated: &LogSource, view: &EventView<'_>) -> bool {
        let actual = &view.event.logsource;
        match self {
            Self::Stated => includes(stated, actual),
            Self::Mapped {
                product,
                conditions,
                ..
            } => {
                allows_product(product.as_ref(), actual)
                    && conditions
                        .iter()
                        .all(|c| c.holds(view.event.get(&c.field), view))
            }
        }
    }

    pub(crate) fn renames(&self) -> Option<&Arc<Renames>> {
        match self {
            Self::Mapped { renames, .. } if !renames.is_empty() => Some(renames),
            Self::Mapped { .. } | Self::Stated => None,
        }
    }
}

fn read(text: &str) -> SigmaResult<Vec<SourceEntry>> {
    let node = yaml::read(text)?;
    let YamlNode::Map(keys) = &node else {
        return Err(Issue::new("a file of log sources is not a YAML mapping"));
    };
    if let Some((key, _)) = keys.iter().find(|(k, _)| k != "product" && k != "sources") {
        return Err(Issue::new(format!("unknown key `{key}`"))
            .hint("`product` and `sources` are known")
            .key(key));
    }
    let product = node
        .get("product")
        .map(|node| text_at(node, "product"))
        .transpose()?;
    let Some(YamlNode::List(list)) = node.get("sources") else {
        return Err(Issue::new("`sources` is not a list").key("sources"));
    };
    list.iter()
        .map(|node| entry(node, product.as_deref()))
        .collect()
}

fn entry(node: &YamlNode, product: Option<&str>) -> SigmaResult<SourceEntry> {
    let YamlNode::Map(keys) = node else {
        return Err(Issue::new("an entry of `sources` is not a mapping").key("sources"));
    };
    let mut entry = SourceEntry {
        logsource: LogSource {
            product: product.map(str::to_owned),
            ..LogSource::default()
        },
        conditions: Vec::new(),
        fields: Arc::default(),
        provides: Vec::new(),
    };
    for (key, value) in keys {
        match key.as_str() {
            "category" => entry.logsource.category = Some(text_at(value, key)?),
            "service" => entry.logsource.service = Some(text_at(value, key)?),
            "where" => entry.conditions = conditions(value)?,
            "fields" => entry.fields = Arc::new(renames(value)?),
            "provides" => {
                entry.provides = value
                    .texts()
                    .ok_or_else(|| Issue::new("`provides` is not a list of names").key(key))?;
            }
            _ => {
                return Err(Issue::new(format!("unknown key `{key}`"))
                    .hint("category, service, where, fields and provides are known")
                    .key(key));
            }
        }
    }
    match (&entry.logsource.category, &entry.logsource.service) {
        (Some(_), None) | (None, Some(_)) => {}
        _ => {
            return Err(Issue::new("an entry needs one category or one service"));
        }
    }
    if entry.conditions.is_empty() {
        return Err(Issue::new(
            "an entry without `where` would match every event",
        ));
    }
    Ok(entry)
}

fn text_at(node: &YamlNode, key: &str) -> SigmaResult<String> {
    let text = node.text().filter(|text| !text.is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| Issue::new(format!("`{key}` is not text")).key(key))
}

fn renames(node: &YamlNode) -> SigmaResult<BTreeMap<String, String>> {
    let YamlNode::Map(entries) = node else {
        return Err(Issue::new("`fields` is not a mapping of names").key("fields"));
    };
    let pairs = entries
        .iter()
        .map(|(name, other)| Ok((name.clone(), text_at(other, name)?)));
    pairs.collect()
}

fn conditions(node: &YamlNode) -> SigmaResult<Vec<SourceCondition>> {
    let YamlNode::Map(entries) = node else {
        return Err(Issue::new("`where` is not a mapping of fields to values").key("where"));
    };
    entries
        .iter()
        .map(|(field, node)| condition(field, node))
        .collect()
}

fn condition(field: &str, node: &YamlNode) -> SigmaResult<SourceCondition> {
    let values = match node {
        YamlNode::List(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    if values.is_empty() || values.len() > VALUES_MAX {
        let message = format!("`{field}` has no value, or more than {VALUES_MAX}");
        return Err(Issue::new(message).key(field));
    }
    let mut condition = SourceCondition {
        field: field.to_owned(),
        tests: Vec::new(),
        values: Vec::new(),
    };
    for value in values {
        let (test, shown) = match value {
            YamlNode::Int(n) => (ValueTest::Number(Number::Int(*n)), n.to_string()),
            YamlNode::Text(text) => {
                let whole = vec![PatternToken::Literal(text.clone())];
                (ValueTest::Text(Pattern::new(whole, false)), text.clone())
            }
            _ => {
                let message = format!("a value of `{field}` is neither text nor whole number");
                return Err(Issue::new(message).key(field));
            }
        };
        condition.tests.push(test);
        condition.values.push(shown);
    }
    Ok(condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_the_built_in_mappings() {
        let (sources, diagnostics) = LogSources::with(&[]);
        assert_eq!(diagnostics, Vec::new());
        assert!(sources.entries().len() > 80);
    }

    #[test]
    fn report_a_bad_mapping_and_use_the_others() {
        for (text, message) in [
            ("sources: 3", "`sources` is not a list"),
            ("sources:\n  - category: a\n", "without `where`"),
            (
                "sources:\n  - where: {a: 1}\n",
                "one category or one service",
            ),
            (
                "sources:\n  - category: a\n    where: {b: 1.5}\n",
                "neither text nor",
            ),
            (
                "sources:\n  - category: a\n    when: {b: 1}\n",
                "unknown key `when`",
            ),
            (
                "sources:\n  - category: a\n    where: {b: []}\n",
                "no value",
            ),
        ] {
            let (sources, diagnostics) = LogSources::with(&[text.to_owned()]);
            assert_eq!(diagnostics.len(), 1, "{text}");
            assert!(
                diagnostics[0].message.contains(message),
                "{}",
                diagnostics[0]
            );
            assert_eq!(
                sources.entries().len(),
                LogSources::default().entries().len()
            );
        }
    }
}
