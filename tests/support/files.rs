//! Files and folders of tests, and the optional data sets beside the repository.

use std::path::{Path, PathBuf};

use super::skipped;

/// Root folder of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Writes a file, with the folders it needs, and returns its path as text.
pub fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
    std::fs::write(&path, text).expect("the file can be written");
    shown(&path)
}

/// Path of a data set, or `None` after reporting that `test` is skipped.
///
/// `WEIR_DATA` names the folder of all data sets. They are too large for the repository.
pub fn data_set(test: &str, path: &str) -> Option<PathBuf> {
    let beside = || root().join("../shared/data");
    let folder = std::env::var_os("WEIR_DATA").map_or_else(beside, PathBuf::from);
    let found = folder.join(path);
    if !found.exists() {
        skipped(test, &format!("{path} is absent; set WEIR_DATA"));
        return None;
    }
    Some(found)
}
