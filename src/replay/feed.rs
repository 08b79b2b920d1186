//! Lines to epochs: cuts batches and epochs, and writes them where the graph reads them.

use std::sync::Arc;
use std::time::Duration;

use weir_dataflow::Status;
use weir_schema::{Batch, Control, Entry, Epoch, Format, Frames, ReceiveTime, Transport};
use weir_store::journal::{JournalError, JournalReader, JournalWriter};

use super::input::Line;
use super::places::BatchLines;
use super::print::Told;
use crate::progress::Progress;

/// A batch is cut at so many events ...
const BATCH_FRAMES_MAX: usize = 1_000;

/// ... or once it holds so many bytes. With the longest line it is far below the journal's limit.
const BATCH_BYTES: usize = 1 << 20;

/// An epoch is cut here even if it has few events: some twenty epochs are in memory at a time.
const EPOCH_BYTES: usize = 8 << 20;

/// The journal is written once so much waits, or at the end of an epoch when the graph is idle:
/// small epochs then share a write.
pub const WRITE_BYTES: usize = 256 << 10;

/// Reading waits when the graph is so many epochs behind, so that what is said keeps pace with what
/// is read, and the lines kept for `matches` are bounded.
const LEAD_EPOCHS_MAX: u64 = 64;

/// How long to wait for the graph before looking whether it still runs.
const WAIT: Duration = Duration::from_millis(200);

/// How lines are to be read.
#[derive(Clone, Debug)]
pub struct Reading {
    pub format: Format,
    pub logsource: Option<String>,
    pub received: ReceiveTime,
    pub epoch_events: usize,
    /// Keep the numbers of lines until their matches are told.
    pub keep_lines: bool,
}

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    On,
    /// The graph has failed, or nobody listens any more.
    Stop,
}

/// Writes lines to the journal that the graph reads.
pub struct Feed {
    writer: JournalWriter,
    reader: JournalReader,
    status: Arc<Status>,
    told: Arc<Told>,
    reading: Reading,
    progress: Progress,
    frames: Frames,
    numbers: Vec<u64>,
    batch_bytes: usize,
    epoch_events: usize,
    epoch_bytes: usize,
    /// Events of all inputs so far.
    events: u64,
    file: usize,
    source: String,
    /// How the lines at hand are read.
    format: Format,
}

impl Feed {
    pub fn new(
        writer: JournalWriter,
        status: Arc<Status>,
        told: Arc<Told>,
        reading: Reading,
        progress: Progress,
    ) -> Self {
        Self {
            format: reading.format,
            reader: writer.reader(),
            writer,
            status,
            told,
            reading,
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

    /// The lines that follow are of this file, the `place`th; `json` where it says what they are.
    pub fn begin(&mut self, place: usize, source: &str, json: bool) -> Result<(), JournalError> {
        self.end_batch()?;
        self.format = if json {
            Format::Json
        } else {
            self.reading.format
        };
        self.file = place;
        source.clone_into(&mut self.source);
        Ok(())
    }

    fn tell(&mut self, sealed: u64) {
        let (events, judged) = (self.events, self.status.epoch().0);
        self.progress.tell(judged, sealed, || {
            format!("{events} events read, {judged} of {sealed} epochs judged")
        });
    }

    /// Takes a line in.
    pub fn line(&mut self, line: &Line<'_>) -> Result<Go, JournalError> {
        if line.cut {
            self.told.places().push_cut(self.events);
            self.progress.say(&format!(
                "line {} of {} is longer than 1 MiB and was cut",
                line.number, self.source
            ));
        }
        self.frames.push(line.bytes);
        if self.reading.keep_lines {
            self.numbers.push(line.number);
        }
        self.events += 1;
        self.batch_bytes += line.bytes.len();
        self.epoch_events += 1;
        self.epoch_bytes += line.bytes.len();
        if self.frames.len() >= BATCH_FRAMES_MAX || self.batch_bytes >= BATCH_BYTES {
            self.end_batch()?;
        }
        if self.epoch_events >= self.reading.epoch_events || self.epoch_bytes >= EPOCH_BYTES {
            return self.end_epoch();
        }
        Ok(Go::On)
    }

    /// Tells of what could not be read.
    pub fn broken(&mut self, told: &str) {
        self.progress
            .say(&format!("cannot be read and is left out: {told}"));
    }

    fn end_batch(&mut self) -> Result<(), JournalError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let frames = std::mem::take(&mut self.frames);
        let first = self.events - frames.len() as u64;
        // The graph may ask for the place of a batch as soon as it is written.
        self.told.places().push(
            first,
            BatchLines {
                file: self.file,
                numbers: std::mem::take(&mut self.numbers),
            },
        );
        self.batch_bytes = 0;
        let batch = Batch {
            tenant: super::TENANT.to_owned(),
            source: self.source.clone(),
            transport: Transport::File,
            format: self.format,
            peer: None,
            zone: None,
            logsource: self.reading.logsource.clone(),
            received: self.reading.received,
            delivery: None,
            frames,
        };
        self.writer.append(&batch.into()).map(drop)
    }

    fn end_epoch(&mut self) -> Result<Go, JournalError> {
        self.end_batch()?;
        (self.epoch_events, self.epoch_bytes) = (0, 0);
        self.seal()?;
        let sealed = self.writer.next_epoch().0 - 1;
        let idle = self.status.epoch() >= self.reader.last_sealed();
        if idle || self.writer.pending_bytes() >= WRITE_BYTES {
            self.writer.sync()?;
        }
        self.tell(sealed);
        if self.told.ended() || self.status.failed() {
            return Ok(Go::Stop);
        }
        if sealed - self.status.epoch().0.min(sealed) < LEAD_EPOCHS_MAX {
            return Ok(Go::On);
        }
        self.writer.sync()?;
        Ok(self.wait_for(Epoch(sealed - LEAD_EPOCHS_MAX / 2)))
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        let epoch = self.writer.next_epoch();
        self.writer.append(&Entry::Seal { epoch }).map(drop)
    }

    fn wait_for(&mut self, epoch: Epoch) -> Go {
        while !self.status.wait_for(epoch, WAIT) {
            if self.told.ended() || self.status.failed() {
                return Go::Stop;
            }
            let sealed = self.writer.next_epoch().0 - 1;
            self.tell(sealed);
        }
        Go::On
    }

    /// Ends the input, and waits until all of it is judged.
    pub fn finish(&mut self) -> Result<Go, JournalError> {
        if self.end_epoch()? == Go::Stop {
            return Ok(Go::Stop);
        }
        self.writer.append(&Entry::Control(Control::Finish))?;
        let last = self.writer.next_epoch();
        self.seal()?;
        self.writer.sync()?;
        let went = self.wait_for(last);
        let events = self.events;
        self.progress.end(|| format!("{events} events judged"));
        Ok(went)
    }
}
