//! Hears of every epoch: counts it, wakes the streams, and says alerts on standard output where asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::watch;
use weir_dataflow::{EpochReport, Frames, Note, Observer, PortFault};
use weir_ingest::{Balance, Clock, Judged};
use weir_schema::{AlertState, Cause, Change, ChangeKind, Epoch, EventTime, TenantKey};
use weir_web::rfc3339;

use crate::metrics::{GraphMetrics, is_timed};
use crate::rule_desk::RuleDesk;

/// Lines that wait to be printed; where nobody reads them, more are left out, and that is said.
const LINES_MAX: usize = 1024;

/// The observer of a running server.
pub struct Ear {
    pub metrics: GraphMetrics,
    pub frames: Arc<dyn Frames>,
    pub clock: Arc<dyn Clock>,
    pub bell: Arc<watch::Sender<u64>>,
    pub printer: Option<Printer>,
    /// The accounts of sources ...
    pub balance: Balance,
    /// ... of what this process journaled: in epochs behind this one.
    pub begun: Epoch,
    /// Where each tenant stands.
    pub clocks: BTreeMap<TenantKey, weir_dataflow::Clock>,
    /// Is told of rules that do not say all that they should.
    pub desk: Arc<RuleDesk>,
}

impl Ear {
    /// Follows the tenants' clocks; says when sources let go of a watermark, or hold it again.
    fn follow(&mut self, clocks: &[weir_dataflow::Clock]) {
        for clock in clocks {
            let old = self.clocks.insert(clock.tenant, *clock);
            let (idle, lagging) = old.map_or((0, 0), |old| (old.idle, old.lagging));
            if (idle, lagging) != (clock.idle, clock.lagging) {
                tracing::warn!(
                    tenant = %clock.tenant, idle = clock.idle, lagging = clock.lagging,
                    "sources that do not hold the watermark"
                );
            }
        }
        if !clocks.is_empty() {
            self.metrics.clocks(self.clocks.values());
        }
    }
}

impl Observer for Ear {
    fn epoch(&mut self, report: &EpochReport<'_>) {
        self.metrics.epoch(report);
        self.follow(report.clocks);
        if !report.counts.incomplete.is_empty() {
            for rule in self.desk.note_incomplete(&report.counts.incomplete) {
                tracing::warn!(%rule, "a rule refuses groups, for it has too many: it is incomplete");
            }
            self.metrics.incomplete(self.desk.incomplete().len());
        }
        for note in report.notes {
            match note {
                Note::Diagnostic(diagnostic) => {
                    tracing::warn!(%diagnostic, "a rule was refused or warned of");
                }
                Note::Batch(batch) if report.epoch > self.begun => self.balance.judged(Judged {
                    source: batch.source,
                    events: batch.events,
                    troubled: batch.troubled,
                    greatest: batch.greatest,
                }),
                _ => {}
            }
        }
        let Some(commit) = report.commit.filter(|commit| !commit.changes.is_empty()) else {
            return;
        };
        self.bell
            .send_modify(|count| *count = count.wrapping_add(1));
        let now = self.clock.now();
        for change in &commit.changes {
            if let Cause::Event(item) = change.record.cause
                && is_timed(change)
                && let Ok(batch) = self.frames.batch(item.position.batch())
            {
                self.metrics.latency(batch.received, now);
            }
            if let Some(printer) = &mut self.printer {
                printer.print(plain_words(change));
            }
        }
    }

    fn fault(&mut self, fault: &PortFault) {
        self.metrics.fault();
        tracing::error!(%fault, "cannot write the ledger; trying again");
    }
}

/// Prints lines on a thread of its own, so that a reader who pauses does not pause the graph.
#[derive(Clone)]
pub struct Printer {
    lines: SyncSender<String>,
    left_out: u64,
}

impl Printer {
    /// Prints on standard output.
    pub fn start() -> std::io::Result<Self> {
        Self::to(std::io::stdout()).map(|(printer, _)| printer)
    }

    /// Prints on `out`. The thread ends once all clones of the printer are gone.
    pub fn to(
        mut out: impl std::io::Write + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (lines, printed): (SyncSender<String>, Receiver<String>) = sync_channel(LINES_MAX);
        let thread = std::thread::Builder::new()
            .name("weir-printer".to_owned())
            .spawn(move || {
                for line in printed {
                    // A closed output ends the printing, not the server.
                    if writeln!(out, "{line}").is_err() {
                        return;
                    }
                }
            })?;
        Ok((Self { lines, left_out: 0 }, thread))
    }

    /// Prints a line, unless too many wait already; then how many were left out is said later.
    pub fn print(&mut self, line: String) {
        if self.left_out > 0 {
            let note = format!("({} lines were not printed)", self.left_out);
            if self.lines.try_send(note).is_ok() {
                self.left_out = 0;
            }
        }
        if self.lines.try_send(line).is_err() {
            self.left_out += 1;
        }
    }
}

/// A change of an alert, as one would say it.
pub fn plain_words(change: &Change) -> String {
    let record = &change.record;
    let group: Vec<String> = record
        .group
        .iter()
        .map(|field| format!("{}={}", shown(&field.name), shown(&field.value)))
        .collect();
    let verb = match change.kind {
        ChangeKind::Raised => "+ raised   ",
        ChangeKind::Revised => "~ revised  ",
        ChangeKind::Retracted => "- retracted",
    };
    let why = match &record.cause {
        Cause::Event(_) => "",
        Cause::LateEvent(_) => ", since a late log came in",
        Cause::Watermark(_) => ", now confirmed: all was heard up to then",
        Cause::Rule(_) => ", since its rule was changed",
        Cause::RuleRemoved => ", since its rule was removed",
        Cause::Clock(_) => ", as nothing came for so long",
    };
    let provisional = match record.state {
        AlertState::Provisional => ", provisionally",
        AlertState::Blind => ", blind: its source was not heard either",
        AlertState::Confirmed | AlertState::SupersededBy(_) => "",
    };
    let events = if record.count == 1 { "event" } else { "events" };
    format!(
        "{verb} {:<13} {} [{}] {} {events}, {} to {}{provisional}{why}",
        record.level.name(),
        shown(&record.title),
        group.join(" "),
        record.count,
        in_seconds(record.first),
        in_seconds(record.last),
    )
}

/// A time, without the part of a second where that is nothing.
fn in_seconds(time: EventTime) -> String {
    rfc3339(time).replace(".000000000", "")
}

/// Text from a log, safe for a terminal: no control character gets through, and it ends somewhere.
pub fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut shown: String = text
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
