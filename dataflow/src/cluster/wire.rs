//! Values on a connection between processes: a length of four bytes, then postcard.

use std::io::{Error, ErrorKind, Read, Result, Write};

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
