//! Reads a story and holds it to the laws of the format; every line that is broken is reported.

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{EventTime, Span};

use crate::clock::read_time;
use crate::effect::{Effect, Sign};
use crate::event::{duration, looks_like_step, read_event};
use crate::page::{
    Ask, ChangeStep, Chapter, EventStep, Noun, Step, Story, StoryError, What, Written,
};
use crate::words::{Word, split};

/// Longest story that is read: a page that people read is far below it.
pub const STORY_BYTES_MAX: usize = 1 << 20;

/// Most events of a story, repeats counted, so that `x N` cannot ask for all memory.
pub const STORY_EVENTS_MAX: u64 = 100_000;

/// Reads the story `text` of `file`; where it is broken, all that is wrong with it, in order of
/// lines.
pub fn parse(text: &str, file: &str) -> Result<Story, Vec<StoryError>> {
    let mut reader = Reader::new(file);
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

/// Where the next `|` belongs.
#[derive(Clone, Copy, PartialEq)]
enum Rows {
    Nowhere,
    Ask,
    Refused,
}

struct Reader {
    story: Story,
    errors: Vec<StoryError>,
    /// Steps of the chapter that is open.
    steps: Vec<Step>,
    rows: Rows,
    line_time: Option<EventTime>,
    /// The last time in the open chapter that is not late.
    event_time: Option<EventTime>,
    events: u64,
    labels: BTreeMap<String, usize>,
    /// Names of feeds: they too can stand behind `by`.
    feeds: BTreeSet<String>,
    sources: BTreeSet<String>,
    stalled: BTreeSet<String>,
    stalls: Vec<(usize, String)>,
    cited: Vec<(usize, String)>,
}

impl Reader {
    fn new(file: &str) -> Self {
        Self {
            story: Story {
                file: file.to_owned(),
                horizon: None,
                chapters: Vec::new(),
            },
            errors: Vec::new(),
            steps: Vec::new(),
            rows: Rows::Nowhere,
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
        self.rows = Rows::Nowhere;
        if let Some(query) = text.strip_prefix('?') {
            return self.ask(number, query.trim());
        }
        if first == "----" {
            return self.close(number, after);
        }
        if Sign::read(first).is_some() {
            return self.effect(number, text);
        }
        if first.starts_with("D+") || first.as_bytes().get(2) == Some(&b':') {
            return self.event(number, text);
        }
        match first {
            "horizon" => self.horizon(after.trim()),
            "restart" if after.trim().is_empty() => self.push(number, What::Restart),
            "stall" | "resume" => self.stall(number, first == "stall", after.trim()),
            "!" => {
                let change = self.change(after)?;
                self.push(number, What::Refused(change, Vec::new()))?;
                self.rows = Rows::Refused;
                Ok(())
            }
            word if Noun::read(word).is_some() => {
                let change = self.change(text)?;
                self.push(number, What::Change(change))
            }
            word => Err(format!("unknown word `{word}` at the start of a step")),
        }
    }

    fn push(&mut self, line: usize, it: What) -> Result<(), String> {
        self.steps.push(Step { line, it });
        Ok(())
    }

    fn row(&mut self, line: usize, text: &str) -> Result<(), String> {
        let row = Written {
            line,
            it: text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let rows = match self.rows {
            Rows::Nowhere => None,
            Rows::Ask => self
                .story
                .chapters
                .last_mut()
                .and_then(|chapter| chapter.asks.last_mut())
                .map(|ask| &mut ask.rows),
            Rows::Refused => match self.steps.last_mut() {
                Some(Step {
                    it: What::Refused(_, rows),
                    ..
                }) => Some(rows),
                _ => None,
            },
        };
        rows.ok_or("a row follows a `?` or a `!`")?.push(row);
        Ok(())
    }

    fn ask(&mut self, line: usize, query: &str) -> Result<(), String> {
        if query.is_empty() {
            return Err("`?` is followed by what is asked".to_owned());
        }
        let ask = Ask {
            line,
            query: query.to_owned(),
            rows: Vec::new(),
        };
        self.under_line("a question")?.asks.push(ask);
        self.rows = Rows::Ask;
        Ok(())
    }

    /// The chapter that was closed last, if nothing was done since.
    fn under_line(&mut self, what: &str) -> Result<&mut Chapter, String> {
        let chapter = self.story.chapters.last_mut();
        chapter
            .filter(|_| self.steps.is_empty())
            .ok_or_else(|| format!("{what} stands under a line, before the next step"))
    }

    fn effect(&mut self, line: usize, text: &str) -> Result<(), String> {
        let effect = Effect::read(&split(text)?)?;
        let cited = effect.by.iter().map(|label| (line, label.clone()));
        self.cited.extend(cited);
        let chapter = self.under_line("an effect")?;
        if !chapter.asks.is_empty() {
            return Err("effects stand above the questions of their line".to_owned());
        }
        chapter.effects.push(Written { line, it: effect });
        Ok(())
    }

    fn close(&mut self, line: usize, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (time, taken) = read_time(&words).ok_or("a line has a time, as in `---- 09:10:00`")?;
        if taken != words.len() {
            return Err("a line has nothing behind its time".to_owned());
        }
        // The chapter is closed even where it is wrong, so that what follows is judged by itself.
        let back = self.line_time.is_some_and(|last| time < last);
        self.line_time = Some(self.line_time.map_or(time, |last| last.max(time)));
        self.event_time = None;
        self.story.chapters.push(Chapter {
            steps: std::mem::take(&mut self.steps),
            line,
            closes: time,
            effects: Vec::new(),
            asks: Vec::new(),
        });
        match back {
            true => Err("a line never moves back".to_owned()),
            false => Ok(()),
        }
    }

    fn horizon(&mut self, text: &str) -> Result<(), String> {
        let opened = !self.steps.is_empty() || !self.story.chapters.is_empty();
        if opened || self.story.horizon.is_some() {
            return Err("`horizon` stands once, before all other steps".to_owned());
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
            return self.push(line, What::Stall(source));
        }
        if !self.stalled.remove(&source) {
            return Err(format!("`{source}` is not stalled"));
        }
        self.push(line, What::Resume(source))
    }

    fn change(&mut self, text: &str) -> Result<ChangeStep, String> {
        let words = split(text)?;
        let mut words = words.iter();
        let mut plain = || words.next().and_then(Word::plain);
        let noun = plain().and_then(Noun::read).ok_or(
            "a change is of a `rule`, `indicator`, `exception`, `suppression` or `playbook`",
        )?;
        let put = match plain() {
            Some("+") => true,
            Some("-") => false,
            _ => return Err("a change is `+` or `-`".to_owned()),
        };
        if self
            .steps
            .iter()
            .any(|step| matches!(step.it, What::Event(_)))
        {
            let law = "a change stands before the events of its chapter: it takes effect at the \
                       last line";
            return Err(law.to_owned());
        }
        let mut change = ChangeStep {
            noun,
            put,
            subject: String::new(),
            fields: Vec::new(),
            disabled: false,
        };
        for word in words {
            match word {
                Word::Field(name, value) => {
                    if noun == Noun::Indicator && name == "feed" {
                        self.feeds.insert(value.clone());
                    }
                    change.fields.push((name.clone(), value.clone()));
                }
                Word::Plain(text) if change.subject.is_empty() && change.fields.is_empty() => {
                    change.subject.clone_from(text);
                }
                Word::Plain(text) if text == "disabled" && noun == Noun::Rule && !put => {
                    change.disabled = true;
                }
                word => return Err(format!("unknown word `{}` in a change", word.show())),
            }
        }
        if noun == Noun::Rule && change.subject.is_empty() {
            return Err("the path of the rule is missing".to_owned());
        }
        if noun == Noun::Rule && !put && !change.fields.is_empty() {
            return Err("a rule that is taken away has no fields".to_owned());
        }
        Ok(change)
    }

    fn event(&mut self, line: usize, text: &str) -> Result<(), String> {
        let event = read_event(text)?;
        if let Some(label) = &event.label
            && let Some(first) = self.labels.insert(label.clone(), line)
        {
            return Err(format!(
                "the label `{label}` stands on line {first} already"
            ));
        }
        self.sources.insert(event.source.clone());
        if self.stalled.contains(&event.source) {
            return Err(format!("`{}` is stalled and says nothing", event.source));
        }
        self.events += u64::from(event.times);
        if self.events > STORY_EVENTS_MAX {
            return Err(format!("a story has at most {STORY_EVENTS_MAX} events"));
        }
        self.judge_time(&event)?;
        self.push(line, What::Event(event))
    }

    fn judge_time(&mut self, event: &EventStep) -> Result<(), String> {
        let behind = |time| self.line_time.is_some_and(|line| time < line);
        let repeats = i64::from(event.times.saturating_sub(1));
        let end = event.time.plus(Span(event.every.0.saturating_mul(repeats)));
        match (behind(event.time), event.late) {
            (true, false) => return Err("this is behind the last line: write `late`".to_owned()),
            (false, true) => return Err("`late`, yet not behind the last line".to_owned()),
            _ => {}
        }
        if event.late && !behind(end) {
            return Err("the repeats run from behind the last line to beyond it".to_owned());
        }
        if event.late {
            return Ok(());
        }
        if self.event_time.is_some_and(|before| event.time < before) {
            return Err("a chapter is written in order of event time".to_owned());
        }
        self.event_time = Some(event.time);
        Ok(())
    }

    fn end(&mut self, last: usize) {
        if !self.steps.is_empty() || self.story.chapters.is_empty() {
            self.refuse(
                last,
                "a story ends under a line: `---- TIME` is missing".to_owned(),
            );
        }
        for (line, label) in std::mem::take(&mut self.cited) {
            if !self.labels.contains_key(&label) && !self.feeds.contains(&label) {
                self.refuse(line, format!("no event has the label `{label}`"));
            }
        }
        for (line, source) in std::mem::take(&mut self.stalls) {
            if !self.sources.contains(&source) {
                self.refuse(line, format!("no event is of the source `{source}`"));
            }
        }
    }
}
