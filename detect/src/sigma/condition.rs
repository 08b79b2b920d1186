//! Conditions: the boolean language over the selections of a rule or the members of a correlation.

use rsigma_parser::{
    ArrayQuantifier, ConditionExpr, Detection, Detections, Quantifier, SelectorPattern,
    SigmaParserError, parse_condition,
};
use weir_schema::MemberCondition;

use crate::sigma::clause::{self, CompileContext};
use crate::sigma::issue::{Issue, SigmaResult};
use crate::sigma::matcher::{Expr, Matcher};
use crate::sigma::pattern::glob_matches;

/// Maximum length of a condition. The longest in public collections has a few hundred bytes.
const CONDITION_BYTES_MAX: usize = 8 * 1024;

/// Maximum depth of nested parentheses. The grammar recurses.
const PARENTHESES_MAX: usize = 32;

/// Maximum number of negations. The grammar recurses on consecutive ones too.
const NEGATIONS_MAX: usize = 64;

/// Maximum number of references to selections in one rule. `of` expands to one for each name.
const REFERENCES_MAX: usize = 10_000;

/// Parses a condition, within limits that bound the parser's recursion.
pub(crate) fn parse(text: &str) -> SigmaResult<ConditionExpr> {
    if text.len() > CONDITION_BYTES_MAX {
        let message = format!("the condition is longer than {CONDITION_BYTES_MAX} bytes");
        return Err(Issue::new(message));
    }
    let mut open = 0usize;
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {} // Only parentheses nest.
        }
        if open > PARENTHESES_MAX {
            let message = format!("parentheses nested deeper than {PARENTHESES_MAX}");
            return Err(Issue::new(message));
        }
    }
    if text.matches("not").count() > NEGATIONS_MAX {
        let message = format!("more than {NEGATIONS_MAX} negations");
        return Err(Issue::new(message));
    }
    parse_condition(text).map_err(|error| syntax_issue(text, &error))
}

fn syntax_issue(text: &str, error: &SigmaParserError) -> Issue {
    let (line, column) = error
        .location()
        .map_or((1, 1), |place| (place.line.max(1), place.col.max(1)));
    let rest = text.split('\n').nth(line as usize - 1).unwrap_or_default();
    let rest: String = rest.chars().skip(column as usize - 1).collect();
    let word = rest.split_whitespace().next().unwrap_or_default();
    let is_end = word.is_empty();
    let message = if is_end {
        format!("condition `{text}` ends too early")
    } else {
        format!("condition `{text}`: `{word}` at character {column} does not belong there")
    };
    let issue = Issue::new(message);
    let upper = ["AND", "OR", "NOT", "OF", "ALL"];
    if upper
        .iter()
        .any(|upper| text.split_whitespace().any(|word| word == *upper))
    {
        let hint = "write the words `and`, `or`, `not`, `1 of x*` and `all of them` in lower case";
        issue.hint(hint)
    } else if text.contains('|') {
        issue.hint("counting in a condition is old Sigma; write a correlation rule instead")
    } else {
        issue.hint("such as `selection and not 1 of filter_*`")
    }
}

/// Compiles the detection section of a rule, or the selections and condition of a filter.
pub(crate) fn compile(
    detections: &Detections,
    ctx: &mut CompileContext<'_>,
) -> SigmaResult<Matcher> {
    if let Some(timeframe) = &detections.timeframe {
        return Err(
            Issue::new(format!("`timeframe: {timeframe}` in a detection"))
                .hint("this is old Sigma; write a correlation rule instead")
                .key("timeframe"),
        );
    }
    let mut names: Vec<&String> = detections.named.keys().collect();
    names.sort();
    let mut selections = Vec::with_capacity(names.len());
    for name in &names {
        let Some(detection) = detections.named.get(*name) else {
            continue; // The names are keys of this map.
        };
        let expr = selection(detection, ctx).map_err(|issue| issue.key(name))?;
        selections.push(((*name).clone(), expr));
    }
    let mut lowering = Lowering {
        names: &names,
        references: 0,
    };
    let mut conditions = (0..)
        .zip(&detections.conditions)
        .map(|(at, condition)| lowering.lower(condition).map_err(|issue| issue.nth(at)))
        .collect::<SigmaResult<Vec<_>>>()
        .map_err(|issue| issue.key("condition"))?;
    let condition = match (conditions.pop(), conditions.is_empty()) {
        (None, _) => return Err(Issue::new("the list of conditions is empty").key("condition")),
        (Some(only), true) => only,
        (Some(last), false) => {
            conditions.push(last);
            Expr::Any(conditions)
        }
    };
    Ok(Matcher {
        selections,
        condition,
    })
}

fn selection(detection: &Detection, ctx: &mut CompileContext<'_>) -> SigmaResult<Expr> {
    match detection {
        Detection::AllOf(items) => {
            let clauses = (0..).zip(items).map(|(at, item)| {
                let (field, modifiers) = (item.field.name.as_deref(), &item.field.modifiers);
                let clause = clause::compile(field, modifiers, &item.values, ctx);
                let clause = clause.map_err(|issue| issue.nth(at))?;
                Ok(Expr::Clause(Box::new(clause)))
            });
            collect(clauses.collect::<SigmaResult<_>>()?, Expr::All)
        }
        Detection::AnyOf(parts) => {
            let parts = (0..).zip(parts).map(|(at, part)| {
                let compiled = selection(part, ctx);
                compiled.map_err(|issue| issue.nth(at))
            });
            collect(parts.collect::<SigmaResult<_>>()?, Expr::Any)
        }
        Detection::And(parts) => {
            let parts = parts.iter().map(|part| selection(part, ctx));
            collect(parts.collect::<SigmaResult<_>>()?, Expr::All)
        }
        Detection::Keywords(values) => {
            clause::compile(None, &[], values, ctx).map(|clause| Expr::Clause(Box::new(clause)))
        }
        Detection::ArrayMatch { quantifier, .. } => {
            let word = match quantifier {
                ArrayQuantifier::Any => "any",
                ArrayQuantifier::All => "all",
                ArrayQuantifier::AllOrEmpty => "all_or_empty",
                ArrayQuantifier::None => "none",
            };
            Err(Issue::unsupported(format!("array matching `[{word}]`")))
        }
        Detection::Conditional { .. } => Err(Issue::unsupported("conditions within arrays")),
    }
}

fn collect(mut parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> SigmaResult<Expr> {
    match (parts.pop(), parts.is_empty()) {
        (None, _) => Err(Issue::new("a selection is empty")),
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            parts.push(last);
            Ok(join(parts))
        }
    }
}

/// Lowers a condition to an expression over the selections.
struct Lowering<'a> {
    /// Sorted.
    names: &'a [&'a String],
    references: usize,
}

impl Lowering<'_> {
    fn lower(&mut self, expr: &ConditionExpr) -> SigmaResult<Expr> {
        match expr {
            ConditionExpr::And(parts) => self.all(parts).map(Expr::All),
            ConditionExpr::Or(parts) => self.all(parts).map(Expr::Any),
            ConditionExpr::Not(inner) => Ok(Expr::Not(Box::new(self.lower(inner)?))),
            ConditionExpr::Identifier(name) => {
                let at = self.names.iter().position(|known| *known == name);
                let at = at.ok_or_else(|| {
                    Issue::new(format!(
                        "the condition names `{name}`, which does not exist"
                    ))
                })?;
                self.count(1)?;
                Ok(Expr::Selection(at))
            }
            ConditionExpr::Selector {
                quantifier,
                pattern,
            } => self.selector(quantifier, pattern),
        }
    }

    fn all(&mut self, parts: &[ConditionExpr]) -> SigmaResult<Vec<Expr>> {
        parts.iter().map(|part| self.lower(part)).collect()
    }

    fn selector(
        &mut self,
        quantifier: &Quantifier,
        pattern: &SelectorPattern,
    ) -> SigmaResult<Expr> {
        let chosen: Vec<Expr> = (0..)
            .zip(self.names)
            .filter(|(_, name)| is_chosen(pattern, name))
            .map(|(at, _)| Expr::Selection(at))
            .collect();
        self.count(chosen.len())?;
        if chosen.is_empty() {
            return Err(Issue::new(format!("no selection matches `of {pattern}`")));
        }
        match quantifier {
            Quantifier::Any => Ok(Expr::Any(chosen)),
            Quantifier::All => Ok(Expr::All(chosen)),
            Quantifier::Count(least) => match usize::try_from(*least) {
                Ok(least) if (1..=chosen.len()).contains(&least) => {
                    Ok(Expr::AtLeast(least, chosen))
                }
                _ => Err(Issue::new(format!(
                    "`{least} of {pattern}`: there are {} of them",
                    chosen.len()
                ))),
            },
        }
    }

    fn count(&mut self, references: usize) -> SigmaResult<()> {
        self.references = self.references.saturating_add(references);
        if self.references > REFERENCES_MAX {
            let message = format!("the condition expands to more than {REFERENCES_MAX} selections");
            return Err(Issue::new(message));
        }
        Ok(())
    }
}

/// Whether `of` selects the name. Names that start with `_` need a pattern that does, too.
fn is_chosen(pattern: &SelectorPattern, name: &str) -> bool {
    match pattern {
        SelectorPattern::Them => !name.starts_with('_'),
        SelectorPattern::Pattern(glob) => {
            glob_matches(glob, name) && (!name.starts_with('_') || glob.starts_with('_'))
        }
    }
}

/// Lowers the condition of a temporal correlation to an expression over its rules.
pub(crate) fn lower_members(
    expr: &ConditionExpr,
    names: &[String],
) -> SigmaResult<MemberCondition> {
    let all = |parts: &[ConditionExpr]| -> SigmaResult<Vec<MemberCondition>> {
        parts
            .iter()
            .map(|part| lower_members(part, names))
            .collect()
    };
    match expr {
        ConditionExpr::And(parts) => all(parts).map(MemberCondition::All),
        ConditionExpr::Or(parts) => all(parts).map(MemberCondition::Any),
        ConditionExpr::Not(inner) => {
            Ok(MemberCondition::Not(Box::new(lower_members(inner, names)?)))
        }
        ConditionExpr::Identifier(name) => names
            .iter()
            .position(|known| known == name)
            .and_then(|at| u16::try_from(at).ok())
            .map(MemberCondition::Present)
            .ok_or_else(|| {
                Issue::new(format!(
                    "the condition names `{name}`, which `rules` does not list"
                ))
                .hint("write the same id or name in both")
            }),
        ConditionExpr::Selector { .. } => {
            Err(Issue::unsupported("`of` in the condition of a correlation"))
        }
    }
}

/// Appends the names in a condition, in order of first use.
pub(crate) fn collect_names(expr: &ConditionExpr, out: &mut Vec<String>) {
    match expr {
        ConditionExpr::And(parts) | ConditionExpr::Or(parts) => {
            parts.iter().for_each(|part| collect_names(part, out));
        }
        ConditionExpr::Not(inner) => collect_names(inner, out),
        ConditionExpr::Identifier(name) if !out.contains(name) => out.push(name.clone()),
        ConditionExpr::Identifier(_) | ConditionExpr::Selector { .. } => {}
    }
}
