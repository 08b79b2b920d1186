//! Prints changes of alerts as lines for people, on a thread that never delays the graph.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use weir_schema::{AlertState, Cause, Change, ChangeKind, EventTime};
use weir_web::rfc3339;

use crate::text::{group_text, printable_lines, title_text};

/// Most lines that wait to be printed. Beyond it lines are dropped, and their number is printed.
const LINES_MAX: usize = 1024;

/// Prints lines on a thread of its own, so that a slow reader does not delay the graph.
#[derive(Clone)]
pub struct LinePrinter {
    lines: SyncSender<String>,
    dropped: u64,
}

impl LinePrinter {
    /// Prints on standard output.
    pub fn start() -> std::io::Result<Self> {
        Self::to(std::io::stdout()).map(|(printer, _)| printer)
    }

    /// Prints on `out`. The thread ends once all clones of the printer are dropped.
    pub fn to(
        mut out: impl std::io::Write + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (lines, printed): (SyncSender<String>, Receiver<String>) = sync_channel(LINES_MAX);
        let thread = std::thread::Builder::new()
            .name("weir-printer".to_owned())
            .spawn(move || {
                for line in printed {
                    // A closed output ends the printing, not the server.
                    if writeln!(out, "{}", printable_lines(&line)).is_err() {
                        return;
                    }
                }
            })?;
        Ok((Self { lines, dropped: 0 }, thread))
    }

    /// Prints a line, or drops it if too many wait. A later line states how many were dropped.
    pub fn print(&mut self, line: String) {
        if self.dropped > 0 {
            let note = format!("({} lines were not printed)", self.dropped);
            if self.lines.try_send(note).is_ok() {
                self.dropped = 0;
            }
        }
        if self.lines.try_send(line).is_err() {
            self.dropped += 1;
        }
    }
}

/// A change of an alert as one line for people.
pub fn change_line(change: &Change) -> String {
    let record = &change.record;
    let fields = record.group.iter();
    let group = group_text(fields.map(|field| (&*field.name, &*field.value)));
    let verb = match change.kind {
        ChangeKind::Raised => "+ raised   ",
        ChangeKind::Revised => "~ revised  ",
        ChangeKind::Retracted => "- retracted",
    };
    let why = match &record.cause {
        Cause::Event(_) => "",
        Cause::LateEvent(_) => ", since a late log came in",
        Cause::Watermark(_) => ", confirmed: the watermark has passed it",
        Cause::Rule(_) => ", since its rule was changed",
        Cause::RuleRemoved => ", since its rule was removed",
        Cause::Clock(_) => ", since no event arrived for so long",
        Cause::Condition(_) if change.kind == ChangeKind::Retracted => ", since it is over",
        Cause::Condition(_) => "",
        Cause::ClockRepair => ", since the server's clock had been wrong, and was repaired",
        Cause::Upgrade => ", since this version of Weir reads earlier logs otherwise",
    };
    let provisional = match record.state {
        AlertState::Provisional => ", provisionally",
        AlertState::Blind => ", blind: its source is silent too",
        AlertState::Confirmed | AlertState::SupersededBy(_) => "",
    };
    let marked = record.marked.map_or_else(String::new, |marked| {
        let stated = marked
            .stated
            .map_or_else(|| "no time".to_owned(), in_seconds);
        format!(", {}: stated {stated}", marked.mark.name())
    });
    let events = if record.count == 1 { "event" } else { "events" };
    format!(
        "{verb} {:<13} {} [{}] {} {events}, {} to {}{provisional}{marked}{why}",
        record.level.name(),
        title_text(&record.title),
        group,
        record.count,
        in_seconds(record.first),
        in_seconds(record.last),
    )
}

/// A time, without its fraction of a second if that is zero.
fn in_seconds(time: EventTime) -> String {
    rfc3339(time).replace(".000000000", "")
}
