//! Rule folders: reads the files that have stopped changing, and reports when the request changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use weir_detect::Diagnostic;

use crate::compare::RequestedRules;
use crate::document::RuleFileDocument;
use crate::files::{self, FileStamp, RuleListing};

/// Rule files and folders, as they were when they last stopped changing.
pub struct RuleFolders {
    paths: Vec<PathBuf>,
    /// Documents that are requested besides those of files.
    base: Vec<RuleFileDocument>,
    /// The previous listing.
    previous: Option<RuleListing>,
    /// The files that were read, with their documents.
    read: BTreeMap<PathBuf, ReadFile>,
    /// Diagnostics of the last request.
    diagnostics: Vec<Diagnostic>,
    /// Device and inode of each path when files were last found below it.
    roots: BTreeMap<PathBuf, (u64, u64)>,
    has_requested: bool,
    /// Whether a listing equal to the previous one cannot change the request.
    settled: bool,
}

struct ReadFile {
    /// `None` if the file could not be read: it is read again.
    stamp: Option<FileStamp>,
    documents: Vec<RuleFileDocument>,
    /// Why the file could not be read. Its rules stay active.
    error: Option<Diagnostic>,
}

impl RuleFolders {
    pub fn new(paths: Vec<PathBuf>, base: Vec<RuleFileDocument>) -> Self {
        Self {
            paths,
            base,
            previous: None,
            read: BTreeMap::new(),
            diagnostics: Vec::new(),
            roots: BTreeMap::new(),
            has_requested: false,
            settled: false,
        }
    }

    /// Polls the folders once. Returns the request if it has changed.
    ///
    /// A file is read once two polls find it unchanged; until then its earlier documents count.
    pub fn poll(&mut self) -> Option<RequestedRules> {
        let now = files::list(&self.paths);
        let before = self.previous.replace(now.clone())?;
        let unchanged = before == now;
        if unchanged && self.settled {
            return None;
        }
        let mut requested = RequestedRules::default();
        self.check_roots(&now, &mut requested);
        for error in &now.errors {
            requested.unreadable.push(error.path.clone());
            let diagnostic = error.diagnostic(Some(STAYS_ACTIVE));
            requested.diagnostics.push(diagnostic);
        }
        let stamps: BTreeMap<&PathBuf, FileStamp> =
            before.files.iter().map(|(p, s)| (p, *s)).collect();
        let mut changed = self.read_stable(&now, &stamps, &mut requested);
        changed |= self.drop_deleted(&now, &stamps, &requested);
        changed |= requested.diagnostics != self.diagnostics || !self.has_requested;
        // A file that could not be read is read again.
        self.settled = unchanged && self.read.values().all(|file| file.stamp.is_some());
        if !changed {
            return None;
        }
        self.has_requested = true;
        self.diagnostics = requested.diagnostics.clone();
        requested.documents = self.documents(&now);
        Some(requested)
    }

    /// Reads the listed files that two polls found unchanged. Returns whether any document changed.
    fn read_stable(
        &mut self,
        now: &RuleListing,
        stamps: &BTreeMap<&PathBuf, FileStamp>,
        requested: &mut RequestedRules,
    ) -> bool {
        let mut changed = false;
        for (path, stamp) in &now.files {
            let stable = stamps.get(path) == Some(stamp);
            if stable && self.read.get(path).and_then(|file| file.stamp) != Some(*stamp) {
                changed |= self.read(path, *stamp);
            }
            match self.read.get(path) {
                Some(file) => {
                    let error = file.error.clone();
                    let unreadable = error.as_ref().map(|_| path.clone());
                    requested.unreadable.extend(unreadable);
                    requested.diagnostics.extend(error);
                }
                // The file is new and still being written: its rules of an earlier run stay active.
                None => requested.unreadable.push(path.clone()),
            }
        }
        changed
    }

    /// Forgets files that two polls found missing, unless their folder cannot be read. Returns
    /// whether there were any.
    fn drop_deleted(
        &mut self,
        now: &RuleListing,
        stamps: &BTreeMap<&PathBuf, FileStamp>,
        requested: &RequestedRules,
    ) -> bool {
        let listed: BTreeSet<&PathBuf> = now.files.iter().map(|(path, _)| path).collect();
        let is_deleted = |path: &PathBuf| {
            !listed.contains(path)
                && !stamps.contains_key(path)
                && !path
                    .ancestors()
                    .any(|path| requested.unreadable.iter().any(|p| p == path))
        };
        let count = self.read.len();
        self.read.retain(|path, _| !is_deleted(path));
        self.read.len() != count
    }

    /// Reads a file. Returns whether its documents changed. An empty file is about to be written.
    fn read(&mut self, path: &Path, stamp: FileStamp) -> bool {
        let read = if stamp.is_empty() {
            Err(not_used(path, "is empty"))
        } else {
            files::read_file(path).map_err(|error| error.diagnostic(Some(STAYS_ACTIVE)))
        };
        let file = match read {
            Ok(documents) => ReadFile {
                stamp: Some(stamp),
                documents,
                error: None,
            },
            Err(error) => ReadFile {
                stamp: None,
                documents: Vec::new(),
                error: Some(error),
            },
        };
        let documents = file.documents.clone();
        let before = self.read.insert(path.to_owned(), file);
        before.is_none_or(|before| before.documents != documents)
    }

    /// Reports each path that now leads to another, empty folder, such as one without its disk
    /// mounted.
    fn check_roots(&mut self, now: &RuleListing, requested: &mut RequestedRules) {
        for (path, root) in self.paths.iter().zip(&now.roots) {
            let found = now.files.iter().any(|(file, _)| file.starts_with(path));
            match (root, found) {
                (Some(root), true) => {
                    self.roots.insert(path.clone(), *root);
                }
                (Some(root), false) => {
                    let before = self.roots.get(path);
                    if before.is_some_and(|before| before != root) {
                        requested.unreadable.push(path.clone());
                        let reason = "is another folder now, and an empty one";
                        requested.diagnostics.push(not_used(path, reason));
                    }
                }
                (None, _) => {} // The listing has an error for it.
            }
        }
    }

    /// All documents, in the order of the listing; those of unlisted files and the base come last.
    fn documents(&self, now: &RuleListing) -> Vec<RuleFileDocument> {
        let listed: BTreeSet<&PathBuf> = now.files.iter().map(|(path, _)| path).collect();
        let unlisted = self.read.keys().filter(|path| !listed.contains(path));
        let order = now.files.iter().map(|(path, _)| path).chain(unlisted);
        let files = order.filter_map(|path| self.read.get(path));
        let documents = files.flat_map(|file| &file.documents);
        documents.chain(&self.base).cloned().collect()
    }
}

/// Hint of a diagnostic about a file or folder that could not be read.
const STAYS_ACTIVE: &str = "the rules that came from there stay active";

fn not_used(path: &Path, reason: &str) -> Diagnostic {
    Diagnostic {
        origin: format!("{}:1", path.display()),
        line: None,
        column: None,
        message: reason.to_owned(),
        hint: Some(STAYS_ACTIVE.to_owned()),
        refused: true,
    }
}
