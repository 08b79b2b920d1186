//! Follows rule files while the server runs: journals what changes in them.
//!
//! ```text
//! poll, once a second ──two that agree──► files read ──► request ──compared──► journal ──► graph
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_detect::Diagnostic;
use weir_schema::Epoch;

use crate::compare::RequestedRules;
use crate::document::RuleFileDocument;
use crate::folders::RuleFolders;
use crate::load::source_position;
use crate::ports::{ControlJournal, GraphProgress, since_now, until_now};
use crate::registry::RuleRegistry;

/// Pause between two polls of the files; a change is read once two polls agree on it.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Pause between two checks whether the graph has ended.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Most diagnostics logged at a time; the API lists all of them.
const LOGGED_MAX: usize = 100;

/// Keeps the active rules equal to the rule files, from the start until the graph ends.
pub struct RuleFollower {
    pub journal: Arc<dyn ControlJournal>,
    pub registry: Arc<RuleRegistry>,
    pub graph: Arc<dyn GraphProgress>,
    /// The epoch that begins this run. The watermark at which a change begins is known after it.
    pub begun: Epoch,
    /// The documents requested at the start.
    pub initial: Vec<RuleFileDocument>,
    pub paths: Vec<PathBuf>,
}

impl RuleFollower {
    /// Journals what has changed since the last start, then follows the files until the graph ends.
    pub async fn follow(mut self) {
        let (graph, begun) = (Arc::clone(&self.graph), self.begun);
        let wait = tokio::task::spawn_blocking(move || wait_until_applied(&*graph, begun));
        if !wait.await.unwrap_or(false) {
            return;
        }
        let initial = std::mem::take(&mut self.initial);
        let mut folders = RuleFolders::new(self.paths.clone(), self.without_paths(&initial));
        let mut requested = RequestedRules::from_documents(initial);
        let mut followed = None;
        loop {
            let manual_edits = self.registry.manual_edits();
            if self.update(requested.clone()).await {
                followed = Some(manual_edits);
            }
            // Polls until a file or a person changes a rule, or until a failed update is due again.
            loop {
                tokio::time::sleep(POLL_EVERY).await;
                if self.graph.has_ended() {
                    return;
                }
                let poll = tokio::task::spawn_blocking(move || {
                    let changed = folders.poll();
                    (folders, changed)
                });
                let Ok((back, changed)) = poll.await else {
                    tracing::error!("rule files are no longer followed: reading them panicked");
                    return;
                };
                folders = back;
                let has_changed = changed.is_some();
                requested = changed.unwrap_or(requested);
                if has_changed || followed != Some(self.registry.manual_edits()) {
                    break;
                }
            }
        }
    }

    /// The documents that no followed path provides, such as the built-in rules.
    fn without_paths(&self, documents: &[RuleFileDocument]) -> Vec<RuleFileDocument> {
        let others = documents.iter().filter(|document| {
            let file = Path::new(&document.origin);
            let mut paths = self.paths.iter();
            !paths.any(|path| file.starts_with(path) || is_line_of(&document.origin, path))
        });
        others.cloned().collect()
    }

    /// Makes the requested rules active. Returns false if that must be tried again.
    async fn update(&self, requested: RequestedRules) -> bool {
        let lock = self.registry.lock_for_edit().await;
        let (registry, graph) = (Arc::clone(&self.registry), Arc::clone(&self.graph));
        let decide = move || registry.changes(&requested, since_now(&*graph), until_now(&*graph));
        let Ok(changes) = tokio::task::spawn_blocking(decide).await else {
            tracing::error!("changed rule files are not used: comparing them panicked");
            return true;
        };
        let count = changes.controls.len();
        match lock.apply(&*self.journal, changes).await {
            Ok(diagnostics) => log_outcome(&diagnostics, count),
            Err(error) => {
                tracing::error!(%error, "changed rules could not be journaled; retrying");
                return false;
            }
        }
        true
    }
}

/// Whether the origin is a line of `file`.
fn is_line_of(origin: &str, file: &Path) -> bool {
    let inner = origin.rsplit_once(':').map(|(file, _)| Path::new(file));
    inner == Some(file)
}

/// Waits until the graph has applied `epoch`; false if the graph ends before.
pub fn wait_until_applied(graph: &dyn GraphProgress, epoch: Epoch) -> bool {
    while !graph.wait_for(epoch, CHECK_EVERY) {
        if graph.has_ended() {
            return false;
        }
    }
    true
}

/// Logs the new diagnostics and the number of changed rules.
pub fn log_outcome(diagnostics: &[Diagnostic], changed: usize) {
    for diagnostic in diagnostics.iter().take(LOGGED_MAX) {
        let position = source_position(diagnostic);
        let (file, line) = (position.file, position.line);
        let hint = diagnostic.hint.as_deref().unwrap_or_default();
        tracing::warn!(file, line, hint, "{}", diagnostic.message);
    }
    if diagnostics.len() > LOGGED_MAX {
        let more = diagnostics.len() - LOGGED_MAX;
        tracing::warn!(
            more,
            "rules have more diagnostics: ask the API, or `weir rules lint`"
        );
    }
    if changed > 0 {
        tracing::info!(changed, "rules changed");
    }
}
