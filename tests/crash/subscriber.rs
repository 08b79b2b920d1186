//! A subscriber of the alert stream that survives every kill of the server.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::support::Weir;
use super::support::http::Request;

/// Alert and revision.
pub type Revision = (String, u64);

/// Collects the changes of all server lives, and fails if one revision has two contents.
#[derive(Default)]
pub struct Subscriber {
    /// The line of each revision.
    pub lines: Mutex<HashMap<Revision, String>>,
    count: AtomicUsize,
    cursor: Mutex<String>,
    pub repeats: AtomicUsize,
}

impl Subscriber {
    /// Reads until the server is gone: from the last cursor, or all changes again.
    pub fn subscribe(
        self: &Arc<Self>,
        weir: &Weir,
        from_start: bool,
    ) -> std::thread::JoinHandle<()> {
        let cursor = self.cursor.lock().expect("no panic").clone();
        let after = if from_start || cursor.is_empty() {
            "0-0"
        } else {
            &cursor
        };
        let path = format!("/api/v1/stream/alerts.ndjson?state=all&after={after}");
        let (address, token) = (weir.http, weir.token.clone());
        let subscriber = Arc::clone(self);
        std::thread::spawn(move || {
            let opened = Request::new("GET", &path).token(&token).open(address);
            let Ok((200, stream)) = opened else { return };
            // A line that the kill cut short does not count.
            let whole = stream.split(b'\n').map_while(Result::ok);
            for line in whole.filter(|line| line.last() == Some(&b'}')) {
                subscriber.record(&String::from_utf8(line).expect("JSON is UTF-8"));
            }
        })
    }

    fn record(&self, line: &str) {
        let change: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let text = |name: &str| change[name].as_str().expect("a text").to_owned();
        let key = (
            text("alert"),
            change["revision"].as_u64().expect("a number"),
        );
        let before = self
            .lines
            .lock()
            .expect("no panic")
            .insert(key, line.to_owned());
        if let Some(before) = before {
            assert_eq!(before, line, "one revision has two contents");
            self.repeats.fetch_add(1, Ordering::SeqCst);
        }
        let mut cursor = self.cursor.lock().expect("no panic");
        if parsed(&text("id")) > parsed(&cursor) {
            *cursor = text("id");
        }
        drop(cursor);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// The cursor of the last change.
    pub fn position(&self) -> Option<Position> {
        parsed(&self.cursor.lock().expect("no panic"))
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// Epoch, and ordinal in the epoch.
pub type Position = (u64, u64);

fn parsed(cursor: &str) -> Option<Position> {
    let (epoch, ordinal) = cursor.split_once('-')?;
    Some((epoch.parse().ok()?, ordinal.parse().ok()?))
}

/// The cursor of the newest change in the ledger.
pub fn newest_position(weir: &Weir) -> Option<Position> {
    let request = Request::new("GET", "/api/v1/stream/alerts?state=all").token(&weir.token);
    let (status, stream) = request.open(weir.http).expect("a reply");
    assert_eq!(status, 200);
    stream.get_ref().header("weir-cursor").and_then(parsed)
}
