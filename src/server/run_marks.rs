//! Marks in the data folder that tell the next run how this one ended.
//!
//! | file | holds | from | until |
//! |---|---|---|---|
//! | `running` | the time of the start | a start | a stop without a loss |
//! | `ends` | past ends that no alert tells yet | an end with a loss, or a start that finds `running` | the alert is journaled |
//!
//! A run that is killed, panics or loses power leaves `running`. No file is read before the lock of
//! the journal is held, so a running server is never mistaken for a dead one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use weir_schema::{ConditionKind, EventTime, ReceiveTime};
use weir_web::rfc3339;

use crate::server::conditions::ConditionReporter;

/// Most past ends that are remembered; the oldest are forgotten.
const ENDS_MAX: usize = 16;

/// Longest reason in bytes; a longer one is cut.
const REASON_BYTES_MAX: usize = 400;

/// Longest `ends` that is read. A longer file is not one of these.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The end of an earlier run that was not a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEnd {
    pub kind: ConditionKind,
    /// When it ended; of an unclean end, when it had started.
    pub time: ReceiveTime,
    pub reason: String,
}

/// The marks of a run.
#[derive(Debug)]
pub struct RunMarks {
    dir: PathBuf,
    /// Whether this run has recorded its end.
    recorded: Mutex<bool>,
}

impl RunMarks {
    /// Begins a run at `now`. Returns the ends of earlier runs that no alert tells yet.
    ///
    /// A folder that takes no file does not stop the start: the marks are then incomplete.
    #[must_use]
    pub fn begin(dir: &Path, now: ReceiveTime) -> (Self, Vec<PastEnd>) {
        let marks = Self {
            dir: dir.to_owned(),
            recorded: Mutex::new(false),
        };
        let mut ends = read_ends(&marks.ends());
        if let Some(started) = read(&marks.running()) {
            ends.push(PastEnd {
                kind: ConditionKind::UncleanEnd,
                time: ReceiveTime(started.trim().parse().unwrap_or(0)),
                reason: "it was killed, it crashed, or the machine lost power".to_owned(),
            });
            let kept = ends.len().saturating_sub(ENDS_MAX);
            ends.drain(..kept);
            marks.warn("ends", write(&marks.ends(), &render(&ends)));
        }
        marks.warn("running", write(&marks.running(), &format!("{}\n", now.0)));
        (marks, ends)
    }

    /// Records that this run ends because of a loss. The first reason is kept.
    pub fn record_failure(&self, reason: &str, now: ReceiveTime) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *recorded, true) {
            return;
        }
        let mut ends = read_ends(&self.ends());
        ends.push(PastEnd {
            kind: ConditionKind::RestartedAfterFailure,
            time: now,
            reason: reason.to_owned(),
        });
        let kept = ends.len().saturating_sub(ENDS_MAX);
        ends.drain(..kept);
        let written = write(&self.ends(), &render(&ends));
        // If it could not be written, the next start takes this for an unclean end.
        if written.is_ok() {
            self.warn("running", remove(&self.running()));
        }
        self.warn("ends", written);
    }

    /// Records that this run was stopped.
    pub fn record_stop(&self) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *recorded, true) {
            self.warn("running", remove(&self.running()));
        }
    }

    /// Forgets the ends of earlier runs, which alerts tell now.
    pub fn forget_ends(&self) {
        self.warn("ends", remove(&self.ends()));
    }

    fn running(&self) -> PathBuf {
        self.dir.join("running")
    }

    fn ends(&self) -> PathBuf {
        self.dir.join("ends")
    }

    fn warn(&self, file: &str, result: io::Result<()>) {
        if let Err(error) = result {
            let path = self.dir.join(file);
            tracing::warn!(%error, path = %path.display(), "cannot change a mark of this run");
        }
    }
}

/// Reports the ends of earlier runs, and resolves once their alerts are journaled.
pub async fn report_ends(conditions: &ConditionReporter, ends: &[PastEnd]) {
    for kind in [
        ConditionKind::RestartedAfterFailure,
        ConditionKind::UncleanEnd,
    ] {
        let of_kind: Vec<&PastEnd> = ends.iter().filter(|end| end.kind == kind).collect();
        let Some(last) = of_kind.last() else { continue };
        let time = rfc3339(EventTime(last.time.0));
        let verb = match kind {
            ConditionKind::UncleanEnd => "the run since",
            _ => "at", // The time of a failure is that of its end.
        };
        let mut details = format!("{verb} {time}: {}", last.reason);
        if of_kind.len() > 1 {
            details = format!("{} times; the last: {details}", of_kind.len());
        }
        conditions.report(kind, "", &details);
    }
    conditions.written().await;
}

fn render(ends: &[PastEnd]) -> String {
    let line = |end: &PastEnd| {
        let kind = match end.kind {
            ConditionKind::UncleanEnd => "unclean",
            _ => "failure", // There is no other kind of end.
        };
        let reason: String = end
            .reason
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        format!("{} {kind} {reason}\n", end.time.0)
    };
    ends.iter().map(line).collect()
}

/// The past ends of a file. Lines that are none are left out.
fn read_ends(path: &Path) -> Vec<PastEnd> {
    let text = read(path).unwrap_or_default();
    let end = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let time = parts.next()?.parse().ok()?;
        let kind = match parts.next()? {
            "failure" => ConditionKind::RestartedAfterFailure,
            "unclean" => ConditionKind::UncleanEnd,
            _ => return None, // Written by a later version, or by somebody else.
        };
        Some(PastEnd {
            kind,
            time: ReceiveTime(time),
            reason: parts.next().unwrap_or_default().to_owned(),
        })
    };
    text.lines().filter_map(end).take(ENDS_MAX).collect()
}

fn read(path: &Path) -> Option<String> {
    let length = fs::metadata(path).ok()?.len();
    (length <= FILE_BYTES_MAX).then(|| fs::read_to_string(path).unwrap_or_default())
}

/// Replaces a file as a whole, durably.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(path),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(dir: &Path, now: i64) -> (RunMarks, Vec<PastEnd>) {
        RunMarks::begin(dir, ReceiveTime(now))
    }

    #[test]
    fn a_stop_leaves_no_mark() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (marks, ends) = begin(folder.path(), 1);
        assert!(ends.is_empty());
        marks.record_stop();
        assert!(begin(folder.path(), 2).1.is_empty());
    }

    #[test]
    fn ends_are_remembered_until_alerts_tell_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        drop(begin(folder.path(), 1));
        let (marks, ends) = begin(folder.path(), 2);
        assert_eq!(ends.len(), 1);
        assert_eq!(
            (ends[0].kind, ends[0].time),
            (ConditionKind::UncleanEnd, ReceiveTime(1))
        );
        marks.record_failure("the graph\nstopped", ReceiveTime(3));
        marks.record_failure("another reason", ReceiveTime(4));
        marks.record_stop();
        let (marks, ends) = begin(folder.path(), 5);
        assert_eq!(ends.len(), 2, "the first is not told either: {ends:?}");
        let failure = PastEnd {
            kind: ConditionKind::RestartedAfterFailure,
            time: ReceiveTime(3),
            reason: "the graph stopped".to_owned(),
        };
        assert_eq!(ends[1], failure);
        marks.forget_ends();
        marks.record_stop();
        assert!(begin(folder.path(), 6).1.is_empty());
    }

    #[test]
    fn marks_are_bounded_and_foreign_files_ignored() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for now in 0..50 {
            assert!(begin(folder.path(), now).1.len() <= ENDS_MAX);
        }
        fs::write(folder.path().join("ends"), "hello\n1 what now\n-\n").expect("it is writable");
        fs::remove_file(folder.path().join("running")).expect("it is there");
        assert!(begin(folder.path(), 99).1.is_empty());
        // A folder that takes no file.
        let missing = folder.path().join("missing");
        let (marks, ends) = begin(&missing, 1);
        assert!(ends.is_empty());
        marks.record_failure("why", ReceiveTime(2));
    }
}
