//! What the journal says of rules, what files ask for, and what has to be written to join the two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use weir_detect::{Diagnostic, RuleBook, RuleSummary, WHAT_IF_ORIGIN};
use weir_schema::{Control, EventTime, RuleVersion};

use crate::rule_desk::{Document, put};
use crate::rules::load::{self, Wanted};

/// What files ask for, as far as they can be read.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// In order of precedence: of two with one id the first stands.
    pub documents: Vec<Document>,
    /// What could not be read.
    pub diagnostics: Vec<Diagnostic>,
    /// Files and folders of which nothing is known now: what came from them runs on.
    pub unknown: Vec<PathBuf>,
}

/// What to write so that what files ask for runs.
#[derive(Debug, Default)]
pub struct Changes {
    pub controls: Vec<Control>,
    /// All that is wrong with what the files ask for.
    pub diagnostics: Vec<Diagnostic>,
    /// The rules with `controls` applied.
    book: RuleBook,
    /// Ids of what was put, so that no text is read again.
    ids: Vec<(RuleVersion, String)>,
    suspects: BTreeSet<String>,
    shadowed: BTreeMap<String, Document>,
    moved: BTreeMap<String, String>,
}

/// The rules in force, and why.
#[derive(Default)]
pub struct Known {
    pub book: RuleBook,
    /// Rules that were put and not stopped since, by id.
    pub current: BTreeMap<String, Current>,
    /// Texts by rule id and version, for explanations.
    pub texts: BTreeMap<(String, RuleVersion), String>,
    /// The versions of these by rule, the one put last behind.
    order: BTreeMap<String, VecDeque<RuleVersion>>,
    /// Ids by version, so that a text that is known need not be read again.
    ids: BTreeMap<RuleVersion, String>,
    /// Rules that people stopped or removed, with what ran last: files do not start them again.
    pub held: BTreeMap<String, Option<Current>>,
    /// What files have for rules that people changed, by id.
    pub shadowed: BTreeMap<String, Document>,
    /// Rules in force of which something was said.
    suspects: BTreeSet<String>,
    /// All that is wrong with what the files ask for.
    pub diagnostics: Vec<Diagnostic>,
    /// Counts what people did.
    pub by_hand: u64,
}

/// The text of a rule that is in force.
#[derive(Clone)]
pub struct Current {
    /// Where it came from.
    pub origin: String,
    pub version: RuleVersion,
}

/// So many texts of one rule are kept, as whoever edits it for ever must not fill memory: four times
/// the versions that select anything else.
const TEXTS_MAX: usize = 4 * weir_detect::VERSIONS_MAX;

/// So many rules are remembered to be stopped by hand: as many as there may be.
const HELD_MAX: usize = weir_detect::RULES_MAX;

/// Where rules come from that were put over the API.
pub const API_ORIGIN: &str = "api";

/// Where a rule comes from that was put over the API by someone who said where from.
pub fn api_origin(said: &str) -> String {
    if said == API_ORIGIN {
        return said.to_owned();
    }
    format!("{API_ORIGIN} ({said})")
}

/// Whether people put it; the origin of a file ends with the number of a line.
pub fn is_by_hand(origin: &str) -> bool {
    let inner = origin.strip_prefix(API_ORIGIN);
    inner.is_some_and(|inner| inner.is_empty() || (inner.starts_with(" (") && inner.ends_with(')')))
}

impl Known {
    /// What to write so that what the files ask for runs and rules of earlier files that are no
    /// longer asked for stop, beside what people did. What cannot be used is told and left out; the
    /// version before runs on. Texts that run already cost nothing but their hash.
    pub fn changes(&self, asked: &Asked, since: EventTime, until: EventTime) -> Changes {
        let (wanted, twice) = load::firsts(&asked.documents, |v| self.ids.get(&v).cloned());
        let mut unknown: BTreeSet<PathBuf> = asked.unknown.iter().cloned().collect();
        let refused = twice.iter().filter(|said| said.refused);
        unknown.extend(refused.map(|said| file_of(&said.origin)));
        let mut changes = Changes {
            diagnostics: asked.diagnostics.iter().cloned().chain(twice).collect(),
            book: self.book.clone(),
            ..Changes::default()
        };
        let fresh = self.fresh(&wanted, &mut changes);
        let loaded = load::load(&mut changes.book, fresh, since);
        let refused = loaded.refused.iter().map(|wanted| &wanted.document.origin);
        let refused: BTreeSet<&str> = refused.map(String::as_str).collect();
        unknown.extend(refused.iter().map(|origin| file_of(origin)));
        let put = |wanted: &Wanted| put(&wanted.document, since);
        changes.controls = loaded.taken.iter().map(put).collect();
        let id = |wanted: &Wanted| Some((wanted.version, wanted.id.clone()?));
        changes.ids = loaded.taken.iter().filter_map(id).collect();
        let mut said = loaded.diagnostics;
        for rule in self.gone(&wanted, &unknown) {
            let stop = Control::RuleDisable { rule, until };
            said.extend(changes.book.apply(&stop).diagnostics);
            changes.controls.push(stop);
        }
        let (of_refused, of_others): (Vec<_>, _) = said
            .into_iter()
            .partition(|said| refused.contains(&*said.origin));
        changes.diagnostics.extend(of_refused);
        self.ask_again(&wanted, &refused, &of_others, &mut changes);
        changes
    }

    /// Follows an entry of the journal. Returns what the rules have against it.
    pub fn follow(&mut self, control: &Control) -> Vec<Diagnostic> {
        let promoted = match control {
            Control::WhatIfPromote { id } => self.book.what_ifs().get(id).cloned(),
            _ => None,
        };
        let said = self.book.apply(control).diagnostics;
        if let Some(what_if) = promoted {
            if !said.iter().any(|said| said.origin == WHAT_IF_ORIGIN) {
                let changes = what_if.changes.iter();
                changes.for_each(|change| self.note(&change.control(what_if.since)));
            }
            return said;
        }
        if let Control::RulePut { text, .. } = control
            && said.iter().any(|said| said.refused)
        {
            // Refused, or in force and only waiting for its members.
            let version = RuleVersion::of(&[text.as_bytes()]);
            let rules = self.book.rules();
            let runs = |rule: &RuleSummary| rule.version == version && rule.until == EventTime::MAX;
            if !rules.iter().any(runs) {
                return said;
            }
        }
        self.note(control);
        said
    }

    /// Takes changes over. Returns what is wrong and was not before.
    pub fn adopt(&mut self, changes: Changes) -> Vec<Diagnostic> {
        self.ids.extend(changes.ids);
        for control in &changes.controls {
            self.note(control);
        }
        for (id, origin) in changes.moved {
            if let Some(current) = self.current.get_mut(&id) {
                current.origin = origin;
            }
        }
        self.book = changes.book;
        self.suspects = changes.suspects;
        self.shadowed = changes.shadowed;
        let before = std::mem::replace(&mut self.diagnostics, changes.diagnostics);
        let fresh = self.diagnostics.iter();
        let fresh = fresh.filter(|said| !before.contains(said));
        fresh.cloned().collect()
    }

    /// Keeps what an entry says that the rules have taken.
    fn note(&mut self, control: &Control) {
        match control {
            Control::RulePut { text, origin, .. } => {
                let version = RuleVersion::of(&[text.as_bytes()]);
                let known = self.ids.get(&version).cloned();
                let Some(id) = known.or_else(|| weir_detect::rule_id(text)) else {
                    return;
                };
                self.by_hand += u64::from(is_by_hand(origin));
                self.shadow(&id, origin);
                self.held.remove(&id);
                self.keep(&id, version, text);
                let origin = origin.clone();
                self.current.insert(id, Current { origin, version });
            }
            Control::RuleDisable { rule, .. } => {
                let last = self.current.remove(rule);
                if last.as_ref().is_some_and(|last| is_by_hand(&last.origin)) {
                    self.hold(rule, last);
                }
            }
            // Only people remove rules.
            Control::RuleRemove { rule } => {
                self.shadow(rule, API_ORIGIN);
                self.current.remove(rule);
                self.texts.retain(|(id, _), _| id != rule);
                self.ids.retain(|_, id| id != rule);
                self.order.remove(rule);
                self.hold(rule, None);
            }
            Control::Start { .. }
            | Control::Tick { .. }
            | Control::Heartbeat { .. }
            | Control::Settings { .. }
            | Control::SelfAlerts(_)
            | Control::Delivered(_)
            | Control::WhatIfPut { .. }
            | Control::WhatIfPromote { .. }
            | Control::WhatIfDrop { .. }
            | Control::Finish => {}
        }
    }

    /// The version of a rule that was put last.
    pub fn last(&self, rule: &str) -> Option<RuleVersion> {
        self.order.get(rule)?.back().copied()
    }

    /// Keeps a text that is in force; the one that was put longest ago goes where they are many.
    fn keep(&mut self, id: &str, version: RuleVersion, text: &str) {
        self.ids.insert(version, id.to_owned());
        self.texts.insert((id.to_owned(), version), text.to_owned());
        let order = self.order.entry(id.to_owned()).or_default();
        order.retain(|known| *known != version);
        order.push_back(version);
        if order.len() > TEXTS_MAX
            && let Some(oldest) = order.pop_front()
        {
            self.texts.remove(&(id.to_owned(), oldest));
            self.ids.remove(&oldest);
        }
    }

    /// Keeps the text of a file's rule that people change.
    fn shadow(&mut self, rule: &str, by: &str) {
        let Some(current) = self.current.get(rule) else {
            return;
        };
        let text = self.texts.get(&(rule.to_owned(), current.version));
        if let (Some(text), true) = (text, is_by_hand(by) && !is_by_hand(&current.origin)) {
            let document = Document {
                origin: current.origin.clone(),
                text: text.clone(),
            };
            self.shadowed.insert(rule.to_owned(), document);
        }
    }

    fn hold(&mut self, rule: &str, last: Option<Current>) {
        self.by_hand += 1;
        if self.held.len() < HELD_MAX || self.held.contains_key(rule) {
            self.held.insert(rule.to_owned(), last);
        } else {
            tracing::error!(
                rule,
                "more than {HELD_MAX} rules are stopped by hand; a file may start it again"
            );
        }
    }

    /// Of what is asked for, what neither runs already nor is for people to say.
    fn fresh(&self, wanted: &[Wanted], changes: &mut Changes) -> Vec<Wanted> {
        let mut fresh = Vec::new();
        for wanted in wanted {
            let Some(id) = &wanted.id else {
                fresh.push(wanted.clone());
                continue;
            };
            let document = &wanted.document;
            let current = self.current.get(id);
            let overruled = current.filter(|current| is_by_hand(&current.origin));
            if overruled.is_some() || self.held.contains_key(id) {
                changes.shadowed.insert(id.clone(), document.clone());
                if overruled.is_none_or(|current| current.version != wanted.version) {
                    changes
                        .diagnostics
                        .push(overruled_by_hand(document, overruled.is_some()));
                }
            } else if current.map(|current| current.version) != Some(wanted.version) {
                fresh.push(wanted.clone());
            } else if current.is_some_and(|current| current.origin != document.origin) {
                changes.moved.insert(id.clone(), document.origin.clone());
            }
        }
        fresh
    }

    /// Rules of files that nobody asks for any more.
    fn gone(&self, wanted: &[Wanted], unknown: &BTreeSet<PathBuf>) -> Vec<String> {
        let asked: BTreeSet<&String> = wanted.iter().filter_map(|w| w.id.as_ref()).collect();
        let gone = self.current.iter().filter(|(id, current)| {
            let file = file_of(&current.origin);
            let is_unknown = || file.ancestors().any(|path| unknown.contains(path));
            !asked.contains(id) && !is_by_hand(&current.origin) && !is_unknown()
        });
        gone.map(|(id, _)| id.clone()).collect()
    }

    /// What is wrong now with rules in force of which something was said, before or now.
    fn ask_again(
        &self,
        wanted: &[Wanted],
        refused: &BTreeSet<&str>,
        said: &[Diagnostic],
        changes: &mut Changes,
    ) {
        if said.is_empty() && self.suspects.is_empty() {
            return;
        }
        let said: BTreeSet<&str> = said.iter().map(|said| &*said.origin).collect();
        let suspect = |wanted: &&Wanted| {
            let Some(id) = &wanted.id else { return false };
            let put_as = self.current.get(id).map(|current| &*current.origin);
            self.suspects.contains(id)
                || said.contains(&*wanted.document.origin)
                || put_as.is_some_and(|origin| said.contains(origin))
        };
        let suspects = wanted.iter().filter(suspect).filter(|wanted| {
            let id = wanted.id.as_ref();
            let shadowed = id.is_some_and(|id| changes.shadowed.contains_key(id));
            !refused.contains(&*wanted.document.origin) && !shadowed
        });
        let found = load::standing(&changes.book, &suspects.collect::<Vec<_>>());
        for (id, said) in found {
            changes.suspects.insert(id);
            changes.diagnostics.extend(said);
        }
    }
}

fn overruled_by_hand(document: &Document, runs: bool) -> Diagnostic {
    let (message, hint) = if runs {
        let message = "another text of this rule was put over the API, and runs";
        (
            message,
            "to have this one, disable the rule over the API and then enable it",
        )
    } else {
        let message = "the rule was stopped over the API, and stays so";
        (message, "to run it again, enable it over the API")
    };
    Diagnostic {
        origin: document.origin.clone(),
        line: None,
        column: None,
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
        refused: false,
    }
}

/// The file of an origin.
fn file_of(origin: &str) -> PathBuf {
    let file = origin.rsplit_once(':').map_or(origin, |(file, _)| file);
    PathBuf::from(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(file: &str, id: &str, level: &str) -> Document {
        Document {
            origin: format!("{file}:1"),
            text: format!(
                "title: {id}\nid: {id}\nlogsource:\n  product: linux\ndetection:\n  \
                 selection:\n    user: root\n  condition: selection\nlevel: {level}\n"
            ),
        }
    }

    fn asked(documents: &[Document]) -> Asked {
        Asked {
            documents: documents.to_vec(),
            ..Asked::default()
        }
    }

    fn short(control: &Control) -> String {
        match control {
            Control::RulePut { text, origin, .. } => {
                format!("put {} {origin}", text.lines().last().unwrap_or_default())
            }
            Control::RuleDisable { rule, .. } => format!("disable {rule}"),
            other => format!("{other:?}"),
        }
    }

    /// What is written for what is asked, and what is said against it; then it is taken over.
    fn told(known: &mut Known, asked: &Asked) -> (Vec<String>, Vec<String>) {
        let changes = known.changes(asked, EventTime(5), EventTime(9));
        // A start reads the journal, and must come to the same.
        let mut replayed = RuleBook::default();
        replayed.clone_from(&known.book);
        for control in &changes.controls {
            replayed.apply(control);
        }
        assert_eq!(replayed.rules(), changes.book.rules());
        let written = changes.controls.iter().map(short).collect();
        let said = changes
            .diagnostics
            .iter()
            .map(ToString::to_string)
            .collect();
        known.adopt(changes);
        (written, said)
    }

    fn written(known: &mut Known, documents: &[Document]) -> Vec<String> {
        let (written, said) = told(known, &asked(documents));
        assert!(said.is_empty(), "{said:?}");
        written
    }

    #[test]
    fn what_has_changed_is_written_and_nothing_else() {
        let mut known = Known::default();
        let (one, two) = (
            document("a.yml", "one", "low"),
            document("b.yml", "two", "low"),
        );
        let both = [one.clone(), two.clone()];
        let first = ["put level: low a.yml:1", "put level: low b.yml:1"];
        assert_eq!(written(&mut known, &both), first);
        assert!(written(&mut known, &both).is_empty());
        let edited = [document("a.yml", "one", "high"), two.clone()];
        assert_eq!(written(&mut known, &edited), ["put level: high a.yml:1"]);
        // Back to a text that was there before is a change, too.
        assert_eq!(written(&mut known, &both), ["put level: low a.yml:1"]);
        assert_eq!(written(&mut known, &both[..1]), ["disable two"]);
        // In another file it is the same rule.
        let moved = [document("c.yml", "one", "low"), two];
        assert_eq!(written(&mut known, &moved), ["put level: low b.yml:1"]);
        assert!(known.current["one"].origin == "c.yml:1");
    }

    #[test]
    fn a_bad_version_leaves_the_one_before_and_is_told_for_as_long_as_it_is_there() {
        let mut known = Known::default();
        let (good, other) = (
            document("a.yml", "one", "low"),
            document("b.yml", "two", "low"),
        );
        written(&mut known, &[good.clone(), other.clone()]);
        let bad = document("a.yml", "one", "loud");
        let torn = Document {
            text: "title: [\n".to_owned(),
            ..bad.clone()
        };
        for bad in [bad, torn] {
            let (written, said) = told(&mut known, &asked(&[bad.clone(), other.clone()]));
            assert!(written.is_empty(), "{written:?}");
            assert!(
                said.len() == 1 && said[0].starts_with("a.yml:1"),
                "{said:?}"
            );
            let (_, said) = told(&mut known, &asked(&[bad, other.clone()]));
            assert_eq!(said.len(), 1);
        }
        assert!(written(&mut known, &[good, other]).is_empty());
    }

    #[test]
    fn what_is_not_known_now_stops_nothing() {
        let mut known = Known::default();
        let documents = [
            document("r/a.yml", "one", "low"),
            document("r/s/b.yml", "two", "low"),
            document("q/c.yml", "three", "low"),
        ];
        written(&mut known, &documents);
        let gone = Asked {
            unknown: vec!["r/s".into()],
            ..Asked::default()
        };
        let (written, _) = told(&mut known, &gone);
        assert_eq!(written, ["disable one", "disable three"]);
    }

    #[test]
    fn a_correlation_that_lacks_a_rule_is_told_until_it_has_it() {
        let mut known = Known::default();
        let many = Document {
            origin: "a.yml:1".to_owned(),
            text:
                "title: many\nid: many\ncorrelation:\n  type: event_count\n  rules:\n    - one\n  \
                   group-by:\n    - host\n  timespan: 1m\n  condition:\n    gte: 2\n"
                    .to_owned(),
        };
        let one = document("b.yml", "one", "low");
        let (put, said) = told(&mut known, &asked(std::slice::from_ref(&many)));
        assert_eq!((put.len(), said.len()), (1, 1), "{said:?}");
        let (_, said) = told(&mut known, &asked(std::slice::from_ref(&many)));
        assert_eq!(said.len(), 1);
        assert_eq!(written(&mut known, &[many.clone(), one]).len(), 1);
        let (written, said) = told(&mut known, &asked(&[many]));
        assert_eq!((written, said.len()), (vec!["disable one".to_owned()], 1));
    }

    /// What people do is remembered, over starts and edits of files.
    #[test]
    fn what_people_do_outlives_a_start() {
        let mut known = Known::default();
        let file = document("a.yml", "one", "low");
        let by_hand = document("api", "one", "high");
        let by_hand = Document {
            origin: api_origin("a ticket"),
            ..by_hand
        };
        written(&mut known, std::slice::from_ref(&file));
        known.follow(&put(&by_hand, EventTime(9)));
        assert!(written(&mut known, &[]).is_empty());
        let (put_again, said) = told(&mut known, &asked(std::slice::from_ref(&file)));
        assert!(put_again.is_empty() && said.len() == 1, "{said:?}");
        known.follow(&Control::RuleDisable {
            rule: "one".to_owned(),
            until: EventTime(9),
        });
        for level in ["low", "critical"] {
            let file = document("a.yml", "one", level);
            let (put_again, said) = told(&mut known, &asked(&[file]));
            assert!(put_again.is_empty() && said.len() == 1, "{said:?}");
        }
        known.follow(&put(&file, EventTime(9)));
        assert!(written(&mut known, std::slice::from_ref(&file)).is_empty());
        // Removed for good, and put again by a person.
        known.follow(&Control::RuleRemove {
            rule: "one".to_owned(),
        });
        let (put_again, said) = told(&mut known, &asked(&[file]));
        assert!(put_again.is_empty() && said.len() == 1, "{said:?}");
    }

    #[test]
    fn of_a_rule_that_is_edited_for_ever_the_last_texts_are_kept() {
        let mut known = Known::default();
        let file = document("a.yml", "one", "low");
        written(&mut known, std::slice::from_ref(&file));
        for at in 0..TEXTS_MAX + 10 {
            let edited = Document {
                text: format!("{}author: {at}\n", file.text),
                ..file.clone()
            };
            assert_eq!(written(&mut known, &[edited]).len(), 1);
            assert!(known.texts.len() <= TEXTS_MAX && known.ids.len() <= TEXTS_MAX);
        }
        let current = known.current["one"].version;
        assert!(known.texts.contains_key(&("one".to_owned(), current)));
        // Again what was there at first, whose text is forgotten.
        assert_eq!(written(&mut known, std::slice::from_ref(&file)).len(), 1);
        known.follow(&Control::RuleRemove {
            rule: "one".to_owned(),
        });
        assert!(known.texts.is_empty() && known.ids.is_empty() && known.order.is_empty());
    }

    #[test]
    fn a_rule_that_comes_and_goes_too_often_is_told_to_stand_still() {
        let mut known = Known::default();
        let here = [document("a.yml", "one", "low")];
        let mut at = 0;
        let mut look = |known: &mut Known, documents: &[Document]| {
            at += 10;
            let until = EventTime(at + 5);
            let changes = known.changes(&asked(documents), EventTime(at), until);
            let counts = (changes.controls.len(), changes.diagnostics.len());
            known.adopt(changes);
            counts
        };
        for _ in 0..weir_detect::VERSIONS_MAX {
            assert_eq!(look(&mut known, &here), (1, 0));
            assert_eq!(look(&mut known, &[]), (1, 0));
        }
        // As long as it is so.
        for _ in 0..2 {
            assert_eq!(look(&mut known, &here), (0, 1));
        }
        // Nor is it taken to run where the journal has such an entry.
        known.follow(&put(&here[0], EventTime(at + 1_000)));
        assert!(known.current.is_empty());
    }

    #[test]
    fn an_origin_tells_people_from_files() {
        for origin in [
            "api",
            "api (git 4711)",
            &api_origin("api"),
            &api_origin("x:1"),
        ] {
            assert!(is_by_hand(origin), "{origin}");
        }
        for origin in [
            "api:1",
            "api/x.yml:3",
            "api (x):7",
            "builtin:linux/a.yml:1",
            "apis",
        ] {
            assert!(!is_by_hand(origin), "{origin}");
        }
    }
}
