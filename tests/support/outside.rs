//! Programs that are not ours, run as children: found on this machine, ended by pid.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::log::Log;

/// Where a program is; daemons live outside of most people's `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where `.ci/run` unpacks what cannot be installed beside the others.
    let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/target/counterparts/bin");
    let folders = std::env::split_paths(&path);
    let folders = folders.chain(["/usr/sbin".into(), "/sbin".into(), unpacked.into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether rsyslog has a module, wherever this machine keeps them.
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

/// A program that runs until it is told to stop.
pub struct Daemon {
    child: Child,
    pub said: Arc<Log>,
}

impl Daemon {
    pub fn start(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        let said = Log::of(child.stderr.take().expect("it is piped"));
        Self { child, said }
    }

    /// Ends it as an operator would.
    pub fn stop(mut self) {
        super::terminate(&self.child);
        super::wait(&mut self.child).expect("it ends");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already where a test got to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
