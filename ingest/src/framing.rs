//! Splits a byte stream into frames (RFC 6587), with octet counting or lines.
//!
//! - If the first frame of a connection starts with a count, a space and a priority (`LENGTH SP
//!   <PRI>...`), the connection counts octets. A number without a priority behind it starts a line: a
//!   line `60000 sessions closed` must not consume the lines that follow it. On a counting connection
//!   a later frame that starts with another byte is a line; the frame after it may be counted again.
//! - If the first frame is a line, all frames are lines.
//! - LF ends a line, and a CR before it is stripped. Until the first LF, NUL also ends a line; after
//!   it, NUL is data.
//! - An invalid count is read as the start of a line: no byte is lost, and framing recovers after the
//!   next LF. A count is invalid if it has another byte than a digit or space, too many digits, or a
//!   value above [`COUNT_TO_CAP_MAX`] caps. On a counting connection the error is counted.
//! - A frame longer than the cap keeps its head and its tail; the bytes between are counted, and a
//!   marker in the frame says how many there were ([`weir_schema::long_frame`]).
//! - At the end of the stream, unterminated bytes form a frame.
//!
//! Frames and counts do not depend on how the stream is split into reads.

use weir_schema::{FrameBuffer, Frames};

pub use weir_schema::FRAME_BYTES_MAX;

/// Largest valid count, in caps. No frame can be read while the bytes of a larger one are skipped.
pub const COUNT_TO_CAP_MAX: u64 = 16;

/// Most digits of a count; a count with more digits is above the largest valid one.
const COUNT_DIGITS_MAX: usize = 10;

/// Counts of framing errors and empty frames, since the last call of [`Framer::take_counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FramingCounts {
    /// Frames truncated at the cap.
    pub truncated: u64,
    /// Bytes left out of truncated frames.
    pub skipped_bytes: u64,
    /// Empty lines, which produce no event.
    pub empty: u64,
    /// Invalid counts on a counting connection.
    pub bad_count: u64,
    /// Frames on a counting connection that started with neither a count nor `<`.
    pub out_of_step: u64,
    /// Counted frames that the end of the stream truncated.
    pub unterminated: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte of a frame.
    Start,
    /// In the digits of a count; `digits` holds them.
    Count,
    /// Behind the first count of a connection and its space, in what may be a priority; `digits` holds
    /// all three.
    Priority {
        count: usize,
        digits: usize,
    },
    Line,
    Counted {
        left: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FramingMode {
    Unknown,
    Lines,
    Counts,
}

/// Splits the bytes of one connection into frames. It buffers at most
/// one cap and a half of bytes.
#[derive(Debug)]
pub struct Framer {
    frame_bytes_max: usize,
    state: State,
    mode: FramingMode,
    nul_ends_line: bool,
    /// The digits of a count that has started, and what may be the priority behind it.
    digits: Vec<u8>,
    buffer: FrameBuffer,
    counts: FramingCounts,
}

impl Framer {
    /// Creates the framer of a new connection. A cap of 0 counts as 1.
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max: frame_bytes_max.max(1),
            state: State::Start,
            mode: FramingMode::Unknown,
            nul_ends_line: true,
            digits: Vec::new(),
            buffer: FrameBuffer::new(frame_bytes_max),
            counts: FramingCounts::default(),
        }
    }

    /// Reads the next bytes and appends the frames that they complete.
    pub fn push(&mut self, mut input: &[u8], frames: &mut Frames) {
        while let Some(&first) = input.first() {
            input = match self.state {
                State::Start => {
                    self.start(first);
                    input
                }
                State::Count => self.count(first, input),
                State::Priority { count, digits } => {
                    self.priority(count, digits, input);
                    if self.state == (State::Counted { left: 0 }) {
                        self.emit(frames);
                        self.state = State::Start;
                    }
                    &input[usize::from(self.state != State::Line)..]
                }
                State::Line => self.line(input, frames),
                State::Counted { left } => self.counted(left, input, frames),
            };
        }
    }

    /// Ends the stream and appends an unterminated frame, if there is one.
    pub fn finish(&mut self, frames: &mut Frames) {
        match self.state {
            State::Start => {}
            State::Count | State::Priority { .. } | State::Line => {
                self.take_digits();
                self.emit(frames);
            }
            State::Counted { .. } => {
                self.counts.unterminated += 1;
                if !self.buffer.is_empty() {
                    self.emit(frames);
                }
            }
        }
        self.state = State::Start;
    }

    /// Whether a frame has started and is incomplete.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.state != State::Start
    }

    /// Returns the counts since the last call.
    pub fn take_counts(&mut self) -> FramingCounts {
        std::mem::take(&mut self.counts)
    }

    fn start(&mut self, first: u8) {
        if matches!(first, b'1'..=b'9') && self.mode != FramingMode::Lines {
            self.state = State::Count;
            return;
        }
        let blank = matches!(first, b'\n' | b'\r' | 0);
        match self.mode {
            FramingMode::Unknown if !blank => self.mode = FramingMode::Lines,
            FramingMode::Counts if !blank && first != b'<' => self.counts.out_of_step += 1,
            FramingMode::Unknown | FramingMode::Counts | FramingMode::Lines => {}
        }
        self.state = State::Line;
    }

    fn count<'a>(&mut self, first: u8, input: &'a [u8]) -> &'a [u8] {
        let rest = &input[1..];
        if first.is_ascii_digit() && self.digits.len() < COUNT_DIGITS_MAX {
            self.digits.push(first);
            return rest;
        }
        if first == b' '
            && let Some(left) = self.plausible_count()
        {
            if self.mode == FramingMode::Counts {
                self.digits.clear();
                self.state = State::Counted { left };
            } else {
                let digits = self.digits.len();
                self.digits.push(first);
                self.state = State::Priority {
                    count: left,
                    digits,
                };
            }
            return rest;
        }
        match self.mode {
            FramingMode::Counts => self.counts.bad_count += 1,
            FramingMode::Unknown | FramingMode::Lines => self.mode = FramingMode::Lines,
        }
        self.state = State::Line;
        self.take_digits();
        input
    }

    /// Reads a byte behind the first count of a connection. Once a whole priority has come, the number
    /// was a count; with any other byte it starts a line, which the byte belongs to.
    fn priority(&mut self, count: usize, digits: usize, input: &[u8]) {
        let first = input[0];
        let so_far = &self.digits[digits + 1..];
        let fits = match so_far {
            [] => first == b'<',
            [_] => first.is_ascii_digit(),
            [_, _] | [_, _, _] => first.is_ascii_digit() || first == b'>',
            _ => first == b'>',
        };
        if !fits || so_far.len() == count {
            self.mode = FramingMode::Lines;
            self.state = State::Line;
            self.take_digits();
            return;
        }
        self.digits.push(first);
        if first == b'>' {
            self.digits.drain(..=digits);
            self.mode = FramingMode::Counts;
            self.state = State::Counted {
                left: count - self.digits.len(),
            };
            self.take_digits();
        }
    }

    /// Makes the digits the start of a line.
    fn take_digits(&mut self) {
        self.buffer.push(&self.digits);
        self.digits.clear();
    }

    fn plausible_count(&self) -> Option<usize> {
        let count = self.digits.iter().fold(0_u64, |count, digit| {
            count
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        });
        let most = (self.frame_bytes_max as u64).saturating_mul(COUNT_TO_CAP_MAX);
        (count <= most)
            .then(|| usize::try_from(count).ok())
            .flatten()
    }

    fn line<'a>(&mut self, input: &'a [u8], frames: &mut Frames) -> &'a [u8] {
        let Some(end) = self.line_end(input) else {
            self.buffer.push(input);
            return &[];
        };
        if let Some(rest) = self.whole_line(input, end, frames) {
            return rest;
        }
        self.buffer.push(&input[..end]);
        if input[end] == b'\n' {
            self.nul_ends_line = false;
            self.buffer.strip_last(b'\r');
        }
        if self.buffer.is_empty() {
            self.counts.empty += 1;
        } else {
            self.emit(frames);
        }
        self.state = State::Start;
        &input[end + 1..]
    }

    /// Emits a complete line within the cap directly from the input. Most lines need no buffer.
    fn whole_line<'a>(
        &mut self,
        input: &'a [u8],
        end: usize,
        frames: &mut Frames,
    ) -> Option<&'a [u8]> {
        let (line, rest) = input.split_at_checked(end)?;
        let (stop, rest) = rest.split_first()?;
        if !self.buffer.is_empty() || line.len() > self.frame_bytes_max {
            return None;
        }
        let mut line = line;
        if *stop == b'\n' {
            self.nul_ends_line = false;
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        if line.is_empty() {
            self.counts.empty += 1;
        } else {
            frames.push(line);
        }
        self.state = State::Start;
        Some(rest)
    }

    fn line_end(&self, input: &[u8]) -> Option<usize> {
        if self.nul_ends_line {
            memchr::memchr2(b'\n', 0, input)
        } else {
            memchr::memchr(b'\n', input)
        }
    }

    fn counted<'a>(&mut self, left: usize, input: &'a [u8], frames: &mut Frames) -> &'a [u8] {
        if self.buffer.is_empty()
            && left <= self.frame_bytes_max
            && let Some((frame, rest)) = input.split_at_checked(left)
        {
            frames.push(frame);
            self.state = State::Start;
            return rest;
        }
        let (part, rest) = input.split_at(input.len().min(left));
        self.buffer.push(part);
        let left = left - part.len();
        if left == 0 {
            self.emit(frames);
            self.state = State::Start;
        } else {
            self.state = State::Counted { left };
        }
        rest
    }

    fn emit(&mut self, frames: &mut Frames) {
        let left_out = self.buffer.finish(|frame| frames.push(frame));
        self.counts.truncated += u64::from(left_out > 0);
        self.counts.skipped_bytes += left_out;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames_of(cap: usize, chunks: &[&[u8]]) -> (Vec<Vec<u8>>, FramingCounts) {
        let mut framer = Framer::new(cap);
        let mut frames = Frames::new();
        for chunk in chunks {
            framer.push(chunk, &mut frames);
        }
        framer.finish(&mut frames);
        let frames = frames.iter().map(<[u8]>::to_vec).collect();
        (frames, framer.take_counts())
    }

    fn check(why: &str, input: &[u8], expected: &[&[u8]], counts: FramingCounts) {
        let found = frames_of(8, &[input]);
        let expected: Vec<Vec<u8>> = expected.iter().map(|frame| frame.to_vec()).collect();
        assert_eq!(found, (expected, counts), "{why}");
    }

    #[test]
    fn truncate_frames_at_the_cap() {
        let none = FramingCounts::default();
        let cut = |skipped_bytes| FramingCounts {
            truncated: 1,
            skipped_bytes,
            ..none
        };
        check("line at the cap", b"12345678\r\n", &[b"12345678"], none);
        check(
            "long line",
            b"<bcdefghijk\nb\n",
            &[b"<bcdefgh", b"b"],
            cut(3),
        );
        check("long at the end", b"abcdefghi\r", &[b"abcdefgh"], cut(2));
        check(
            "CR beyond the cap",
            b"abcdefgh\rx\nb",
            &[b"abcdefgh", b"b"],
            cut(2),
        );
        check(
            "count over the cap",
            b"10 <1>defghij1 x",
            &[b"<1>defgh", b"x"],
            cut(2),
        );
        check("digits past the cap", b"1234567890", &[b"12345678"], cut(2));
    }

    #[test]
    fn distinguish_lines_and_counts() {
        let none = FramingCounts::default();
        check(
            "first line that starts with digits",
            b"2024-1\n3 abc\n",
            &[b"2024-1", b"3 abc"],
            none,
        );
        check("lines stay lines", b"<a\n3 abc\n", &[b"<a", b"3 abc"], none);
        check("NUL after LF is data", b"a\nb\0c\n", &[b"a", b"b\0c"], none);
        check("digits only", b"12", &[b"12"], none);
        check(
            "a number of things",
            b"60 sessions\n<1>b\n4 <1>c",
            &[b"60 sessi", b"<1>b", b"4 <1>c"],
            FramingCounts {
                truncated: 1,
                skipped_bytes: 3,
                ..none
            },
        );
        check(
            "no whole priority",
            b"5 <1 m\n<1>b\n",
            &[b"5 <1 m", b"<1>b"],
            none,
        );
        check(
            "version of RFC 5424",
            b"1 2026\n<1>b\n",
            &[b"1 2026", b"<1>b"],
            none,
        );
        check("year", b"2026 a\n<1>b\n", &[b"2026 a", b"<1>b"], none);
        check(
            "count shorter than its priority",
            b"2 <1>b\nc",
            &[b"2 <1>b", b"c"],
            none,
        );
        check("priority alone", b"3 <1>4 <1>b", &[b"<1>", b"<1>b"], none);
        let empty = FramingCounts { empty: 2, ..none };
        check("empty lines", b"\n\r\n<a\n", &[b"<a"], empty);
    }

    #[test]
    fn count_framing_errors() {
        let none = FramingCounts::default();
        let bad = FramingCounts {
            bad_count: 1,
            ..none
        };
        check(
            "invalid count",
            b"3 <1>2x\n1 b",
            &[b"<1>", b"2x", b"b"],
            bad,
        );
        check(
            "count above the limit",
            b"3 <1>999 <\n1 b",
            &[b"<1>", b"999 <", b"b"],
            bad,
        );
        let step = FramingCounts {
            out_of_step: 1,
            ..none
        };
        check(
            "count too small",
            b"4 <1>bc\n1 d",
            &[b"<1>b", b"c", b"d"],
            step,
        );
        let unterminated = FramingCounts {
            unterminated: 1,
            ..none
        };
        check("truncated by the end", b"5 <1>a", &[b"<1>a"], unterminated);
        check(
            "ended before the frame",
            b"3 <1>5 ",
            &[b"<1>"],
            unterminated,
        );
        check("ended before the priority", b"5 <1", &[b"5 <1"], none);
    }

    #[test]
    fn framing_vectors_match() {
        let folder = std::env::var("WEIR_DATA").map_or_else(
            |_| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
            std::path::PathBuf::from,
        );
        let path = folder.join("syslog/framing_vectors.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            // Written to standard error directly: libtest hides the output of passing tests.
            let absent =
                b"SKIPPED: framing_vectors_match: syslog/framing_vectors.json of WEIR_DATA\n";
            let _ = std::io::Write::write_all(&mut std::io::stderr(), absent);
            return;
        };
        let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(vectors.len(), 8);
        for vector in vectors {
            let hex = vector["bytes_hex"].as_str().unwrap();
            let bytes: Vec<u8> = (0..hex.len() / 2)
                .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            let mut expected: Vec<&str> = Vec::new();
            expected.extend(
                vector["messages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .flat_map(|m| m.as_str()),
            );
            expected.extend(vector["partial"].as_str());
            for size in [1, 2, 7, bytes.len()] {
                let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
                let (frames, _) = frames_of(FRAME_BYTES_MAX, &chunks);
                let frames: Vec<_> = frames.iter().map(|f| String::from_utf8_lossy(f)).collect();
                assert_eq!(frames, expected, "{} in chunks of {size}", vector["why"]);
            }
        }
    }

    proptest! {
        #[test]
        fn result_is_independent_of_reads(
            input in proptest::collection::vec(
                proptest::sample::select(b"1230 <ab\n\r\0".to_vec()), 0..80),
            cuts in proptest::collection::vec(0_usize..80, 0..8),
            cap in 1_usize..10,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            let whole = frames_of(cap, &[&input]);
            prop_assert!(whole.0.iter().all(|frame| (1..=cap).contains(&frame.len())));
            prop_assert_eq!(frames_of(cap, &chunks), whole);
        }

        /// W24: with a cap that keeps tails, too.
        #[test]
        fn long_frames_keep_their_tails_for_any_reads(
            lengths in proptest::collection::vec(0_usize..1_500, 1..6),
            counted in any::<bool>(),
            size in 1_usize..700,
        ) {
            let mut input = Vec::new();
            for (n, length) in lengths.iter().enumerate() {
                let frame = format!("<{n}>{}tail-{n}", "x".repeat(*length));
                let framed = match counted {
                    true => format!("{} {frame}", frame.len()),
                    false => format!("{frame}\r\n"),
                };
                input.extend_from_slice(framed.as_bytes());
            }
            let (frames, counts) = frames_of(300, &[&input]);
            prop_assert_eq!(frames.len(), lengths.len());
            for (n, frame) in frames.iter().enumerate() {
                prop_assert!(frame.len() <= 300);
                let (head, tail) = (format!("<{n}>"), format!("tail-{n}"));
                prop_assert!(frame.starts_with(head.as_bytes()));
                prop_assert!(frame.ends_with(tail.as_bytes()));
            }
            let long = lengths.iter().filter(|length| **length + 9 > 300).count() as u64;
            prop_assert_eq!(counts.truncated, long);
            let chunks: Vec<&[u8]> = input.chunks(size).collect();
            prop_assert_eq!(frames_of(300, &chunks), (frames, counts));
        }

        #[test]
        fn well_formed_frames_round_trip(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..36), 0..20),
        ) {
            // The first frame has a priority, as every frame of syslog.
            let mut sent: Vec<Vec<u8>> = sent;
            if let Some(first) = sent.first_mut() {
                first.splice(0..0, *b"<13>");
            }
            let counted: Vec<u8> = sent
                .iter()
                .flat_map(|frame| [format!("{} ", frame.len()).as_bytes(), frame].concat())
                .collect();
            let none = FramingCounts::default();
            prop_assert_eq!(frames_of(40, &[&counted]), (sent.clone(), none));
            let clean = |frame: &Vec<u8>| {
                let buffer = frame.iter().filter(|b| !matches!(b, b'\n' | b'\r' | 0));
                [b"<".to_vec(), buffer.copied().collect()].concat()
            };
            let sent: Vec<Vec<u8>> = sent.iter().map(clean).collect();
            let lines: Vec<u8> = sent.iter().flat_map(|f| [f.as_slice(), b"\n"].concat()).collect();
            prop_assert_eq!(frames_of(41, &[&lines]), (sent, none));
        }
    }
}
