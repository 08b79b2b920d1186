//! A rule scope: the compiled rules for events of one kind, with memos of their values.

use std::borrow::Cow;
use std::collections::HashMap;

use weir_schema::{Event, Value};

use crate::engine::answers::{FieldAnswers, ValueAnswer};
use crate::engine::field::{FieldScratch, TestMeter};
use crate::engine::layout::{ByLayout, EventLayout};
use crate::engine::prefilter::Prefilter;
use crate::engine::program::{
    AtomTarget, CompiledRule, ConditionNode, Instance, Program, is_message,
};
use crate::sigma::matcher::Clause;
use crate::sigma::view::EventView;

/// The fields of a layout that rules test.
#[derive(Debug, Default)]
struct Slots {
    /// Index into the event's fields, and index into [`RuleScope::fields`].
    fields: Vec<(u16, u32)>,
    /// Index into [`RuleScope::fields`] for the message, if no field has its name.
    message: Option<u32>,
}

impl Slots {
    /// Finds the fields with these names in `index`. `message` is the index for the message.
    fn new(names: &[Box<str>], index: &HashMap<String, u32>, message: Option<u32>) -> Self {
        let mut slots = Self {
            message,
            ..Self::default()
        };
        for (position, name) in (0..).zip(names) {
            if let Some(field) = index.get(&**name) {
                slots.fields.push((position, *field));
                slots.message = slots.message.filter(|message| message != field);
            }
        }
        slots
    }
}

/// The compiled rules for events of one kind.
#[derive(Debug)]
pub(crate) struct RuleScope {
    instances: Vec<Instance>,
    rules: Vec<CompiledRule>,
    /// For each atom, the instance that its cost counts for.
    owners: Vec<u32>,
    direct: Vec<(Clause, u32)>,
    triggers: Vec<Vec<u32>>,
    always: Vec<u32>,
    fields: Vec<FieldAnswers>,
    /// Name of a field, to its index into `fields`.
    field_index: HashMap<String, u32>,
    message: Option<u32>,
    everywhere: Option<FieldAnswers>,
    prefilter: Option<Prefilter>,
    slots: ByLayout<Slots>,
    /// For each atom, the number of the event for which it last passed.
    passed: Vec<u32>,
    /// For each rule, the number of the event for which it last became a candidate.
    triggered: Vec<u32>,
    /// Number of the current event.
    now: u32,
    candidates: Vec<u32>,
}

impl RuleScope {
    pub(crate) fn new(instances: Vec<Instance>) -> Self {
        let mut program = Program::new(&instances);
        let mut scope = Self {
            passed: vec![0; program.atoms as usize],
            triggered: vec![0; instances.len()],
            instances,
            rules: program.rules,
            owners: program.owners,
            direct: program.direct,
            triggers: program.triggers,
            always: program.always,
            fields: Vec::new(),
            field_index: HashMap::new(),
            message: None,
            everywhere: None,
            prefilter: None,
            slots: ByLayout::default(),
            now: 0,
            candidates: Vec::new(),
        };
        for (target, builder) in program.targets.drain(..) {
            if target == AtomTarget::Everywhere {
                scope.prefilter = builder.prefilter();
            }
            let answers = FieldAnswers::new(builder.build());
            let at = scope.fields.len() as u32; // The rules have far fewer fields.
            if is_message(&target) {
                scope.message = Some(at);
            }
            match target {
                AtomTarget::Everywhere => scope.everywhere = Some(answers),
                AtomTarget::Field(name) => {
                    scope.fields.push(answers);
                    scope.field_index.insert(name, at);
                }
            }
        }
        scope
    }

    pub(crate) fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Equal keys mean the same rules under the same field names.
    pub(crate) fn key(&self) -> Vec<(usize, usize)> {
        self.instances.iter().map(Instance::key).collect()
    }

    pub(crate) fn memo_bytes(&self) -> usize {
        let all = self.fields.iter().chain(&self.everywhere);
        all.map(FieldAnswers::memo_bytes).sum()
    }

    pub(crate) fn clear_memos(&mut self) {
        let all = self.fields.iter_mut().chain(&mut self.everywhere);
        all.for_each(FieldAnswers::clear);
    }

    /// Calls `matched` with the index of each instance whose detection matches.
    pub(crate) fn run(
        &mut self,
        event: &Event<'_>,
        layout: EventLayout<'_>,
        scratch: &mut FieldScratch,
        mut matched: impl FnMut(u32),
    ) {
        self.begin_event();
        let mut state = EventState {
            now: self.now,
            passed: &mut self.passed,
            triggered: &mut self.triggered,
            candidates: &mut self.candidates,
        };
        let triggers = self.triggers.as_slice();
        let (index, message) = (&self.field_index, self.message);
        let slots = self
            .slots
            .get_or_compute(layout, |names| Slots::new(names, index, message));
        for (position, field) in &slots.fields {
            let value = event.fields.get(usize::from(*position)).map(|(_, v)| v);
            let answers = self.fields.get_mut(*field as usize);
            if let (Some(value), Some(answers)) = (value, answers) {
                answers.answer(value, triggers, scratch, &mut |answer| state.add(answer));
            }
        }
        let answers = slots
            .message
            .and_then(|at| self.fields.get_mut(at as usize));
        if let Some(answers) = answers {
            let message = Value::Text(Cow::Borrowed(&*event.message));
            answers.answer(&message, triggers, scratch, &mut |answer| state.add(answer));
        }
        let prefilter = self.prefilter.as_mut();
        if let Some(everywhere) = &mut self.everywhere
            && prefilter.is_none_or(|prefilter| prefilter.passes(event))
        {
            let message = Value::Text(Cow::Borrowed(&*event.message));
            let values = event.fields.iter().map(|(_, value)| value);
            for value in values.chain(std::iter::once(&message)) {
                everywhere.answer(value, triggers, scratch, &mut |answer| state.add(answer));
            }
        }
        if let Some(meter) = &mut scratch.meter {
            meter.start();
        }
        for rule in self.candidates.iter().chain(&self.always) {
            if self.matches(*rule, event) {
                matched(*rule);
            }
            if let Some(meter) = &mut scratch.meter {
                let nanos = meter.lap();
                meter.instances.push((*rule, nanos));
            }
        }
        if let Some(meter) = &mut scratch.meter {
            self.attribute_tests(meter);
        }
    }

    /// Adds the time of single tests to the instances that own them.
    fn attribute_tests(&self, meter: &mut TestMeter) {
        for (atom, nanos) in meter.tests.drain(..) {
            let owner = self.owners.get(atom as usize);
            meter.instances.extend(owner.map(|owner| (*owner, nanos)));
        }
    }

    fn begin_event(&mut self) {
        self.candidates.clear();
        self.now = self.now.checked_add(1).unwrap_or_else(|| {
            self.passed.fill(0);
            self.triggered.fill(0);
            1
        });
    }

    fn matches(&self, rule: u32, event: &Event<'_>) -> bool {
        let found = self.rules.get(rule as usize);
        found.is_some_and(|rule| self.holds(&rule.condition, rule, event))
    }

    /// Recurses as deep as the rule's condition. The compiler of rules limits that depth.
    fn holds(&self, node: &ConditionNode, rule: &CompiledRule, event: &Event<'_>) -> bool {
        match node {
            ConditionNode::Atom(atom) => self.passed.get(*atom as usize) == Some(&self.now),
            ConditionNode::Direct(at) => self.holds_directly(*at, event),
            ConditionNode::Selection(at) => {
                let selection = rule.selections.get(*at);
                selection.is_some_and(|node| self.holds(node, rule, event))
            }
            ConditionNode::Not(inner) => !self.holds(inner, rule, event),
            ConditionNode::All(parts) => parts.iter().all(|part| self.holds(part, rule, event)),
            ConditionNode::Any(parts) => parts.iter().any(|part| self.holds(part, rule, event)),
            ConditionNode::AtLeast(least, parts) => {
                let passed = parts.iter().filter(|part| self.holds(part, rule, event));
                passed.take(*least).count() == *least
            }
        }
    }

    fn holds_directly(&self, at: u32, event: &Event<'_>) -> bool {
        let Some((clause, instance)) = self.direct.get(at as usize) else {
            return false; // Unreachable: the index comes from this program.
        };
        let instance = self.instances.get(*instance as usize);
        let renames = instance.and_then(|instance| instance.renames.as_deref());
        clause.holds(&EventView::new(event, renames))
    }
}

/// The atoms that passed for the current event, and the rules to evaluate.
struct EventState<'s> {
    now: u32,
    passed: &'s mut [u32],
    triggered: &'s mut [u32],
    candidates: &'s mut Vec<u32>,
}

impl EventState<'_> {
    fn add(&mut self, answer: &ValueAnswer) {
        for atom in &answer.atoms {
            if let Some(passed) = self.passed.get_mut(*atom as usize) {
                *passed = self.now;
            }
        }
        for rule in &answer.rules {
            if let Some(triggered) = self.triggered.get_mut(*rule as usize)
                && std::mem::replace(triggered, self.now) != self.now
            {
                self.candidates.push(*rule);
            }
        }
    }
}
