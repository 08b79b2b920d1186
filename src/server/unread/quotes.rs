//! Quotes of frames that no reader knows, safe for every screen.

use weir_dataflow::BatchReader;
use weir_schema::{Format, Position, agent, escaped_char, is_hidden_char};

/// Most quotes of a source.
pub const QUOTES_MAX: usize = 3;

/// Longest quote in characters. Three of them and the figures fit the details of a condition.
const QUOTE_CHARS_MAX: usize = 120;

/// Longest quote in bytes, escapes included.
const QUOTE_BYTES_MAX: usize = 140;

/// Bytes of a frame that are looked at for a quote.
const FRAME_BYTES_MAX: usize = 4 * QUOTE_CHARS_MAX;

/// At most three frames of differing forms, as text: cut, and with hidden characters escaped.
///
/// Frames that the journal does not have are left out.
pub fn quotes(frames: &dyn BatchReader, positions: &[Position]) -> Vec<String> {
    let mut quotes: Vec<String> = Vec::new();
    for position in positions {
        let Ok(batch) = frames.batch(position.batch()) else {
            continue;
        };
        let Some(frame) = batch.frames.get(usize::from(position.frame())) else {
            continue;
        };
        let quote = quote(frame, batch.format);
        let is_known = quotes.iter().any(|known| form(known).eq(form(&quote)));
        if !is_known && !quote.is_empty() {
            quotes.push(quote);
        }
        if quotes.len() == QUOTES_MAX {
            break;
        }
    }
    quotes
}

/// The start of a frame as text.
fn quote(frame: &[u8], format: Format) -> String {
    if format == Format::Agent
        && let Ok(event) = agent::decode_event(frame)
    {
        let fields = event.fields().into_iter().flatten();
        let fields = fields.map(|field| format!("{}={}", field.name(), field.value()));
        let line = event.raw().map(str::to_owned);
        let parts: Vec<String> = line.into_iter().chain(fields.take(8)).collect();
        return shown(&parts.join(" "));
    }
    let start = &frame[..frame.len().min(FRAME_BYTES_MAX)];
    shown(&String::from_utf8_lossy(start))
}

/// A text cut to its limits, in which hidden characters are escaped.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (place, c) in text.trim().chars().enumerate() {
        let before = shown.len();
        match is_hidden_char(c) {
            true => shown.extend(escaped_char(c)),
            false => shown.push(c),
        }
        if place >= QUOTE_CHARS_MAX || shown.len() > QUOTE_BYTES_MAX {
            shown.truncate(before);
            shown.push('…');
            break;
        }
    }
    shown
}

/// The characters of a quote but its digits: lines of one form differ in these most.
fn form(quote: &str) -> impl Iterator<Item = char> {
    quote.chars().filter(|c| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_dataflow::PortFault;
    use weir_schema::{Batch, BatchSeq, ReceiveTime, Transport};

    use super::*;

    /// One batch of frames, at sequence 1.
    struct OneBatch(Arc<Batch>);

    impl BatchReader for OneBatch {
        fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
            match seq {
                BatchSeq(1) => Ok(Arc::clone(&self.0)),
                _ => Err(PortFault::permanent("no such batch")),
            }
        }
    }

    fn read(frames: &[&[u8]]) -> Vec<String> {
        let batch = Batch {
            tenant: "default".to_owned(),
            source: "web1".to_owned(),
            transport: Transport::Tcp,
            format: Format::Auto,
            peer: None,
            zone: None,
            logsource: None,
            received: ReceiveTime(0),
            delivery: None,
            frames: frames.iter().collect(),
        };
        let positions: Vec<Position> = (0..frames.len())
            .map(|place| Position::new(BatchSeq(1), place as u16))
            .chain([Position::new(BatchSeq(2), 0)])
            .collect();
        quotes(&OneBatch(Arc::new(batch)), &positions)
    }

    #[test]
    fn quotes_differ_in_more_than_numbers_and_are_at_most_three() {
        let found = read(&[b"job 1 done", b"job 22 done", b"a", b"b", b"c"]);
        assert_eq!(found, ["job 1 done", "a", "b"]);
        assert!(read(&[b"", b"  "]).is_empty());
    }

    #[test]
    fn hostile_frames_are_escaped_and_cut() {
        let long = "x".repeat(10_000);
        let controls = "\u{1b}[2J\u{202e}".repeat(1_000);
        let found = read(&[long.as_bytes(), controls.as_bytes(), b"\xff\xfe\0\n"]);
        assert_eq!(found.len(), 3);
        for quote in found {
            assert!(!quote.contains(is_hidden_char), "{quote:?}");
            assert!(quote.len() <= QUOTE_BYTES_MAX + '…'.len_utf8(), "{quote:?}");
        }
    }
}
