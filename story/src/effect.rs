//! Effects: what was said in a chapter, net, as a line of a story.

use std::fmt;

use weir_schema::Level;

use crate::words::{Word, show_field};

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub sign: Sign,
    pub noun: EffectNoun,
    pub name: String,
    pub fields: Vec<(String, String)>,
    pub level: Option<Level>,
    pub state: State,
    /// Labels of the events that it rests on, sorted.
    pub by: Vec<String>,
}

/// Which of the three things happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    Raised,
    Revised,
    Retracted,
}

impl Sign {
    const ALL: [Self; 3] = [Self::Raised, Self::Revised, Self::Retracted];

    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Raised => "+",
            Self::Revised => "~",
            Self::Retracted => "-",
        }
    }

    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sign| sign.mark() == word)
    }
}

/// What it happened to; declared in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectNoun {
    Alert,
    Incident,
    Action,
    Problem,
}

impl EffectNoun {
    const ALL: [Self; 4] = [Self::Alert, Self::Incident, Self::Action, Self::Problem];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Incident => "incident",
            Self::Action => "action",
            Self::Problem => "problem",
        }
    }

    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|noun| noun.name() == word)
    }
}

/// How an alert stands; a confirmed one needs no word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Plain,
    Provisional,
    Blind,
    Superseded,
}

impl State {
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Provisional => Some("provisional"),
            Self::Blind => Some("blind"),
            Self::Superseded => Some("superseded"),
        }
    }
}

const LEVELS: [Level; 5] = [
    Level::Informational,
    Level::Low,
    Level::Medium,
    Level::High,
    Level::Critical,
];

impl Effect {
    /// Reads the words of an effect; the first is its sign.
    pub fn read(words: &[Word]) -> Result<Self, String> {
        let mut words = words.iter();
        let mut plain = || words.next().and_then(Word::plain);
        let sign = plain()
            .and_then(Sign::read)
            .ok_or("an effect starts with `+`, `~` or `-`")?;
        let noun = plain()
            .and_then(EffectNoun::read)
            .ok_or("an effect is of an `alert`, `incident`, `action` or `problem`")?;
        let name = plain()
            .ok_or("an effect names what it is about")?
            .to_owned();
        let mut effect = Self {
            sign,
            noun,
            name,
            fields: Vec::new(),
            level: None,
            state: State::Plain,
            by: Vec::new(),
        };
        effect.read_rest(words.as_slice())?;
        effect.judge()?;
        Ok(effect)
    }

    fn read_rest(&mut self, words: &[Word]) -> Result<(), String> {
        for (at, word) in words.iter().enumerate() {
            let headed = self.level.is_some() || self.state != State::Plain;
            match word {
                Word::Field(name, value) if !headed => {
                    self.fields.push((name.clone(), value.clone()));
                }
                Word::Plain(text) if text == "by" => {
                    return self.read_by(words.get(at + 1..).unwrap_or_default());
                }
                Word::Plain(text) if text == "provisional" && self.state == State::Plain => {
                    self.state = State::Provisional;
                }
                Word::Plain(text) if text == "blind" && self.state == State::Plain => {
                    self.state = State::Blind;
                }
                Word::Plain(text) if text == "superseded" && self.state == State::Plain => {
                    self.state = State::Superseded;
                }
                Word::Plain(text) if !headed => {
                    let level = LEVELS.into_iter().find(|level| level.name() == text);
                    self.level = Some(level.ok_or_else(|| unknown(word))?);
                }
                word => return Err(unknown(word)),
            }
        }
        Ok(())
    }

    fn read_by(&mut self, words: &[Word]) -> Result<(), String> {
        let text: Vec<String> = words.iter().map(Word::show).collect();
        for label in text.join(" ").split(',') {
            let label = label.trim();
            if label.is_empty() || label.contains(char::is_whitespace) {
                return Err("`by` is followed by labels with commas between them".to_owned());
            }
            self.by.push(label.to_owned());
        }
        self.by.sort();
        self.by.dedup();
        Ok(())
    }

    /// The laws that bind the parts of an effect together.
    fn judge(&self) -> Result<(), String> {
        let bare = self.level.is_none() && self.state == State::Plain && self.by.is_empty();
        let broken = match (self.sign, self.noun) {
            (Sign::Retracted, _) if !bare => "`-` is followed by the key alone",
            (Sign::Revised, EffectNoun::Alert) if self.state == State::Superseded => {
                let key = self.level.is_none() && self.by.is_empty();
                return key
                    .then_some(())
                    .ok_or_else(|| "a superseded alert is written by its key alone".to_owned());
            }
            (_, _) if self.state == State::Superseded => "only `~ alert` can be superseded",
            (Sign::Raised | Sign::Revised, EffectNoun::Alert) if self.level.is_none() => {
                "an alert needs its level"
            }
            (Sign::Revised | Sign::Retracted, EffectNoun::Problem) => {
                "a problem is only ever raised: a frame that was kept is not read again"
            }
            _ => return Ok(()),
        };
        Err(broken.to_owned())
    }

    /// How much two effects have in common: enough to tell a reader what came nearest.
    pub(crate) fn likeness(&self, other: &Self) -> usize {
        if (self.noun, &self.name) != (other.noun, &other.name) {
            return 0;
        }
        let shared = self
            .fields
            .iter()
            .filter(|field| other.fields.contains(field));
        1 + 2 * shared.count() + usize::from(self.sign == other.sign)
    }
}

fn unknown(word: &Word) -> String {
    format!("unknown word `{}` in an effect", word.show())
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}  {}",
            self.sign.mark(),
            self.noun.name(),
            self.name
        )?;
        for (name, value) in &self.fields {
            write!(f, "  {}", show_field(name, value))?;
        }
        if let Some(level) = self.level {
            write!(f, "  {}", level.name())?;
        }
        if let Some(word) = self.state.word() {
            write!(f, "  {word}")?;
        }
        if !self.by.is_empty() {
            write!(f, "  by {}", self.by.join(", "))?;
        }
        Ok(())
    }
}
