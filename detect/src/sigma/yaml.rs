//! Reads untrusted YAML into a bounded tree: recursion and memory have limits.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::sigma::issue::{Issue, SigmaResult};

/// Maximum length of a document. The longest rule in public collections has 295 KB.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024;

/// Maximum depth of nesting. Rules need about six levels.
pub const DEPTH_MAX: usize = 32;

/// Maximum number of opening brackets and braces, quoted ones included.
///
/// The YAML scanner takes time proportional to the depth of flow collections times the length of
/// the document, and it takes that time before the depth is known. Rules in public collections
/// have at most 124.
pub const BRACKETS_MAX: usize = 1024;

/// A value of the document. Maps keep their order and have unique keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum YamlNode {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that does not fit an `i64`, as its shortest decimal text.
    Number(String),
    Text(String),
    List(Vec<YamlNode>),
    Map(Vec<(String, YamlNode)>),
}

impl YamlNode {
    pub(crate) fn get(&self, key: &str) -> Option<&YamlNode> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, node)| node),
            _ => None, // Only maps have keys.
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None, // The caller reports what it expected.
        }
    }

    /// One text, or a list of texts.
    pub(crate) fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::Text(text) => Some(vec![text.clone()]),
            Self::List(nodes) => nodes
                .iter()
                .map(|node| node.text().map(str::to_owned))
                .collect(),
            _ => None, // The caller reports what it expected.
        }
    }

    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_))
    }

    /// Appends a canonical form: equal values give equal bytes. Keys are sorted, lengths come first.
    pub(crate) fn canonical(&self, out: &mut Vec<u8>) {
        let mut write = |tag: u8, text: &[u8]| {
            out.push(tag);
            out.extend_from_slice(&(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text);
        };
        match self {
            Self::Null => write(b'n', b""),
            Self::Bool(value) => write(b'b', &[u8::from(*value)]),
            Self::Int(value) => write(b'i', &value.to_le_bytes()),
            Self::Number(text) => write(b'd', text.as_bytes()),
            Self::Text(text) => write(b't', text.as_bytes()),
            Self::List(nodes) => {
                write(b'l', &(nodes.len() as u64).to_le_bytes());
                nodes.iter().for_each(|node| node.canonical(out));
            }
            Self::Map(entries) => {
                write(b'm', &(entries.len() as u64).to_le_bytes());
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                for (key, node) in sorted {
                    Self::Text(key.clone()).canonical(out);
                    node.canonical(out);
                }
            }
        }
    }
}

/// Reads one document that is a map.
pub(crate) fn read(text: &str) -> SigmaResult<YamlNode> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let message = format!(
            "the document has {} bytes, more than {DOCUMENT_BYTES_MAX}",
            text.len()
        );
        return Err(Issue::new(message).hint("split it into several rules"));
    }
    let brackets = text.bytes().filter(|b| matches!(b, b'[' | b'{')).count();
    if brackets > BRACKETS_MAX {
        let message = format!("{brackets} opening brackets and braces, more than {BRACKETS_MAX}");
        return Err(Issue::new(message).hint("write lists and mappings one entry a line"));
    }
    // Without aliases no document has more nodes and text than this. The budget keeps aliases from
    // expanding a document far beyond its size.
    let budget = Cell::new(text.len().saturating_mul(2).saturating_add(64));
    let mut found = None;
    for document in yaml_serde::Deserializer::from_str(text) {
        if found.is_some() {
            return Err(Issue::new("more than one document")
                .hint("each document is one rule entry; split the file at its `---` lines"));
        }
        let seed = Seed {
            budget: &budget,
            depth: 0,
        };
        // The stream of documents is undefined after an error, so return at once.
        found = Some(seed.deserialize(document).map_err(syntax_issue)?);
    }
    match found {
        Some(node @ YamlNode::Map(_)) => Ok(node),
        _ => Err(Issue::new("the document is not a YAML mapping")
            .hint("a rule starts with keys such as `title:` and `detection:`")),
    }
}

fn syntax_issue(error: yaml_serde::Error) -> Issue {
    let issue = Issue::new(format!("not valid YAML: {error}"))
        .hint("quote values that start with one of * & ! % @ ` or that hold `: ` or ` #`");
    match error.location() {
        Some(place) => issue.at(place.line(), place.column()),
        None => issue,
    }
}

struct Seed<'a> {
    budget: &'a Cell<usize>,
    depth: usize,
}

impl Seed<'_> {
    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let cost = bytes.saturating_add(1);
        let rest = self.budget.get().checked_sub(cost);
        let rest = rest.ok_or_else(|| E::custom("aliases expand beyond the document's size"))?;
        self.budget.set(rest);
        Ok(())
    }

    fn nested<E: Error>(&self) -> Result<Seed<'_>, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(Seed {
            budget: self.budget,
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = YamlNode;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<YamlNode, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = YamlNode;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_unit<E: Error>(self) -> Result<YamlNode, E> {
        self.spend(0).map(|()| YamlNode::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<YamlNode, E> {
        self.spend(0).map(|()| YamlNode::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<YamlNode, E> {
        self.spend(0).map(|()| YamlNode::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<YamlNode, E> {
        let node = i64::try_from(value)
            .map_or_else(|_| YamlNode::Number(value.to_string()), YamlNode::Int);
        self.spend(0).map(|()| node)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<YamlNode, E> {
        self.spend(0).map(|()| YamlNode::Number(value.to_string()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<YamlNode, E> {
        self.spend(0).map(|()| YamlNode::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<YamlNode, E> {
        self.spend(0).map(|()| YamlNode::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<YamlNode, E> {
        self.spend(value.len())
            .map(|()| YamlNode::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<YamlNode, A::Error> {
        self.spend(0)?;
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element_seed(self.nested()?)? {
            nodes.push(node);
        }
        Ok(YamlNode::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<YamlNode, A::Error> {
        self.spend(0)?;
        let mut entries = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        while let Some(key) = access.next_key_seed(self.nested()?)? {
            let YamlNode::Text(key) = key else {
                return Err(A::Error::custom("a key is not text; quote it"));
            };
            if key == "<<" {
                return Err(A::Error::custom(
                    "merge keys (`<<`) are not supported; write out the entries",
                ));
            }
            if !names.insert(key.clone()) {
                return Err(A::Error::custom(format!("duplicate key `{key}`")));
            }
            entries.push((key, access.next_value_seed(self.nested()?)?));
        }
        Ok(YamlNode::Map(entries))
    }
}

/// Splits a YAML file into its documents, each with its first line (from 1). Skips empty ones.
///
/// In YAML, `---` and `...` at the start of a line always separate documents, even within quotes
/// and block texts, so the text need not be parsed.
#[must_use]
pub fn split_documents(text: &str) -> Vec<(u32, &str)> {
    let is_mark = |line: &str| {
        let line = line.trim_end();
        line == "---" || line == "..." || line.starts_with("--- ") || line.starts_with("---\t")
    };
    let mut documents = Vec::new();
    let (mut start, mut first, mut offset, mut number) = (0, 1, 0, 1u32);
    for line in text.split_inclusive('\n') {
        if is_mark(line) {
            documents.push((first, &text[start..offset]));
            // Text behind the mark on the same line belongs to the next document.
            let mark = if line.len() > 3 && line.as_bytes()[3].is_ascii_whitespace() {
                3
            } else {
                line.trim_end().len()
            };
            start = offset + mark;
            first = number;
            if text[start..offset + line.len()].trim().is_empty() {
                start = offset + line.len();
                first = number.saturating_add(1);
            }
        }
        offset += line.len();
        number = number.saturating_add(1);
    }
    documents.push((first, &text[start..]));
    let empty = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with(['#', '%'])
    };
    documents.retain(|(_, document)| !document.lines().all(empty));
    documents
}
