//! Follows rules files while the server runs: what changes there is journaled, and runs.
//!
//! ```text
//! listing, once a second ──two that agree──► files read ──► asked for ──tried──► journal ──► graph
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::Status;
use weir_detect::Diagnostic;
use weir_ingest::Intake;
use weir_schema::Epoch;

use crate::opening::caught_up;
use crate::rule_desk::{Document, RuleDesk, since_now, until_now};
use crate::rules::files::{self, Listing, Stamp};
use crate::rules::known::Asked;

/// Between two looks at the files; a change is taken once two looks agree on it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What to follow, and where changes go.
pub struct Watch {
    pub intake: Intake,
    pub desk: Arc<RuleDesk>,
    pub status: Arc<Status>,
    /// The epoch that begins this run: before it is done nobody knows where a change is to begin.
    pub begun: Epoch,
    /// What was asked for at the start.
    pub first: Vec<Document>,
    pub paths: Vec<PathBuf>,
}

/// Puts what has changed since the last start, and then follows the files until the server ends.
pub async fn watch(mut watch: Watch) {
    let (status, begun) = (Arc::clone(&watch.status), watch.begun);
    let wait = actix_rt::task::spawn_blocking(move || caught_up(&status, begun));
    if !wait.await.unwrap_or(false) {
        return;
    }
    let first = std::mem::take(&mut watch.first);
    let base = first.iter().filter(|document| {
        let file = Path::new(&document.origin);
        !watch
            .paths
            .iter()
            .any(|path| file.starts_with(path) || is_in(&document.origin, path))
    });
    let base: Vec<Document> = base.cloned().collect();
    let mut folders = Folders::new(watch.paths.clone(), base);
    let mut asked = Asked {
        documents: first,
        ..Asked::default()
    };
    let mut followed = None;
    loop {
        let by_hand = watch.desk.by_hand();
        let done = watch.update(asked.clone()).await;
        if done {
            followed = Some(by_hand);
        }
        // Until something is new: in the files, or by hand; or until what failed is tried again.
        loop {
            actix_rt::time::sleep(LOOK_EVERY).await;
            if watch.status.is_stopping() || watch.status.failed() {
                return;
            }
            let look = actix_rt::task::spawn_blocking(move || {
                let fresh = folders.look();
                (folders, fresh)
            });
            let Ok((back, fresh)) = look.await else {
                tracing::error!("rules files are no longer followed: looking at them panicked");
                return;
            };
            folders = back;
            let is_new = fresh.is_some();
            asked = fresh.unwrap_or(asked);
            if is_new || followed != Some(watch.desk.by_hand()) {
                break;
            }
        }
    }
}

/// Whether the origin is a line of the file.
fn is_in(origin: &str, file: &Path) -> bool {
    let inner = origin.rsplit_once(':').map(|(file, _)| Path::new(file));
    inner == Some(file)
}

impl Watch {
    /// Brings the rules to what is asked for; whether that could be done.
    async fn update(&self, asked: Asked) -> bool {
        let turn = self.desk.turn().await;
        let (desk, status) = (Arc::clone(&self.desk), Arc::clone(&self.status));
        let decide = move || desk.changes(&asked, since_now(&status), until_now(&status));
        let Ok(changes) = actix_rt::task::spawn_blocking(decide).await else {
            tracing::error!("rules files were not taken over: reading them panicked");
            return true;
        };
        let count = changes.controls.len();
        match turn.make(&self.intake, changes).await {
            Ok(said) => tell(&said, count),
            Err(error) => {
                tracing::error!(%error, "changed rules could not be journaled; trying again");
                return false;
            }
        }
        true
    }
}

/// Most diagnostics that are logged at a time; the API has them all.
const LOGGED_MAX: usize = 100;

/// Logs what a change of the files came to.
pub fn tell(said: &[Diagnostic], changed: usize) {
    for diagnostic in said.iter().take(LOGGED_MAX) {
        let (file, line, _) = crate::rules::load::place(diagnostic);
        let hint = diagnostic.hint.as_deref().unwrap_or_default();
        tracing::warn!(file, line, hint, "{}", diagnostic.message);
    }
    if said.len() > LOGGED_MAX {
        let more = said.len() - LOGGED_MAX;
        tracing::warn!(
            more,
            "more is wrong with rules: ask the API, or `weir rules lint`"
        );
    }
    if changed > 0 {
        tracing::info!(changed, "rules changed");
    }
}

/// Files and folders, as they were when they last stood still.
pub struct Folders {
    paths: Vec<PathBuf>,
    /// What is asked for besides.
    base: Vec<Document>,
    /// The look before.
    seen: Option<Listing>,
    /// Documents of files, as they were taken.
    taken: BTreeMap<PathBuf, Taken>,
    /// What the last answer said could not be read.
    troubles: Vec<Diagnostic>,
    /// Where each path led when files were last found there.
    roots: BTreeMap<PathBuf, (u64, u64)>,
    answered: bool,
    /// Nothing new can come of a look that finds what the last one found.
    settled: bool,
}

struct Taken {
    /// `None` where it could not be read: it is tried again.
    stamp: Option<Stamp>,
    documents: Vec<Document>,
    /// Why it could not be read. What ran from it runs on.
    trouble: Option<Diagnostic>,
}

impl Folders {
    pub fn new(paths: Vec<PathBuf>, base: Vec<Document>) -> Self {
        Self {
            paths,
            base,
            seen: None,
            taken: BTreeMap::new(),
            troubles: Vec::new(),
            roots: BTreeMap::new(),
            answered: false,
            settled: false,
        }
    }

    /// Looks once. Gives what is asked for, where that is not what it was; files that are being
    /// written are taken as they were.
    pub fn look(&mut self) -> Option<Asked> {
        let now = files::list(&self.paths);
        let before = self.seen.replace(now.clone())?;
        let still = before == now;
        if still && self.settled {
            return None;
        }
        let mut asked = Asked::default();
        let mut changed = false;
        self.vanished(&now, &mut asked);
        for trouble in &now.troubles {
            asked.unknown.push(trouble.path.clone());
            asked.diagnostics.push(trouble.diagnostic(Some(RUNS_ON)));
        }
        let stamps: BTreeMap<&PathBuf, Stamp> = before.files.iter().map(|(p, s)| (p, *s)).collect();
        let there: BTreeSet<&PathBuf> = now.files.iter().map(|(path, _)| path).collect();
        for (path, stamp) in &now.files {
            let still = stamps.get(path) == Some(stamp);
            if still && self.taken.get(path).and_then(|taken| taken.stamp) != Some(*stamp) {
                changed |= self.take(path, *stamp);
            }
            match self.taken.get(path) {
                Some(taken) => {
                    let trouble = taken.trouble.clone();
                    asked.unknown.extend(trouble.as_ref().map(|_| path.clone()));
                    asked.diagnostics.extend(trouble);
                }
                // New, and being written: what ran from it before a start runs on.
                None => asked.unknown.push(path.clone()),
            }
        }
        // Gone in two looks, and not merely out of sight.
        let gone = |path: &PathBuf| {
            !there.contains(path)
                && !stamps.contains_key(path)
                && !path
                    .ancestors()
                    .any(|path| asked.unknown.iter().any(|p| p == path))
        };
        let count = self.taken.len();
        self.taken.retain(|path, _| !gone(path));
        changed |= self.taken.len() != count;
        changed |= asked.diagnostics != self.troubles || !self.answered;
        // A file that could not be read is tried again.
        self.settled = still && self.taken.values().all(|taken| taken.stamp.is_some());
        if !changed {
            return None;
        }
        self.answered = true;
        self.troubles = asked.diagnostics.clone();
        asked.documents = self.documents(&now);
        Some(asked)
    }

    /// Reads a file; whether it has other documents than it had. An empty one is about to be written.
    fn take(&mut self, path: &Path, stamp: Stamp) -> bool {
        let read = if stamp.is_empty() {
            Err(not_taken(path, "is empty"))
        } else {
            files::read_file(path).map_err(|trouble| trouble.diagnostic(Some(RUNS_ON)))
        };
        let taken = match read {
            Ok(documents) => Taken {
                stamp: Some(stamp),
                documents,
                trouble: None,
            },
            Err(trouble) => Taken {
                stamp: None,
                documents: Vec::new(),
                trouble: Some(trouble),
            },
        };
        let documents = taken.documents.clone();
        let before = self.taken.insert(path.to_owned(), taken);
        before.is_none_or(|before| before.documents != documents)
    }

    /// Paths that lead nowhere now, or to another place with nothing in it, as when a disk is not
    /// there.
    fn vanished(&mut self, now: &Listing, asked: &mut Asked) {
        for (path, root) in self.paths.iter().zip(&now.roots) {
            let found = now.files.iter().any(|(file, _)| file.starts_with(path));
            match (root, found) {
                (Some(root), true) => {
                    self.roots.insert(path.clone(), *root);
                }
                (Some(root), false) => {
                    let before = self.roots.get(path);
                    if before.is_some_and(|before| before != root) {
                        asked.unknown.push(path.clone());
                        let reason = "is another folder now, and an empty one";
                        asked.diagnostics.push(not_taken(path, reason));
                    }
                }
                (None, _) => {} // A trouble of the listing.
            }
        }
    }

    /// In order of the paths and of the files below them, what is out of sight at the end.
    fn documents(&self, now: &Listing) -> Vec<Document> {
        let listed: BTreeSet<&PathBuf> = now.files.iter().map(|(path, _)| path).collect();
        let hidden = self.taken.keys().filter(|path| !listed.contains(path));
        let order = now.files.iter().map(|(path, _)| path).chain(hidden);
        let taken = order.filter_map(|path| self.taken.get(path));
        let documents = taken.flat_map(|taken| &taken.documents);
        documents.chain(&self.base).cloned().collect()
    }
}

const RUNS_ON: &str = "the rules that came from there run on";

fn not_taken(path: &Path, reason: &str) -> Diagnostic {
    Diagnostic {
        origin: format!("{}:1", path.display()),
        line: None,
        column: None,
        message: reason.to_owned(),
        hint: Some(RUNS_ON.to_owned()),
        refused: true,
    }
}

/// What is asked for at the first start, when nothing runs yet.
pub fn first(documents: &[Document]) -> Asked {
    Asked {
        documents: documents.to_vec(),
        ..Asked::default()
    }
}
