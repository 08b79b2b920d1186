//! Shared by the end-to-end tests: real servers, other programs, HTTP, certificates, journals.

// Each test binary compiles this module and uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod balance;
pub mod command;
pub mod configuration;
pub mod files;
pub mod http;
pub mod journal;
pub mod log;
pub mod outside;
pub mod pki;
pub mod rules;
pub mod server;

use std::io::Write;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

pub use configuration::{config, config_with_agent, config_with_streams, lasting_port};
pub use journal::{batches, frames};
pub use server::{NotStarted, Weir};

/// Longest wait of any test. Only a process that hangs reaches it.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Pause between two looks at another process. No test depends on its length.
const PAUSE: Duration = Duration::from_millis(10);

/// Sends SIGTERM through `kill`, because a signal of our own would need `unsafe`.
pub fn terminate(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("kill can be run").success());
}

/// Waits for a child that is about to end; `None` if it runs on.
pub fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("its status") {
            return Some(status);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// Polls `look` until it finds something, and fails after [`LIMIT`].
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(LIMIT, what, look)
}

/// [`until`] with a limit of its own.
pub fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Reports a skipped test on standard error, which libtest does not capture there.
pub fn skipped(test: &str, absent: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {absent}");
}
