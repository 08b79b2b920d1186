//! The lock of a journal: one writer at a time, also if its lock file is removed or replaced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::JournalError;
use crate::files::FileIdentity;

/// Keeps other writers out of a journal; dropping it unlocks.
///
/// It locks the folder itself, which no cleaner of files removes, and then the file `lock`, which
/// earlier versions of Weir lock alone.
#[derive(Debug)]
pub(crate) struct WriterLock {
    path: PathBuf,
    identity: FileIdentity,
    /// The lock file was removed or replaced; it stays lost even if it comes back.
    is_lost: bool,
    _file: File,
    /// `None` on a file system that cannot lock folders, such as NFS.
    _folder: Option<File>,
}

impl WriterLock {
    /// Locks the journal in `dir`, or fails at once if another process has it.
    pub fn take(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join("lock");
        let in_use = || JournalError::InUse {
            dir: dir.to_path_buf(),
        };
        let failed = |source: io::Error| JournalError::disk("lock", &path, source);
        let folder = File::open(dir).map_err(failed)?;
        let folder = match folder.try_lock() {
            Ok(()) => Some(folder),
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    %error,
                    "the file system cannot lock the journal's folder; only its lock file is locked"
                );
                None
            }
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let identity = FileIdentity::of(&file.metadata().map_err(failed)?);
        Ok(Self {
            path,
            identity,
            is_lost: false,
            _file: file,
            _folder: folder,
        })
    }

    /// Fails if the lock file is no longer the locked one: another writer may run.
    pub fn check(&mut self) -> Result<(), JournalError> {
        if !self.is_lost {
            self.is_lost = match fs::metadata(&self.path) {
                Ok(metadata) => FileIdentity::of(&metadata) != self.identity,
                Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                Err(source) => return Err(JournalError::disk("check", &self.path, source)),
            };
        }
        if self.is_lost {
            let path = self.path.clone();
            return Err(JournalError::LockLost { path });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use weir_schema::{Control, Entry, ReceiveTime};

    use super::super::{Journal, JournalOptions, JournalWriter, verify};
    use super::*;

    fn open(dir: &Path) -> Result<JournalWriter, JournalError> {
        let options = JournalOptions {
            fsync: false,
            ..JournalOptions::default()
        };
        Journal::open(dir, options).map(|(writer, _)| writer)
    }

    fn append(writer: &mut JournalWriter) -> Result<(), JournalError> {
        let received = ReceiveTime(7);
        writer.append(&Entry::Control(Control::Tick { received }))?;
        writer.seal()?;
        writer.sync()
    }

    fn segment_bytes(dir: &Path) -> Vec<u8> {
        fs::read(super::super::segment::path(dir, 0)).unwrap()
    }

    #[test]
    fn a_removed_lock_file_lets_no_second_writer_in_and_stops_the_first() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        let mut first = open(dir).unwrap();
        append(&mut first).unwrap();
        let before = segment_bytes(dir);
        fs::remove_file(dir.join("lock")).unwrap();
        assert!(matches!(open(dir), Err(JournalError::InUse { .. })));
        assert!(matches!(
            append(&mut first),
            Err(JournalError::LockLost { .. })
        ));
        // A file that comes back does not bring the lock back.
        fs::write(dir.join("lock"), "").unwrap();
        assert!(matches!(first.sync(), Err(JournalError::LockLost { .. })));
        assert_eq!(segment_bytes(dir), before);
        drop(first);
        append(&mut open(dir).unwrap()).unwrap();
        assert!(verify(dir).unwrap().is_sound());
    }

    #[test]
    fn a_replaced_lock_file_or_folder_stops_the_writer() {
        let root = tempfile::tempdir().unwrap();
        let (dir, aside) = (root.path().join("journal"), root.path().join("aside"));
        let mut first = open(&dir).unwrap();
        append(&mut first).unwrap();
        let other = dir.join("other");
        fs::write(&other, "").unwrap();
        fs::rename(&other, dir.join("lock")).unwrap();
        let stopped = append(&mut first);
        assert!(
            matches!(stopped, Err(JournalError::LockLost { .. })),
            "{stopped:?}"
        );
        drop(first);
        let mut second = open(&dir).unwrap();
        append(&mut second).unwrap();
        fs::rename(&dir, &aside).unwrap();
        let mut third = open(&dir).unwrap();
        let stopped = append(&mut second);
        assert!(
            matches!(stopped, Err(JournalError::LockLost { .. })),
            "{stopped:?}"
        );
        append(&mut third).unwrap();
    }
}
