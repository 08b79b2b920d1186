//! Faults of a disk: a library that is preloaded into the server, controlled through a mapped file.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Calls that can fail, as bits of `faults.c`.
pub const READ_JOURNAL: u32 = 1;
pub const WRITE_JOURNAL: u32 = 2;
pub const SYNC_JOURNAL: u32 = 4;
pub const READ_LEDGER: u32 = 16;
pub const WRITE_LEDGER: u32 = 32;

/// Error numbers of Linux.
pub const EIO: u32 = 5;
pub const ENOSPC: u32 = 28;
/// Not an error: the call hangs until the fault is cleared.
pub const HANG: u32 = 0;

/// Bytes of the control file: four numbers.
const CONTROL_BYTES: usize = 16;

/// The library and its control file.
#[derive(Debug)]
pub struct Faults {
    library: PathBuf,
    control: PathBuf,
}

impl Faults {
    /// Compiles the library into `folder`, with the C compiler of this machine.
    pub fn compile(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("faults.c"), folder.join("faults.so"));
        std::fs::write(&source, include_str!("faults.c"))?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-w", "-o"])
            .arg(&library);
        let status = cc
            .arg(&source)
            .arg("-ldl")
            .status()
            .context("could not run `cc`")?;
        ensure!(status.success(), "`cc` failed");
        let control = folder.join("faults");
        std::fs::write(&control, [0; CONTROL_BYTES])?;
        Ok(Self { library, control })
    }

    /// The environment of a server with these faults.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("TORTURE_FAULTS", self.control.display().to_string()),
        ]
    }

    /// Lets `calls` fail with `error`, `times` times; `None`: until they are cleared.
    pub fn set(&self, calls: u32, error: u32, times: Option<i32>) -> Result<()> {
        let left = times.unwrap_or(-1).to_le_bytes();
        // The set of calls is written last: it turns the fault on.
        self.write(4, &[error.to_le_bytes(), left].concat())?;
        self.write(0, &calls.to_le_bytes())
    }

    /// Ends all faults; calls that hang go on.
    pub fn clear(&self) -> Result<()> {
        self.write(0, &0_u32.to_le_bytes())
    }

    /// Number of calls that failed or hung.
    pub fn hits(&self) -> Result<u32> {
        let bytes = std::fs::read(&self.control)?;
        let hits = bytes.get(12..16).context("the control file is cut")?;
        Ok(u32::from_le_bytes(hits.try_into()?))
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .open(&self.control)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(file.write_all(bytes)?)
    }
}
