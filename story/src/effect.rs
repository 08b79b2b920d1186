//! Effects: the net output of a chapter, as lines of a story.

use std::fmt;

use weir_schema::Level;

use crate::tokens::{Token, format_field};

/// One net change of an alert, incident, action or problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub sign: EffectSign,
    pub kind: EffectKind,
    pub name: String,
    pub fields: Vec<(String, String)>,
    pub level: Option<Level>,
    pub state: EffectState,
    /// Labels of the events in its evidence, sorted.
    pub by: Vec<String>,
}

/// Whether the subject was raised, revised or retracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectSign {
    Raised,
    Revised,
    Retracted,
}

impl EffectSign {
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

/// The kind of thing that changed, declared in the order of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectKind {
    Alert,
    Incident,
    Action,
    Problem,
}

impl EffectKind {
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

/// The state of an alert, as a word of the effect. `Plain` has none: a confirmed alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectState {
    Plain,
    Provisional,
    Blind,
    Superseded,
}

impl EffectState {
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
    /// Reads the tokens of an effect; the first is its sign.
    pub fn read(tokens: &[Token]) -> Result<Self, String> {
        let mut tokens = tokens.iter();
        let mut plain = || tokens.next().and_then(Token::as_plain);
        let sign = plain()
            .and_then(EffectSign::read)
            .ok_or("an effect starts with `+`, `~` or `-`")?;
        let noun = plain()
            .and_then(EffectKind::read)
            .ok_or("an effect is about an `alert`, `incident`, `action` or `problem`")?;
        let name = plain()
            .ok_or("an effect needs the name of its subject")?
            .to_owned();
        let mut effect = Self {
            sign,
            kind: noun,
            name,
            fields: Vec::new(),
            level: None,
            state: EffectState::Plain,
            by: Vec::new(),
        };
        effect.read_rest(tokens.as_slice())?;
        effect.check()?;
        Ok(effect)
    }

    fn read_rest(&mut self, tokens: &[Token]) -> Result<(), String> {
        for (at, word) in tokens.iter().enumerate() {
            let after_fields = self.level.is_some() || self.state != EffectState::Plain;
            match word {
                Token::Field(name, value) if !after_fields => {
                    self.fields.push((name.clone(), value.clone()));
                }
                Token::Plain(text) if text == "by" => {
                    return self.read_by(tokens.get(at + 1..).unwrap_or_default());
                }
                Token::Plain(text) if text == "provisional" && self.state == EffectState::Plain => {
                    self.state = EffectState::Provisional;
                }
                Token::Plain(text) if text == "blind" && self.state == EffectState::Plain => {
                    self.state = EffectState::Blind;
                }
                Token::Plain(text) if text == "superseded" && self.state == EffectState::Plain => {
                    self.state = EffectState::Superseded;
                }
                Token::Plain(text) if !after_fields => {
                    let level = LEVELS.into_iter().find(|level| level.name() == text);
                    self.level = Some(level.ok_or_else(|| unknown(word))?);
                }
                word => return Err(unknown(word)),
            }
        }
        Ok(())
    }

    fn read_by(&mut self, tokens: &[Token]) -> Result<(), String> {
        let text: Vec<String> = tokens.iter().map(Token::quoted).collect();
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

    /// Checks that the parts of an effect fit together.
    fn check(&self) -> Result<(), String> {
        let key_only =
            self.level.is_none() && self.state == EffectState::Plain && self.by.is_empty();
        let violation = match (self.sign, self.kind) {
            (EffectSign::Retracted, _) if !key_only => "a retraction has only its key",
            (EffectSign::Revised, EffectKind::Alert) if self.state == EffectState::Superseded => {
                let key_only = self.level.is_none() && self.by.is_empty();
                return key_only
                    .then_some(())
                    .ok_or_else(|| "a superseded alert has only its key".to_owned());
            }
            (_, _) if self.state == EffectState::Superseded => "only `~ alert` can be superseded",
            (EffectSign::Raised | EffectSign::Revised, EffectKind::Alert)
                if self.level.is_none() =>
            {
                "an alert needs its level"
            }
            (EffectSign::Revised | EffectSign::Retracted, EffectKind::Problem) => {
                "a problem can only be raised: a stored frame is not read again"
            }
            _ => return Ok(()),
        };
        Err(violation.to_owned())
    }

    /// Scores how much two effects have in common, to find the nearest one for a message.
    pub(crate) fn similarity(&self, other: &Self) -> usize {
        if (self.kind, &self.name) != (other.kind, &other.name) {
            return 0;
        }
        let shared = self
            .fields
            .iter()
            .filter(|field| other.fields.contains(field));
        1 + 2 * shared.count() + usize::from(self.sign == other.sign)
    }
}

fn unknown(word: &Token) -> String {
    format!("unknown word `{}` in an effect", word.quoted())
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}  {}",
            self.sign.mark(),
            self.kind.name(),
            self.name
        )?;
        for (name, value) in &self.fields {
            write!(f, "  {}", format_field(name, value))?;
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
