//! The token for API and agents: created at the first start, stored in the data folder.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::TryRngCore;
use rand::rngs::OsRng;

/// Reads `token` in the data folder, or creates folder and token, readable by their owner only.
pub fn load_or_create(dir: &Path) -> Result<String> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot create the data folder {}", dir.display()))?;
    let path = dir.join("token");
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    match created {
        Ok(mut file) => {
            let mut bytes = [0_u8; 32];
            OsRng
                .try_fill_bytes(&mut bytes)
                .context("the system gave no random bytes for a token")?;
            let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            file.write_all(token.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(token)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => read(&path),
        Err(error) => Err(error).with_context(|| format!("cannot create {}", path.display())),
    }
}

/// Reads a token file. Fails if others than its owner can read it.
pub fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let mut file = std::fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{shown} can be read by others; run `chmod 600 {shown}`");
    }
    let mut text = String::new();
    file.read_to_string(&mut text)
        .with_context(|| format!("cannot read {shown}"))?;
    let token = text.trim().to_owned();
    if token.len() < 32 {
        bail!("{shown} contains no token; remove it, and the next start creates one");
    }
    Ok(token)
}
