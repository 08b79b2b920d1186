//! Reads request bodies and decompresses them within limits.

mod decoder;
mod error;
mod lines;
mod read;
mod slots;

pub(crate) use decoder::BodyDecoder;
pub(crate) use error::BodyError;
pub(crate) use lines::split_lines;
pub(crate) use read::{BODY_BYTES_MAX, read_body, read_small_body};
pub(crate) use slots::BodySlots;
