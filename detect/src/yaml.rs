//! YAML of unknown authors as a bounded tree: nothing here recurses or grows without a limit.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::{Checked, Refusal};

/// A document longer than this is refused. The longest rule in public collections has 295 KB.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024;

/// Nesting deeper than this is refused: rules need about six levels.
pub const DEPTH_MAX: usize = 32;

/// More opening brackets and braces are refused: the time that the YAML scanner takes grows with
/// the depth of flow collections times the length of the document, before any depth can be seen.
/// Rules in public collections have 124 at most, those in quotes included.
pub const BRACKETS_MAX: usize = 1024;

/// A value of the document. Maps keep their order; a key stands once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no `i64`, as its shortest decimal text.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
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
            _ => None, // The caller says what it wanted instead.
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
            _ => None, // The caller says what it wanted instead.
        }
    }

    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_))
    }

    /// Appends a form in which equal meaning is equal bytes: keys sorted, lengths in front.
    pub(crate) fn canonical(&self, out: &mut Vec<u8>) {
        let mut put = |tag: u8, text: &[u8]| {
            out.push(tag);
            out.extend_from_slice(&(text.len() as u64).to_le_bytes());
            out.extend_from_slice(text);
        };
        match self {
            Self::Null => put(b'n', b""),
            Self::Bool(value) => put(b'b', &[u8::from(*value)]),
            Self::Int(value) => put(b'i', &value.to_le_bytes()),
            Self::Number(text) => put(b'd', text.as_bytes()),
            Self::Text(text) => put(b't', text.as_bytes()),
            Self::List(nodes) => {
                put(b'l', &(nodes.len() as u64).to_le_bytes());
                nodes.iter().for_each(|node| node.canonical(out));
            }
            Self::Map(entries) => {
                put(b'm', &(entries.len() as u64).to_le_bytes());
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
pub(crate) fn read(text: &str) -> Checked<Node> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let message = format!(
            "the document has {} bytes, more than {DOCUMENT_BYTES_MAX}",
            text.len()
        );
        return Err(Refusal::new(message).hint("split it into several rules"));
    }
    let brackets = text.bytes().filter(|b| matches!(b, b'[' | b'{')).count();
    if brackets > BRACKETS_MAX {
        let message = format!("{brackets} brackets and braces are opened, over {BRACKETS_MAX}");
        return Err(Refusal::new(message).hint("write lists and mappings one entry a line"));
    }
    // Without aliases no document has more nodes and text than this. Aliases thus cannot expand
    // beyond the size of the document, which is what makes them harmless.
    let budget = Cell::new(text.len().saturating_mul(2).saturating_add(64));
    let mut found = None;
    for document in yaml_serde::Deserializer::from_str(text) {
        if found.is_some() {
            return Err(Refusal::new("more than one document")
                .hint("each document is one rule entry; split the file at its `---` lines"));
        }
        let seed = Seed {
            budget: &budget,
            depth: 0,
        };
        // After an error the stream of documents is undefined, so this returns at once.
        found = Some(seed.deserialize(document).map_err(not_yaml)?);
    }
    match found {
        Some(node @ Node::Map(_)) => Ok(node),
        _ => Err(Refusal::new("the document is not a YAML mapping")
            .hint("a rule starts with keys such as `title:` and `detection:`")),
    }
}

fn not_yaml(error: yaml_serde::Error) -> Refusal {
    let refusal = Refusal::new(format!("not valid YAML: {error}"))
        .hint("quote values that start with one of * & ! % @ ` or that hold `: ` or ` #`");
    match error.location() {
        Some(place) => refusal.at(place.line(), place.column()),
        None => refusal,
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

    fn below<E: Error>(&self) -> Result<Seed<'_>, E> {
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
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Node, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.spend(0).map(|()| Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.spend(0).map(|()| Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.spend(0).map(|()| Node::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        let node = i64::try_from(value).map_or_else(|_| Node::Number(value.to_string()), Node::Int);
        self.spend(0).map(|()| node)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.spend(0).map(|()| Node::Number(value.to_string()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.spend(0).map(|()| Node::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        self.spend(0).map(|()| Node::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.spend(value.len())
            .map(|()| Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.spend(0)?;
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element_seed(self.below()?)? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        self.spend(0)?;
        let mut entries = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        while let Some(key) = access.next_key_seed(self.below()?)? {
            let Node::Text(key) = key else {
                return Err(A::Error::custom("a key is not a text; quote it"));
            };
            if key == "<<" {
                return Err(A::Error::custom("a merge key, `<<`; write its entries out"));
            }
            if !names.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            entries.push((key, access.next_value_seed(self.below()?)?));
        }
        Ok(Node::Map(entries))
    }
}

/// The documents of a YAML file, each with its first line (from 1). Empty ones are left out.
///
/// YAML allows `---` and `...` at the start of a line as marks between documents only, so that
/// no knowledge of quotes or block texts is needed.
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
            // What stands behind the mark on its line belongs to the document after it.
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
