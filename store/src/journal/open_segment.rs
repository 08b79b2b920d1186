//! The segment to which the writer appends, and whether its path still leads to it.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::format::{JournalEnd, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::recover::AppendPoint;
use super::segment::{self, Disk, SegmentFile};
use crate::files::FileIdentity;

/// The segment to which the writer appends.
pub(super) struct OpenSegment {
    pub path: PathBuf,
    pub file: Box<dyn SegmentFile>,
    pub salt: u64,
    /// The durable end.
    pub end: u64,
    identity: FileIdentity,
    /// The path no longer led to this file; it stays lost even if the file comes back.
    is_lost: bool,
}

impl OpenSegment {
    /// Opens a segment to write after its last sound block.
    pub fn append(disk: &dyn Disk, last: AppendPoint, fsync: bool) -> Result<Self, JournalError> {
        let failed = |action| {
            let path = &last.path;
            move |source| JournalError::disk(action, path, source)
        };
        let opened = disk.append(&last.path, last.offset);
        let mut file = opened.map_err(failed("append to"))?;
        if fsync {
            // Makes writes durable that a killed process did not sync: they count from here on.
            file.sync().map_err(failed("sync"))?;
        }
        let identity = identity(&*file).map_err(failed("check"))?;
        Ok(Self {
            path: last.path,
            file,
            salt: last.salt,
            end: last.offset,
            identity,
            is_lost: false,
        })
    }

    /// Begins a segment after everything that `before` counts.
    pub fn begin(
        disk: &dyn Disk,
        dir: &Path,
        before: JournalEnd,
        fsync: bool,
    ) -> Result<Self, JournalError> {
        let path = segment::path(dir, before.next_entry);
        let failed = |source| JournalError::disk("begin the segment", &path, source);
        let header = SegmentHeader {
            salt: RandomState::new().build_hasher().finish(),
            before,
        };
        let mut file = disk.create(&path).map_err(failed)?;
        file.write_all(&header.encode()).map_err(failed)?;
        if fsync {
            file.sync().map_err(failed)?;
            disk.sync_folder(dir).map_err(failed)?;
        }
        let identity = identity(&*file).map_err(failed)?;
        Ok(Self {
            path,
            file,
            salt: header.salt,
            end: SEGMENT_HEADER_BYTES as u64,
            identity,
            is_lost: false,
        })
    }

    /// Fails if the path no longer leads to this file, or the file is shorter than `len`.
    ///
    /// The next start reads paths, so it would not find what is written here.
    pub fn check(&mut self, len: u64) -> Result<(), JournalError> {
        if !self.is_lost {
            self.is_lost = match fs::metadata(&self.path) {
                Ok(found) => FileIdentity::of(&found) != self.identity || found.len() < len,
                Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                Err(source) => return Err(JournalError::disk("check", &self.path, source)),
            };
        }
        if self.is_lost {
            let path = self.path.clone();
            return Err(JournalError::SegmentLost { path });
        }
        Ok(())
    }
}

fn identity(file: &dyn SegmentFile) -> io::Result<FileIdentity> {
    file.metadata().map(|found| FileIdentity::of(&found))
}
