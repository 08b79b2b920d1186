//! Programs of other projects: finds them on this machine and runs them as child processes.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::log::Log;

/// Path of a program. Daemons are often outside of `PATH`, so `sbin` folders count, too.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // `.ci/run` unpacks programs here that cannot be installed beside the others.
    let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/target/counterparts/bin");
    let folders = std::env::split_paths(&path);
    let folders = folders.chain(["/usr/sbin".into(), "/sbin".into(), unpacked.into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Returns whether rsyslog has a module in any of the usual folders.
pub fn rsyslog_module(name: &str) -> bool {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    let folders = folders
        .map(|folder| folder.path())
        .chain(["/usr/lib".into()]);
    let mut files = folders.map(|folder| folder.join("rsyslog").join(format!("{name}.so")));
    files.any(|file| file.is_file())
}

/// The Python interpreter with the clients of `tests/python/requirements.txt`.
pub fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("WEIR_PYTHON") {
        return Some(python.into());
    }
    let own = super::files::root().join("target/python/bin/python");
    own.is_file().then_some(own)
}

/// A program that runs until the test stops it.
pub struct Daemon {
    child: Child,
    pub stderr: Arc<Log>,
}

impl Daemon {
    pub fn start(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        let stderr = Log::of(child.stderr.take().expect("it is piped"));
        Self { child, stderr }
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(mut self) {
        super::terminate(&self.child);
        super::wait(&mut self.child).expect("it ends");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A test that reached its end has stopped the program already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
