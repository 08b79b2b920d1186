//! Sorts the events of a body into batches by source, and counts what is refused.

use std::collections::{BTreeMap, HashMap};

use weir_schema::{Batch, Delivery, Format, Frames, ReceiveTime, Transport};

use super::refusal::Refusal;

/// Most events of a body: each costs an allocation, however short it is.
pub(crate) const EVENTS_MAX: usize = 100_000;

/// Longest event: what the journal takes as one frame.
pub(crate) const EVENT_BYTES_MAX: usize = 1 << 20;

/// Most bytes of all frames of a body, with what was put around the events: with 16 MiB of room for
/// others it is an entry that the journal's queue takes.
const FRAMES_BYTES_MAX: usize = 48 << 20;

/// Most sources of a body: each is a batch of its own at least.
const SOURCES_MAX: usize = 1_000;

/// A batch is cut at so many frames ...
const BATCH_FRAMES_MAX: usize = 10_000;

/// ... or once it holds so many bytes. Cuts are a function of the body: a repeat has equal parts.
const BATCH_BYTES: usize = 1 << 20;

/// Longest name of a source.
pub(crate) const SOURCE_BYTES_MAX: usize = 64;

/// Whose events they are, whatever their source.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) tenant: String,
    pub(crate) peer: Option<String>,
    pub(crate) received: ReceiveTime,
    /// The source that the request names for all of its events.
    pub(crate) source: Option<String>,
    /// The idempotency key.
    pub(crate) key: Option<String>,
}

/// Batches in the making.
pub(crate) struct Sorter {
    pub(crate) sender: Sender,
    batches: Vec<Batch>,
    open: Vec<(Batch, usize)>,
    places: HashMap<(String, u8), usize>,
    events: usize,
    bytes: usize,
    /// Events that are not taken in, by reason.
    refused: BTreeMap<&'static str, usize>,
}

impl Sorter {
    pub(crate) fn new(sender: Sender) -> Self {
        Self {
            sender,
            batches: Vec::new(),
            open: Vec::new(),
            places: HashMap::new(),
            events: 0,
            bytes: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Takes an event of the source that the request names, else of `source`.
    pub(crate) fn push(
        &mut self,
        source: &str,
        format: Format,
        frame: Vec<u8>,
    ) -> Result<(), Refusal> {
        self.spend(frame.len())?;
        self.count()?;
        let source = self.sender.source.as_deref().unwrap_or(source);
        let place = self.place(source.to_owned(), format)?;
        // The place was found or made a line above.
        let Some((batch, bytes)) = self.open.get_mut(place) else {
            return Err(Refusal::Failed);
        };
        *bytes += frame.len();
        batch.frames.push(&frame);
        self.events += 1;
        if batch.frames.len() == BATCH_FRAMES_MAX || *bytes >= BATCH_BYTES {
            *bytes = 0;
            let frames = std::mem::take(&mut batch.frames);
            let batch = Batch {
                frames,
                ..batch.clone()
            };
            self.batches.push(batch);
        }
        Ok(())
    }

    /// Counts bytes that were made of a body, also of an event that is then not taken in: making
    /// them is what costs.
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= FRAMES_BYTES_MAX {
            return Ok(());
        }
        let most = FRAMES_BYTES_MAX >> 20;
        let told = format!("with what stands around them the events have over {most} MiB");
        Err(Refusal::TooMany(told))
    }

    /// Counts an event that is not taken in.
    pub(crate) fn refuse(&mut self, reason: &'static str) -> Result<(), Refusal> {
        self.count()?;
        *self.refused.entry(reason).or_default() += 1;
        Ok(())
    }

    fn count(&self) -> Result<(), Refusal> {
        if self.received() < EVENTS_MAX {
            return Ok(());
        }
        let told = format!("a body here has at most {EVENTS_MAX} events");
        Err(Refusal::TooMany(told))
    }

    fn place(&mut self, source: String, format: Format) -> Result<usize, Refusal> {
        let key = (source, format as u8);
        if let Some(place) = self.places.get(&key) {
            return Ok(*place);
        }
        if self.open.len() == SOURCES_MAX {
            let told = format!("the events of a body here are of at most {SOURCES_MAX} sources");
            return Err(Refusal::TooMany(told));
        }
        let batch = Batch {
            tenant: self.sender.tenant.clone(),
            source: key.0.clone(),
            transport: Transport::Http,
            format,
            peer: self.sender.peer.clone(),
            zone: None,
            logsource: None,
            received: self.sender.received,
            delivery: None,
            frames: Frames::new(),
        };
        self.open.push((batch, 0));
        self.places.insert(key, self.open.len() - 1);
        Ok(self.open.len() - 1)
    }

    /// Events that are taken in.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// All events that were found.
    pub(crate) fn received(&self) -> usize {
        self.events + self.refused.values().sum::<usize>()
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.refused
            .iter()
            .map(|(reason, events)| (*reason, *events))
    }

    /// The batches, named as the parts of a request that may be repeated where it has a key.
    pub(crate) fn finish(&mut self, body: &[u8]) -> Vec<Batch> {
        let open = std::mem::take(&mut self.open).into_iter();
        self.places.clear();
        let mut batches = std::mem::take(&mut self.batches);
        batches.extend(
            open.map(|(batch, _)| batch)
                .filter(|batch| !batch.frames.is_empty()),
        );
        mark_deliveries(self.sender.key.as_deref(), body, &mut batches);
        batches
    }
}

/// Names the parts of a request that may be repeated.
pub(crate) fn mark_deliveries(key: Option<&str>, body: &[u8], batches: &mut [Batch]) {
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

/// What tells a body from others.
fn digest(body: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(body).as_bytes()[..16]);
    digest
}

/// A sender's word as the name of a source: what no name has becomes `_`, what is longer is cut.
pub(crate) fn source_name(text: &str, default: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = text
        .trim()
        .chars()
        .take(SOURCE_BYTES_MAX)
        .map(plain)
        .collect();
    if name.bytes().all(|b| b == b'_') {
        return default.to_owned();
    }
    name
}
