//! Parses, checks and compiles one YAML document: a rule, a correlation or a filter.

use std::collections::BTreeSet;
use std::sync::Arc;

use rsigma_parser::{SigmaCollection, parse_sigma_yaml};
use weir_schema::{Level, LogSource, RuleId, RuleVersion};

use crate::sigma::checks;
use crate::sigma::clause::CompileContext;
use crate::sigma::condition;
use crate::sigma::correlation::{self, Correlation};
use crate::sigma::detection::{Detection, ShapeHash, detection_shape, own_shape};
use crate::sigma::diagnostic::Diagnostic;
use crate::sigma::filter::{self, Filter};
use crate::sigma::grouping::{Grouping, grouping, weir_key};
use crate::sigma::header::{id_of, level_of, name_at};
use crate::sigma::issue::{Issue, PathStep, SigmaResult};
use crate::sigma::metadata::RuleMetadata;
use crate::sigma::placeholders::{PlaceholderValue, Placeholders};
use crate::sigma::remarks;
use crate::sigma::span;
use crate::sigma::yaml::{self, YamlNode};

/// A compiled rule, correlation or filter.
#[derive(Debug)]
pub(crate) struct RuleDocument {
    pub id: RuleId,
    /// An alternative to the id for references from correlations and filters.
    pub name: Option<String>,
    pub title: String,
    pub level: Level,
    pub version: RuleVersion,
    pub origin: String,
    /// Changes whenever its plans would see other facts; see [`crate::book::plans`].
    pub shape: ShapeHash,
    /// The shape of the text alone, without values of placeholders and without filters.
    pub written_shape: ShapeHash,
    /// Line and column of its list of members, or of the rules of a filter.
    pub references_at: (u32, u32),
    /// For a document with placeholders: its source, to compile it with other values.
    pub template: Option<DocumentTemplate>,
    pub metadata: RuleMetadata,
    pub body: RuleBody,
}

/// The source of a document with placeholders. It is recompiled when their values change.
#[derive(Clone, Debug)]
pub(crate) struct DocumentTemplate {
    pub text: Arc<str>,
    /// Its placeholders, with the values that this compilation uses.
    pub values: Placeholders,
}

/// The compiled kind of a document.
#[derive(Debug)]
pub(crate) enum RuleBody {
    Rule(Arc<Detection>, Grouping),
    Correlation(Correlation),
    Filter(Filter),
}

impl RuleDocument {
    /// Whether the document is a rule to which the filter applies.
    pub(crate) fn is_filtered_by(&self, filter: &Filter) -> bool {
        match &self.body {
            RuleBody::Rule(detection, _) => {
                filter.applies_to(&self.id, self.name.as_ref(), &detection.logsource)
            }
            RuleBody::Correlation(_) | RuleBody::Filter(_) => false,
        }
    }
}

/// Reads a document, with remarks, or returns the issues for which it is refused.
pub(crate) fn read(
    text: &str,
    origin: &str,
    placeholders: &Placeholders,
) -> Result<(RuleDocument, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut remarks = Vec::new();
    match read_checked(text, origin, placeholders, &mut remarks) {
        Ok(document) => {
            let remarks = remarks.into_iter();
            let remarks = remarks.map(|remark| remark.into_diagnostic(origin, text, false));
            Ok((document, remarks.collect()))
        }
        Err(issue) => {
            let refused = issue.into_diagnostic(origin, text, true);
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
    remarks: &mut Vec<Issue>,
) -> SigmaResult<RuleDocument> {
    let node = yaml::read(text)?;
    let kind = checks::check(&node)?;
    let id = id_of(&node)?;
    let name = name_at(&node, "name")?;
    let title = name_at(&node, "title")?.ok_or_else(|| Issue::new("the rule has no `title`"))?;
    let level = level_of(&node)?;
    // Correlations are read from the tree, rules and filters by Sigma's parser.
    let parsed = match kind {
        "correlation" => None,
        kind => Some(parse(text, kind)?),
    };
    remarks.extend(remarks::all(text, &node, kind));
    let mut ctx = CompileContext::new(placeholders);
    let (written_shape, body) = compile(&node, parsed, &mut ctx)?;
    if let RuleBody::Filter(filter) = &body {
        remarks.extend(filter.remark());
    }
    let names_used = std::mem::take(&mut ctx.resolver.names_used);
    let (shape, body) = bind_placeholders(written_shape, body, &names_used, placeholders);
    Ok(RuleDocument {
        id,
        name,
        title,
        level,
        version: RuleVersion::of(&[text.as_bytes()]),
        origin: origin.to_owned(),
        shape,
        written_shape,
        references_at: span::locate(text, &node, &references_path(&body)),
        template: (!names_used.is_empty()).then(|| DocumentTemplate {
            text: text.into(),
            values: names_used
                .into_iter()
                .filter_map(|name| Some((name.clone(), placeholders.get(&name)?.clone())))
                .collect(),
        }),
        metadata: metadata(&node, &body),
        body,
    })
}

/// The path to the list of members, or of the rules of a filter.
fn references_path(body: &RuleBody) -> Vec<PathStep> {
    let path: &[&str] = match body {
        RuleBody::Rule(..) => &[],
        RuleBody::Correlation(_) => &["correlation", "rules"],
        RuleBody::Filter(_) => &["filter", "rules"],
    };
    path.iter()
        .map(|key| PathStep::Key((*key).into()))
        .collect()
}

fn metadata(node: &YamlNode, body: &RuleBody) -> RuleMetadata {
    match body {
        RuleBody::Rule(found, _) => {
            RuleMetadata::new(node, Some((&found.logsource, &found.matcher)))
        }
        RuleBody::Filter(found) => {
            RuleMetadata::new(node, Some((&found.logsource, &found.matcher)))
        }
        RuleBody::Correlation(_) => RuleMetadata::new(node, None),
    }
}

/// Compiles the document to its body, and hashes its text to its shape.
fn compile(
    node: &YamlNode,
    parsed: Option<SigmaCollection>,
    ctx: &mut CompileContext<'_>,
) -> SigmaResult<(ShapeHash, RuleBody)> {
    if node.get("correlation").is_some() && weir_key(node).is_some() {
        return Err(Issue::new("`weir.group-by` on a correlation")
            .hint("a correlation has a `group-by` of its own")
            .key("weir"));
    }
    let Some(mut parsed) = parsed else {
        let correlation = correlation::compile(node)?;
        return Ok((correlation.shape, RuleBody::Correlation(correlation)));
    };
    match (parsed.rules.pop(), parsed.filters.pop()) {
        (Some(rule), None) => {
            let grouping = grouping(node)?;
            let matcher = condition::compile(&rule.detection, ctx);
            let matcher = matcher.map_err(|issue| issue.key("detection"))?;
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
            Ok((own, RuleBody::Rule(Arc::new(detection), grouping)))
        }
        (None, Some(rule)) => {
            let filter = filter::compile(node, rule, ctx)?;
            Ok((filter.shape, RuleBody::Filter(filter)))
        }
        _ => Err(Issue::new(
            "the document is neither a rule, a correlation nor a filter",
        )),
    }
}

/// Adds the values of placeholders to the shape. Without placeholders the shape stays.
fn bind_placeholders(
    written_shape: ShapeHash,
    body: RuleBody,
    names_used: &BTreeSet<String>,
    placeholders: &Placeholders,
) -> (ShapeHash, RuleBody) {
    if names_used.is_empty() {
        return (written_shape, body);
    }
    let mut bytes = Vec::new();
    for name in names_used {
        YamlNode::Text(name.clone()).canonical(&mut bytes);
        let values = placeholders.get(name).into_iter().flatten();
        let values = values.map(|value| match value {
            PlaceholderValue::Int(n) => YamlNode::Int(*n),
            PlaceholderValue::Text(text) => YamlNode::Text(text.clone()),
        });
        YamlNode::List(values.collect()).canonical(&mut bytes);
    }
    let with = |shape: ShapeHash| ShapeHash::of(&[b"placed", &shape.0.to_le_bytes(), &bytes]);
    match body {
        RuleBody::Rule(detection, grouping) => {
            let mut detection = detection;
            let shape = with(detection.shape);
            if let Some(detection) = Arc::get_mut(&mut detection) {
                detection.shape = shape;
            }
            (
                own_shape(shape, &grouping),
                RuleBody::Rule(detection, grouping),
            )
        }
        RuleBody::Filter(mut filter) => {
            filter.shape = with(filter.shape);
            (filter.shape, RuleBody::Filter(filter))
        }
        RuleBody::Correlation(correlation) => (written_shape, RuleBody::Correlation(correlation)),
    }
}

/// Parses a rule or a filter. What the parser would refuse, the checks before it have refused in
/// Weir's own words; its remarks, on keys that do not affect results, are Weir's own too.
fn parse(text: &str, kind: &str) -> SigmaResult<SigmaCollection> {
    let unreadable = || {
        Issue::new(format!("`{kind}` cannot be read"))
            .hint("docs/sigma.md says what it may hold")
            .key(kind)
    };
    let parsed = parse_sigma_yaml(text).map_err(|_| unreadable())?;
    match parsed.rules.len() + parsed.filters.len() {
        1 => Ok(parsed),
        _ => Err(unreadable()),
    }
}
