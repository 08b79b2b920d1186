//! Many documents into one book: what is in force afterwards, and what is wrong with the rest.

use std::collections::{BTreeMap, BTreeSet};

use weir_detect::{Diagnostic, RuleBook};
use weir_schema::{Control, EventTime, RuleVersion};

use crate::observe::shown;
use crate::rule_desk::{Document, is_correlation, put};

/// A document whose id nobody before it in the load has.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub document: Document,
    /// `None` where the text is so broken that it has none.
    pub id: Option<String>,
    pub version: RuleVersion,
}

/// Leaves out documents whose id an earlier one has; `known` gives ids that need no second look.
pub fn firsts(
    documents: &[Document],
    known: impl Fn(RuleVersion) -> Option<String>,
) -> (Vec<Wanted>, Vec<Diagnostic>) {
    let mut first: BTreeMap<String, &Document> = BTreeMap::new();
    let (mut wanted, mut diagnostics) = (Vec::new(), Vec::new());
    for document in documents {
        let version = RuleVersion::of(&[document.text.as_bytes()]);
        let id = known(version).or_else(|| weir_detect::rule_id(&document.text));
        if let Some(id) = &id {
            if let Some(before) = first.get(id) {
                diagnostics.push(twice(id, document, before));
                continue;
            }
            first.insert(id.clone(), document);
        }
        wanted.push(Wanted {
            document: document.clone(),
            id,
            version,
        });
    }
    (wanted, diagnostics)
}

fn twice(id: &str, document: &Document, before: &Document) -> Diagnostic {
    // To replace a rule of ours by one of the same id is what its text is open for.
    let ours = document.origin.starts_with("builtin:");
    let (message, hint) = if ours {
        let message = format!("the rule `{id}` runs as {} has it", before.origin);
        (message, None)
    } else {
        let message = format!("the id `{id}` is that of the rule at {}", before.origin);
        let hint = "the first in order of path stands; give this one an id of its own";
        (message, Some(hint.to_owned()))
    };
    Diagnostic {
        origin: document.origin.clone(),
        line: id_line(&document.text),
        column: None,
        message,
        hint,
        refused: !ours,
    }
}

fn id_line(text: &str) -> Option<u32> {
    let line = text.lines().position(|line| line.starts_with("id:"))?;
    u32::try_from(line + 1).ok()
}

/// What came of putting documents into a book.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Those in force, in the order in which they were put.
    pub taken: Vec<Wanted>,
    /// Those not in force.
    pub refused: Vec<Wanted>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Puts documents, correlations behind what they read.
pub fn load(book: &mut RuleBook, wanted: Vec<Wanted>, since: EventTime) -> Loaded {
    let mut loaded = Loaded::default();
    let mut said = Vec::new();
    let mut wanted = wanted;
    wanted.sort_by_cached_key(|wanted| is_correlation(&wanted.document.text));
    for wanted in &wanted {
        said.extend(book.apply(&put(&wanted.document, since)).diagnostics);
    }
    if !said.iter().any(|diagnostic| diagnostic.refused) {
        loaded.taken = wanted;
        loaded.diagnostics = said;
        return loaded;
    }
    let versions: BTreeMap<_, _> = book
        .rules()
        .into_iter()
        .filter(|rule| rule.until == EventTime::MAX)
        .map(|rule| (rule.id, rule.version))
        .collect();
    for wanted in wanted {
        let runs = |id: &String| versions.get(id.as_str()) == Some(&wanted.version);
        if wanted.id.as_ref().is_some_and(runs) {
            loaded.taken.push(wanted);
        } else {
            loaded.refused.push(wanted);
        }
    }
    let origins: BTreeSet<&str> = said.iter().map(|said| &*said.origin).collect();
    let mut again: Vec<&Wanted> = loaded.taken.iter().collect();
    again.retain(|wanted| origins.contains(&*wanted.document.origin));
    let asked: BTreeSet<String> = again.iter().map(|w| w.document.origin.clone()).collect();
    let still = standing(book, &again);
    said.retain(|said| !asked.contains(&said.origin));
    said.extend(still.into_iter().flat_map(|(_, said)| said));
    loaded.diagnostics = said;
    loaded
}

/// What there is to say of rules in force now that all are there, by id. What was said of them while
/// they were put may be mended by what came after.
pub fn standing(book: &RuleBook, rules: &[&Wanted]) -> Vec<(String, Vec<Diagnostic>)> {
    let mut scratch = book.clone();
    let mut found = Vec::new();
    for wanted in rules {
        let Some(id) = &wanted.id else { continue };
        scratch.apply(&Control::RuleRemove { rule: id.clone() });
        let put = put(&wanted.document, EventTime::MIN);
        let mut said = scratch.apply(&put).diagnostics;
        said.retain(|said| said.origin == wanted.document.origin);
        if !said.is_empty() {
            found.push((id.clone(), said));
        }
    }
    found
}

/// File, line in it, and column of a diagnostic. An origin is `file:line`, where the document starts,
/// and a diagnostic counts lines from there.
pub fn place(said: &Diagnostic) -> (String, u32, u32) {
    let origin = said.origin.as_str();
    let (file, first) = match origin.rsplit_once(':') {
        Some((file, line)) => (file, line.parse().unwrap_or(1)),
        None => (origin, 1_u32),
    };
    let inner = said.line.unwrap_or(1).max(1);
    let line = first.saturating_add(inner - 1);
    (file.to_owned(), line, said.column.unwrap_or(1))
}

/// `file:line:column: message (hint)`.
pub fn line(said: &Diagnostic) -> String {
    let (file, line, column) = place(said);
    let hint = said.hint.as_ref().map(|hint| format!(" ({hint})"));
    let remark = if said.refused { "" } else { "remark: " };
    let text = format!("{remark}{}{}", said.message, hint.unwrap_or_default());
    format!("{}:{line}:{column}: {}", shown(&file), told(&text))
}

/// A message in one line, of which nothing but its length was in the hand of the rule's author.
fn told(text: &str) -> String {
    const CHARS_MAX: usize = 1_000;
    let mut chars = text.chars();
    let mut told: String = chars.by_ref().take(CHARS_MAX).collect();
    told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    told.retain(|c| !c.is_control());
    if chars.next().is_some() {
        told.push('…');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(origin: &str, id: &str, more: &str) -> Document {
        let body = "logsource:\n  product: linux\ndetection:\n  selection:\n    user: root\n  \
                    condition: selection\n";
        Document {
            origin: origin.to_owned(),
            text: format!("title: {id}\nid: {id}\n{body}{more}"),
        }
    }

    fn correlation(origin: &str, id: &str, reads: &str) -> Document {
        Document {
            origin: origin.to_owned(),
            text: format!(
                "title: {id}\nid: {id}\ncorrelation:\n  type: event_count\n  rules:\n    - {reads}\n  \
                 group-by:\n    - host\n  timespan: 1m\n  condition:\n    gte: 2\n"
            ),
        }
    }

    /// Ids taken, ids refused, and what is said, each with its origin.
    fn told(documents: &[Document]) -> (Vec<String>, Vec<String>, Vec<String>) {
        let (wanted, mut said) = firsts(documents, |_| None);
        let loaded = load(&mut RuleBook::new(), wanted, EventTime::MIN);
        said.extend(loaded.diagnostics);
        let ids = |wanted: Vec<Wanted>| wanted.into_iter().filter_map(|wanted| wanted.id).collect();
        let said = said.iter().map(ToString::to_string).collect();
        (ids(loaded.taken), ids(loaded.refused), said)
    }

    #[test]
    fn of_two_rules_with_one_id_the_first_stands_and_both_are_named() {
        let (taken, _, said) = told(&[
            document("a.yml:1", "x", ""),
            document("b.yml:4", "x", "level: high\n"),
            document("builtin:c.yml:1", "x", ""),
        ]);
        assert_eq!(taken, ["x"]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].starts_with("b.yml:4:2: ") && said[0].contains("a.yml:1"),
            "{said:?}"
        );
        assert!(said[1].contains("runs as a.yml:1 has it"), "{said:?}");
    }

    #[test]
    fn what_was_said_before_all_were_there_is_not_held_against_a_rule() {
        let (taken, refused, said) = told(&[
            correlation("a.yml:1", "many", "one"),
            correlation("b.yml:1", "lonely", "none"),
            document("c.yml:1", "one", ""),
            document("d.yml:1", "bad", "level: loud\n"),
        ]);
        assert_eq!(taken, ["one", "many", "lonely"]);
        assert_eq!(refused, ["bad"]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said.iter()
                .any(|said| said.starts_with("b.yml:1") && said.contains("`none`"))
        );
        assert!(said.iter().any(|said| said.starts_with("d.yml:1")));
    }
}
