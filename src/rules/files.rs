//! Rules files on disk: found below folders, read within limits, cut into documents.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use weir_detect::Diagnostic;

use crate::rule_desk::{Document, documents};

/// The largest rules file that is read; the largest public one has a tenth of it.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// More rules files are not looked at: it is twice as many as there may be rules.
const FILES_MAX: usize = 20_000;

/// Folders below folders that are looked into.
const DEPTH_MAX: usize = 16;

/// What must change when a file's text does. The time of the last change of the file's facts is in
/// it, since editors may keep the time of the last change of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    place: (u64, u64),
}

impl Stamp {
    fn of(facts: &Metadata) -> Self {
        Self {
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
            place: place(facts),
        }
    }

    /// A file that someone has begun to write has nothing in it.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }
}

/// Device and number: what two paths to one file or folder have in common.
fn place(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

/// Something that could not be read, and what is known of where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub path: PathBuf,
    /// From 1, where a line is to blame.
    pub line: u32,
    pub reason: String,
}

impl Trouble {
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

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// The rules files below some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In the order of the paths asked for, then in order of path.
    pub files: Vec<(PathBuf, Stamp)>,
    pub troubles: Vec<Trouble>,
    /// Device and number of each path asked for, where it is there.
    pub roots: Vec<Option<(u64, u64)>>,
}

/// Lists files as they are, and all `*.yml` and `*.yaml` below folders. What begins with a dot is left
/// out: editors and version control keep their own there. Two ways to one file or folder, loops of
/// links among them, count once.
pub fn list(roots: &[PathBuf]) -> Listing {
    let mut walk = Walk::default();
    for root in roots {
        match std::fs::metadata(root) {
            Ok(facts) => {
                walk.listing.roots.push(Some(place(&facts)));
                walk.visit(root, &facts, 0);
            }
            Err(error) => {
                walk.listing.roots.push(None);
                let trouble = Trouble::unreadable(root, &error);
                walk.listing.troubles.push(trouble);
            }
        }
    }
    walk.listing
}

#[derive(Default)]
struct Walk {
    listing: Listing,
    seen: BTreeSet<(u64, u64)>,
    full: bool,
}

impl Walk {
    fn visit(&mut self, path: &Path, facts: &Metadata, depth: usize) {
        if self.full || !self.seen.insert(place(facts)) {
            return;
        }
        if facts.is_dir() {
            return match self.folder(path, depth) {
                Ok(()) => {}
                Err(error) => self.trouble(Trouble::unreadable(path, &error)),
            };
        }
        if !facts.is_file() {
            return self.trouble(Trouble::new(path, "is neither a file nor a folder"));
        }
        if self.listing.files.len() >= FILES_MAX {
            self.full = true;
            let reason = format!("is left out, like all after it: more than {FILES_MAX} files");
            return self.trouble(Trouble::new(path, reason));
        }
        let file = (path.to_owned(), Stamp::of(facts));
        self.listing.files.push(file);
    }

    fn folder(&mut self, path: &Path, depth: usize) -> std::io::Result<()> {
        if depth > DEPTH_MAX {
            let reason = format!("lies more than {DEPTH_MAX} folders deep");
            self.trouble(Trouble::new(path, reason));
            return Ok(());
        }
        let mut inner = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let bytes = name.as_encoded_bytes();
            let rules = bytes.ends_with(b".yml") || bytes.ends_with(b".yaml");
            // Of most entries the folder itself knows what they are; only links are followed.
            let kind = entry.file_type()?;
            let folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            if !bytes.starts_with(b".") && (rules || folder) {
                inner.push(entry.path());
            }
        }
        inner.sort();
        for path in inner {
            match std::fs::metadata(&path) {
                Ok(facts) => self.visit(&path, &facts, depth + 1),
                Err(error) => self.trouble(Trouble::unreadable(&path, &error)),
            }
        }
        Ok(())
    }

    fn trouble(&mut self, trouble: Trouble) {
        // No more than files: each is about another path.
        if self.listing.troubles.len() < FILES_MAX {
            self.listing.troubles.push(trouble);
        }
    }
}

/// The documents of one file, as they stand in it.
pub fn read_file(path: &Path) -> Result<Vec<Document>, Trouble> {
    let unreadable = |error| Trouble::unreadable(path, &error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut whole = file.take(FILE_BYTES_MAX + 1);
    whole.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Trouble::new(path, "is larger than 4 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let lines = error.as_bytes().iter().take(good);
        let line = lines.filter(|byte| **byte == b'\n').count();
        Trouble {
            line: u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1),
            ..Trouble::new(path, "is not UTF-8 text")
        }
    })?;
    Ok(documents(&text, &path.display().to_string()))
}

/// All documents below some paths in order of path, and what could not be read.
#[derive(Debug, Default)]
pub struct Found {
    pub files: usize,
    pub documents: Vec<Document>,
    pub troubles: Vec<Trouble>,
}

pub fn read_all(roots: &[PathBuf]) -> Found {
    let listing = list(roots);
    let mut found = Found {
        files: listing.files.len(),
        documents: Vec::new(),
        troubles: listing.troubles,
    };
    for (path, _) in &listing.files {
        match read_file(path) {
            Ok(documents) => found.documents.extend(documents),
            Err(trouble) => found.troubles.push(trouble),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: &Listing, root: &Path) -> Vec<String> {
        let name = |(path, _): &(PathBuf, Stamp)| {
            let inner = path.strip_prefix(root).expect("it lies in the folder");
            inner.display().to_string()
        };
        listing.files.iter().map(name).collect()
    }

    #[test]
    fn a_folder_is_listed_in_order_without_loops_doubles_and_editors_files() {
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
        let troubles: Vec<String> = listing.troubles.iter().map(ToString::to_string).collect();
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        assert!(
            troubles[0].contains("gone.yml: cannot be read"),
            "{troubles:?}"
        );
    }

    #[test]
    fn what_is_no_text_is_told_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.yml");
        std::fs::write(&path, b"title: a\nid: \xff\n").expect("it is written");
        let trouble = read_file(&path).expect_err("it is no text");
        assert_eq!((trouble.line, &*trouble.reason), (2, "is not UTF-8 text"));
    }
}
