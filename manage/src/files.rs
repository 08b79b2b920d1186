//! Rule files on disk: lists them below folders and reads them within limits.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use weir_detect::Diagnostic;

use crate::document::{RuleFileDocument, members_first};

/// Largest rule file that is read; the largest public one has a tenth of it.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Most rule files that are listed: twice as many as there may be rules.
const FILES_MAX: usize = 20_000;

/// Deepest level of folders that is listed.
const DEPTH_MAX: usize = 16;

/// File metadata that changes whenever the file's text does.
///
/// It includes the change time of the inode, since an editor may restore the modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: (u64, u64),
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: inode(metadata),
        }
    }

    /// Whether the file is empty, as it is when an editor has just begun to write it.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }
}

/// Device and inode number, which two paths to one file or folder share.
fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A file or folder that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFileError {
    pub path: PathBuf,
    /// From 1; 1 if no line is the cause.
    pub line: u32,
    pub reason: String,
}

impl RuleFileError {
    fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: 1,
            reason: reason.into(),
        }
    }

    fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(path, format!("cannot be read: {error}"))
    }

    pub fn diagnostic(&self, hint: Option<&str>) -> Diagnostic {
        Diagnostic {
            origin: format!("{}:{}", self.path.display(), self.line),
            line: None,
            column: None,
            message: self.reason.clone(),
            hint: hint.map(str::to_owned),
            refused: true,
        }
    }
}

impl std::fmt::Display for RuleFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// The rule files below some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleListing {
    /// In the order of the listed paths, then sorted by path.
    pub files: Vec<(PathBuf, FileStamp)>,
    pub errors: Vec<RuleFileError>,
    /// Device and inode number of each listed path; `None` if it does not exist.
    pub roots: Vec<Option<(u64, u64)>>,
}

/// Lists files, and all `*.yml` and `*.yaml` below folders.
///
/// Names that begin with a dot are skipped: editors and version control keep their own files there.
/// A file or folder that two paths lead to is listed once, so a loop of links ends.
pub fn list(roots: &[PathBuf]) -> RuleListing {
    let mut walk = Walk::default();
    for root in roots {
        match std::fs::metadata(root) {
            Ok(metadata) => {
                walk.listing.roots.push(Some(inode(&metadata)));
                walk.visit(root, &metadata, 0);
            }
            Err(error) => {
                walk.listing.roots.push(None);
                let error = RuleFileError::unreadable(root, &error);
                walk.listing.errors.push(error);
            }
        }
    }
    walk.listing
}

/// A walk through folders, with what it has found so far.
#[derive(Default)]
struct Walk {
    listing: RuleListing,
    visited: BTreeSet<(u64, u64)>,
    full: bool,
}

impl Walk {
    fn visit(&mut self, path: &Path, metadata: &Metadata, depth: usize) {
        if self.full || !self.visited.insert(inode(metadata)) {
            return;
        }
        if metadata.is_dir() {
            return match self.folder(path, depth) {
                Ok(()) => {}
                Err(error) => self.report(RuleFileError::unreadable(path, &error)),
            };
        }
        if !metadata.is_file() {
            return self.report(RuleFileError::new(path, "is neither a file nor a folder"));
        }
        if self.listing.files.len() >= FILES_MAX {
            self.full = true;
            let reason = format!("is left out, like all after it: more than {FILES_MAX} files");
            return self.report(RuleFileError::new(path, reason));
        }
        let file = (path.to_owned(), FileStamp::of(metadata));
        self.listing.files.push(file);
    }

    fn folder(&mut self, path: &Path, depth: usize) -> std::io::Result<()> {
        if depth > DEPTH_MAX {
            let reason = format!("lies more than {DEPTH_MAX} folders deep");
            self.report(RuleFileError::new(path, reason));
            return Ok(());
        }
        let mut inner = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let bytes = name.as_encoded_bytes();
            let rules = bytes.ends_with(b".yml") || bytes.ends_with(b".yaml");
            // `file_type` reads no inode for most entries; only links are followed.
            let kind = entry.file_type()?;
            let folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            if !bytes.starts_with(b".") && (rules || folder) {
                inner.push(entry.path());
            }
        }
        inner.sort();
        for path in inner {
            match std::fs::metadata(&path) {
                Ok(metadata) => self.visit(&path, &metadata, depth + 1),
                Err(error) => self.report(RuleFileError::unreadable(&path, &error)),
            }
        }
        Ok(())
    }

    fn report(&mut self, error: RuleFileError) {
        // No more errors than files: each is about another path.
        if self.listing.errors.len() < FILES_MAX {
            self.listing.errors.push(error);
        }
    }
}

/// Reads the documents of one file, in order.
pub fn read_file(path: &Path) -> Result<Vec<RuleFileDocument>, RuleFileError> {
    let unreadable = |error| RuleFileError::unreadable(path, &error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut whole = file.take(FILE_BYTES_MAX + 1);
    whole.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(RuleFileError::new(path, "is larger than 4 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let lines = error.as_bytes().iter().take(good);
        let line = lines.filter(|byte| **byte == b'\n').count();
        RuleFileError {
            line: u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1),
            ..RuleFileError::new(path, "is not UTF-8 text")
        }
    })?;
    Ok(RuleFileDocument::split(&text, &path.display().to_string()))
}

/// All documents below some paths, sorted by path, and the files that could not be read.
#[derive(Debug, Default)]
pub struct RuleFiles {
    pub files: usize,
    pub documents: Vec<RuleFileDocument>,
    pub errors: Vec<RuleFileError>,
}

/// Reads all rule files below `roots`.
pub fn read_all(roots: &[PathBuf]) -> RuleFiles {
    let listing = list(roots);
    let mut found = RuleFiles {
        files: listing.files.len(),
        documents: Vec::new(),
        errors: listing.errors,
    };
    for (path, _) in &listing.files {
        match read_file(path) {
            Ok(documents) => found.documents.extend(documents),
            Err(error) => found.errors.push(error),
        }
    }
    found
}

/// Reads the rule files at or below `path`, members before the correlations that name them.
///
/// Fails at the first file that cannot be read.
pub fn read_path(path: &Path) -> Result<Vec<RuleFileDocument>, RuleFileError> {
    let found = read_all(&[path.to_owned()]);
    match found.errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(members_first(found.documents)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: &RuleListing, root: &Path) -> Vec<String> {
        let name = |(path, _): &(PathBuf, FileStamp)| {
            let inner = path.strip_prefix(root).expect("it lies in the folder");
            inner.display().to_string()
        };
        listing.files.iter().map(name).collect()
    }

    #[test]
    fn listing_is_sorted_and_skips_loops_duplicates_and_hidden_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        std::fs::create_dir_all(root.join("b/c")).expect("a folder");
        std::fs::create_dir_all(root.join(".git")).expect("a folder");
        let files = [
            "z.yml",
            "a.yaml",
            "b/x.yml",
            "b/c/y.yml",
            ".#z.yml",
            "notes.md",
            ".git/g.yml",
        ];
        for file in files {
            std::fs::write(root.join(file), "a: 1\n").expect("it is written");
        }
        let link = |to: &str, from: &str| {
            std::os::unix::fs::symlink(root.join(to), root.join(from)).expect("a link");
        };
        link(".", "b/loop");
        link("b", "b/c/up");
        link("a.yaml", "again.yml");
        link("nowhere.yml", "gone.yml");
        let listing = list(&[root.to_owned(), root.join("b")]);
        assert_eq!(
            names(&listing, root),
            ["a.yaml", "b/c/y.yml", "b/x.yml", "z.yml"]
        );
        let errors: Vec<String> = listing.errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("gone.yml: cannot be read"), "{errors:?}");
    }

    #[test]
    fn invalid_utf8_is_reported_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.yml");
        std::fs::write(&path, b"title: a\nid: \xff\n").expect("it is written");
        let error = read_file(&path).expect_err("it is no text");
        assert_eq!((error.line, &*error.reason), (2, "is not UTF-8 text"));
    }
}
