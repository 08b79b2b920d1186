//! The rules that events of one kind are held against, compiled, with what their values have shown.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::FixedState;
use weir_schema::{Event, Value};

use crate::engine::field::{Atom, FieldMatcher, LINES_BYTES_MIN, Scratch};
use crate::engine::layout::{ByLayout, LayoutId, Layouts};
use crate::engine::lines::Lines;
use crate::engine::memo::{Limits, Memo, Remembered};
use crate::engine::program::{Instance, Node, Place, Program, Rule, is_message};
use crate::engine::sieve::Sieve;
use crate::matcher::{Clause, View};

/// Longer values are remembered line by line.
const LIMITS: Limits = Limits {
    value_bytes: LINES_BYTES_MIN,
    arena_bytes: 1 << 20,
};

/// More distinct verdicts of a field are begun anew with its memo; as many as so many bytes hold,
/// since one of a long text may have thousands of atoms.
const VERDICTS_MAX: usize = 65_536;
const VERDICT_BYTES_MAX: usize = 2 << 20;

/// What a value answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub atoms: Box<[Atom]>,
    /// Rules that these atoms make worth evaluating.
    rules: Box<[u32]>,
}

impl Verdict {
    /// Bytes that it takes, with its copy as a key.
    fn bytes(&self) -> usize {
        let lists = 2 * size_of_val(&*self.atoms) + size_of_val(&*self.rules);
        2 * size_of::<Self>() + lists
    }
}

/// The rules' questions of one place, with verdicts by value.
#[derive(Debug)]
pub(crate) struct Asked {
    matcher: FieldMatcher,
    memo: Memo,
    lines: Lines,
    verdicts: Vec<Verdict>,
    verdict_bytes: usize,
    known: HashMap<Box<[Atom]>, u32, FixedState>,
    found: Vec<Atom>,
}

impl Asked {
    pub(crate) fn new(matcher: FieldMatcher) -> Self {
        Self {
            matcher,
            memo: Memo::new(LIMITS),
            lines: Lines::default(),
            verdicts: Vec::new(),
            verdict_bytes: 0,
            known: HashMap::default(),
            found: Vec::new(),
        }
    }

    /// Calls `told` with the verdict of the value, or of each of its elements.
    pub(crate) fn ask(
        &mut self,
        value: &Value<'_>,
        triggers: &[Vec<u32>],
        scratch: &mut Scratch,
        told: &mut impl FnMut(&Verdict),
    ) {
        match value {
            Value::Null => {}
            // A list within a list is as deep as the reader of events lets it be.
            Value::List(values) => values
                .iter()
                .for_each(|value| self.ask(value, triggers, scratch, told)),
            Value::Text(text) if self.matcher.is_out_of_reach(text) => {}
            single => {
                let at = self.verdict(single, triggers, scratch);
                if let Some(verdict) = self.verdicts.get(at as usize) {
                    told(verdict);
                }
            }
        }
    }

    fn verdict(&mut self, value: &Value<'_>, triggers: &[Vec<u32>], scratch: &mut Scratch) -> u32 {
        let mut number = [0; 9];
        let key: Option<&[u8]> = match value {
            // A text that looks like the key of a number is not remembered.
            Value::Text(text) => Some(text.as_bytes()).filter(|text| text.first() != Some(&0)),
            Value::Int(n) => {
                number[1..].copy_from_slice(&n.to_le_bytes());
                Some(&number)
            }
            Value::Number(_) | Value::Bool(_) | Value::Null | Value::List(_) => None,
        };
        let remembered = key.map_or(Remembered::Unkept, |key| self.memo.get(key));
        if let Remembered::Verdict(at) = remembered {
            return at;
        }
        let mut found = std::mem::take(&mut self.found);
        let buffers = (scratch, &mut self.lines);
        self.matcher.find(value, buffers, &mut found);
        let mut at = self.number(&found, triggers);
        if let (Remembered::Unknown(hash), Some(key)) = (remembered, key)
            && !self.memo.keep(hash, key, at)
        {
            self.forget();
            at = self.number(&found, triggers);
        }
        self.found = found;
        at
    }

    /// The place of the verdict that consists of these atoms.
    fn number(&mut self, atoms: &[Atom], triggers: &[Vec<u32>]) -> u32 {
        if let Some(at) = self.known.get(atoms) {
            return *at;
        }
        let rules = atoms.iter().filter_map(|atom| triggers.get(*atom as usize));
        let mut rules: Vec<u32> = rules.flatten().copied().collect();
        rules.sort_unstable();
        rules.dedup();
        let verdict = Verdict {
            atoms: atoms.into(),
            rules: rules.into(),
        };
        let full = self.verdict_bytes + verdict.bytes() > VERDICT_BYTES_MAX;
        if full || self.verdicts.len() >= VERDICTS_MAX {
            self.forget();
        }
        let at = self.verdicts.len() as u32; // At most VERDICTS_MAX.
        self.verdict_bytes += verdict.bytes();
        self.verdicts.push(verdict);
        self.known.insert(atoms.into(), at);
        at
    }

    pub(crate) fn forget(&mut self) {
        self.memo.forget();
        self.lines.forget();
        self.verdicts.clear();
        self.verdict_bytes = 0;
        self.known.clear();
    }

    pub(crate) fn memo_bytes(&self) -> usize {
        self.memo.bytes() + self.lines.bytes() + self.verdict_bytes
    }
}

/// Where the fields of a layout are asked.
#[derive(Debug, Default)]
struct Slots {
    /// Place in the event's fields, and in [`Scope::fields`].
    fields: Vec<(u16, u32)>,
    /// Place in [`Scope::fields`] of the message, where no field has its name.
    message: Option<u32>,
}

impl Slots {
    /// Where the fields of these names go. `message`: where the message is asked.
    fn of(names: &[Box<str>], places: &HashMap<String, u32>, message: Option<u32>) -> Self {
        let mut slots = Self {
            message,
            ..Self::default()
        };
        for (position, name) in (0..).zip(names) {
            if let Some(field) = places.get(&**name) {
                slots.fields.push((position, *field));
                slots.message = slots.message.filter(|message| message != field);
            }
        }
        slots
    }
}

#[derive(Debug)]
pub(crate) struct Scope {
    instances: Vec<Instance>,
    rules: Vec<Rule>,
    direct: Vec<(Clause, u32)>,
    triggers: Vec<Vec<u32>>,
    always: Vec<u32>,
    fields: Vec<Asked>,
    places: HashMap<String, u32>,
    message: Option<u32>,
    everywhere: Option<Asked>,
    sieve: Option<Sieve>,
    slots: ByLayout<Slots>,
    /// By atom and by rule: the event for which it was last set.
    answered: Vec<u32>,
    called: Vec<u32>,
    now: u32,
    candidates: Vec<u32>,
}

impl Scope {
    pub(crate) fn new(instances: Vec<Instance>) -> Self {
        let mut program = Program::new(&instances);
        let mut scope = Self {
            answered: vec![0; program.atoms as usize],
            called: vec![0; instances.len()],
            instances,
            rules: program.rules,
            direct: program.direct,
            triggers: program.triggers,
            always: program.always,
            fields: Vec::new(),
            places: HashMap::new(),
            message: None,
            everywhere: None,
            sieve: None,
            slots: ByLayout::default(),
            now: 0,
            candidates: Vec::new(),
        };
        for (place, builder) in program.places.drain(..) {
            if place == Place::Everywhere {
                scope.sieve = builder.sieve();
            }
            let asked = Asked::new(builder.build());
            let at = scope.fields.len() as u32; // All rules together have far fewer fields.
            if is_message(&place) {
                scope.message = Some(at);
            }
            match place {
                Place::Everywhere => scope.everywhere = Some(asked),
                Place::Field(name) => {
                    scope.fields.push(asked);
                    scope.places.insert(name, at);
                }
            }
        }
        scope
    }

    pub(crate) fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Equal keys are the same rules under the same names.
    pub(crate) fn key(&self) -> Vec<(usize, usize)> {
        self.instances.iter().map(Instance::key).collect()
    }

    pub(crate) fn memo_bytes(&self) -> usize {
        let all = self.fields.iter().chain(&self.everywhere);
        all.map(Asked::memo_bytes).sum()
    }

    pub(crate) fn forget(&mut self) {
        let all = self.fields.iter_mut().chain(&mut self.everywhere);
        all.for_each(Asked::forget);
    }

    /// Calls `matched` with the place of each instance whose detection matches.
    pub(crate) fn run(
        &mut self,
        event: &Event<'_>,
        layout: (&Layouts, LayoutId),
        scratch: &mut Scratch,
        mut matched: impl FnMut(u32),
    ) {
        self.begin();
        let mut tally = Tally {
            now: self.now,
            answered: &mut self.answered,
            called: &mut self.called,
            candidates: &mut self.candidates,
        };
        let triggers = self.triggers.as_slice();
        let (places, message) = (&self.places, self.message);
        let slots = self
            .slots
            .of(layout, |names| Slots::of(names, places, message));
        for (position, field) in &slots.fields {
            let value = event.fields.get(usize::from(*position)).map(|(_, v)| v);
            let asked = self.fields.get_mut(*field as usize);
            if let (Some(value), Some(asked)) = (value, asked) {
                asked.ask(value, triggers, scratch, &mut |verdict| tally.add(verdict));
            }
        }
        let asked = slots
            .message
            .and_then(|at| self.fields.get_mut(at as usize));
        if let Some(asked) = asked {
            let message = Value::Text(Cow::Borrowed(&*event.message));
            asked.ask(&message, triggers, scratch, &mut |verdict| {
                tally.add(verdict)
            });
        }
        let sieve = self.sieve.as_mut();
        if let Some(everywhere) = &mut self.everywhere
            && sieve.is_none_or(|sieve| sieve.passes(event))
        {
            let message = Value::Text(Cow::Borrowed(&*event.message));
            let values = event.fields.iter().map(|(_, value)| value);
            for value in values.chain(std::iter::once(&message)) {
                everywhere.ask(value, triggers, scratch, &mut |verdict| tally.add(verdict));
            }
        }
        for rule in self.candidates.iter().chain(&self.always) {
            if self.matches(*rule, event) {
                matched(*rule);
            }
        }
    }

    fn begin(&mut self) {
        self.candidates.clear();
        self.now = self.now.checked_add(1).unwrap_or_else(|| {
            self.answered.fill(0);
            self.called.fill(0);
            1
        });
    }

    fn matches(&self, rule: u32, event: &Event<'_>) -> bool {
        let found = self.rules.get(rule as usize);
        found.is_some_and(|rule| self.holds(&rule.condition, rule, event))
    }

    /// As deep as the rule's condition, which the compiler of rules bounds.
    fn holds(&self, node: &Node, rule: &Rule, event: &Event<'_>) -> bool {
        match node {
            Node::Atom(atom) => self.answered.get(*atom as usize) == Some(&self.now),
            Node::Direct(at) => self.holds_directly(*at, event),
            Node::Selection(at) => {
                let selection = rule.selections.get(*at);
                selection.is_some_and(|node| self.holds(node, rule, event))
            }
            Node::Not(inner) => !self.holds(inner, rule, event),
            Node::All(parts) => parts.iter().all(|part| self.holds(part, rule, event)),
            Node::Any(parts) => parts.iter().any(|part| self.holds(part, rule, event)),
            Node::AtLeast(least, parts) => {
                let held = parts.iter().filter(|part| self.holds(part, rule, event));
                held.take(*least).count() == *least
            }
        }
    }

    fn holds_directly(&self, at: u32, event: &Event<'_>) -> bool {
        let Some((clause, instance)) = self.direct.get(at as usize) else {
            return false; // Places are those of this program.
        };
        let instance = self.instances.get(*instance as usize);
        let renames = instance.and_then(|instance| instance.renames.as_deref());
        clause.holds(&View::new(event, renames))
    }
}

/// What an event's values have answered so far.
struct Tally<'s> {
    now: u32,
    answered: &'s mut [u32],
    called: &'s mut [u32],
    candidates: &'s mut Vec<u32>,
}

impl Tally<'_> {
    fn add(&mut self, verdict: &Verdict) {
        for atom in &verdict.atoms {
            if let Some(answered) = self.answered.get_mut(*atom as usize) {
                *answered = self.now;
            }
        }
        for rule in &verdict.rules {
            if let Some(called) = self.called.get_mut(*rule as usize)
                && std::mem::replace(called, self.now) != self.now
            {
                self.candidates.push(*rule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::field::FieldBuilder;
    use crate::pattern::{Pattern, Token};
    use crate::test::Test;

    /// Whoever sends texts that each answer other atoms fills no memory with their verdicts.
    #[test]
    fn verdicts_of_long_texts_are_bounded() {
        let needle = |n: u32| format!("<{n:03}>");
        let mut builder = FieldBuilder::default();
        for n in 0..1_000 {
            let tokens = vec![Token::Star, Token::Literal(needle(n)), Token::Star];
            builder.ask(&Test::Text(Pattern::new(tokens, false)), n);
        }
        let mut asked = Asked::new(builder.build());
        let triggers: Vec<Vec<u32>> = (0..1_000).map(|n| vec![n]).collect();
        for between in [" ", "\n"] {
            for left_out in 0..1_000u32 {
                let kept = (0..1_000u32).filter(|n| n.abs_diff(left_out) > 10);
                let text = kept.map(needle).collect::<Vec<_>>().join(between);
                let (text, mut told) = (Value::Text(Cow::Owned(text)), 0);
                asked.ask(&text, &triggers, &mut Scratch::default(), &mut |verdict| {
                    told = verdict.atoms.len();
                });
                assert!((979..990).contains(&told), "{told} without {left_out}");
                assert!(asked.memo_bytes() < 8 << 20, "{}", asked.memo_bytes());
            }
        }
    }
}
