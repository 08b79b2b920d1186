//! Values on a connection between processes: a length of four bytes, then postcard.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Adds a value to what is to be sent.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    let bytes = postcard::to_stdvec(value).map_err(Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(Error::other)?;
    out.extend(length.to_le_bytes());
    out.extend(bytes);
    Ok(())
}

pub fn send<T: Serialize + ?Sized>(stream: &mut impl Write, value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes)?;
    stream.write_all(&bytes)?;
    Ok(bytes.split_off(4))
}

/// The bytes of the next value; longer ones than `limit` are refused.
pub fn receive(stream: &mut impl Read, limit: usize) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        let message = format!("{length} bytes are announced, of at most {limit}");
        return Err(Error::new(ErrorKind::InvalidData, message));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

/// A connection that is read until a moment: a byte from time to time does not put it off.
pub struct Within<'s> {
    stream: &'s TcpStream,
    until: Instant,
}

impl<'s> Within<'s> {
    pub fn new(stream: &'s TcpStream, wait: Duration) -> Self {
        let until = Instant::now() + wait;
        Self { stream, until }
    }
}

impl Read for Within<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
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
    fn a_byte_that_has_come_is_not_read_once_the_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let mut there = TcpStream::connect(address).expect("it listens");
        let (here, _) = listener.accept().expect("it was connected");
        send(&mut there, &7_u64).expect("it is taken");
        let mut slow = Within::new(&here, Duration::ZERO);
        let late = receive(&mut slow, 16).map_err(|error| error.kind());
        assert_eq!(late, Err(ErrorKind::TimedOut));
        let mut read = Within::new(&here, Duration::from_secs(60));
        let bytes = receive(&mut read, 16).expect("it has come");
        assert_eq!(decode::<u64>(&bytes).expect("it is a number"), 7);
    }
}
