//! Splits a byte stream into RELP frames, and encodes responses. It does no I/O.
//!
//! A frame is `TXNR SP COMMAND SP DATALEN [SP DATA] LF`. An invalid frame ends the stream: unlike
//! syslog, RELP has no byte after which framing could recover, and the sender still has every line.

use std::fmt;

use weir_schema::FrameBuffer;

/// Most digits of a transaction number or a length.
const DIGITS_MAX: usize = 9;

/// Most letters of a command.
const COMMAND_BYTES_MAX: usize = 32;

/// Longest data that is accepted, in caps; beyond one cap, bytes between head and tail are left out.
/// Longer data ends the connection, because no other line could be read meanwhile.
const LENGTH_TO_CAP_MAX: usize = 16;

/// A frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelpFrame {
    /// Never 0.
    pub transaction: u32,
    /// ASCII letters.
    pub command: String,
    /// At most the cap.
    pub data: Vec<u8>,
    /// Bytes of the data that were left out.
    pub skipped: u64,
}

/// Reason why a frame is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RelpFrameError {
    #[error("a frame begins with a transaction number, 1 to 999999999")]
    Transaction,
    #[error("a command has 1 to 32 letters")]
    Command,
    #[error("the length of the data has 1 to 9 digits")]
    Length,
    #[error("the data of a frame is too long; the limit is {0} bytes")]
    TooLong(usize),
    #[error("a frame ends with a line feed")]
    Trailer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Transaction,
    Command,
    Length,
    /// After the space that follows the length.
    Data {
        left: usize,
    },
    Trailer,
    Failed(RelpFrameError),
}

/// Splits the bytes of one connection into frames. It buffers at most one cap and a half
/// of bytes.
#[derive(Debug)]
pub(crate) struct RelpFramer {
    data_bytes_max: usize,
    state: State,
    transaction: u32,
    digits: usize,
    command: String,
    length: usize,
    data: FrameBuffer,
}

impl RelpFramer {
    /// Creates the framer of a new connection. A cap of 0 counts as 1.
    pub fn new(data_bytes_max: usize) -> Self {
        Self {
            data_bytes_max: data_bytes_max.max(1),
            state: State::Transaction,
            transaction: 0,
            digits: 0,
            command: String::new(),
            length: 0,
            data: FrameBuffer::new(data_bytes_max),
        }
    }

    /// Reads the next bytes and appends the frames that they complete. After an error it reads no more.
    pub fn push(
        &mut self,
        mut input: &[u8],
        frames: &mut Vec<RelpFrame>,
    ) -> Result<(), RelpFrameError> {
        while let Some((&first, rest)) = input.split_first() {
            input = match self.state {
                State::Data { left } => self.data(left, input),
                State::Trailer => {
                    if first != b'\n' {
                        return self.fail(RelpFrameError::Trailer);
                    }
                    frames.push(self.finish());
                    rest
                }
                State::Transaction => {
                    if let Err(error) = self.transaction(first) {
                        return self.fail(error);
                    }
                    rest
                }
                State::Command => {
                    if let Err(error) = self.command(first) {
                        return self.fail(error);
                    }
                    rest
                }
                State::Length => {
                    match self.length(first) {
                        Err(error) => return self.fail(error),
                        Ok(true) => frames.push(self.finish()),
                        Ok(false) => {}
                    }
                    rest
                }
                State::Failed(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Whether a frame has started and is incomplete.
    pub fn is_mid_frame(&self) -> bool {
        self.state != State::Transaction || self.digits > 0
    }

    /// The transaction number of the started frame, once the number is complete.
    pub fn number(&self) -> Option<u32> {
        let known = !matches!(
            self.state,
            State::Transaction | State::Failed(RelpFrameError::Transaction)
        );
        known.then_some(self.transaction)
    }

    fn fail(&mut self, error: RelpFrameError) -> Result<(), RelpFrameError> {
        self.state = State::Failed(error);
        Err(error)
    }

    fn transaction(&mut self, byte: u8) -> Result<(), RelpFrameError> {
        match byte {
            b'0'..=b'9' if self.digits < DIGITS_MAX => {
                self.digits += 1;
                self.transaction = self.transaction * 10 + u32::from(byte - b'0');
                Ok(())
            }
            b' ' if self.transaction > 0 => {
                self.state = State::Command;
                Ok(())
            }
            _ => Err(RelpFrameError::Transaction), // No digit, no digits at all, or too many.
        }
    }

    fn command(&mut self, byte: u8) -> Result<(), RelpFrameError> {
        if byte.is_ascii_alphabetic() && self.command.len() < COMMAND_BYTES_MAX {
            self.command.push(char::from(byte));
            return Ok(());
        }
        if byte != b' ' || self.command.is_empty() {
            return Err(RelpFrameError::Command);
        }
        (self.state, self.digits) = (State::Length, 0);
        Ok(())
    }

    /// Reads a byte of the length; returns whether it completes the frame.
    fn length(&mut self, byte: u8) -> Result<bool, RelpFrameError> {
        let most = self.data_bytes_max.saturating_mul(LENGTH_TO_CAP_MAX);
        match byte {
            b'0'..=b'9' if self.digits < DIGITS_MAX => {
                self.digits += 1;
                self.length = self.length * 10 + usize::from(byte - b'0');
                if self.length > most {
                    return Err(RelpFrameError::TooLong(most));
                }
                Ok(false)
            }
            b' ' if self.digits > 0 => {
                self.state = match self.length {
                    0 => State::Trailer,
                    left => State::Data { left },
                };
                Ok(false)
            }
            b'\n' if self.digits > 0 && self.length == 0 => Ok(true),
            _ => Err(RelpFrameError::Length), // No digit, no digits at all, or too many.
        }
    }

    fn data<'a>(&mut self, left: usize, input: &'a [u8]) -> &'a [u8] {
        let (part, rest) = input.split_at(input.len().min(left));
        self.data.push(part);
        self.state = match left - part.len() {
            0 => State::Trailer,
            left => State::Data { left },
        };
        rest
    }

    fn finish(&mut self) -> RelpFrame {
        let mut data = Vec::new();
        let skipped = self.data.finish(|bytes| data.extend_from_slice(bytes));
        let frame = RelpFrame {
            transaction: self.transaction,
            command: std::mem::take(&mut self.command),
            data,
            skipped,
        };
        *self = Self::new(self.data_bytes_max);
        frame
    }
}

/// Appends the response to a frame.
pub(crate) fn write_response(out: &mut Vec<u8>, transaction: u32, text: impl fmt::Display) {
    let text = text.to_string();
    let space = if text.is_empty() { "" } else { " " };
    let frame = format!("{transaction} rsp {}{space}{text}\n", text.len());
    out.extend_from_slice(frame.as_bytes());
}

/// The frame with which the server ends the connection.
pub(crate) const SERVER_CLOSE: &[u8] = b"0 serverclose 0\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: usize = 8;

    fn cut(chunks: &[&[u8]]) -> (Vec<RelpFrame>, Result<(), RelpFrameError>, bool) {
        let mut framer = RelpFramer::new(CAP);
        let mut frames = Vec::new();
        let mut outcome = Ok(());
        for chunk in chunks {
            outcome = framer.push(chunk, &mut frames);
        }
        (frames, outcome, framer.is_mid_frame())
    }

    fn frame(transaction: u32, command: &str, data: &str, skipped: u64) -> RelpFrame {
        RelpFrame {
            transaction,
            command: command.into(),
            data: data.into(),
            skipped,
        }
    }

    #[test]
    fn split_frames_and_reject_invalid_ones() {
        let letters = "a".repeat(COMMAND_BYTES_MAX);
        for (input, expected, outcome) in [
            (
                "1 syslog 3 a\nb\n",
                vec![frame(1, "syslog", "a\nb", 0)],
                Ok(()),
            ),
            (
                "1 open 0\n2 close 0 \n",
                vec![frame(1, "open", "", 0), frame(2, "close", "", 0)],
                Ok(()),
            ),
            (
                "999999999 syslog 10 abcdefghij\n",
                vec![frame(999_999_999, "syslog", "abcdefgh", 2)],
                Ok(()),
            ),
            (
                &format!("1 {letters} 0\n"),
                vec![frame(1, &letters, "", 0)],
                Ok(()),
            ),
            (
                &format!("1 {letters}a 0\n"),
                vec![],
                Err(RelpFrameError::Command),
            ),
            ("0 syslog 1 a\n", vec![], Err(RelpFrameError::Transaction)),
            (
                "1000000000 syslog 1 a\n",
                vec![],
                Err(RelpFrameError::Transaction),
            ),
            (" syslog 1 a\n", vec![], Err(RelpFrameError::Transaction)),
            ("\n", vec![], Err(RelpFrameError::Transaction)),
            ("<13>a line\n", vec![], Err(RelpFrameError::Transaction)),
            ("1  1 a\n", vec![], Err(RelpFrameError::Command)),
            ("1 sys_log 1 a\n", vec![], Err(RelpFrameError::Command)),
            ("1 syslog  a\n", vec![], Err(RelpFrameError::Length)),
            ("1 syslog 3\n", vec![], Err(RelpFrameError::Length)),
            ("1 syslog -1 a\n", vec![], Err(RelpFrameError::Length)),
            (
                "1 syslog 0000000001 a\n",
                vec![],
                Err(RelpFrameError::Length),
            ),
            ("1 syslog 129 a", vec![], Err(RelpFrameError::TooLong(128))),
            (
                "1 syslog 999999999 a",
                vec![],
                Err(RelpFrameError::TooLong(128)),
            ),
            ("1 a 1 xy\n2 a 0\n", vec![], Err(RelpFrameError::Trailer)),
        ] {
            let (frames, found, _) = cut(&[input.as_bytes()]);
            assert_eq!((frames, found), (expected, outcome), "{input:?}");
        }
    }

    #[test]
    fn detect_incomplete_frames() {
        for (input, is_mid_frame) in [
            ("1", true),
            ("1 a 0", true),
            ("1 a 0\n", false),
            ("", false),
        ] {
            assert_eq!(cut(&[input.as_bytes()]).2, is_mid_frame, "{input:?}");
        }
    }

    #[test]
    fn encode_responses() {
        let mut out = Vec::new();
        write_response(&mut out, 7, "200 OK");
        write_response(&mut out, 8, "");
        assert_eq!(out, b"7 rsp 6 200 OK\n8 rsp 0\n");
    }

    proptest! {
        #[test]
        fn result_is_independent_of_reads(
            input in proptest::collection::vec(
                proptest::sample::select(b"0123 ab\n\xff".to_vec()), 0..60),
        ) {
            let whole = cut(&[&input]);
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            prop_assert_eq!(cut(&bytes), whole);
        }

        #[test]
        fn well_formed_frames_round_trip(
            sent in proptest::collection::vec(
                (1_u32..1_000_000_000, "[a-z]{1,32}", "[ -~\n]{0,8}"), 0..8),
            at in 0_usize..300,
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (transaction, command, data) in &sent {
                let space = if data.is_empty() { "" } else { " " };
                let text = format!("{transaction} {command} {}{space}{data}\n", data.len());
                bytes.extend(text.into_bytes());
                expected.push(frame(*transaction, command, data, 0));
            }
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(cut(&[first, second]), (expected, Ok(()), false));
        }
    }
}
