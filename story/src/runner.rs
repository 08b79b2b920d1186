//! Runs a story on a system in one variant, and compares the output with the expectations.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{Control, EventId, EventTime, ReceiveTime, Span, TimeBounds};

use crate::check::{FailureKind, StoryFailure, StoryOutput, check};
use crate::clock::STORY_START;
use crate::delivery::build_delivery;
use crate::net_effects::{EffectNames, NetEffects};
use crate::rule_files::{RuleSearchPath, RuleText, replace_value, split_documents};
use crate::story::{ChangeStep, Chapter, EventStep, StepKind, Story, SubjectKind};
use crate::system::{EventDelivery, System, split_source};
use crate::variant::{Batching, RunVariant, SeededRng};

/// Runs `story` on a new system and checks the output.
pub fn run_and_check(
    story: &Story,
    rules: &RuleSearchPath,
    mut system_factory: impl FnMut(&RunVariant) -> Box<dyn System>,
    variant: &RunVariant,
) -> Result<StoryOutput, StoryFailure> {
    let mut system = system_factory(variant);
    let (output, failure) = attempt(story, rules, system.as_mut(), variant);
    // A mismatch under an early line explains more than the failure that it led to later.
    check(story, &output, variant).map_err(|failure| explain(failure, system.as_mut()))?;
    failure.map_or(Ok(output), Err)
}

/// Lets the system explain a missing effect.
fn explain(mut failure: StoryFailure, system: &mut dyn System) -> StoryFailure {
    if let FailureKind::Mismatch(mismatch) = &mut failure.kind
        && let Some(expected) = &mismatch.expected
        && let Some(why) = system.explain_absence(expected)
    {
        mismatch.nearest = Some(why);
    }
    failure
}

/// Runs `story` to its end and returns the output, whatever the story expects.
pub fn run(
    story: &Story,
    rules: &RuleSearchPath,
    system: &mut dyn System,
    variant: &RunVariant,
) -> Result<StoryOutput, StoryFailure> {
    let (output, failure) = attempt(story, rules, system, variant);
    failure.map_or(Ok(output), Err)
}

/// Runs `story` as far as possible. Returns the output so far, and the failure that ended the run.
fn attempt(
    story: &Story,
    rules: &RuleSearchPath,
    system: &mut dyn System,
    variant: &RunVariant,
) -> (StoryOutput, Option<StoryFailure>) {
    let mut runner = StoryRunner::new(story, rules, system, variant);
    let failure = runner.run().err().map(|error| StoryFailure {
        file: story.file.clone(),
        line: error.line,
        variant: *variant,
        kind: FailureKind::Invalid(error.message),
    });
    (runner.output, failure)
}

/// A rule file that the story has added.
struct AddedRules {
    since: EventTime,
    documents: Vec<RuleText>,
    disabled: bool,
}

struct StoryRunner<'a> {
    story: &'a Story,
    rules: &'a RuleSearchPath,
    system: &'a mut dyn System,
    variant: &'a RunVariant,
    rng: SeededRng,
    /// The time of the last line.
    line_time: Option<EventTime>,
    labels: BTreeMap<EventId, BTreeSet<String>>,
    sources: BTreeSet<String>,
    stalled: BTreeSet<String>,
    added: BTreeMap<String, AddedRules>,
    /// The name in the story of each rule id. Names of removed rules stay, for their retractions.
    rule_names: BTreeMap<String, String>,
    effects: NetEffects,
    output: StoryOutput,
}

/// A failure, and the line at which it occurred.
struct StepError {
    line: usize,
    message: String,
}

impl<'a> StoryRunner<'a> {
    fn new(
        story: &'a Story,
        rules: &'a RuleSearchPath,
        system: &'a mut dyn System,
        variant: &'a RunVariant,
    ) -> Self {
        Self {
            story,
            rules,
            system,
            variant,
            rng: SeededRng::new(match variant.batching {
                Batching::Shuffled(seed) => seed,
                Batching::Whole | Batching::EventByEvent => 0,
            }),
            line_time: None,
            labels: BTreeMap::new(),
            sources: BTreeSet::new(),
            stalled: BTreeSet::new(),
            added: BTreeMap::new(),
            rule_names: BTreeMap::new(),
            effects: NetEffects::default(),
            output: StoryOutput::default(),
        }
    }

    fn run(&mut self) -> Result<(), StepError> {
        self.start();
        for chapter in &self.story.chapters {
            self.run_chapter(chapter)?;
        }
        Ok(())
    }

    fn start(&mut self) {
        let bounds = TimeBounds {
            lateness: Span(0),
            horizon: Some(self.story.horizon.unwrap_or(Span::seconds(24 * 3600))),
            ..TimeBounds::default()
        };
        let received = ReceiveTime(self.line_time.unwrap_or(STORY_START).0);
        self.system.control(vec![Control::Start {
            version: "story".to_owned(),
            bounds,
            received,
        }]);
    }

    fn run_chapter(&mut self, chapter: &Chapter) -> Result<(), StepError> {
        let mut pending = Vec::new();
        for step in &chapter.steps {
            let line = step.line;
            self.run_step(line, &step.value, chapter.end, &mut pending)
                .map_err(|message| StepError { line, message })?;
        }
        self.deliver(&mut pending);
        self.close_chapter(chapter).map_err(|message| StepError {
            line: chapter.line,
            message,
        })
    }

    /// Runs one step. Events are added to `pending`, to be delivered together.
    fn run_step(
        &mut self,
        line: usize,
        step: &StepKind,
        end: EventTime,
        pending: &mut Vec<EventDelivery>,
    ) -> Result<(), String> {
        match step {
            StepKind::Event(event) => self.queue(event, end, pending),
            StepKind::Change(change) => {
                let diagnostics = self.change(change)?;
                if let Some(first) = diagnostics.first() {
                    return Err(format!("the change was refused: {first}"));
                }
            }
            StepKind::RefusedChange(change, _) => {
                let diagnostics = self.change(change)?;
                if diagnostics.is_empty() {
                    return Err("the change was accepted, but must be refused".to_owned());
                }
                self.output.rows.insert(line, diagnostics);
            }
            StepKind::Restart => {
                self.deliver(pending);
                self.settle()?;
                self.restart();
            }
            StepKind::Stall(source) => {
                self.stalled.insert(source.clone());
            }
            StepKind::Resume(source) => {
                self.stalled.remove(source);
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), String> {
        let output = self.system.settle();
        self.effects.add(output)
    }

    fn restart(&mut self) {
        self.system.restart();
        self.start();
    }

    /// Moves the clock to the end of a chapter, and records its effects and answers.
    fn close_chapter(&mut self, chapter: &Chapter) -> Result<(), String> {
        // The tick comes first: the heartbeats are received at its time.
        let mut controls = vec![Control::Tick {
            received: ReceiveTime(chapter.end.0),
        }];
        let active = self.sources.difference(&self.stalled);
        controls.extend(active.map(|source| {
            let (tenant, source) = split_source(source);
            Control::Heartbeat {
                tenant: tenant.to_owned(),
                source: source.to_owned(),
                time: chapter.end,
            }
        }));
        self.system.control(controls);
        self.settle()?;
        self.line_time = Some(chapter.end);
        let names = EffectNames {
            rules: &self.rule_names,
            labels: &self.labels,
        };
        let effects = self.effects.close_chapter(&names);
        self.output.effects.insert(chapter.line, effects);
        for question in &chapter.questions {
            let rows = normalize(self.system.query(&question.query));
            self.output.rows.insert(question.line, rows);
        }
        if self.variant.restart_at_lines {
            self.restart();
        }
        Ok(())
    }

    fn queue(&mut self, step: &EventStep, end: EventTime, pending: &mut Vec<EventDelivery>) {
        self.sources.insert(step.source.clone());
        for nth in 0..i64::from(step.times) {
            let time = step.time.plus(Span(step.every.0.saturating_mul(nth)));
            let delivery = build_delivery(step, time, end, self.variant.form);
            if let Some(label) = &delivery.label {
                let labels = self.labels.entry(delivery.event_id()).or_default();
                labels.insert(label.clone());
            }
            pending.push(delivery);
        }
    }

    fn deliver(&mut self, pending: &mut Vec<EventDelivery>) {
        let mut events = std::mem::take(pending);
        match self.variant.batching {
            Batching::Whole if events.is_empty() => {}
            Batching::Whole => self.system.deliver(&events),
            Batching::EventByEvent => {
                for event in events.chunks(1) {
                    self.system.deliver(event);
                }
            }
            Batching::Shuffled(_) => {
                self.rng.shuffle(&mut events);
                let mut rest = events.as_slice();
                while !rest.is_empty() {
                    let (batch, after) = rest.split_at(1 + self.rng.below(rest.len()));
                    self.system.deliver(batch);
                    rest = after;
                }
            }
        }
    }

    /// Makes a change and returns its diagnostics.
    fn change(&mut self, change: &ChangeStep) -> Result<Vec<String>, String> {
        if change.kind != SubjectKind::Rule {
            return Err(format!("`{}` is not supported yet", change.kind.name()));
        }
        let controls = if change.add {
            self.add_rules(change)?
        } else {
            self.remove_rules(change)?
        };
        if !controls.is_empty() {
            self.system.control(controls);
        }
        Ok(normalize(self.system.diagnostics()))
    }

    /// The control entries that add a rule file: its documents that differ from those in place.
    fn add_rules(&mut self, change: &ChangeStep) -> Result<Vec<Control>, String> {
        let mut documents = split_documents(&self.rules.read(&change.subject)?)?;
        let mut backfill = Span(0);
        let mut begins_now = false;
        for (key, value) in &change.fields {
            if key == "backfill" {
                backfill = Span::parse(value).ok_or("`backfill` is a duration")?;
            } else if key == "since" {
                if value != "line" {
                    return Err("`since` can only be `line`".to_owned());
                }
                begins_now = true;
            } else if let Some(last) = documents.last_mut() {
                last.text = replace_value(&last.text, key, value)?;
            }
        }
        let now = self
            .line_time
            .map_or(EventTime::MIN, |time| time.minus(backfill));
        let in_place = self
            .added
            .get(&change.subject)
            .filter(|added| !added.disabled);
        let in_place_since = in_place.filter(|_| !begins_now).map(|added| added.since);
        let since = in_place_since.unwrap_or(now);
        let known = in_place.map_or(&[][..], |added| &added.documents);
        let fresh = documents
            .iter()
            .filter(|document| !known.contains(document));
        let controls = fresh
            .map(|document| Control::RulePut {
                text: document.text.clone(),
                origin: format!("{}.yml", change.subject),
                since,
            })
            .collect();
        self.name_rules(&change.subject, &documents)?;
        let added = AddedRules {
            since,
            documents,
            disabled: false,
        };
        self.added.insert(change.subject.clone(), added);
        Ok(controls)
    }

    fn name_rules(&mut self, path: &str, documents: &[RuleText]) -> Result<(), String> {
        let stem = path.rsplit('/').next().unwrap_or(path);
        // The file's name stands for its last document, unless it is the name of another one.
        let (last, others) = documents.split_last().unzip();
        let others: &[RuleText] = others.unwrap_or_default();
        let taken = others.iter().any(|document| document.name == stem);
        for document in documents {
            let by_file = !taken && last == Some(document);
            let name = if by_file { stem } else { &document.name };
            let other = self
                .rule_names
                .iter()
                .find(|(id, known)| known.as_str() == name && **id != document.id);
            if let Some((id, _)) = other {
                return Err(format!(
                    "two rules would have the name `{name}`: {id} and {}",
                    document.id
                ));
            }
            self.rule_names.insert(document.id.clone(), name.to_owned());
        }
        Ok(())
    }

    /// The control entries that remove or disable a rule file.
    fn remove_rules(&mut self, change: &ChangeStep) -> Result<Vec<Control>, String> {
        let until = self.line_time.unwrap_or(EventTime::MIN);
        let added = self
            .added
            .get_mut(&change.subject)
            .ok_or_else(|| format!("the rule `{}` is not in place", change.subject))?;
        // Correlations are removed before the rules that they refer to.
        let ids = added
            .documents
            .iter()
            .rev()
            .map(|document| document.id.clone());
        if change.disabled {
            added.disabled = true;
            return Ok(ids
                .map(|rule| Control::RuleDisable { rule, until })
                .collect());
        }
        let since = self.line_time.unwrap_or(EventTime::MIN);
        let delete = |rule| Control::RuleDelete { rule, since };
        let controls = ids.map(delete).collect();
        self.added.remove(&change.subject);
        Ok(controls)
    }
}

/// Puts each row on one line, with single spaces and none around it, as a story writes it.
fn normalize(rows: Vec<String>) -> Vec<String> {
    let one_line = |row: String| row.split_whitespace().collect::<Vec<_>>().join(" ");
    rows.into_iter().map(one_line).collect()
}
