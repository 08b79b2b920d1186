//! Tells a story to a system in one way, and compares what was said with what is written.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{Control, EventId, EventTime, ReceiveTime, Span, TimeBounds};

use crate::check::{Failure, Told, Wrong, check};
use crate::clock::STORY_BEGINS;
use crate::frame::delivery;
use crate::net::{Names, Net};
use crate::page::{ChangeStep, Chapter, EventStep, Noun, Story, What};
use crate::shelf::{Document, Shelf, documents, edit};
use crate::system::{Delivery, System, tenant_of};
use crate::way::{Batching, Dice, Way};

/// Tells `story` to a new system and compares.
pub fn tell(
    story: &Story,
    shelf: &Shelf,
    mut system_factory: impl FnMut(&Way) -> Box<dyn System>,
    way: &Way,
) -> Result<Told, Failure> {
    let mut system = system_factory(way);
    let (told, broken) = attempt(story, shelf, system.as_mut(), way);
    // A difference under an early line explains more than what it led to later.
    check(story, &told, way).map_err(|failure| explained(failure, system.as_mut()))?;
    broken.map_or(Ok(told), Err)
}

fn explained(mut failure: Failure, system: &mut dyn System) -> Failure {
    if let Wrong::Differs(difference) = &mut failure.what
        && let Some(expected) = &difference.expected
        && let Some(why) = system.why_not(expected)
    {
        difference.nearest = Some(why);
    }
    failure
}

/// Tells `story` to the end and gives what was said; fails only where it cannot be told.
pub fn run(
    story: &Story,
    shelf: &Shelf,
    system: &mut dyn System,
    way: &Way,
) -> Result<Told, Failure> {
    let (told, broken) = attempt(story, shelf, system, way);
    broken.map_or(Ok(told), Err)
}

fn attempt(
    story: &Story,
    shelf: &Shelf,
    system: &mut dyn System,
    way: &Way,
) -> (Told, Option<Failure>) {
    let mut teller = Teller::new(story, shelf, system, way);
    let broken = teller.all().err().map(|(line, message)| Failure {
        file: story.file.clone(),
        line,
        way: *way,
        what: Wrong::Broken(message),
    });
    (teller.told, broken)
}

/// A rule file that the story has put in place.
struct Placed {
    since: EventTime,
    documents: Vec<Document>,
    /// In place, but stopped.
    disabled: bool,
}

struct Teller<'a> {
    story: &'a Story,
    shelf: &'a Shelf,
    system: &'a mut dyn System,
    way: &'a Way,
    dice: Dice,
    /// The time of the last line.
    line_time: Option<EventTime>,
    labels: BTreeMap<EventId, BTreeSet<String>>,
    sources: BTreeSet<String>,
    stalled: BTreeSet<String>,
    placed: BTreeMap<String, Placed>,
    /// Rule id to the name that the story uses; kept when a rule goes, for its last words.
    rule_names: BTreeMap<String, String>,
    net: Net,
    told: Told,
}

/// A line and what went wrong there.
type Broken = (usize, String);

impl<'a> Teller<'a> {
    fn new(story: &'a Story, shelf: &'a Shelf, system: &'a mut dyn System, way: &'a Way) -> Self {
        Self {
            story,
            shelf,
            system,
            way,
            dice: Dice::new(match way.batching {
                Batching::Shuffled(seed) => seed,
                Batching::Whole | Batching::DropByDrop => 0,
            }),
            line_time: None,
            labels: BTreeMap::new(),
            sources: BTreeSet::new(),
            stalled: BTreeSet::new(),
            placed: BTreeMap::new(),
            rule_names: BTreeMap::new(),
            net: Net::default(),
            told: Told::default(),
        }
    }

    fn all(&mut self) -> Result<(), Broken> {
        self.start();
        for chapter in &self.story.chapters {
            self.chapter(chapter)?;
        }
        Ok(())
    }

    fn start(&mut self) {
        let bounds = TimeBounds {
            lateness: Span(0),
            horizon: Some(self.story.horizon.unwrap_or(Span::seconds(24 * 3600))),
            ..TimeBounds::default()
        };
        let received = ReceiveTime(self.line_time.unwrap_or(STORY_BEGINS).0);
        self.system.control(vec![Control::Start {
            version: "story".to_owned(),
            bounds,
            received,
        }]);
    }

    fn chapter(&mut self, chapter: &Chapter) -> Result<(), Broken> {
        let mut pending = Vec::new();
        for step in &chapter.steps {
            match &step.it {
                What::Event(event) => self.queue(event, chapter.closes, &mut pending),
                What::Change(change) => {
                    let said = self
                        .change(change)
                        .map_err(|message| (step.line, message))?;
                    if let Some(first) = said.first() {
                        return Err((step.line, format!("the change was refused: {first}")));
                    }
                }
                What::Refused(change, _) => {
                    let said = self
                        .change(change)
                        .map_err(|message| (step.line, message))?;
                    if said.is_empty() {
                        let message = "the change was to be refused, and it was taken";
                        return Err((step.line, message.to_owned()));
                    }
                    self.told.rows.insert(step.line, said);
                }
                What::Restart => {
                    self.deliver(&mut pending);
                    self.settle().map_err(|message| (step.line, message))?;
                    self.restart();
                }
                What::Stall(source) => {
                    self.stalled.insert(source.clone());
                }
                What::Resume(source) => {
                    self.stalled.remove(source);
                }
            }
        }
        self.deliver(&mut pending);
        self.line(chapter)
            .map_err(|message| (chapter.line, message))
    }

    fn settle(&mut self) -> Result<(), String> {
        let settled = self.system.settle();
        self.net.take(settled)
    }

    fn restart(&mut self) {
        self.system.restart();
        self.start();
    }

    fn line(&mut self, chapter: &Chapter) -> Result<(), String> {
        // The tick comes first: the heartbeats are received at its time.
        let mut controls = vec![Control::Tick {
            received: ReceiveTime(chapter.closes.0),
        }];
        let heard = self.sources.difference(&self.stalled);
        controls.extend(heard.map(|source| {
            let (tenant, source) = tenant_of(source);
            Control::Heartbeat {
                tenant: tenant.to_owned(),
                source: source.to_owned(),
                time: chapter.closes,
            }
        }));
        self.system.control(controls);
        self.settle()?;
        self.line_time = Some(chapter.closes);
        let names = Names {
            rules: &self.rule_names,
            labels: &self.labels,
        };
        let effects = self.net.close(&names);
        self.told.effects.insert(chapter.line, effects);
        for ask in &chapter.asks {
            let rows = clean(self.system.ask(&ask.query));
            self.told.rows.insert(ask.line, rows);
        }
        if self.way.restart_at_lines {
            self.restart();
        }
        Ok(())
    }

    fn queue(&mut self, step: &EventStep, closes: EventTime, pending: &mut Vec<Delivery>) {
        self.sources.insert(step.source.clone());
        for nth in 0..i64::from(step.times) {
            let time = step.time.plus(Span(step.every.0.saturating_mul(nth)));
            let delivery = delivery(step, time, closes, self.way.path);
            if let Some(label) = &delivery.label {
                let labels = self.labels.entry(delivery.event_id()).or_default();
                labels.insert(label.clone());
            }
            pending.push(delivery);
        }
    }

    fn deliver(&mut self, pending: &mut Vec<Delivery>) {
        let mut events = std::mem::take(pending);
        match self.way.batching {
            Batching::Whole if events.is_empty() => {}
            Batching::Whole => self.system.deliver(&events),
            Batching::DropByDrop => {
                for event in events.chunks(1) {
                    self.system.deliver(event);
                }
            }
            Batching::Shuffled(_) => {
                self.dice.shuffle(&mut events);
                let mut rest = events.as_slice();
                while !rest.is_empty() {
                    let (batch, after) = rest.split_at(1 + self.dice.below(rest.len()));
                    self.system.deliver(batch);
                    rest = after;
                }
            }
        }
    }

    /// Makes a change and gives what was found wrong with it.
    fn change(&mut self, change: &ChangeStep) -> Result<Vec<String>, String> {
        if change.noun != Noun::Rule {
            return Err(format!("`{}` is not supported yet", change.noun.name()));
        }
        let controls = if change.put {
            self.put(change)?
        } else {
            self.take_away(change)?
        };
        if !controls.is_empty() {
            self.system.control(controls);
        }
        Ok(clean(self.system.diagnostics()))
    }

    fn put(&mut self, change: &ChangeStep) -> Result<Vec<Control>, String> {
        let mut documents = documents(&self.shelf.read(&change.subject)?)?;
        let mut backfill = Span(0);
        for (key, value) in &change.fields {
            if key == "backfill" {
                backfill = Span::parse(value).ok_or("`backfill` is a duration")?;
            } else if let Some(last) = documents.last_mut() {
                last.text = edit(&last.text, key, value)?;
            }
        }
        let now = self
            .line_time
            .map_or(EventTime::MIN, |time| time.minus(backfill));
        let in_place = self
            .placed
            .get(&change.subject)
            .filter(|placed| !placed.disabled);
        let since = in_place.map_or(now, |placed| placed.since);
        let known = in_place.map_or(&[][..], |placed| &placed.documents);
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
        let placed = Placed {
            since,
            documents,
            disabled: false,
        };
        self.placed.insert(change.subject.clone(), placed);
        Ok(controls)
    }

    fn name_rules(&mut self, path: &str, documents: &[Document]) -> Result<(), String> {
        let stem = path.rsplit('/').next().unwrap_or(path);
        // The file's name stands for its last document, unless another has it as its own.
        let (last, others) = documents.split_last().unzip();
        let others: &[Document] = others.unwrap_or_default();
        let owned = others.iter().any(|document| document.name == stem);
        for document in documents {
            let by_file = !owned && last == Some(document);
            let name = if by_file { stem } else { &document.name };
            let other = self
                .rule_names
                .iter()
                .find(|(id, known)| known.as_str() == name && **id != document.id);
            if let Some((id, _)) = other {
                return Err(format!(
                    "two rules would be called `{name}`: {id} and {}",
                    document.id
                ));
            }
            self.rule_names.insert(document.id.clone(), name.to_owned());
        }
        Ok(())
    }

    fn take_away(&mut self, change: &ChangeStep) -> Result<Vec<Control>, String> {
        let until = self.line_time.unwrap_or(EventTime::MIN);
        let placed = self
            .placed
            .get_mut(&change.subject)
            .ok_or_else(|| format!("the rule `{}` is not in place", change.subject))?;
        // What alerts goes before what it rests on.
        let ids = placed
            .documents
            .iter()
            .rev()
            .map(|document| document.id.clone());
        if change.disabled {
            placed.disabled = true;
            return Ok(ids
                .map(|rule| Control::RuleDisable { rule, until })
                .collect());
        }
        let controls = ids.map(|rule| Control::RuleRemove { rule }).collect();
        self.placed.remove(&change.subject);
        Ok(controls)
    }
}

/// Rows as a page can hold them: one line each, without spaces around it.
fn clean(rows: Vec<String>) -> Vec<String> {
    let one_line = |row: String| row.split_whitespace().collect::<Vec<_>>().join(" ");
    rows.into_iter().map(one_line).collect()
}
