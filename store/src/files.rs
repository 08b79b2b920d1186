//! Creates private folders and files, syncs folders, and identifies open files, for journal and
//! ledger.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Creates a folder and its parents, with durable names, for this user only: logs hold secrets.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    let new: Vec<_> = path
        .ancestors()
        .take_while(|folder| !folder.exists())
        .collect();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    for parent in new.iter().filter_map(|folder| folder.parent()) {
        // The parent of a bare name has an empty path, which means the current folder.
        let current = Path::new(".");
        sync_folder(if parent.as_os_str().is_empty() {
            current
        } else {
            parent
        })?;
    }
    Ok(())
}

/// Creates a file that must not exist yet, for this user only.
pub(crate) fn create_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes the file names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Device and inode: they stay while a file is open, whatever its path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}
