//! From a batch to the rows of a tap: filters, decodes, runs the rules, writes JSON.

use serde_json::{Map, Value, json};
use weir_detect::{Detected, Detector, RuleBook};
use weir_operators::Reading;
use weir_schema::{Batch, BatchSeq, Event, EventTime, TimeBounds};
use weir_web::ports::{TapQuery, TapStage};
use weir_web::rfc3339;

/// Longest part of a frame that is shown.
const FRAME_SHOWN_BYTES: usize = 8 << 10;

/// Writes rows until there are as many as were asked for.
pub struct Rows {
    query: TapQuery,
    detector: Detector,
    detected: Detected,
    shown: usize,
    looked_at: u64,
    left_out: u64,
}

impl Rows {
    pub fn new(query: TapQuery) -> Self {
        Self {
            query,
            detector: Detector::new(),
            detected: Detected::default(),
            shown: 0,
            looked_at: 0,
            left_out: 0,
        }
    }

    pub fn query(&self) -> &TapQuery {
        &self.query
    }

    pub fn is_done(&self) -> bool {
        self.shown >= self.query.limit
    }

    /// Events looked at so far.
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// Events that the tap did not look at.
    pub fn leave_out(&mut self, events: u64) {
        self.left_out = self.left_out.saturating_add(events);
    }

    /// The last row.
    pub fn end(&self) -> String {
        let end = json!({ "end": {
            "rows": self.shown, "looked_at": self.looked_at, "left_out": self.left_out,
            "limited": self.is_done(),
        }});
        format!("{end}\n")
    }

    /// A row that is there already, as of an alert.
    pub fn push(&mut self, row: &Value, out: &mut String) {
        if !self.is_done() {
            self.shown += 1;
            out.push_str(&row.to_string());
            out.push('\n');
        }
    }

    /// The rows of a batch.
    pub fn batch(
        &mut self,
        book: &RuleBook,
        bounds: &TimeBounds,
        (seq, batch): (BatchSeq, &Batch),
        out: &mut String,
    ) {
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        if !is(&self.query.tenant, &batch.tenant) || !is(&self.query.source, &batch.source) {
            self.looked_at += batch.frames.len() as u64;
            return;
        }
        let reading = Reading::of(batch, bounds, None);
        for (place, frame) in batch.frames.iter().enumerate() {
            if self.is_done() {
                return self.leave_out((batch.frames.len() - place) as u64);
            }
            self.looked_at += 1;
            let text = String::from_utf8_lossy(frame);
            if let Some(wanted) = &self.query.text
                && !text.contains(wanted.as_str())
            {
                continue;
            }
            let row = || head(self.query.stage, (seq, place), batch);
            if self.query.stage == TapStage::Frames && !self.decodes() {
                let mut row = row();
                show_frame(&text, frame.len(), &mut row);
                self.push(&row.into(), out);
                continue;
            }
            let event = weir_parse::decode(frame, &reading.context());
            if !self.wants(&event) {
                continue;
            }
            let mut row = row();
            match self.query.stage {
                TapStage::Frames => show_frame(&text, frame.len(), &mut row),
                TapStage::Events => {
                    let event = serde_json::from_str(&weir_parse::event_json(&event));
                    row.insert("event".into(), event.unwrap_or(Value::Null));
                }
                TapStage::Matches | TapStage::Facts => {
                    self.judged(book, batch, &event, &row, out);
                    continue;
                }
                // These are no part of a batch.
                TapStage::Alerts => continue,
            }
            self.push(&row.into(), out);
        }
    }

    /// Whether the frame has to be read to know whether it is wanted.
    fn decodes(&self) -> bool {
        self.query.field.is_some() || self.query.problem.is_some()
    }

    fn wants(&self, event: &Event<'_>) -> bool {
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

    /// A row for each rule that matches, or for each fact that goes into a correlation.
    fn judged(
        &mut self,
        book: &RuleBook,
        batch: &Batch,
        event: &Event<'_>,
        head: &Map<String, Value>,
        out: &mut String,
    ) {
        let tenant = batch.tenant_key();
        let mut detected = std::mem::take(&mut self.detected);
        self.detector
            .detect(book, event, tenant, None, &mut detected);
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
                row.insert("member".into(), fact.member.into());
                let group = book.group_fields(fact.plan, event, tenant, fact.group);
                let group = group.unwrap_or_default().into_iter();
                let group: Map<_, _> = group.map(|f| (f.name, f.value.into())).collect();
                row.insert("group".into(), group.into());
                self.push(&row.into(), out);
            }
        }
        self.detected = detected;
    }
}

/// Where the frame of a row came from.
fn head(stage: TapStage, (seq, place): (BatchSeq, usize), batch: &Batch) -> Map<String, Value> {
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

fn show_frame(text: &str, bytes: usize, row: &mut Map<String, Value>) {
    let end = text.floor_char_boundary(FRAME_SHOWN_BYTES);
    row.insert("text".into(), text[..end].into());
    row.insert("bytes".into(), bytes.into());
}
