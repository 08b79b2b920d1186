//! One rule document, as it stands in a rule file or in the body of a request.

use std::collections::BTreeMap;

use weir_detect::DocumentReferences;
use weir_schema::{Control, EventTime};

/// A document of a rule file, with the place where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFileDocument {
    /// `file:line`.
    pub origin: String,
    pub text: String,
}

impl RuleFileDocument {
    /// Splits the text of `file` into its documents, in order.
    pub fn split(text: &str, file: &str) -> Vec<Self> {
        let documents = weir_detect::split_documents(text).into_iter();
        let documents = documents.map(|(line, text)| Self {
            origin: format!("{file}:{line}"),
            text: text.to_owned(),
        });
        documents.collect()
    }

    /// The control entry that adds the rule for events since `since`.
    pub fn control(&self, since: EventTime) -> Control {
        Control::RulePut {
            text: self.text.clone(),
            origin: self.origin.clone(),
            since,
        }
    }

    /// Whether the text is a correlation or a filter, which must be added after the rules it names.
    pub fn reads_other_rules(&self) -> bool {
        let mut lines = self.text.lines();
        lines.any(|line| line.starts_with("correlation:") || line.starts_with("filter:"))
    }
}

/// Sorts documents behind those that they read, so that none is reported as lacking another of the
/// same load: rules, then correlations, then filters. Otherwise they keep their order.
pub fn members_first(documents: Vec<RuleFileDocument>) -> Vec<RuleFileDocument> {
    sort_members_first(documents, |document| document)
}

/// Same as [`members_first`], for values that have a document.
pub fn sort_members_first<T>(values: Vec<T>, document: fn(&T) -> &RuleFileDocument) -> Vec<T> {
    let ranks = ranks(values.iter().map(document));
    let mut ranked: Vec<(usize, T)> = ranks.into_iter().zip(values).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, value)| value).collect()
}

/// The longest chain of correlations that is sorted. Weir refuses longer ones than four.
const CHAIN_MAX: usize = 8;

/// For each document how many others may have to stand before it.
fn ranks<'d>(documents: impl Iterator<Item = &'d RuleFileDocument>) -> Vec<usize> {
    let read = |document: &RuleFileDocument| {
        let reads = document.reads_other_rules();
        reads.then(|| weir_detect::references(&document.text))
    };
    let references: Vec<Option<DocumentReferences>> = documents.map(read).collect();
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, references) in references.iter().enumerate() {
        for name in references.iter().flat_map(|references| &references.names) {
            by_name.entry(name).or_insert(at);
        }
    }
    let first = |references: &Option<DocumentReferences>| match references {
        None => 0,
        Some(references) if references.is_filter => CHAIN_MAX + 1,
        Some(_) => 1,
    };
    let mut ranks: Vec<usize> = references.iter().map(first).collect();
    for _ in 0..CHAIN_MAX {
        let mut is_done = true;
        for (at, references) in references.iter().enumerate() {
            let reads = references.iter().flat_map(|references| &references.reads);
            let members = reads.filter_map(|name| by_name.get(name.as_str()));
            let behind = members
                .filter(|member| **member != at)
                .map(|member| ranks[*member] + 1);
            let rank = behind.max().unwrap_or(0).min(CHAIN_MAX);
            if rank > ranks[at] {
                ranks[at] = rank;
                is_done = false;
            }
        }
        if is_done {
            break;
        }
    }
    ranks
}
