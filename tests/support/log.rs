//! Collects the output of a child process, line by line, while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Output of one stream of a child process.
#[derive(Default)]
pub struct Log {
    output: Mutex<Output>,
    more: Condvar,
}

#[derive(Default)]
struct Output {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Reads `from` to its end on a separate thread.
    pub fn of(from: impl Read + Send + 'static) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                shared.lock().lines.push(text);
                shared.more.notify_all();
            }
            shared.lock().ended = true;
            shared.more.notify_all();
        });
        log
    }

    /// Waits for a line that contains `part`; `None` if the stream ends or `limit` passes first.
    pub fn wait_for(&self, part: &str, limit: Duration) -> Option<String> {
        let mut looked = 0;
        let mut found = None;
        let waiting = |output: &mut Output| {
            let mut new = output.lines.iter().skip(looked);
            found = new.find(|line| line.contains(part)).cloned();
            looked = output.lines.len();
            found.is_none() && !output.ended
        };
        drop(self.more.wait_timeout_while(self.lock(), limit, waiting));
        found
    }

    pub fn wait_for_end(&self, limit: Duration) {
        drop(
            self.more
                .wait_timeout_while(self.lock(), limit, |output| !output.ended),
        );
    }

    pub fn ended(&self) -> bool {
        self.lock().ended
    }

    pub fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
