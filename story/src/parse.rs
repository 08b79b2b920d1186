//! Parses a story and checks it against the laws of the format. Reports every invalid line.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{EventTime, Span};

use crate::clock::read_time;
use crate::effect::{Effect, EffectSign};
use crate::event::{duration, looks_like_step, read_event};
use crate::story::{
    AtLine, ChangeStep, Chapter, EventStep, Question, StepKind, Story, StoryError, StoryStep,
    SubjectKind,
};
use crate::tokens::{Token, tokenize};

/// Longest story in bytes. A story that people read is far shorter.
pub const STORY_BYTES_MAX: usize = 1 << 20;

/// Most events of a story. It counts repeats, so `x N` cannot exhaust the memory.
pub const STORY_EVENTS_MAX: u64 = 100_000;

/// Parses the story `text` of `file`. Returns all errors of an invalid story, in order of lines.
pub fn parse(text: &str, file: &str) -> Result<Story, Vec<StoryError>> {
    let mut reader = StoryParser::new(file);
    if text.len() > STORY_BYTES_MAX {
        reader.refuse(
            1,
            format!("a story is at most {STORY_BYTES_MAX} bytes long"),
        );
        return Err(reader.errors);
    }
    let mut last = 1;
    for (at, line) in text.lines().enumerate() {
        if !line.trim().is_empty() {
            last = at + 1;
        }
        if let Err(message) = reader.line(at + 1, line) {
            reader.refuse(at + 1, message);
        }
    }
    reader.end(last);
    if reader.errors.is_empty() {
        Ok(reader.story)
    } else {
        reader.errors.sort_by_key(|error| error.line);
        Err(reader.errors)
    }
}

/// The step that the next `|` row belongs to.
#[derive(Clone, Copy, PartialEq)]
enum RowTarget {
    None,
    Question,
    RefusedChange,
}

struct StoryParser {
    story: Story,
    errors: Vec<StoryError>,
    /// Steps of the open chapter.
    steps: Vec<StoryStep>,
    row_target: RowTarget,
    line_time: Option<EventTime>,
    /// The last event time in the open chapter, late events aside.
    event_time: Option<EventTime>,
    events: u64,
    labels: BTreeMap<String, usize>,
    /// Names of feeds: `by` may cite them, too.
    feeds: BTreeSet<String>,
    sources: BTreeSet<String>,
    stalled: BTreeSet<String>,
    stalls: Vec<(usize, String)>,
    cited: Vec<(usize, String)>,
}

impl StoryParser {
    fn new(file: &str) -> Self {
        Self {
            story: Story {
                file: file.to_owned(),
                horizon: None,
                chapters: Vec::new(),
            },
            errors: Vec::new(),
            steps: Vec::new(),
            row_target: RowTarget::None,
            line_time: None,
            event_time: None,
            events: 0,
            labels: BTreeMap::new(),
            feeds: BTreeSet::new(),
            sources: BTreeSet::new(),
            stalled: BTreeSet::new(),
            stalls: Vec::new(),
            cited: Vec::new(),
        }
    }

    fn refuse(&mut self, line: usize, message: String) {
        self.errors.push(StoryError { line, message });
    }

    fn line(&mut self, number: usize, text: &str) -> Result<(), String> {
        let step = text.trim_start_matches(' ');
        if step.trim().is_empty() {
            return Ok(());
        }
        if text.len() - step.len() < 4 {
            if step.starts_with('\t') {
                return Err("a step is indented by four spaces, not by a tab".to_owned());
            }
            return match looks_like_step(step) {
                true => Err("this looks like a step, and a step is indented by four spaces".into()),
                false => Ok(()),
            };
        }
        self.step(number, step.trim_end())
    }

    fn step(&mut self, number: usize, text: &str) -> Result<(), String> {
        let first = text.split_whitespace().next().unwrap_or_default();
        let after = text.get(first.len()..).unwrap_or_default();
        if let Some(row) = text.strip_prefix('|') {
            return self.row(number, row.trim());
        }
        self.row_target = RowTarget::None;
        if let Some(query) = text.strip_prefix('?') {
            return self.question(number, query.trim());
        }
        if first == "----" {
            return self.close(number, after);
        }
        if EffectSign::read(first).is_some() {
            return self.effect(number, text);
        }
        if first.starts_with("D+") || first.as_bytes().get(2) == Some(&b':') {
            return self.event(number, text);
        }
        match first {
            "horizon" => self.horizon(after.trim()),
            "restart" if after.trim().is_empty() => self.push(number, StepKind::Restart),
            "stall" | "resume" => self.stall(number, first == "stall", after.trim()),
            "!" => {
                let change = self.change(after)?;
                self.push(number, StepKind::RefusedChange(change, Vec::new()))?;
                self.row_target = RowTarget::RefusedChange;
                Ok(())
            }
            word if SubjectKind::read(word).is_some() => {
                let change = self.change(text)?;
                self.push(number, StepKind::Change(change))
            }
            word => Err(format!("unknown word `{word}` at the start of a step")),
        }
    }

    fn push(&mut self, line: usize, value: StepKind) -> Result<(), String> {
        self.steps.push(StoryStep { line, value });
        Ok(())
    }

    fn row(&mut self, line: usize, text: &str) -> Result<(), String> {
        let row = AtLine {
            line,
            value: text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let rows = match self.row_target {
            RowTarget::None => None,
            RowTarget::Question => self
                .story
                .chapters
                .last_mut()
                .and_then(|chapter| chapter.questions.last_mut())
                .map(|question| &mut question.rows),
            RowTarget::RefusedChange => match self.steps.last_mut() {
                Some(StoryStep {
                    value: StepKind::RefusedChange(_, rows),
                    ..
                }) => Some(rows),
                _ => None,
            },
        };
        rows.ok_or("a row follows a `?` or a `!`")?.push(row);
        Ok(())
    }

    fn question(&mut self, line: usize, query: &str) -> Result<(), String> {
        if query.is_empty() {
            return Err("`?` is followed by a query".to_owned());
        }
        let question = Question {
            line,
            query: query.to_owned(),
            rows: Vec::new(),
        };
        self.under_line("a question")?.questions.push(question);
        self.row_target = RowTarget::Question;
        Ok(())
    }

    /// The chapter that was closed last, if no step follows it.
    fn under_line(&mut self, what: &str) -> Result<&mut Chapter, String> {
        let chapter = self.story.chapters.last_mut();
        chapter
            .filter(|_| self.steps.is_empty())
            .ok_or_else(|| format!("{what} belongs under a line, before the next step"))
    }

    fn effect(&mut self, line: usize, text: &str) -> Result<(), String> {
        let effect = Effect::read(&tokenize(text)?)?;
        let cited = effect.by.iter().map(|label| (line, label.clone()));
        self.cited.extend(cited);
        let chapter = self.under_line("an effect")?;
        if !chapter.questions.is_empty() {
            return Err("effects come before the questions of their line".to_owned());
        }
        chapter.effects.push(AtLine {
            line,
            value: effect,
        });
        Ok(())
    }

    fn close(&mut self, line: usize, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (time, taken) = read_time(&words).ok_or("a line has a time, as in `---- 09:10:00`")?;
        if taken != words.len() {
            return Err("a line has nothing after its time".to_owned());
        }
        // The chapter is closed even if the line is invalid, so that later steps are checked on their own.
        let is_earlier = self.line_time.is_some_and(|last| time < last);
        self.line_time = Some(self.line_time.map_or(time, |last| last.max(time)));
        self.event_time = None;
        self.story.chapters.push(Chapter {
            steps: std::mem::take(&mut self.steps),
            line,
            end: time,
            effects: Vec::new(),
            questions: Vec::new(),
        });
        match is_earlier {
            true => Err("a line must not be earlier than the last one".to_owned()),
            false => Ok(()),
        }
    }

    fn horizon(&mut self, text: &str) -> Result<(), String> {
        let opened = !self.steps.is_empty() || !self.story.chapters.is_empty();
        if opened || self.story.horizon.is_some() {
            return Err("`horizon` is given once, before all other steps".to_owned());
        }
        self.story.horizon = Some(duration(text)?);
        Ok(())
    }

    fn stall(&mut self, line: usize, stall: bool, source: &str) -> Result<(), String> {
        if source.is_empty() || source.contains(char::is_whitespace) {
            return Err("`stall` and `resume` are followed by one source".to_owned());
        }
        let source = source.to_owned();
        if stall {
            self.stalls.push((line, source.clone()));
            if !self.stalled.insert(source.clone()) {
                return Err(format!("`{source}` is stalled already"));
            }
            return self.push(line, StepKind::Stall(source));
        }
        if !self.stalled.remove(&source) {
            return Err(format!("`{source}` is not stalled"));
        }
        self.push(line, StepKind::Resume(source))
    }

    fn change(&mut self, text: &str) -> Result<ChangeStep, String> {
        let words = tokenize(text)?;
        let mut words = words.iter();
        let mut plain = || words.next().and_then(Token::as_plain);
        let kind = plain().and_then(SubjectKind::read).ok_or(
            "a change is about a `rule`, `indicator`, `exception`, `suppression` or `playbook`",
        )?;
        let add = match plain() {
            Some("+") => true,
            Some("-") => false,
            _ => return Err("a change is `+` or `-`".to_owned()),
        };
        if self
            .steps
            .iter()
            .any(|step| matches!(step.value, StepKind::Event(_)))
        {
            let message = "a change comes before the events of its chapter: it takes effect at the \
                       last line";
            return Err(message.to_owned());
        }
        let mut change = ChangeStep {
            kind,
            add,
            subject: String::new(),
            fields: Vec::new(),
            disabled: false,
        };
        for word in words {
            match word {
                Token::Field(name, value) => {
                    if kind == SubjectKind::Indicator && name == "feed" {
                        self.feeds.insert(value.clone());
                    }
                    change.fields.push((name.clone(), value.clone()));
                }
                Token::Plain(text) if change.subject.is_empty() && change.fields.is_empty() => {
                    change.subject.clone_from(text);
                }
                Token::Plain(text) if text == "disabled" && kind == SubjectKind::Rule && !add => {
                    change.disabled = true;
                }
                word => return Err(format!("unknown word `{}` in a change", word.quoted())),
            }
        }
        if kind == SubjectKind::Rule && change.subject.is_empty() {
            return Err("the path of the rule is missing".to_owned());
        }
        if kind == SubjectKind::Rule && !add && !change.fields.is_empty() {
            return Err("the removal of a rule has no fields".to_owned());
        }
        Ok(change)
    }

    fn event(&mut self, line: usize, text: &str) -> Result<(), String> {
        let event = read_event(text)?;
        if let Some(label) = &event.label
            && let Some(first) = self.labels.insert(label.clone(), line)
        {
            return Err(format!(
                "the label `{label}` is already used on line {first}"
            ));
        }
        self.sources.insert(event.source.clone());
        if self.stalled.contains(&event.source) {
            return Err(format!("`{}` is stalled and reports nothing", event.source));
        }
        self.events += u64::from(event.times);
        if self.events > STORY_EVENTS_MAX {
            return Err(format!("a story has at most {STORY_EVENTS_MAX} events"));
        }
        self.check_time(&event)?;
        self.push(line, StepKind::Event(event))
    }

    fn check_time(&mut self, event: &EventStep) -> Result<(), String> {
        let is_late = |time| self.line_time.is_some_and(|line| time < line);
        let repeats = i64::from(event.times.saturating_sub(1));
        let end = event.time.plus(Span(event.every.0.saturating_mul(repeats)));
        match (is_late(event.time), event.late) {
            (true, false) => {
                return Err("this is earlier than the last line: write `late`".to_owned());
            }
            (false, true) => return Err("`late`, but not earlier than the last line".to_owned()),
            _ => {}
        }
        if event.late && !is_late(end) {
            return Err("the repeats start before the last line and end after it".to_owned());
        }
        if event.late {
            return Ok(());
        }
        if self.event_time.is_some_and(|before| event.time < before) {
            return Err("the events of a chapter must be in order of event time".to_owned());
        }
        self.event_time = Some(event.time);
        Ok(())
    }

    fn end(&mut self, last: usize) {
        if !self.steps.is_empty() || self.story.chapters.is_empty() {
            self.refuse(
                last,
                "a story ends with a line: `---- TIME` is missing".to_owned(),
            );
        }
        for (line, label) in std::mem::take(&mut self.cited) {
            if !self.labels.contains_key(&label) && !self.feeds.contains(&label) {
                self.refuse(line, format!("no event has the label `{label}`"));
            }
        }
        for (line, source) in std::mem::take(&mut self.stalls) {
            if !self.sources.contains(&source) {
                self.refuse(line, format!("no event comes from the source `{source}`"));
            }
        }
    }
}
