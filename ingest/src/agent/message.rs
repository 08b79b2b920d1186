//! Reads and writes the messages of an agent connection.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout};

use super::SessionEnd;
use crate::close_reason::CloseReason;
use crate::places::Place;
use crate::stream::MaybeTlsStream;

/// Room reserved for a message at a time, so that a length alone does not claim memory.
const READ_BYTES: usize = 64 << 10;

/// Largest hello. The sender is not authenticated yet; the hello holds its id and token.
const HELLO_BYTES_MAX: usize = 4 << 10;

/// Writes the answers of the server.
pub(super) struct MessageWriter {
    pub write: WriteHalf<MaybeTlsStream>,
    /// Time in which the sender must accept an answer.
    pub timeout: Duration,
}

impl MessageWriter {
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), SessionEnd> {
        let written = async {
            self.write.write_all(bytes).await?;
            self.write.flush().await
        };
        let written = timeout(self.timeout, written).await;
        written.map_err(|_| SessionEnd::Closed(CloseReason::Unread))??;
        Ok(())
    }
}

/// Reads length-prefixed messages. Cancelling a read is safe: the bytes stay in the buffer.
pub(super) struct MessageReader {
    read: ReadHalf<MaybeTlsStream>,
    buffer: BytesMut,
    timeout: Duration,
    /// When the message that has started must be complete.
    deadline: Option<Instant>,
}

impl MessageReader {
    pub fn new(read: ReadHalf<MaybeTlsStream>, timeout: Duration) -> Self {
        Self {
            read,
            buffer: BytesMut::new(),
            timeout,
            deadline: None,
        }
    }

    /// Reads the hello within `limit`; `None` if the agent closed the connection before it.
    pub async fn hello(
        &mut self,
        limit: Duration,
        place: &mut Place,
    ) -> Result<Option<BytesMut>, SessionEnd> {
        let hello = tokio::select! {
            biased;
            closed = place.evicted() => return Err(SessionEnd::Closed(closed)),
            hello = timeout(limit, self.next(HELLO_BYTES_MAX)) => hello,
        };
        match hello {
            Err(_) | Ok(Err(SessionEnd::Closed(CloseReason::Slow))) => {
                Err(SessionEnd::Closed(CloseReason::Silent))
            }
            Ok(hello) => hello,
        }
    }

    /// Returns the next message without its prefix; `None` at the end of the stream, even mid-message.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Option<BytesMut>, SessionEnd> {
        loop {
            let mut needed = 4;
            if let Some((prefix, _)) = self.buffer.split_first_chunk::<4>() {
                let length = u32::from_le_bytes(*prefix) as usize;
                if length > bytes_max {
                    let hint = format!("a message has at most {bytes_max} bytes");
                    return Err(SessionEnd::protocol(hint));
                }
                needed += length;
                if self.buffer.len() >= needed {
                    self.buffer.advance(4);
                    self.deadline = None;
                    return Ok(Some(self.buffer.split_to(length)));
                }
            }
            if !self.buffer.is_empty() && self.deadline.is_none() {
                self.deadline = Some(Instant::now() + self.timeout);
            }
            let missing = needed.saturating_sub(self.buffer.len());
            self.buffer.reserve(missing.min(READ_BYTES));
            let read = self.read.read_buf(&mut self.buffer);
            let length = match self.deadline {
                None => read.await?,
                Some(deadline) => tokio::time::timeout_at(deadline, read)
                    .await
                    .map_err(|_| SessionEnd::Closed(CloseReason::Slow))??,
            };
            if length == 0 {
                return Ok(None);
            }
        }
    }
}
