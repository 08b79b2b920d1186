//! Segment files: their names, and the trait through which the writer changes the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::JournalError;
use crate::files;

const SUFFIX: &str = ".journal";
/// Digits of the greatest `u64`. With leading zeros, names sort like numbers.
const DIGITS: usize = 20;

/// The path of a segment; its name is the number of its first entry.
pub(crate) fn path(dir: &Path, first_entry: u64) -> PathBuf {
    dir.join(format!("{first_entry:020}{SUFFIX}"))
}

/// The segments in `dir` with the numbers of their first entries, in order.
pub(crate) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let failed = |source| JournalError::disk("list", dir, source);
    let mut segments = Vec::new();
    for file in fs::read_dir(dir).map_err(failed)? {
        let file = file.map_err(failed)?;
        let name = file.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX))
            .filter(|digits| digits.len() == DIGITS)
            .and_then(|digits| digits.parse().ok());
        if let Some(number) = number {
            segments.push((number, file.path()));
        }
    }
    segments.sort();
    Ok(segments)
}

/// The calls by which the writer changes the disk; tests make them fail.
pub(crate) trait Disk: Send {
    /// Creates a file; replaces a file that a failed attempt left behind.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
    /// Opens a file to write after its first `len` bytes.
    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn SegmentFile>>;
    /// Makes the file names in the folder durable.
    fn sync_folder(&self, dir: &Path) -> io::Result<()>;
}

/// A segment being written.
pub(crate) trait SegmentFile: Send {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once all written bytes are on the disk.
    ///
    /// After an error their state is unknown, and a second call proves nothing: the kernel may have
    /// dropped the pages that it could not write.
    fn sync(&mut self) -> io::Result<()>;
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// The metadata of the open file, whatever its path is now.
    fn metadata(&self) -> io::Result<fs::Metadata>;
}

/// The file system.
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {} // The file is gone, or did not exist.
        }
        Ok(Box::new(files::create_private_file(path)?))
    }

    fn append(&self, path: &Path, len: u64) -> io::Result<Box<dyn SegmentFile>> {
        use std::io::{Seek, SeekFrom};
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.seek(SeekFrom::Start(len))?;
        Ok(Box::new(file))
    }

    fn sync_folder(&self, dir: &Path) -> io::Result<()> {
        files::sync_folder(dir)
    }
}

impl SegmentFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn metadata(&self) -> io::Result<fs::Metadata> {
        Self::metadata(self)
    }
}
