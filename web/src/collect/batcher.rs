//! Collects the events of a body into batches by source, and counts refused events.

use std::collections::{BTreeMap, HashMap};

use weir_schema::{Batch, Delivery, Format, Frames, Transport};

use super::request::BodySender;
use crate::bodies::BodyError;

/// Maximum number of events in a body: each costs an allocation, even a short one.
pub(super) const EVENTS_MAX: usize = 100_000;

/// Longest event: the journal's limit for one frame.
pub(super) const EVENT_BYTES_MAX: usize = 1 << 20;

/// Maximum size of all frames of a body, including what was added around the events.
///
/// The journal's queue accepts such an entry with 16 MiB of room for others.
const FRAMES_BYTES_MAX: usize = 48 << 20;

/// Maximum number of sources in a body: each needs at least one batch of its own.
const SOURCES_MAX: usize = 1_000;

/// Maximum number of frames in a batch.
const BATCH_FRAMES_MAX: usize = 10_000;

/// Size at which a batch ends.
///
/// Batches depend only on the body: a repeated request has equal parts.
const BATCH_BYTES: usize = 1 << 20;

/// Builds the batches of one body.
pub(super) struct SourceBatcher {
    pub(super) sender: BodySender,
    /// Full batches.
    batches: Vec<Batch>,
    open: Vec<OpenBatch>,
    /// Indexes into `open`, by source and format.
    open_by_source: HashMap<(String, u8), usize>,
    events: usize,
    /// Bytes of all frames, including refused ones.
    bytes: usize,
    /// Refused events, by reason.
    refused: BTreeMap<&'static str, usize>,
}

/// A batch that still accepts frames.
struct OpenBatch {
    batch: Batch,
    bytes: usize,
}

impl SourceBatcher {
    pub(super) fn new(sender: BodySender) -> Self {
        Self {
            sender,
            batches: Vec::new(),
            open: Vec::new(),
            open_by_source: HashMap::new(),
            events: 0,
            bytes: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Adds an event. A source that the request names overrides `source`.
    pub(super) fn push(
        &mut self,
        source: &str,
        format: Format,
        frame: Vec<u8>,
    ) -> Result<(), BodyError> {
        self.count_bytes(frame.len())?;
        self.check_event_limit()?;
        let source = self.sender.source.as_deref().unwrap_or(source);
        let open = self.open_batch(source.to_owned(), format)?;
        open.bytes += frame.len();
        open.batch.frames.push(&frame);
        let full = (open.batch.frames.len() == BATCH_FRAMES_MAX || open.bytes >= BATCH_BYTES)
            .then(|| open.take_full());
        self.events += 1;
        self.batches.extend(full);
        Ok(())
    }

    /// Counts the bytes of a frame against the limit.
    ///
    /// Bytes of refused events count too, because building the frame is the cost.
    pub(super) fn count_bytes(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= FRAMES_BYTES_MAX {
            return Ok(());
        }
        let mib_max = FRAMES_BYTES_MAX >> 20;
        let detail = format!("the events exceed {mib_max} MiB including their added fields");
        Err(BodyError::TooMany(detail))
    }

    /// Counts a refused event.
    pub(super) fn refuse(&mut self, reason: &'static str) -> Result<(), BodyError> {
        self.check_event_limit()?;
        *self.refused.entry(reason).or_default() += 1;
        Ok(())
    }

    fn check_event_limit(&self) -> Result<(), BodyError> {
        if self.received() < EVENTS_MAX {
            return Ok(());
        }
        let detail = format!("the body has more than {EVENTS_MAX} events");
        Err(BodyError::TooMany(detail))
    }

    fn open_batch(&mut self, source: String, format: Format) -> Result<&mut OpenBatch, BodyError> {
        let key = (source, format as u8);
        let index = match self.open_by_source.get(&key) {
            Some(index) => *index,
            None => {
                if self.open.len() == SOURCES_MAX {
                    let detail = format!("the body has events of more than {SOURCES_MAX} sources");
                    return Err(BodyError::TooMany(detail));
                }
                let batch = self.new_batch(key.0.clone(), format);
                self.open.push(OpenBatch { batch, bytes: 0 });
                let index = self.open.len() - 1;
                self.open_by_source.insert(key, index);
                index
            }
        };
        // The index was found or inserted above.
        self.open.get_mut(index).ok_or(BodyError::Failed)
    }

    fn new_batch(&self, source: String, format: Format) -> Batch {
        Batch {
            tenant: self.sender.tenant.clone(),
            source,
            transport: Transport::Http,
            format,
            peer: self.sender.peer.clone(),
            zone: None,
            logsource: None,
            received: self.sender.received,
            delivery: None,
            frames: Frames::new(),
        }
    }

    /// Number of accepted events.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// Number of all events in the body.
    pub(super) fn received(&self) -> usize {
        self.events + self.refused.values().sum::<usize>()
    }

    /// Refused events, by reason.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.refused
            .iter()
            .map(|(reason, events)| (*reason, *events))
    }

    /// Returns all batches; with an idempotency key, they are marked as parts of the request.
    pub(super) fn finish(&mut self, body: &[u8]) -> Vec<Batch> {
        let open = std::mem::take(&mut self.open).into_iter();
        self.open_by_source.clear();
        let mut batches = std::mem::take(&mut self.batches);
        batches.extend(
            open.map(|open| open.batch)
                .filter(|batch| !batch.frames.is_empty()),
        );
        mark_deliveries(self.sender.key.as_deref(), body, &mut batches);
        batches
    }
}

impl OpenBatch {
    /// Takes the frames into a full batch and starts the next one.
    fn take_full(&mut self) -> Batch {
        self.bytes = 0;
        let frames = std::mem::take(&mut self.batch.frames);
        Batch {
            frames,
            ..self.batch.clone()
        }
    }
}

/// Marks batches as the parts of a request that may be repeated.
pub(super) fn mark_deliveries(key: Option<&str>, body: &[u8], batches: &mut [Batch]) {
    let Some(key) = key else {
        return;
    };
    let digest = digest(body);
    let parts = batches.len();
    for (part, batch) in (0..).zip(batches) {
        batch.delivery = Some(Delivery::Http {
            key: key.to_owned(),
            digest,
            part,
            last: part as usize + 1 == parts,
        });
    }
}

/// Identifies a body by its content.
fn digest(body: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(body).as_bytes()[..16]);
    digest
}
