//! Log sources that depend on what an event says: which channel and id is which category of Sigma.
//!
//! A mapping file is one YAML document; `docs/sigma.md` describes its format. Those of this crate
//! are in `detect/sources`. A rule sees an event whose own words are those that the rule states,
//! or one that meets an entry of a mapping, under the names that the entry gives its fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{LogSource, Value};

use crate::diagnostic::{Checked, Diagnostic, Refusal};
use crate::matcher::{Renames, View};
use crate::number::Number;
use crate::pattern::{Pattern, Token};
use crate::test::Test;
use crate::yaml::{self, Node};

/// The mappings that come with Weir: name and text.
const OWN: [(&str, &str); 2] = [
    ("windows.yml", include_str!("../sources/windows.yml")),
    ("linux.yml", include_str!("../sources/linux.yml")),
];

/// More entries in all mappings together are refused; every event is held against them.
pub const ENTRIES_MAX: usize = 2_000;

/// More values of one condition are refused.
const VALUES_MAX: usize = 200;

/// A field of an event and the values of which it must have one.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub field: String,
    pub tests: Vec<Test>,
    /// As the mapping writes them, in order.
    pub values: Vec<String>,
}

/// One way for an event to be of a log source.
#[derive(Clone, Debug)]
pub struct SourceEntry {
    pub logsource: LogSource,
    pub(crate) conditions: Vec<Condition>,
    /// A rule's name of a field, to the source's.
    pub fields: Arc<Renames>,
    /// The fields that the source is known to give, under its own names.
    pub provides: Vec<String>,
}

/// How a rule of some log source reads an event.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// The event's own words must be those that the rule states.
    Words,
    /// All these conditions must hold. `product`: an event that states another is not meant.
    Mapped {
        product: Option<String>,
        conditions: Vec<Condition>,
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
    /// The mappings that come with Weir and those of `extra`, each a text. A mapping that cannot
    /// be read is told and left out.
    #[must_use]
    pub fn with(extra: &[String]) -> (Self, Vec<Diagnostic>) {
        let (mut entries, mut diagnostics) = (Vec::new(), Vec::new());
        let own = OWN.iter().map(|(name, text)| ((*name).to_owned(), *text));
        let more = (1..)
            .zip(extra)
            .map(|(n, text)| (format!("log sources {n}"), text.as_str()));
        for (origin, text) in own.chain(more) {
            match read(text) {
                Ok(found) if entries.len() + found.len() <= ENTRIES_MAX => entries.extend(found),
                Ok(_) => {
                    let message = format!("more than {ENTRIES_MAX} entries in all mappings");
                    diagnostics.push(Refusal::new(message).into_diagnostic(&origin, text, true));
                }
                Err(refusal) => diagnostics.push(refusal.into_diagnostic(&origin, text, true)),
            }
        }
        (Self { entries }, diagnostics)
    }

    #[must_use]
    pub fn entries(&self) -> &[SourceEntry] {
        &self.entries
    }

    /// The entries of which an event is what `stated` means, by its category and by its service.
    fn of<'a>(&'a self, stated: &'a LogSource) -> [Vec<&'a SourceEntry>; 2] {
        let here = move |entry: &&SourceEntry| {
            stated.product.is_none() || stated.product == entry.logsource.product
        };
        let entries = || self.entries.iter().filter(here);
        let category = entries()
            .filter(|e| stated.category.is_some() && e.logsource.category == stated.category);
        let service =
            entries().filter(|e| stated.service.is_some() && e.logsource.service == stated.service);
        [category.collect(), service.collect()]
    }

    /// Every way to read an event for a rule of this log source.
    pub(crate) fn readings(&self, stated: &LogSource) -> Vec<Reading> {
        let mut readings = vec![Reading::Words];
        let [categories, services] = self.of(stated);
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

/// Whether `found` has every word that is stated.
pub(crate) fn has_words(stated: &LogSource, found: &LogSource) -> bool {
    let word =
        |stated: &Option<String>, found: &Option<String>| stated.is_none() || stated == found;
    word(&stated.product, &found.product)
        && word(&stated.service, &found.service)
        && word(&stated.category, &found.category)
}

/// Whether an event of these words may be of a mapping's product: it states none, or the same.
pub(crate) fn may_be_of(product: Option<&String>, found: &LogSource) -> bool {
    let own = found.product.as_ref();
    own.is_none() || product.is_none() || own == product
}

fn mapped(entries: &[&SourceEntry]) -> Reading {
    let mut renames = Arc::<Renames>::default();
    let mut conditions: Vec<Condition> = Vec::new();
    for entry in entries {
        // Shared where it can be: the engine knows names that are the same by their place.
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
    Reading::Mapped {
        product,
        conditions,
        renames,
    }
}

impl Condition {
    pub(crate) fn holds(&self, value: Option<&Value<'_>>, view: &View<'_>) -> bool {
        self.tests.iter().any(|test| test.holds(value, view))
    }
}

impl Reading {
    /// Whether an event of these words and fields is meant.
    pub(crate) fn admits(&self, stated: &LogSource, view: &View<'_>) -> bool {
        let found = &view.event.logsource;
        match self {
            Self::Words => has_words(stated, found),
            Self::Mapped {
                product,
                conditions,
                ..
            } => {
                may_be_of(product.as_ref(), found)
                    && conditions
                        .iter()
                        .all(|c| c.holds(view.event.get(&c.field), view))
            }
        }
    }

    pub(crate) fn renames(&self) -> Option<&Arc<Renames>> {
        match self {
            Self::Mapped { renames, .. } if !renames.is_empty() => Some(renames),
            Self::Mapped { .. } | Self::Words => None,
        }
    }
}

fn read(text: &str) -> Checked<Vec<SourceEntry>> {
    let node = yaml::read(text)?;
    let Node::Map(keys) = &node else {
        return Err(Refusal::new("a mapping of log sources is no mapping"));
    };
    if let Some((key, _)) = keys.iter().find(|(k, _)| k != "product" && k != "sources") {
        return Err(Refusal::new(format!("unknown key `{key}`"))
            .hint("`product` and `sources` are known")
            .key(key));
    }
    let product = node
        .get("product")
        .map(|node| word(node, "product"))
        .transpose()?;
    let Some(Node::List(list)) = node.get("sources") else {
        return Err(Refusal::new("`sources` is no list").key("sources"));
    };
    list.iter()
        .map(|node| entry(node, product.as_deref()))
        .collect()
}

fn entry(node: &Node, product: Option<&str>) -> Checked<SourceEntry> {
    let Node::Map(keys) = node else {
        return Err(Refusal::new("an entry of `sources` is no mapping").key("sources"));
    };
    let mut found = SourceEntry {
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
            "category" => found.logsource.category = Some(word(value, key)?),
            "service" => found.logsource.service = Some(word(value, key)?),
            "where" => found.conditions = conditions(value)?,
            "fields" => found.fields = Arc::new(renames(value)?),
            "provides" => {
                found.provides = value
                    .texts()
                    .ok_or_else(|| Refusal::new("`provides` is no list of names").key(key))?;
            }
            _ => {
                return Err(Refusal::new(format!("unknown key `{key}`"))
                    .hint("category, service, where, fields and provides are known")
                    .key(key));
            }
        }
    }
    match (&found.logsource.category, &found.logsource.service) {
        (Some(_), None) | (None, Some(_)) => {}
        _ => {
            return Err(Refusal::new(
                "an entry is of one category or of one service",
            ));
        }
    }
    if found.conditions.is_empty() {
        return Err(Refusal::new(
            "an entry without `where` would be every event",
        ));
    }
    Ok(found)
}

fn word(node: &Node, key: &str) -> Checked<String> {
    let text = node.text().filter(|text| !text.is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| Refusal::new(format!("`{key}` is no text")).key(key))
}

fn renames(node: &Node) -> Checked<BTreeMap<String, String>> {
    let Node::Map(entries) = node else {
        return Err(Refusal::new("`fields` is no mapping of names").key("fields"));
    };
    let pairs = entries
        .iter()
        .map(|(name, other)| Ok((name.clone(), word(other, name)?)));
    pairs.collect()
}

fn conditions(node: &Node) -> Checked<Vec<Condition>> {
    let Node::Map(entries) = node else {
        return Err(Refusal::new("`where` is no mapping of fields to values").key("where"));
    };
    entries
        .iter()
        .map(|(field, node)| condition(field, node))
        .collect()
}

fn condition(field: &str, node: &Node) -> Checked<Condition> {
    let values = match node {
        Node::List(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    if values.is_empty() || values.len() > VALUES_MAX {
        let message = format!("`{field}` has no value, or more than {VALUES_MAX}");
        return Err(Refusal::new(message).key(field));
    }
    let mut found = Condition {
        field: field.to_owned(),
        tests: Vec::new(),
        values: Vec::new(),
    };
    for value in values {
        let (test, text) = match value {
            Node::Int(n) => (Test::Number(Number::Int(*n)), n.to_string()),
            Node::Text(text) => {
                let whole = vec![Token::Literal(text.clone())];
                (Test::Text(Pattern::new(whole, false)), text.clone())
            }
            _ => {
                let message = format!("a value of `{field}` is neither text nor whole number");
                return Err(Refusal::new(message).key(field));
            }
        };
        found.tests.push(test);
        found.values.push(text);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_mappings_can_be_read() {
        let (sources, diagnostics) = LogSources::with(&[]);
        assert_eq!(diagnostics, Vec::new());
        assert!(sources.entries().len() > 80);
    }

    #[test]
    fn a_bad_mapping_is_told_and_the_others_stand() {
        for (text, told) in [
            ("sources: 3", "`sources` is no list"),
            ("sources:\n  - category: a\n", "without `where`"),
            (
                "sources:\n  - where: {a: 1}\n",
                "one category or of one service",
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
            assert!(diagnostics[0].message.contains(told), "{}", diagnostics[0]);
            assert_eq!(
                sources.entries().len(),
                LogSources::default().entries().len()
            );
        }
    }
}
