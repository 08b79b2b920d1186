//! Folders and files with the permissions and the syncing that both stores need.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes a folder, and those above it, for this user alone, since logs hold secrets. Their names
/// are durable.
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
        // The parent of a name alone is the folder where we are, and its path is empty.
        let here = Path::new(".");
        sync_folder(if parent.as_os_str().is_empty() {
            here
        } else {
            parent
        })?;
    }
    Ok(())
}

/// Makes a file that must not exist yet, for this user alone.
pub(crate) fn create_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
