//! One rule document, as it stands in a rule file or in the body of a request.

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

/// Sorts correlations and filters behind the rules they name, so that none is reported as lacking
/// them.
pub fn members_first(mut documents: Vec<RuleFileDocument>) -> Vec<RuleFileDocument> {
    documents.sort_by_cached_key(RuleFileDocument::reads_other_rules);
    documents
}
