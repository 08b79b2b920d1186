//! Feeds lines to the graph: cuts them into batches and epochs, and writes these to the journal.

use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::Status;
use weir_schema::{Batch, Control, Entry, Epoch, Format, Frames, ReceiveTime, Transport};
use weir_store::journal::{JournalError, JournalReader, JournalWriter};

use super::places::BatchLines;
use super::print::ReplayState;
use crate::progress::ProgressReporter;
use crate::verbs::input::InputLine;

/// The tenant of a server without configuration, so that a replay gives alerts the same keys.
const TENANT: &str = "default";

/// Most events of a batch.
const BATCH_FRAMES_MAX: usize = 1_000;

/// Size at which a batch is complete. With the longest line it is far below the journal's limit.
const BATCH_BYTES: usize = 1 << 20;

/// Size at which an epoch is complete even with few events: some twenty epochs are in memory at a
/// time.
const EPOCH_BYTES: usize = 8 << 20;

/// Pending bytes at which the journal is written. It is also written at the end of an epoch while
/// the graph is idle. Otherwise small epochs share a write.
pub const WRITE_BYTES: usize = 256 << 10;

/// Most epochs that reading is ahead of the graph. It bounds the lines stored for `matches`, and
/// the output keeps pace with the input.
const LEAD_EPOCHS_MAX: u64 = 64;

/// Pause between two checks whether the graph still runs.
const CHECK_EVERY: Duration = Duration::from_millis(200);

/// How lines become batches and epochs.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    pub format: Format,
    pub logsource: Option<String>,
    pub received: ReceiveTime,
    pub epoch_events: usize,
    /// Store the numbers of lines until their matches are printed.
    pub store_lines: bool,
}

/// Whether to continue reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStep {
    Continue,
    /// The graph has failed, or the reader of standard output is gone.
    Stop,
}

/// Writes lines to the journal that the graph reads.
pub struct JournalFeed {
    writer: JournalWriter,
    reader: JournalReader,
    status: Arc<Status>,
    state: Arc<ReplayState>,
    options: FeedOptions,
    progress: ProgressReporter,
    frames: Frames,
    numbers: Vec<u64>,
    batch_bytes: usize,
    epoch_events: usize,
    epoch_bytes: usize,
    /// Number of events of all files so far.
    events: u64,
    /// Place of the current file among all.
    file: usize,
    source: String,
    /// Format of the current file.
    format: Format,
}

impl JournalFeed {
    pub fn new(
        writer: JournalWriter,
        status: Arc<Status>,
        state: Arc<ReplayState>,
        options: FeedOptions,
        progress: ProgressReporter,
    ) -> Self {
        Self {
            format: options.format,
            reader: writer.reader(),
            writer,
            status,
            state,
            options,
            progress,
            frames: Frames::new(),
            numbers: Vec::new(),
            batch_bytes: 0,
            epoch_events: 0,
            epoch_bytes: 0,
            events: 0,
            file: 0,
            source: String::new(),
        }
    }

    /// Begins a file, the `place`th of all. `json` means that its lines are JSON, whatever the
    /// option.
    pub fn begin_file(
        &mut self,
        place: usize,
        source: &str,
        json: bool,
    ) -> Result<(), JournalError> {
        self.end_batch()?;
        self.format = if json {
            Format::Json
        } else {
            self.options.format
        };
        self.file = place;
        source.clone_into(&mut self.source);
        Ok(())
    }

    fn report(&mut self, sealed: u64) {
        let (events, applied) = (self.events, self.status.epoch().0);
        self.progress.report(applied, sealed, || {
            format!("{events} events read, {applied} of {sealed} epochs applied")
        });
    }

    /// Adds a line.
    pub fn line(&mut self, line: &InputLine<'_>) -> Result<FeedStep, JournalError> {
        if line.cut {
            self.state.places().push_cut(self.events);
            self.progress.note(&format!(
                "line {} of {} is longer than 1 MiB and was cut",
                line.number, self.source
            ));
        }
        self.frames.push(line.bytes);
        if self.options.store_lines {
            self.numbers.push(line.number);
        }
        self.events += 1;
        self.batch_bytes += line.bytes.len();
        self.epoch_events += 1;
        self.epoch_bytes += line.bytes.len();
        if self.frames.len() >= BATCH_FRAMES_MAX || self.batch_bytes >= BATCH_BYTES {
            self.end_batch()?;
        }
        if self.epoch_events >= self.options.epoch_events || self.epoch_bytes >= EPOCH_BYTES {
            return self.end_epoch();
        }
        Ok(FeedStep::Continue)
    }

    /// Reports a part of a file that could not be read.
    pub fn report_unreadable(&mut self, part: &str) {
        self.progress
            .note(&format!("skipping what cannot be read: {part}"));
    }

    fn end_batch(&mut self) -> Result<(), JournalError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let frames = std::mem::take(&mut self.frames);
        let first = self.events - frames.len() as u64;
        // The graph may look up the batch as soon as it is written, so it is stored first.
        self.state.places().push(
            first,
            BatchLines {
                file: self.file,
                numbers: std::mem::take(&mut self.numbers),
            },
        );
        self.batch_bytes = 0;
        let batch = Batch {
            tenant: TENANT.to_owned(),
            source: self.source.clone(),
            transport: Transport::File,
            format: self.format,
            peer: None,
            zone: None,
            logsource: self.options.logsource.clone(),
            received: self.options.received,
            delivery: None,
            frames,
        };
        self.writer.append(&batch.into()).map(drop)
    }

    fn end_epoch(&mut self) -> Result<FeedStep, JournalError> {
        self.end_batch()?;
        (self.epoch_events, self.epoch_bytes) = (0, 0);
        self.seal()?;
        let sealed = self.writer.next_epoch().0 - 1;
        let idle = self.status.epoch() >= self.reader.last_sealed();
        if idle || self.writer.pending_bytes() >= WRITE_BYTES {
            self.writer.sync()?;
        }
        self.report(sealed);
        if self.state.ended() || self.status.failed() {
            return Ok(FeedStep::Stop);
        }
        if sealed - self.status.epoch().0.min(sealed) < LEAD_EPOCHS_MAX {
            return Ok(FeedStep::Continue);
        }
        self.writer.sync()?;
        Ok(self.wait_for(Epoch(sealed - LEAD_EPOCHS_MAX / 2)))
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        let epoch = self.writer.next_epoch();
        self.writer.append(&Entry::Seal { epoch }).map(drop)
    }

    fn wait_for(&mut self, epoch: Epoch) -> FeedStep {
        while !self.status.wait_for(epoch, CHECK_EVERY) {
            if self.state.ended() || self.status.failed() {
                return FeedStep::Stop;
            }
            let sealed = self.writer.next_epoch().0 - 1;
            self.report(sealed);
        }
        FeedStep::Continue
    }

    /// Ends the input, and waits until the graph has applied all of it.
    pub fn finish(&mut self) -> Result<FeedStep, JournalError> {
        if self.end_epoch()? == FeedStep::Stop {
            return Ok(FeedStep::Stop);
        }
        self.writer.append(&Entry::Control(Control::Finish))?;
        let last = self.writer.next_epoch();
        self.seal()?;
        self.writer.sync()?;
        let step = self.wait_for(last);
        let events = self.events;
        self.progress.end(|| format!("{events} events applied"));
        Ok(step)
    }
}
