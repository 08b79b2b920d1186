//! Compiles the rules of one scope to shared atoms by field, and a condition over them for each.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::field::FieldBuilder;
use crate::engine::hits::Atom;
use crate::sigma::detection::Detection;
use crate::sigma::matcher::{Clause, Expr};
use crate::sigma::pattern::PatternOutline;
use crate::sigma::value_test::ValueTest;
use crate::sigma::view::{MESSAGE, Renames};

/// A detection under the field names of one reading.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub detection: Arc<Detection>,
    pub renames: Option<Arc<Renames>>,
}

impl Instance {
    /// Equal keys mean the same detection and names, as long as both instances are alive.
    pub(crate) fn key(&self) -> (usize, usize) {
        let renames = self.renames.as_ref();
        let renames = renames.map_or(0, |renames| Arc::as_ptr(renames) as usize);
        (Arc::as_ptr(&self.detection) as usize, renames)
    }
}

/// The condition of a rule, over atoms.
#[derive(Debug)]
pub(crate) enum ConditionNode {
    Atom(Atom),
    /// Index into [`Program::direct`]: a clause that depends on more than one value.
    Direct(u32),
    /// Index into [`CompiledRule::selections`].
    Selection(usize),
    Not(Box<ConditionNode>),
    All(Vec<ConditionNode>),
    Any(Vec<ConditionNode>),
    AtLeast(usize, Vec<ConditionNode>),
}

/// A rule over atoms.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub selections: Vec<ConditionNode>,
    pub condition: ConditionNode,
}

/// The values that an atom tests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AtomTarget {
    Field(String),
    /// The message and the text of every field.
    Everywhere,
}

/// A clause as it is written, to share one atom among equal clauses.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ClauseKey {
    target: AtomTarget,
    modifiers: String,
    patterns: Vec<String>,
    /// Which of the patterns are numbers: `12` and `"12"` are written alike, but the number also
    /// matches the text `12.0`.
    numbers: Vec<bool>,
}

/// Atoms of which at least one must pass, and the odds that one does.
struct Triggers {
    odds: f32,
    atoms: Vec<Atom>,
}

/// The compiled rules of a scope.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub rules: Vec<CompiledRule>,
    /// A clause, and the instance whose names it uses.
    pub direct: Vec<(Clause, u32)>,
    pub targets: Vec<(AtomTarget, FieldBuilder)>,
    pub atoms: u32,
    /// For each atom, the first instance that uses it: the cost of its tests counts for that one.
    pub owners: Vec<u32>,
    /// For each atom, the rules that it triggers. A rule can match only if a trigger of it passes.
    pub triggers: Vec<Vec<u32>>,
    /// Rules without a trigger. They are evaluated for every event.
    pub always: Vec<u32>,
    /// For each atom, the estimated odds that it passes.
    odds: Vec<f32>,
    atom_by_clause: HashMap<ClauseKey, Atom>,
    /// Index into `targets`.
    target_index: HashMap<AtomTarget, usize>,
}

/// Estimated odds that a test passes, to choose the rarest triggers of a rule.
const ODDS_OTHER: f32 = 0.3;
const ODDS_REGEX: f32 = 0.05;
const ODDS_NON_ASCII: f32 = 0.001;

impl Program {
    pub(crate) fn new(instances: &[Instance]) -> Self {
        let mut program = Self::default();
        for (at, instance) in (0..).zip(instances) {
            let matcher = &instance.detection.matcher;
            let mut compile = |expr| program.node(expr, at, instance.renames.as_deref());
            let selections = matcher.selections.iter();
            let selections = selections.map(|(_, expr)| compile(expr)).collect();
            let condition = compile(&matcher.condition);
            program.rules.push(CompiledRule {
                selections,
                condition,
            });
        }
        program.triggers = vec![Vec::new(); program.atoms as usize];
        for (at, rule) in (0..).zip(&program.rules) {
            match triggers(&rule.condition, true, rule, &program.odds) {
                Some(found) => {
                    for atom in found.atoms {
                        if let Some(rules) = program.triggers.get_mut(atom as usize) {
                            rules.push(at);
                        }
                    }
                }
                None => program.always.push(at),
            }
        }
        for rules in &mut program.triggers {
            rules.dedup();
        }
        program
    }

    fn node(&mut self, expr: &Expr, instance: u32, renames: Option<&Renames>) -> ConditionNode {
        let mut all = |parts: &[Expr]| -> Vec<ConditionNode> {
            let parts = parts.iter();
            parts
                .map(|part| self.node(part, instance, renames))
                .collect()
        };
        match expr {
            Expr::Clause(clause) => self.clause(clause, instance, renames),
            Expr::Selection(at) => ConditionNode::Selection(*at),
            Expr::Not(inner) => ConditionNode::Not(Box::new(self.node(inner, instance, renames))),
            Expr::All(parts) => ConditionNode::All(all(parts)),
            Expr::Any(parts) => ConditionNode::Any(all(parts)),
            Expr::AtLeast(least, parts) => ConditionNode::AtLeast(*least, all(parts)),
        }
    }

    fn clause(
        &mut self,
        clause: &Clause,
        instance: u32,
        renames: Option<&Renames>,
    ) -> ConditionNode {
        if !clause.tests.iter().all(FieldBuilder::supports) {
            let at = self.direct.len() as u32; // One for each clause at most.
            self.direct.push((clause.clone(), instance));
            return ConditionNode::Direct(at);
        }
        let target = match &clause.field {
            None => AtomTarget::Everywhere,
            Some(field) => {
                let renamed = renames.and_then(|renames| renames.get(field));
                AtomTarget::Field(renamed.unwrap_or(field).clone())
            }
        };
        let node = if clause.all {
            let tests = clause.tests.iter();
            let atoms = tests.map(|test| {
                let tests = std::slice::from_ref(test);
                ConditionNode::Atom(self.add_atom(&target, tests, instance))
            });
            ConditionNode::All(atoms.collect())
        } else {
            let key = ClauseKey {
                target,
                modifiers: clause.modifiers.clone(),
                patterns: clause.patterns.clone(),
                numbers: clause.tests.iter().map(is_number).collect(),
            };
            let known = self.atom_by_clause.get(&key).copied();
            ConditionNode::Atom(known.unwrap_or_else(|| {
                let atom = self.add_atom(&key.target, &clause.tests, instance);
                self.atom_by_clause.insert(key, atom);
                atom
            }))
        };
        if clause.negated {
            ConditionNode::Not(Box::new(node))
        } else {
            node
        }
    }

    /// Adds an atom of `owner` that passes if one of the tests does.
    fn add_atom(&mut self, target: &AtomTarget, tests: &[ValueTest], owner: u32) -> Atom {
        let atom = self.atoms;
        self.owners.push(owner);
        self.atoms += 1;
        let at = *self.target_index.entry(target.clone()).or_insert_with(|| {
            self.targets.push((target.clone(), FieldBuilder::default()));
            self.targets.len() - 1
        });
        if let Some((_, builder)) = self.targets.get_mut(at) {
            tests.iter().for_each(|test| builder.add(test, atom));
        }
        self.odds.push(tests.iter().map(odds).sum());
        atom
    }
}

/// Whether the target is the field that the event's message stands for.
pub(crate) fn is_message(target: &AtomTarget) -> bool {
    matches!(target, AtomTarget::Field(name) if name == MESSAGE)
}

pub(crate) fn is_number(test: &ValueTest) -> bool {
    matches!(test, ValueTest::Number(_))
}

/// The estimated odds that the test passes.
fn odds(test: &ValueTest) -> f32 {
    match test {
        ValueTest::Text(pattern) => match pattern.outline() {
            Some(PatternOutline::Whole(text)) => 0.2 / (text.len() as f32 + 1.0),
            Some(PatternOutline::Start(text) | PatternOutline::End(text)) => 2.0 / square(text),
            Some(PatternOutline::Anywhere(text) | PatternOutline::Part(text)) => 1.0 / square(text),
            Some(PatternOutline::Dashed(_, texts)) => {
                texts.iter().map(|text| 1.0 / square(text)).sum()
            }
            Some(PatternOutline::NonAscii) => ODDS_NON_ASCII,
            None => ODDS_OTHER,
        },
        ValueTest::Regex(_) => ODDS_REGEX,
        ValueTest::Any(tests) => tests.iter().map(odds).sum(),
        _ => ODDS_OTHER,
    }
}

fn square(text: &[u8]) -> f32 {
    let length = text.len() as f32 + 1.0;
    length * length
}

/// The rarest triggers of the node: atoms of which one must pass for it to be `wanted`.
fn triggers(
    node: &ConditionNode,
    wanted: bool,
    rule: &CompiledRule,
    odds: &[f32],
) -> Option<Triggers> {
    let each = |parts: &[ConditionNode]| -> Vec<Option<Triggers>> {
        let parts = parts.iter();
        parts
            .map(|part| triggers(part, wanted, rule, odds))
            .collect()
    };
    match node {
        ConditionNode::Atom(atom) if wanted => {
            let odds = odds.get(*atom as usize).copied();
            Some(Triggers {
                odds: odds.unwrap_or(1.0),
                atoms: vec![*atom],
            })
        }
        ConditionNode::Atom(_) | ConditionNode::Direct(_) => None,
        ConditionNode::Selection(at) => triggers(rule.selections.get(*at)?, wanted, rule, odds),
        ConditionNode::Not(inner) => triggers(inner, !wanted, rule, odds),
        ConditionNode::All(parts) if wanted => rarest(each(parts)),
        ConditionNode::Any(parts) if !wanted => rarest(each(parts)),
        ConditionNode::All(parts) | ConditionNode::Any(parts) => union(each(parts)),
        ConditionNode::AtLeast(least, parts) if wanted => {
            // One part must hold of any group that is too large to be left out as a whole.
            let mut found: Vec<_> = each(parts).into_iter().flatten().collect();
            let group = (parts.len() + 1).checked_sub((*least).max(1))?;
            if found.len() < group {
                return None;
            }
            found.sort_by(|a, b| a.odds.total_cmp(&b.odds));
            found.truncate(group);
            union(found.into_iter().map(Some).collect())
        }
        ConditionNode::AtLeast(..) => None,
    }
}

fn rarest(parts: Vec<Option<Triggers>>) -> Option<Triggers> {
    let known = parts.into_iter().flatten();
    known.min_by(|a, b| a.odds.total_cmp(&b.odds))
}

fn union(parts: Vec<Option<Triggers>>) -> Option<Triggers> {
    let mut all = Triggers {
        odds: 0.0,
        atoms: Vec::new(),
    };
    for part in parts {
        let mut part = part?;
        all.odds += part.odds;
        all.atoms.append(&mut part.atoms);
    }
    (!all.atoms.is_empty()).then_some(all)
}
