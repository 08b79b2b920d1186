//! What a child says, line by line, while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub struct Log {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Reads `from` on a thread of its own until it ends.
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

    /// The first line that contains `part`; `None` if the child ends before, or too much time goes.
    pub fn wait_for(&self, part: &str, limit: Duration) -> Option<String> {
        let mut looked = 0;
        let mut found = None;
        let waiting = |said: &mut Said| {
            let new = said.lines.iter().skip(looked);
            found = new.clone().find(|line| line.contains(part)).cloned();
            looked = said.lines.len();
            found.is_none() && !said.ended
        };
        drop(self.more.wait_timeout_while(self.lock(), limit, waiting));
        found
    }

    pub fn wait_for_end(&self, limit: Duration) {
        drop(
            self.more
                .wait_timeout_while(self.lock(), limit, |said| !said.ended),
        );
    }

    pub fn ended(&self) -> bool {
        self.lock().ended
    }

    pub fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
