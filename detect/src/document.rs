//! One YAML document as a rule or a correlation: parsed, checked, compiled.

use std::sync::Arc;

use rsigma_parser::{SigmaCollection, parse_sigma_yaml};
use weir_schema::{Level, LogSource, RuleId, RuleVersion};

use crate::about::About;
use crate::condition;
use crate::correlation::{self, Correlation};
use crate::diagnostic::{Checked, Diagnostic, Refusal};
use crate::matcher::Matcher;
use crate::yaml::{self, Node};

/// Longer ids, names and titles are refused: they are part of every alert.
const NAME_BYTES_MAX: usize = 512;

/// More fields to group by are refused.
pub(crate) const GROUP_FIELDS_MAX: usize = 16;

/// Rules without a level are of this one.
const LEVEL_DEFAULT: Level = Level::Medium;

/// A rule entry that is in force or may be.
#[derive(Debug)]
pub(crate) struct Document {
    pub id: RuleId,
    /// By which correlations may refer to it besides its id.
    pub name: Option<String>,
    pub title: String,
    pub level: Level,
    pub version: RuleVersion,
    pub origin: String,
    /// All that decides which facts its own plans see; see [`crate::plans`].
    pub shape: Shape,
    pub about: About,
    pub body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Rule(Arc<Detection>, Grouping),
    Correlation(Correlation),
}

/// A hash of canonical text. Equal shapes select, group and reach alike.
pub(crate) type Shape = RuleVersion;

/// What a rule matches.
#[derive(Debug)]
pub(crate) struct Detection {
    pub logsource: LogSource,
    pub matcher: Matcher,
    pub shape: Shape,
}

/// How alerts of a rule that is no correlation are grouped.
#[derive(Debug)]
pub(crate) struct Grouping {
    pub fields: Vec<String>,
}

/// Reads a document, or says all that is known to be wrong with it.
pub(crate) fn read(
    text: &str,
    origin: &str,
) -> Result<(Document, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut remarks = Vec::new();
    match read_checked(text, origin, &mut remarks) {
        Ok(document) => Ok((document, remarks)),
        Err(refusal) => {
            remarks.insert(0, refusal.into_diagnostic(origin, text, true));
            Err(remarks)
        }
    }
}

fn read_checked(text: &str, origin: &str, remarks: &mut Vec<Diagnostic>) -> Checked<Document> {
    let node = yaml::read(text)?;
    check_kind(&node)?;
    let id = id_of(&node)?;
    let name = name_at(&node, "name")?;
    let title = name_at(&node, "title")?.ok_or_else(|| Refusal::new("the rule has no `title`"))?;
    let level = level_of(&node)?;
    let mut parsed = parse(text, origin, remarks)?;
    let (shape, body) = match (parsed.rules.pop(), parsed.correlations.pop()) {
        (Some(rule), None) => {
            let grouping = grouping(&node)?;
            let matcher = condition::compile(&rule.detection)?;
            let shape = detection_shape(&node);
            let logsource = LogSource {
                category: rule.logsource.category,
                product: rule.logsource.product,
                service: rule.logsource.service,
            };
            let own = own_shape(shape, &grouping);
            let detection = Detection {
                logsource,
                matcher,
                shape,
            };
            (own, Body::Rule(Arc::new(detection), grouping))
        }
        (None, Some(rule)) => {
            if weir_key(&node).is_some() {
                return Err(Refusal::new("`weir.group-by` on a correlation")
                    .hint("a correlation has a `group-by` of its own"));
            }
            let correlation = correlation::compile(&node, &rule)?;
            (correlation.shape, Body::Correlation(correlation))
        }
        _ => {
            return Err(Refusal::new(
                "the document is neither a rule nor a correlation",
            ));
        }
    };
    let about = match &body {
        Body::Rule(found, _) => About::new(&node, Some((&found.logsource, &found.matcher))),
        Body::Correlation(_) => About::new(&node, None),
    };
    Ok(Document {
        id,
        name,
        title,
        level,
        version: RuleVersion::of(&[text.as_bytes()]),
        origin: origin.to_owned(),
        shape,
        about,
        body,
    })
}

/// The rule's own id: `id`, else `name`, else `title`.
pub(crate) fn id_of(node: &Node) -> Checked<RuleId> {
    for key in ["id", "name", "title"] {
        if let Some(text) = name_at(node, key)? {
            return Ok(text.into());
        }
    }
    Err(Refusal::new(
        "the rule has neither `id`, `name` nor `title`",
    ))
}

fn name_at(node: &Node, key: &str) -> Checked<Option<String>> {
    match node.get(key) {
        None | Some(Node::Null) => Ok(None),
        Some(Node::Text(text)) if text.trim().is_empty() => {
            Err(Refusal::new(format!("`{key}` is empty")).key(key))
        }
        Some(Node::Text(text)) if text.len() <= NAME_BYTES_MAX => Ok(Some(text.clone())),
        Some(Node::Text(_)) => {
            let message = format!("`{key}` is longer than {NAME_BYTES_MAX} bytes");
            Err(Refusal::new(message).key(key))
        }
        Some(_) => Err(Refusal::new(format!("`{key}` is no text"))
            .hint("quote it")
            .key(key)),
    }
}

fn level_of(node: &Node) -> Checked<Level> {
    let levels = [
        Level::Informational,
        Level::Low,
        Level::Medium,
        Level::High,
        Level::Critical,
    ];
    match node.get("level") {
        None | Some(Node::Null) => Ok(LEVEL_DEFAULT),
        Some(given) => levels
            .into_iter()
            .find(|level| given.text() == Some(level.name()))
            .ok_or_else(|| {
                Refusal::new("no such level")
                    .hint("informational, low, medium, high or critical")
                    .key("level")
            }),
    }
}

/// Refuses what is not done yet, and what the parser would pass over in silence.
fn check_kind(node: &Node) -> Checked<()> {
    if node.get("action").is_some() {
        return Err(
            Refusal::unsupported("`action` documents (global, repeat, reset)")
                .hint("write each rule in full")
                .key("action"),
        );
    }
    if node.get("filter").is_some() {
        return Err(Refusal::unsupported("filter documents")
            .hint("write the exclusion into the rule's condition")
            .key("filter"));
    }
    if node.get("status").and_then(Node::text) == Some("unsupported") {
        return Err(
            Refusal::new("its status says that it cannot be used as it is")
                .hint("repair the rule, then give it another status")
                .key("status"),
        );
    }
    if let Some(version) = node.get("sigma-version") {
        let text = match version {
            Node::Int(n) => n.to_string(),
            Node::Number(text) | Node::Text(text) => text.clone(),
            Node::Null | Node::Bool(_) | Node::List(_) | Node::Map(_) => String::new(),
        };
        let major = rsigma_parser::version::major_from_str(&text);
        if !major.is_some_and(|major| (1..=2).contains(&major)) {
            return Err(Refusal::unsupported("this `sigma-version`")
                .hint("1 and 2 are")
                .key("sigma-version"));
        }
    }
    match (node.get("correlation"), node.get("detection")) {
        (Some(_), Some(_)) => Err(Refusal::new("both `detection` and `correlation`")
            .hint("write two documents")
            .key("correlation")),
        (Some(_), None) => Ok(()),
        (None, Some(detection)) => {
            check_detection(detection)?;
            check_logsource(node)
        }
        (None, None) => Err(Refusal::new("neither `detection` nor `correlation`")),
    }
}

fn check_detection(detection: &Node) -> Checked<()> {
    let Node::Map(entries) = detection else {
        return Err(Refusal::new("`detection` is no mapping").key("detection"));
    };
    for (name, node) in entries {
        match name.as_str() {
            "condition" => {
                let conditions = node.texts().ok_or_else(|| {
                    Refusal::new("`condition` is no text or list of texts").key("condition")
                })?;
                conditions
                    .iter()
                    .try_for_each(|text| condition::parse(text).map(drop))?;
            }
            "timeframe" => {} // Refused when it is compiled.
            _ => check_selection(node).map_err(|refusal| refusal.key(name))?,
        }
    }
    match detection.get("condition") {
        Some(_) => Ok(()),
        None => Err(Refusal::new("`detection` has no `condition`").key("detection")),
    }
}

/// The parser would turn what is no scalar into text, and large numbers into others.
fn check_selection(node: &Node) -> Checked<()> {
    match node {
        Node::List(nodes) => nodes.iter().try_for_each(check_selection),
        Node::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            if key == "." || key.starts_with(".|") {
                return Err(Refusal::unsupported("the element of an array, `.`").key(key));
            }
            let check = match value {
                Node::List(values) => values.iter().try_for_each(check_value),
                value => check_value(value),
            };
            check.map_err(|refusal| refusal.key(key))
        }),
        scalar => check_value(scalar),
    }
}

fn check_value(node: &Node) -> Checked<()> {
    match node {
        Node::Number(text) if is_inexact(text) => {
            Err(Refusal::new(format!("the number {text} cannot be kept exactly")).hint("quote it"))
        }
        node if node.is_scalar() => Ok(()),
        _ => Err(
            Refusal::new("a field's value is a list or mapping within another")
                .hint("a field has one value or a flat list of them"),
        ),
    }
}

/// The parser keeps what is no `i64` as a float of 53 bits, about 15 digits.
fn is_inexact(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits > 15 || crate::number::Number::parse(text).is_none()
}

fn check_logsource(node: &Node) -> Checked<()> {
    let Some(logsource) = node.get("logsource") else {
        return Err(Refusal::new("the rule has no `logsource`")
            .hint("name category, product or service; `logsource: {}` means every event"));
    };
    let Node::Map(entries) = logsource else {
        return Err(Refusal::new("`logsource` is no mapping").key("logsource"));
    };
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("definition", _) => {} // For people.
            ("category" | "product" | "service", Node::Text(_)) => {}
            ("category" | "product" | "service", _) => {
                return Err(Refusal::new(format!("`{key}` is no text")).key(key));
            }
            _ => {
                return Err(Refusal::unsupported(format!("`{key}` in `logsource`")).key(key));
            }
        }
    }
    Ok(())
}

fn parse(text: &str, origin: &str, remarks: &mut Vec<Diagnostic>) -> Checked<SigmaCollection> {
    let parsed = parse_sigma_yaml(text).map_err(|error| Refusal::new(error.to_string()))?;
    let rules = parsed.rules.len() + parsed.correlations.len();
    let mut errors = parsed.errors.iter();
    if rules != 1 {
        let error = errors.next().map_or("no rule", String::as_str);
        return Err(Refusal::new(error));
    }
    // Beside a rule these are about words that bear on no result, such as its status.
    remarks.extend(errors.map(|error| Refusal::new(error).into_diagnostic(origin, text, false)));
    Ok(parsed)
}

/// `weir: {group-by: [...]}` or `weir.group-by: [...]`.
fn weir_key(node: &Node) -> Option<&Node> {
    node.get("weir.group-by").or_else(|| node.get("weir"))
}

fn grouping(node: &Node) -> Checked<Grouping> {
    let given = match (node.get("weir.group-by"), node.get("weir")) {
        (Some(_), Some(_)) => {
            return Err(Refusal::new("both `weir` and `weir.group-by`").key("weir"));
        }
        (Some(fields), None) => Some(fields),
        (None, Some(Node::Map(entries))) => match entries.as_slice() {
            [(key, fields)] if key == "group-by" => Some(fields),
            _ => return Err(Refusal::new("`weir` knows `group-by` alone").key("weir")),
        },
        (None, Some(_)) => return Err(Refusal::new("`weir` is no mapping").key("weir")),
        (None, None) => None,
    };
    let fields = match given {
        None => vec!["host".to_owned()],
        Some(fields) => group_fields(fields)?,
    };
    Ok(Grouping { fields })
}

/// The fields to group by, each once.
pub(crate) fn group_fields(node: &Node) -> Checked<Vec<String>> {
    let fields = node
        .texts()
        .ok_or_else(|| Refusal::new("`group-by` is no list of field names").key("group-by"))?;
    if fields.len() > GROUP_FIELDS_MAX {
        let message = format!("more than {GROUP_FIELDS_MAX} fields to group by");
        return Err(Refusal::new(message).key("group-by"));
    }
    let twice = (1..)
        .zip(&fields)
        .find(|(at, field)| fields[*at..].contains(field));
    match twice {
        Some((_, field)) => {
            Err(Refusal::new(format!("`group-by` names `{field}` twice")).key("group-by"))
        }
        None => Ok(fields),
    }
}

/// Hash of detection and log source; what is for people alone is left out.
fn detection_shape(node: &Node) -> Shape {
    let mut bytes = Vec::new();
    if let Some(detection) = node.get("detection") {
        detection.canonical(&mut bytes);
    }
    for word in ["category", "product", "service"] {
        let value = node
            .get("logsource")
            .and_then(|logsource| logsource.get(word));
        value.unwrap_or(&Node::Null).canonical(&mut bytes);
    }
    Shape::of(&[b"detection", &bytes])
}

fn own_shape(detection: Shape, grouping: &Grouping) -> Shape {
    let detection = detection.0.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![b"rule", &detection];
    parts.extend(grouping.fields.iter().map(String::as_bytes));
    Shape::of(&parts)
}
