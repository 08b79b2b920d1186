//! The moments at which the test kills the server.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use super::load::Sender;
use super::subscriber::Subscriber;
use super::support::{LIMIT, Weir};

/// The moment of a kill.
#[derive(Clone, Copy, Debug)]
pub enum KillPoint {
    /// After this many acknowledged events.
    Acknowledged(u64),
    /// When a new segment appears.
    Roll,
    /// While alerts are committed: after this many streamed changes and a delay.
    Commit(usize, Duration),
    /// While the journal is replayed: this long after the start.
    Replay(Duration),
}

impl KillPoint {
    pub fn nth(n: usize, random: &mut StdRng) -> Self {
        match n % 5 {
            0 | 3 => Self::Acknowledged(random.random_range(50..6_000)),
            1 => Self::Roll,
            2 => {
                let moment = Duration::from_micros(random.random_range(0..20_000));
                Self::Commit(random.random_range(1..200), moment)
            }
            _ => Self::Replay(Duration::from_millis(random.random_range(0..150))),
        }
    }

    /// Waits for the moment.
    pub fn wait(self, weir: &Weir, sender: &Sender, subscriber: &Subscriber) {
        let acknowledged = || sender.client.acknowledged();
        let begun = acknowledged();
        match self {
            Self::Acknowledged(events) => spin(|| acknowledged() >= begun + events),
            Self::Roll => {
                let count = || segments(&weir.data);
                let before = count();
                spin(|| count() > before);
            }
            Self::Commit(changes, moment) => {
                let before = subscriber.count();
                spin(|| subscriber.count() >= before + changes);
                let deadline = Instant::now() + moment;
                spin(|| Instant::now() >= deadline);
            }
            Self::Replay(moment) => {
                let deadline = Instant::now() + moment;
                spin(|| Instant::now() >= deadline);
            }
        }
    }
}

/// Waits without sleeping, because a pause would miss the moment.
fn spin(reached: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !reached() {
        assert!(
            Instant::now() < deadline,
            "timed out waiting for the moment of the kill"
        );
        std::thread::yield_now();
    }
}

/// Number of files of the journal.
pub fn segments(data: &Path) -> usize {
    std::fs::read_dir(data.join("journal"))
        .expect("the journal")
        .count()
}

/// Returns whether the newest segment has no block yet, and so no acknowledged event.
pub fn is_rolling(data: &Path) -> bool {
    const BLOCK_BYTES_MIN: u64 = 1_024;
    let entries = std::fs::read_dir(data.join("journal")).expect("the journal");
    let paths = entries.map(|entry| entry.expect("it is there").path());
    let newest = paths.filter(|path| path.extension().is_some()).max();
    newest.is_some_and(|path| {
        path.metadata()
            .is_ok_and(|file| file.len() < BLOCK_BYTES_MIN)
    })
}
