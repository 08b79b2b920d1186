//! Rules of one scope as questions that they share: atoms by field, and an expression for each rule.

use std::collections::HashMap;
use std::sync::Arc;

use crate::document::Detection;
use crate::engine::field::{Atom, FieldBuilder};
use crate::matcher::{Clause, Expr, MESSAGE, Renames};
use crate::pattern::Outline;
use crate::test::Test;

/// A detection as the rules of one reading have it.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub detection: Arc<Detection>,
    pub renames: Option<Arc<Renames>>,
}

impl Instance {
    /// Equal keys are the same detection under the same names, while both are held.
    pub(crate) fn key(&self) -> (usize, usize) {
        let renames = self.renames.as_ref();
        let renames = renames.map_or(0, |renames| Arc::as_ptr(renames) as usize);
        (Arc::as_ptr(&self.detection) as usize, renames)
    }
}

/// A rule's condition over atoms.
#[derive(Debug)]
pub(crate) enum Node {
    Atom(Atom),
    /// The clause at this place of [`Program::direct`], which asks more than one value can tell.
    Direct(u32),
    /// The selection at this place of [`Rule::selections`].
    Selection(usize),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    AtLeast(usize, Vec<Node>),
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub selections: Vec<Node>,
    pub condition: Node,
}

/// Where an atom's question is put.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    Field(String),
    /// The message and the text of every field.
    Everywhere,
}

/// What the rules of a scope come to.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub rules: Vec<Rule>,
    /// A clause, and the instance whose names it uses.
    pub direct: Vec<(Clause, u32)>,
    pub places: Vec<(Place, FieldBuilder)>,
    pub atoms: u32,
    /// By atom: the rules that cannot match unless one of their atoms is answered.
    pub triggers: Vec<Vec<u32>>,
    /// Rules that no atom foretells.
    pub always: Vec<u32>,
    costs: Vec<f32>,
    /// What a clause asks, as it is written: place, modifiers, values, and of these which are numbers.
    known: HashMap<(Place, String, Vec<String>, Vec<bool>), Atom>,
    by_place: HashMap<Place, usize>,
}

/// Rough odds that a test holds for a value, to choose the rarest of what a rule needs.
const ODDS_OTHER: f32 = 0.3;
const ODDS_REGEX: f32 = 0.05;
const ODDS_FOREIGN: f32 = 0.001;

impl Program {
    pub(crate) fn new(instances: &[Instance]) -> Self {
        let mut program = Self::default();
        for (at, instance) in (0..).zip(instances) {
            let matcher = &instance.detection.matcher;
            let mut compile = |expr| program.node(expr, at, instance.renames.as_deref());
            let selections = matcher.selections.iter();
            let selections = selections.map(|(_, expr)| compile(expr)).collect();
            let condition = compile(&matcher.condition);
            program.rules.push(Rule {
                selections,
                condition,
            });
        }
        program.triggers = vec![Vec::new(); program.atoms as usize];
        for (at, rule) in (0..).zip(&program.rules) {
            match needed(&rule.condition, true, rule, &program.costs) {
                Some((_, atoms)) => {
                    for atom in atoms {
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

    fn node(&mut self, expr: &Expr, instance: u32, renames: Option<&Renames>) -> Node {
        let mut all = |parts: &[Expr]| -> Vec<Node> {
            let parts = parts.iter();
            parts
                .map(|part| self.node(part, instance, renames))
                .collect()
        };
        match expr {
            Expr::Clause(clause) => self.clause(clause, instance, renames),
            Expr::Selection(at) => Node::Selection(*at),
            Expr::Not(inner) => Node::Not(Box::new(self.node(inner, instance, renames))),
            Expr::All(parts) => Node::All(all(parts)),
            Expr::Any(parts) => Node::Any(all(parts)),
            Expr::AtLeast(least, parts) => Node::AtLeast(*least, all(parts)),
        }
    }

    fn clause(&mut self, clause: &Clause, instance: u32, renames: Option<&Renames>) -> Node {
        if !clause.tests.iter().all(FieldBuilder::can_ask) {
            let at = self.direct.len() as u32; // As many as there are clauses.
            self.direct.push((clause.clone(), instance));
            return Node::Direct(at);
        }
        let place = match &clause.field {
            None => Place::Everywhere,
            Some(field) => {
                let renamed = renames.and_then(|renames| renames.get(field));
                Place::Field(renamed.unwrap_or(field).clone())
            }
        };
        let node = if clause.all {
            let tests = clause.tests.iter();
            let atoms = tests.map(|test| Node::Atom(self.atom(&place, std::slice::from_ref(test))));
            Node::All(atoms.collect())
        } else {
            // `12` and `"12"` are written alike, and the number is in the text `12.0`, too.
            let numbers = clause.tests.iter().map(is_number).collect();
            let (modifiers, patterns) = (clause.modifiers.clone(), clause.patterns.clone());
            let key = (place, modifiers, patterns, numbers);
            let known = self.known.get(&key).copied();
            Node::Atom(known.unwrap_or_else(|| {
                let atom = self.atom(&key.0, &clause.tests);
                self.known.insert(key, atom);
                atom
            }))
        };
        if clause.negated {
            Node::Not(Box::new(node))
        } else {
            node
        }
    }

    /// A new atom: one of the tests holds.
    fn atom(&mut self, place: &Place, tests: &[Test]) -> Atom {
        let atom = self.atoms;
        self.atoms += 1;
        let at = *self.by_place.entry(place.clone()).or_insert_with(|| {
            self.places.push((place.clone(), FieldBuilder::default()));
            self.places.len() - 1
        });
        if let Some((_, builder)) = self.places.get_mut(at) {
            tests.iter().for_each(|test| builder.ask(test, atom));
        }
        self.costs.push(tests.iter().map(odds).sum());
        atom
    }
}

/// The field whose value an event's message stands for, where it has none of that name.
pub(crate) fn is_message(place: &Place) -> bool {
    matches!(place, Place::Field(name) if name == MESSAGE)
}

pub(crate) fn is_number(test: &Test) -> bool {
    matches!(test, Test::Number(_))
}

fn odds(test: &Test) -> f32 {
    match test {
        Test::Text(pattern) => match pattern.outline() {
            Some(Outline::Whole(text)) => 0.2 / (text.len() as f32 + 1.0),
            Some(Outline::Start(text) | Outline::End(text)) => 2.0 / square(text),
            Some(Outline::Within(text) | Outline::Part(text)) => 1.0 / square(text),
            Some(Outline::Dashed(_, texts)) => texts.iter().map(|text| 1.0 / square(text)).sum(),
            Some(Outline::Foreign) => ODDS_FOREIGN,
            None => ODDS_OTHER,
        },
        Test::Regex(_) => ODDS_REGEX,
        Test::Any(tests) => tests.iter().map(odds).sum(),
        _ => ODDS_OTHER,
    }
}

fn square(text: &[u8]) -> f32 {
    let length = text.len() as f32 + 1.0;
    length * length
}

/// Atoms of which one at least must be answered for the node to be as `wanted`, and their odds.
fn needed(node: &Node, wanted: bool, rule: &Rule, costs: &[f32]) -> Option<(f32, Vec<Atom>)> {
    let each = |parts: &[Node]| -> Vec<Option<(f32, Vec<Atom>)>> {
        let parts = parts.iter();
        parts
            .map(|part| needed(part, wanted, rule, costs))
            .collect()
    };
    match node {
        Node::Atom(atom) if wanted => {
            let cost = costs.get(*atom as usize).copied();
            Some((cost.unwrap_or(1.0), vec![*atom]))
        }
        Node::Atom(_) | Node::Direct(_) => None,
        Node::Selection(at) => needed(rule.selections.get(*at)?, wanted, rule, costs),
        Node::Not(inner) => needed(inner, !wanted, rule, costs),
        Node::All(parts) if wanted => rarest(each(parts)),
        Node::Any(parts) if !wanted => rarest(each(parts)),
        Node::All(parts) | Node::Any(parts) => together(each(parts)),
        Node::AtLeast(least, parts) if wanted => {
            // One of any group that is too large to be left out as a whole.
            let mut found: Vec<_> = each(parts).into_iter().flatten().collect();
            let group = (parts.len() + 1).checked_sub((*least).max(1))?;
            if found.len() < group {
                return None;
            }
            found.sort_by(|a, b| a.0.total_cmp(&b.0));
            found.truncate(group);
            together(found.into_iter().map(Some).collect())
        }
        Node::AtLeast(..) => None,
    }
}

fn rarest(parts: Vec<Option<(f32, Vec<Atom>)>>) -> Option<(f32, Vec<Atom>)> {
    let known = parts.into_iter().flatten();
    known.min_by(|a, b| a.0.total_cmp(&b.0))
}

fn together(parts: Vec<Option<(f32, Vec<Atom>)>>) -> Option<(f32, Vec<Atom>)> {
    let mut all = (0.0, Vec::new());
    for part in parts {
        let (cost, mut atoms) = part?;
        all.0 += cost;
        all.1.append(&mut atoms);
    }
    (!all.1.is_empty()).then_some(all)
}
