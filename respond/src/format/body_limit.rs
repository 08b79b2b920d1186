//! Cuts alerts until their messages fit the limit of a consumer.

use serde_json::{Value, json};
use weir_schema::{AlertRecord, Change};

use crate::format::truncated;

/// Smallest limit of a body. Ids, times and counts always fit it, whatever an event contains.
pub const BODY_BYTES_MIN: usize = 32 << 10;

/// How much of an alert one step keeps.
struct CutStep {
    /// Bytes of the title, and of each name and value of the group.
    text_bytes_max: usize,
    /// Events of the head, and of the tail, of the evidence.
    evidence_max: usize,
    /// Ids of superseded alerts. Consumers act on them, so they are the last to go.
    supersedes_max: usize,
}

/// The steps, each stricter than the one before: long texts first, then evidence.
const STEPS: [CutStep; 6] = [
    step(4_096, usize::MAX, usize::MAX),
    step(1_024, usize::MAX, usize::MAX),
    step(1_024, 10, usize::MAX),
    step(256, 1, usize::MAX),
    step(32, 0, usize::MAX),
    step(32, 0, 100),
];

const fn step(text_bytes_max: usize, evidence_max: usize, supersedes_max: usize) -> CutStep {
    CutStep {
        text_bytes_max,
        evidence_max,
        supersedes_max,
    }
}

/// The parts of an alert that a message lacks. The message reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyCut {
    /// Names of the group fields whose values were cut.
    pub values: Vec<String>,
    pub evidence_left_out: usize,
    pub supersedes_left_out: usize,
}

impl BodyCut {
    pub(crate) fn json(&self) -> Value {
        json!({
            "values_cut": self.values,
            "evidence_left_out": self.evidence_left_out,
            "supersedes_left_out": self.supersedes_left_out,
        })
    }

    /// The counts as one line of ASCII, for formats whose body has no place for them.
    pub(crate) fn header(&self) -> String {
        format!(
            "values_cut={}, evidence_left_out={}, supersedes_left_out={}",
            self.values.len(),
            self.evidence_left_out,
            self.supersedes_left_out
        )
    }
}

/// A message whose body fits the limit.
#[derive(Debug)]
pub(crate) struct FittedBody {
    pub body: Vec<u8>,
    pub cut: Option<BodyCut>,
}

/// Encodes `change` in at most `bytes_max` bytes, cut as little as the steps permit.
///
/// A body is a function of change and limit alone, so each attempt sends the same one.
pub(crate) fn fit(
    change: &Change,
    bytes_max: usize,
    encode: impl Fn(&Change, Option<&BodyCut>) -> Vec<u8>,
) -> FittedBody {
    let mut fitted = FittedBody {
        body: encode(change, None),
        cut: None,
    };
    for step in &STEPS {
        if fitted.body.len() <= bytes_max {
            break;
        }
        let (change, cut) = step.apply(change);
        fitted.body = encode(&change, Some(&cut));
        fitted.cut = Some(cut);
    }
    fitted
}

impl CutStep {
    fn apply(&self, change: &Change) -> (Change, BodyCut) {
        let (mut change, mut cut) = (change.clone(), BodyCut::default());
        cut.supersedes_left_out = change.supersedes.len().saturating_sub(self.supersedes_max);
        change.supersedes.truncate(self.supersedes_max);
        self.cut_record(&mut change.record, &mut cut);
        (change, cut)
    }

    fn cut_record(&self, record: &mut AlertRecord, cut: &mut BodyCut) {
        shorten(&mut record.title, self.text_bytes_max);
        for field in &mut record.group {
            shorten(&mut field.name, self.text_bytes_max);
            if shorten(&mut field.value, self.text_bytes_max) {
                cut.values.push(field.name.clone());
            }
        }
        // The head keeps the first events, the tail the last ones.
        let (head, tail) = (&mut record.evidence.head, &mut record.evidence.tail);
        let surplus = [&*head, &*tail].map(|items| items.len().saturating_sub(self.evidence_max));
        head.truncate(self.evidence_max);
        tail.drain(..surplus[1]);
        cut.evidence_left_out = surplus.iter().sum();
    }
}

/// Cuts a text between characters; reports whether it was longer.
fn shorten(text: &mut String, bytes_max: usize) -> bool {
    let kept = truncated(text, bytes_max).len();
    let is_longer = kept < text.len();
    text.truncate(kept);
    is_longer
}
