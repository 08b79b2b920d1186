//! Bounds the folder of ledgers that were set aside: the oldest are removed first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::QuarantineConfig;

/// Deepest folder that is measured; ledgers are flat.
const DEPTH_MAX: u32 = 8;

/// A copy in the quarantine.
#[derive(Debug)]
struct Copy {
    path: PathBuf,
    bytes: u64,
    set_aside: SystemTime,
}

/// Removes copies that are too old, and the oldest while all are too large together.
///
/// The newest copy stays, however large, until it is too old. Each removal is logged.
pub fn prune(data_dir: &Path, config: &QuarantineConfig, now: SystemTime) {
    let folder = data_dir.join("quarantine");
    let mut copies = match copies(&folder) {
        Ok(copies) => copies,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            let folder = folder.display();
            tracing::warn!(%error, %folder, "cannot read the quarantine");
            return;
        }
    };
    copies.sort_by(|a, b| (a.set_aside, &a.path).cmp(&(b.set_aside, &b.path)));
    let mut bytes: u64 = copies.iter().map(|copy| copy.bytes).sum();
    let newest = copies.len().saturating_sub(1);
    for (place, copy) in copies.into_iter().enumerate() {
        let age = now.duration_since(copy.set_aside).unwrap_or(Duration::ZERO);
        let is_old = age > config.age.to_std();
        let is_too_much = bytes > config.size_mib << 20 && place < newest;
        if !is_old && !is_too_much {
            continue;
        }
        bytes -= copy.bytes;
        let (path, mib) = (copy.path.display(), copy.bytes >> 20);
        let reason = if is_old { "age" } else { "size" };
        match fs::remove_dir_all(&copy.path) {
            Ok(()) => tracing::warn!(%path, mib, reason, "removed a copy from the quarantine"),
            Err(error) => tracing::warn!(%error, %path, "cannot remove a copy from the quarantine"),
        }
    }
}

/// The folders in `folder`. Other files there are not Weir's.
fn copies(folder: &Path) -> io::Result<Vec<Copy>> {
    let mut copies = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        copies.push(Copy {
            bytes: size_of_folder(&path, DEPTH_MAX)?,
            set_aside: time_in_name(&path).map_or_else(|| entry.metadata()?.modified(), Ok)?,
            path,
        });
    }
    Ok(copies)
}

/// The time in a name such as `ledger-1785000000` or `ledger-1785000000-2`.
fn time_in_name(path: &Path) -> Option<SystemTime> {
    let name = path.file_name()?.to_str()?;
    let seconds = name.split('-').nth(1)?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn size_of_folder(folder: &Path, depth: u32) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            bytes += size_of_folder(&entry.path(), depth - 1)?;
        } else if kind.is_file() {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use weir_schema::Span;

    use super::*;
    use crate::config::HumanDuration;

    fn left(copies: &[(&str, usize)], size_mib: u64, age_s: i64, now: u64) -> Vec<String> {
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = data.path().join("quarantine");
        for (name, kib) in copies {
            let copy = folder.join(name).join("db");
            fs::create_dir_all(copy.parent().expect("it has one")).expect("it is writable");
            fs::write(copy, vec![1; kib << 10]).expect("it is writable");
        }
        fs::write(folder.join("notes.txt"), "a person's").expect("it is writable");
        let config = QuarantineConfig {
            size_mib,
            age: HumanDuration(Span::seconds(age_s)),
        };
        prune(
            data.path(),
            &config,
            SystemTime::UNIX_EPOCH + Duration::from_secs(now),
        );
        let names = fs::read_dir(&folder).expect("it is there");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        names.retain(|name| name != "notes.txt");
        names.sort();
        names
    }

    /// W14: the quarantine does not fill the disk.
    #[test]
    fn the_oldest_copies_are_removed_first() {
        let copies = [
            ("ledger-100", 600),
            ("ledger-200", 600),
            ("ledger-300-2", 600),
        ];
        assert_eq!(left(&copies, 10, 1_000, 400).len(), 3, "within both bounds");
        assert_eq!(
            left(&copies, 1, 1_000, 400),
            ["ledger-300-2"],
            "size: 1.2 MiB is too much"
        );
        assert_eq!(
            left(&copies, 0, 1_000, 400),
            ["ledger-300-2"],
            "the newest stays"
        );
        assert_eq!(left(&copies, 10, 150, 400), ["ledger-300-2"], "age");
        assert!(left(&copies, 10, 50, 400).is_empty());
        assert_eq!(
            left(&copies, 10, 50, 50).len(),
            3,
            "a clock that was set back removes none"
        );
        prune(
            Path::new("/nonexistent"),
            &QuarantineConfig::default(),
            SystemTime::UNIX_EPOCH,
        );
    }
}
