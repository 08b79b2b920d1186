//! Encoding of values on a connection between processes: a length of four bytes, then postcard.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Appends an encoded value to `out`.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    let bytes = postcard::to_stdvec(value).map_err(Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(Error::other)?;
    out.extend(length.to_le_bytes());
    out.extend(bytes);
    Ok(())
}

/// Sends a value; returns its bytes without the length.
pub fn send<T: Serialize + ?Sized>(stream: &mut impl Write, value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes)?;
    stream.write_all(&bytes)?;
    Ok(bytes.split_off(4))
}

/// Receives the bytes of the next value; refuses more than `limit` of them.
pub fn receive(stream: &mut impl Read, limit: usize) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        let message =
            format!("a value of {length} bytes is announced; at most {limit} are allowed");
        return Err(Error::new(ErrorKind::InvalidData, message));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

/// Reads from a connection until a deadline, however steadily bytes arrive.
pub struct DeadlineReader<'s> {
    stream: &'s TcpStream,
    deadline: Instant,
}

impl<'s> DeadlineReader<'s> {
    pub fn new(stream: &'s TcpStream, wait: Duration) -> Self {
        let deadline = Instant::now() + wait;
        Self { stream, deadline }
    }
}

impl Read for DeadlineReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::new(ErrorKind::TimedOut, "it is too slow"));
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn no_byte_is_read_after_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let mut sender = TcpStream::connect(address).expect("it listens");
        let (receiver, _) = listener.accept().expect("it accepts");
        send(&mut sender, &7_u64).expect("the socket buffers it");
        let mut expired = DeadlineReader::new(&receiver, Duration::ZERO);
        let late = receive(&mut expired, 16).map_err(|error| error.kind());
        assert_eq!(late, Err(ErrorKind::TimedOut));
        let mut reader = DeadlineReader::new(&receiver, Duration::from_secs(60));
        let bytes = receive(&mut reader, 16).expect("it has arrived");
        assert_eq!(decode::<u64>(&bytes).expect("it is a number"), 7);
    }
}
