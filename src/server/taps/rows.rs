//! Writes the rows of a tap: filters the frames of a batch, decodes them, runs the rules.

use serde_json::{Map, Value, json};
use weir_detect::{Detections, Detector, EventOrigin, RuleBook};
use weir_operators::BatchContext;
use weir_schema::{Batch, BatchSeq, Event, EventTime, TimeBounds};
use weir_web::ports::{TapQuery, TapStage};
use weir_web::rfc3339;

/// Longest part of a frame that a row contains.
const FRAME_BYTES_MAX: usize = 8 << 10;

/// Writes rows as JSON lines, up to the limit of the query.
pub struct TapRows {
    query: TapQuery,
    detector: Detector,
    detected: Detections,
    written: usize,
    examined: u64,
    skipped: u64,
}

impl TapRows {
    pub fn new(query: TapQuery) -> Self {
        Self {
            query,
            detector: Detector::new(),
            detected: Detections::default(),
            written: 0,
            examined: 0,
            skipped: 0,
        }
    }

    pub fn query(&self) -> &TapQuery {
        &self.query
    }

    pub fn is_done(&self) -> bool {
        self.written >= self.query.limit
    }

    /// Number of events examined so far.
    pub fn examined(&self) -> u64 {
        self.examined
    }

    /// Counts events that the tap did not examine.
    pub fn skip(&mut self, events: u64) {
        self.skipped = self.skipped.saturating_add(events);
    }

    /// The last row, which counts the others.
    pub fn end(&self) -> String {
        let end = json!({ "end": {
            "rows": self.written, "looked_at": self.examined, "left_out": self.skipped,
            "limited": self.is_done(),
        }});
        format!("{end}\n")
    }

    /// Writes a row that was made elsewhere, such as an alert's.
    pub fn push(&mut self, row: &Value, out: &mut String) {
        if !self.is_done() {
            self.written += 1;
            out.push_str(&row.to_string());
            out.push('\n');
        }
    }

    /// Writes the rows of a batch.
    pub fn batch(
        &mut self,
        book: &RuleBook,
        bounds: &TimeBounds,
        seq: BatchSeq,
        batch: &Batch,
        out: &mut String,
    ) {
        let matches =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        if !matches(&self.query.tenant, &batch.tenant)
            || !matches(&self.query.source, &batch.source)
        {
            self.examined += batch.frames.len() as u64;
            return;
        }
        let reading = BatchContext::of(batch, bounds, None);
        for (place, frame) in batch.frames.iter().enumerate() {
            if self.is_done() {
                return self.skip((batch.frames.len() - place) as u64);
            }
            self.examined += 1;
            let text = String::from_utf8_lossy(frame);
            if let Some(wanted) = &self.query.text
                && !text.contains(wanted.as_str())
            {
                continue;
            }
            let row = || frame_fields(self.query.stage, seq, place, batch);
            if self.query.stage == TapStage::Frames && !self.needs_decoding() {
                let mut row = row();
                add_frame(&text, frame.len(), &mut row);
                self.push(&row.into(), out);
                continue;
            }
            let event = weir_parse::decode(frame, &reading.context());
            if !self.selects(&event) {
                continue;
            }
            let mut row = row();
            match self.query.stage {
                TapStage::Frames => add_frame(&text, frame.len(), &mut row),
                TapStage::Events => {
                    let event = serde_json::from_str(&weir_parse::event_json(&event));
                    row.insert("event".into(), event.unwrap_or(Value::Null));
                }
                TapStage::Matches | TapStage::Facts => {
                    self.detections(book, batch, &event, &row, out);
                    continue;
                }
                // Alerts are not read from batches.
                TapStage::Alerts => continue,
            }
            self.push(&row.into(), out);
        }
    }

    /// Whether a frame must be decoded to know whether the query selects it.
    fn needs_decoding(&self) -> bool {
        self.query.field.is_some() || self.query.problem.is_some()
    }

    /// Whether the query selects the event.
    fn selects(&self, event: &Event<'_>) -> bool {
        let field = self.query.field.as_ref().is_none_or(|(name, value)| {
            let found = event.get(name).and_then(|found| found.as_text());
            found.is_some_and(|found| found == value.as_str())
        });
        let problem = self.query.problem.as_deref().is_none_or(|wanted| {
            let mut problems = event.problems.iter();
            problems.any(|problem| wanted == "any" || wanted == problem.name())
        });
        field && problem
    }

    /// Writes a row for each rule that matches, or for each fact of a correlation.
    fn detections(
        &mut self,
        book: &RuleBook,
        batch: &Batch,
        event: &Event<'_>,
        head: &Map<String, Value>,
        out: &mut String,
    ) {
        let origin = EventOrigin {
            tenant: batch.tenant_key(),
            source: &batch.source,
        };
        let mut detected = std::mem::take(&mut self.detected);
        self.detector
            .detect(book, event, origin, None, &mut detected);
        let wanted = self.query.rule.clone();
        let wants = |rule: &str| wanted.as_deref().is_none_or(|wanted| wanted == rule);
        if self.query.stage == TapStage::Matches {
            for rule in detected.matches.iter().filter(|rule| wants(rule)) {
                let mut row = head.clone();
                row.insert("rule".into(), (**rule).into());
                row.insert("time".into(), rfc3339(event.time).into());
                row.insert("message".into(), event.message.as_ref().into());
                self.push(&row.into(), out);
            }
        } else {
            for fact in &detected.facts {
                let Some(plan) = book.plan(fact.plan).filter(|plan| wants(&plan.rule)) else {
                    continue;
                };
                let mut row = head.clone();
                row.insert("rule".into(), (*plan.rule).into());
                row.insert("time".into(), rfc3339(event.time).into());
                let members: Vec<u16> = fact.members.iter().collect();
                row.insert("members".into(), members.into());
                let group = book.group_fields(fact.plan, event, origin, fact.group);
                let group = group.unwrap_or_default().into_iter();
                let group: Map<_, _> = group.map(|f| (f.name, f.value.into())).collect();
                row.insert("group".into(), group.into());
                self.push(&row.into(), out);
            }
        }
        self.detected = detected;
    }
}

/// The fields of a row that state where its frame came from.
fn frame_fields(stage: TapStage, seq: BatchSeq, place: usize, batch: &Batch) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("stage".into(), stage.name().into());
    row.insert("tenant".into(), batch.tenant.as_str().into());
    row.insert("source".into(), batch.source.as_str().into());
    row.insert("transport".into(), batch.transport.name().into());
    row.insert("batch".into(), seq.0.into());
    row.insert("frame".into(), place.into());
    let received = rfc3339(EventTime(batch.received.0));
    row.insert("received".into(), received.into());
    row
}

fn add_frame(text: &str, bytes: usize, row: &mut Map<String, Value>) {
    let end = text.floor_char_boundary(FRAME_BYTES_MAX);
    row.insert("text".into(), text[..end].into());
    row.insert("bytes".into(), bytes.into());
}
