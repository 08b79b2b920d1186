//! One YAML document as a rule, a correlation or a filter: parsed, checked, compiled.

use std::collections::BTreeSet;
use std::sync::Arc;

use rsigma_parser::{SigmaCollection, parse_sigma_yaml};
use weir_schema::{Level, LogSource, RuleId, RuleVersion};

use crate::about::About;
use crate::checks;
use crate::clause::Workshop;
use crate::condition;
use crate::correlation::{self, Correlation};
use crate::diagnostic::{Checked, Diagnostic, Refusal};
use crate::filter::{self, Filter};
use crate::matcher::Matcher;
use crate::settings::{Placed, Placeholders};
use crate::span::{self, Step};
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
    /// The shape of what is written, whatever its placeholders stand for and filters add.
    pub written: Shape,
    /// Where members, or the rules of a filter, are listed.
    pub refers_at: (u32, u32),
    /// Of a document with placeholders, what it takes to compile it under other values.
    pub recipe: Option<Recipe>,
    pub about: About,
    pub body: Body,
}

/// A document that is compiled anew where its placeholders change.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub text: Arc<str>,
    /// Its placeholders, with the values under which it is compiled.
    pub values: Placeholders,
}

#[derive(Debug)]
pub(crate) enum Body {
    Rule(Arc<Detection>, Grouping),
    Correlation(Correlation),
    Filter(Filter),
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
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    pub fields: Vec<String>,
}

/// Reads a document, or says all that is known to be wrong with it.
pub(crate) fn read(
    text: &str,
    origin: &str,
    placeholders: &Placeholders,
) -> Result<(Document, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut remarks = Vec::new();
    match read_checked(text, origin, placeholders, &mut remarks) {
        Ok(document) => {
            let remarks = remarks.into_iter();
            let remarks = remarks.map(|remark| remark.into_diagnostic(origin, text, false));
            Ok((document, remarks.collect()))
        }
        Err(refusal) => {
            let refused = refusal.into_diagnostic(origin, text, true);
            let remarks = remarks.into_iter();
            let remarks = remarks.map(|remark| remark.into_diagnostic(origin, text, false));
            Err(std::iter::once(refused).chain(remarks).collect())
        }
    }
}

fn read_checked(
    text: &str,
    origin: &str,
    placeholders: &Placeholders,
    remarks: &mut Vec<Refusal>,
) -> Checked<Document> {
    let node = yaml::read(text)?;
    let kind = checks::kind(&node)?;
    let id = id_of(&node)?;
    let name = name_at(&node, "name")?;
    let title = name_at(&node, "title")?.ok_or_else(|| Refusal::new("the rule has no `title`"))?;
    let level = level_of(&node)?;
    let parsed = match correlation::is_our_type(&node) {
        true => None,
        false => Some(parse(text, kind, remarks)?),
    };
    let mut shop = Workshop::new(placeholders);
    let (written, body) = compile(&node, parsed, &mut shop)?;
    if let Body::Filter(filter) = &body {
        remarks.extend(filter.remark());
    }
    let asked = std::mem::take(&mut shop.resolver.asked);
    let (shape, body) = placed(written, body, &asked, placeholders);
    let path: &[&str] = match &body {
        Body::Rule(..) => &[],
        Body::Correlation(_) => &["correlation", "rules"],
        Body::Filter(_) => &["filter", "rules"],
    };
    let path: Vec<Step> = path.iter().map(|key| Step::Key((*key).into())).collect();
    let about = match &body {
        Body::Rule(found, _) => About::new(&node, Some((&found.logsource, &found.matcher))),
        Body::Filter(found) => About::new(&node, Some((&found.logsource, &found.matcher))),
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
        written,
        refers_at: span::find(text, &node, &path),
        recipe: (!asked.is_empty()).then(|| Recipe {
            text: text.into(),
            values: asked
                .into_iter()
                .filter_map(|name| Some((name.clone(), placeholders.get(&name)?.clone())))
                .collect(),
        }),
        about,
        body,
    })
}

/// The shape of what is written, and what it compiles to.
fn compile(
    node: &Node,
    parsed: Option<SigmaCollection>,
    shop: &mut Workshop<'_>,
) -> Checked<(Shape, Body)> {
    if node.get("correlation").is_some() && weir_key(node).is_some() {
        return Err(Refusal::new("`weir.group-by` on a correlation")
            .hint("a correlation has a `group-by` of its own")
            .key("weir"));
    }
    let Some(mut parsed) = parsed else {
        let correlation = correlation::compile(node, None)?;
        return Ok((correlation.shape, Body::Correlation(correlation)));
    };
    let found = (
        parsed.rules.pop(),
        parsed.correlations.pop(),
        parsed.filters.pop(),
    );
    match found {
        (Some(rule), None, None) => {
            let grouping = grouping(node)?;
            let matcher = condition::compile(&rule.detection, shop);
            let matcher = matcher.map_err(|refusal| refusal.key("detection"))?;
            let shape = detection_shape(node);
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
            Ok((own, Body::Rule(Arc::new(detection), grouping)))
        }
        (None, Some(rule), None) => {
            let correlation = correlation::compile(node, Some(&rule))?;
            Ok((correlation.shape, Body::Correlation(correlation)))
        }
        (None, None, Some(rule)) => {
            let filter = filter::compile(node, rule, shop)?;
            Ok((filter.shape, Body::Filter(filter)))
        }
        _ => Err(Refusal::new(
            "the document is neither a rule, a correlation nor a filter",
        )),
    }
}

/// The shape where placeholders have these values; without any it is as written.
fn placed(
    written: Shape,
    body: Body,
    asked: &BTreeSet<String>,
    placeholders: &Placeholders,
) -> (Shape, Body) {
    if asked.is_empty() {
        return (written, body);
    }
    let mut bytes = Vec::new();
    for name in asked {
        Node::Text(name.clone()).canonical(&mut bytes);
        let values = placeholders.get(name).into_iter().flatten();
        let values = values.map(|value| match value {
            Placed::Int(n) => Node::Int(*n),
            Placed::Text(text) => Node::Text(text.clone()),
        });
        Node::List(values.collect()).canonical(&mut bytes);
    }
    let with = |shape: Shape| Shape::of(&[b"placed", &shape.0.to_le_bytes(), &bytes]);
    match body {
        Body::Rule(detection, grouping) => {
            let mut detection = detection;
            let shape = with(detection.shape);
            if let Some(detection) = Arc::get_mut(&mut detection) {
                detection.shape = shape;
            }
            (own_shape(shape, &grouping), Body::Rule(detection, grouping))
        }
        Body::Filter(mut filter) => {
            filter.shape = with(filter.shape);
            (filter.shape, Body::Filter(filter))
        }
        Body::Correlation(correlation) => (written, Body::Correlation(correlation)),
    }
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

fn parse(text: &str, kind: &str, remarks: &mut Vec<Refusal>) -> Checked<SigmaCollection> {
    let parsed =
        parse_sigma_yaml(text).map_err(|error| Refusal::new(error.to_string()).key(kind))?;
    let mut errors = parsed.errors.iter();
    if parsed.rules.len() + parsed.correlations.len() + parsed.filters.len() != 1 {
        let error = errors.next().map_or("no rule", String::as_str);
        return Err(Refusal::new(error).key(kind));
    }
    // Beside a rule these are about words that bear on no result, such as its status.
    remarks.extend(errors.map(|error| {
        let key = ["status", "level", "related"];
        let key = key.into_iter().find(|key| error.contains(key));
        let refusal = Refusal::new(error);
        key.map_or(refusal.clone(), |key| refusal.key(key))
    }));
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
        Some(fields) => group_fields(fields).map_err(|refusal| match node.get("weir") {
            Some(_) => refusal.key("group-by").key("weir"),
            None => refusal.key("weir.group-by"),
        })?,
    };
    Ok(Grouping { fields })
}

/// The fields to group by, each once.
pub(crate) fn group_fields(node: &Node) -> Checked<Vec<String>> {
    let fields = node
        .texts()
        .ok_or_else(|| Refusal::new("`group-by` is no list of field names"))?;
    if fields.len() > GROUP_FIELDS_MAX {
        let message = format!("more than {GROUP_FIELDS_MAX} fields to group by");
        return Err(Refusal::new(message));
    }
    if let Some(at) = fields.iter().position(String::is_empty) {
        return Err(Refusal::new("`group-by` has a field without a name").nth(at));
    }
    let twice = (1..)
        .zip(&fields)
        .find(|(at, field)| fields[*at..].contains(field));
    match twice {
        Some((at, field)) => Err(Refusal::new(format!("`group-by` names `{field}` twice")).nth(at)),
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

pub(crate) fn own_shape(detection: Shape, grouping: &Grouping) -> Shape {
    let detection = detection.0.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![b"rule", &detection];
    parts.extend(grouping.fields.iter().map(String::as_bytes));
    Shape::of(&parts)
}
