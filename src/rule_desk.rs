//! The rules as people manage them: what runs, where it came from, and how a change reaches the journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_dataflow::Status;
use weir_detect::RuleBook;
use weir_ingest::{Intake, SubmitError};
use weir_schema::{Control, Epoch, EventTime, RuleVersion};
use weir_web::ports::{Diagnostic, PortError, PutRule, RuleInfo, Rules};

/// How long a change of rules may take to reach the journal.
const JOURNAL_WAIT: Duration = Duration::from_secs(10);

/// A document of a rules file, with where it starts.
#[derive(Clone, Debug)]
pub struct Document {
    /// `file:line`.
    pub origin: String,
    pub text: String,
}

/// The rules in force, as the journal tells them.
#[derive(Default)]
pub struct RuleDesk {
    known: Mutex<Known>,
    /// Held from the decision on a change until it is followed, so that changes are followed in
    /// the order in which the journal has them.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    book: RuleBook,
    /// Rules that were put and not stopped since, by id.
    current: BTreeMap<String, Current>,
    /// Texts by rule id and version, for explanations.
    texts: BTreeMap<(String, RuleVersion), String>,
}

/// The text of a rule that is in force.
struct Current {
    /// Where it came from.
    origin: String,
    version: RuleVersion,
}

impl RuleDesk {
    /// Follows an entry of the journal. Returns what it had to say against it.
    pub fn follow(&self, control: &Control) -> Vec<weir_detect::Diagnostic> {
        self.lock().follow(control)
    }

    /// The right to change rules; whoever comes meanwhile waits.
    pub async fn turn(&self) -> Turn<'_> {
        Turn {
            desk: self,
            _held: self.turn.lock().await,
        }
    }

    /// The rules, to ask.
    pub fn book(&self) -> RuleBook {
        self.lock().book.clone()
    }

    pub fn text(&self, rule: &str, version: RuleVersion) -> Option<String> {
        self.lock().texts.get(&(rule.to_owned(), version)).cloned()
    }

    /// What to write so that the rules of `wanted` run and rules of earlier files that are no longer
    /// wanted stop, beside what was put by hand. Documents that cannot be read are told and left out.
    pub fn changes(
        &self,
        wanted: &[Document],
        since: EventTime,
        until: EventTime,
    ) -> (Vec<Control>, Vec<weir_detect::Diagnostic>) {
        let known = self.lock();
        let mut book = known.book.clone();
        let (mut controls, mut diagnostics) = (Vec::new(), Vec::new());
        let mut ids = Vec::new();
        for document in wanted {
            let id = weir_detect::rule_id(&document.text);
            let version = RuleVersion::of(&[document.text.as_bytes()]);
            let current = id.as_ref().and_then(|id| known.current.get(id));
            if let Some(current) = current.filter(|current| current.origin == API_ORIGIN) {
                if current.version != version {
                    tracing::warn!(
                        rule = id,
                        file = document.origin,
                        "what was put over the API stays; disable it there to have the file's rule"
                    );
                }
                continue;
            }
            let control = put(document, since);
            let applied = book.apply(&control);
            diagnostics.extend(applied.diagnostics);
            let Some(id) = id else {
                continue;
            };
            if current.map(|current| current.version) != Some(version) {
                controls.push(control);
            }
            ids.push(id);
        }
        for (id, current) in &known.current {
            if current.origin != API_ORIGIN && !ids.contains(id) {
                controls.push(Control::RuleDisable {
                    rule: id.clone(),
                    until,
                });
            }
        }
        (controls, diagnostics)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic while it was held leaves a whole book: entries are applied one by one.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to change rules, one at a time.
pub struct Turn<'a> {
    desk: &'a RuleDesk,
    _held: tokio::sync::MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Journals entries, and follows them once they are durable.
    pub async fn write(&self, intake: &Intake, controls: Vec<Control>) -> Result<(), SubmitError> {
        intake.control(controls.clone()).await?;
        for control in &controls {
            self.desk.follow(control);
        }
        Ok(())
    }
}

/// Where rules come from that were put over the API.
pub const API_ORIGIN: &str = "api";

impl Known {
    fn follow(&mut self, control: &Control) -> Vec<weir_detect::Diagnostic> {
        let applied = self.book.apply(control);
        match control {
            Control::RulePut { text, origin, .. } => {
                if let Some(id) = weir_detect::rule_id(text) {
                    let version = RuleVersion::of(&[text.as_bytes()]);
                    self.texts.insert((id.clone(), version), text.clone());
                    let origin = origin.clone();
                    self.current.insert(id, Current { origin, version });
                }
            }
            Control::RuleDisable { rule, .. } => {
                self.current.remove(rule);
            }
            Control::RuleRemove { rule } => {
                self.current.remove(rule);
                self.texts.retain(|(id, _), _| id != rule);
            }
            Control::Start { .. }
            | Control::Tick { .. }
            | Control::Heartbeat { .. }
            | Control::Settings { .. }
            | Control::Finish => {}
        }
        applied.diagnostics
    }
}

/// The entry that puts a document in place.
pub fn put(document: &Document, since: EventTime) -> Control {
    Control::RulePut {
        text: document.text.clone(),
        origin: document.origin.clone(),
        since,
    }
}

/// Cuts a file's text into documents.
pub fn documents(text: &str, file: &str) -> Vec<Document> {
    let documents = weir_detect::split_documents(text).into_iter();
    let documents = documents.map(|(line, text)| Document {
        origin: format!("{file}:{line}"),
        text: text.to_owned(),
    });
    members_first(documents.collect())
}

/// Puts correlations behind the rules that they read, so that none is told to lack its members.
pub fn members_first(mut documents: Vec<Document>) -> Vec<Document> {
    documents.sort_by_key(|document| {
        let mut lines = document.text.lines();
        lines.any(|line| line.starts_with("correlation:"))
    });
    documents
}

/// The largest rules file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Reads a file, or all `*.yml` and `*.yaml` below a folder, in order of path.
pub fn read(path: &Path) -> Result<Vec<Document>, String> {
    let mut files = Vec::new();
    find(path, &mut files, 0)?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let size = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        if size > FILE_BYTES_MAX {
            return Err(format!("{} is larger than 4 MiB", file.display()));
        }
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        all.extend(documents(&text, &file.display().to_string()));
    }
    Ok(members_first(all))
}

/// Folders below folders that are looked into; a loop of links ends here.
const DEPTH_MAX: usize = 16;

fn find(path: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), String> {
    let told = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if !std::fs::metadata(path).map_err(told)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Err(format!("{} lies too deep", path.display()));
    }
    for entry in std::fs::read_dir(path).map_err(told)? {
        let inner = entry.map_err(told)?.path();
        let rule = inner
            .extension()
            .is_some_and(|extension| extension == "yml" || extension == "yaml");
        if inner.is_dir() || rule {
            find(&inner, files, depth + 1)?;
        }
    }
    Ok(())
}

/// Changes of rules over the API.
pub struct ManageRules {
    pub desk: Arc<RuleDesk>,
    pub intake: Intake,
    pub status: Arc<Status>,
    /// Before this epoch is done, nobody knows where a change of rules is to begin.
    pub caught_up_at: Epoch,
    pub runtime: tokio::runtime::Handle,
}

impl ManageRules {
    /// Waits until the graph stands where the journal stood at start: the watermark of a replay
    /// under way is one of the past.
    fn caught_up(&self) -> Result<(), PortError> {
        if self.status.wait_for(self.caught_up_at, JOURNAL_WAIT) {
            return Ok(());
        }
        let reason = "the journal is being replayed; rules can be changed once it is done";
        Err(PortError::Unavailable(reason.to_owned()))
    }

    /// Writes entries, and follows them once they are durable, even where that takes too long for
    /// who asked.
    fn write(&self, controls: Vec<Control>) -> Result<(), PortError> {
        let (intake, desk) = (self.intake.clone(), Arc::clone(&self.desk));
        let written = self
            .runtime
            .spawn(async move { desk.turn().await.write(&intake, controls).await });
        let wait = async move { tokio::time::timeout(JOURNAL_WAIT, written).await };
        let late = || PortError::Unavailable("the journal did not answer in time".to_owned());
        let answer = self.runtime.block_on(wait).map_err(|_| late())?;
        let failed = |error: &dyn std::error::Error| PortError::Unavailable(error.to_string());
        answer
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }

    /// Whether there is such a rule that still runs.
    fn runs(&self, id: &str) -> bool {
        let rules = self.desk.book().rules();
        rules.iter().any(|rule| &*rule.id == id)
    }
}

/// Where a rule put now begins: at the watermark, which all tenants have passed.
pub fn since_now(status: &Status) -> EventTime {
    let clocks = status.clocks();
    let least = clocks.iter().map(|clock| clock.watermark).min();
    least.unwrap_or(EventTime::MIN)
}

/// Where a rule stopped now ends: behind all that was heard, so that what it said stands.
pub fn until_now(status: &Status) -> EventTime {
    let heard = status.greatest().unwrap_or(EventTime::MIN);
    EventTime(heard.0.saturating_add(1)).max(since_now(status))
}

impl Rules for ManageRules {
    fn list(&self) -> Result<Vec<RuleInfo>, PortError> {
        let known = self.desk.lock();
        let info = |rule: weir_detect::RuleSummary| RuleInfo {
            origin: known
                .current
                .get(&*rule.id)
                .map_or_else(String::new, |current| current.origin.clone()),
            id: rule.id,
            version: rule.version,
            title: rule.title,
            level: rule.level,
            since: rule.since,
            until: (rule.until < EventTime::MAX).then_some(rule.until),
        };
        Ok(known.book.rules().into_iter().map(info).collect())
    }

    fn put(&self, text: &str, _origin: &str) -> Result<Vec<RuleInfo>, PutRule> {
        self.caught_up()?;
        let mut controls = Vec::new();
        let mut trial = self.desk.book();
        let mut refused = Vec::new();
        let mut ids = Vec::new();
        let since = since_now(&self.status);
        for mut document in documents(text, API_ORIGIN) {
            let first = document.origin.rsplit(':').next();
            let first: Option<u32> = first.and_then(|n| n.parse().ok());
            document.origin = API_ORIGIN.to_owned();
            let control = put(&document, since);
            let applied = trial.apply(&control);
            refused.extend(applied.diagnostics.into_iter().map(|diagnostic| {
                // Lines of the whole body; the document's first where no more is known.
                let inner = diagnostic.line.unwrap_or(1).saturating_sub(1);
                Diagnostic {
                    line: first.map(|first| first.saturating_add(inner)),
                    message: diagnostic.message,
                    hint: diagnostic.hint,
                }
            }));
            ids.extend(weir_detect::rule_id(&document.text));
            controls.push(control);
        }
        if !refused.is_empty() {
            return Err(PutRule::Refused(refused));
        }
        self.write(controls)?;
        let rules = self.list()?;
        Ok(rules
            .into_iter()
            .filter(|rule| ids.iter().any(|id| **id == *rule.id))
            .collect())
    }

    fn disable(&self, id: &str) -> Result<bool, PortError> {
        self.caught_up()?;
        if !self.runs(id) {
            return Ok(false);
        }
        self.write(vec![Control::RuleDisable {
            rule: id.to_owned(),
            until: until_now(&self.status),
        }])?;
        Ok(true)
    }

    fn remove(&self, id: &str) -> Result<bool, PortError> {
        // Needs no watermark, and may be what a graph that has stopped waits for.
        if !self.runs(id) {
            return Ok(false);
        }
        self.write(vec![Control::RuleRemove {
            rule: id.to_owned(),
        }])?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(title: &str, level: &str) -> Document {
        Document {
            origin: "rules/a.yml:1".to_owned(),
            text: format!(
                "title: {title}\nid: {title}\nlogsource:\n  product: linux\ndetection:\n  \
                 selection:\n    user: root\n  condition: selection\nlevel: {level}\n"
            ),
        }
    }

    fn told(desk: &RuleDesk, wanted: &[Document]) -> Vec<String> {
        let (controls, diagnostics) = desk.changes(wanted, EventTime(5), EventTime(9));
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        controls
            .iter()
            .map(|control| {
                desk.follow(control);
                match control {
                    Control::RulePut { text, .. } => {
                        format!("put {}", text.lines().last().unwrap_or_default())
                    }
                    Control::RuleDisable { rule, .. } => format!("disable {rule}"),
                    other => format!("{other:?}"),
                }
            })
            .collect()
    }

    #[test]
    fn a_start_writes_what_has_changed_and_nothing_else() {
        let desk = RuleDesk::default();
        let (one, two) = (document("one", "low"), document("two", "low"));
        let both = [one.clone(), two.clone()];
        assert_eq!(told(&desk, &both), ["put level: low", "put level: low"]);
        assert!(told(&desk, &both).is_empty());
        let edited = [document("one", "high"), two.clone()];
        assert_eq!(told(&desk, &edited), ["put level: high"]);
        // Back to a text that was there before is a change, too.
        assert_eq!(told(&desk, &both), ["put level: low"]);
        assert_eq!(told(&desk, std::slice::from_ref(&one)), ["disable two"]);
        assert_eq!(told(&desk, &both), ["put level: low"]);
    }

    #[test]
    fn rules_put_by_hand_outlive_a_start() {
        let desk = RuleDesk::default();
        let mut by_hand = document("hand", "low");
        by_hand.origin = API_ORIGIN.to_owned();
        desk.follow(&put(&by_hand, EventTime::MIN));
        assert!(told(&desk, &[]).is_empty());
        // In place of a file's rule, too, until it is stopped.
        let file = document("hand", "high");
        assert!(told(&desk, std::slice::from_ref(&file)).is_empty());
        desk.follow(&Control::RuleDisable {
            rule: "hand".to_owned(),
            until: EventTime(9),
        });
        assert_eq!(told(&desk, &[file]), ["put level: high"]);
    }
}
