//! Decompresses bodies chunk by chunk; limits apply before memory is allocated.

use std::io::{self, Write};

use actix_web::HttpRequest;
use actix_web::http::header;
use zstd::stream::{raw, zio};

use super::BodyError;

/// Maximum ratio of decompressed to compressed size.
///
/// Logs reach a ratio of ten to thirty and equal lines about two hundred. A body that is made to
/// exhaust memory reaches many thousands.
const RATIO_MAX: usize = 250;

/// Decompressed size up to which the ratio does not apply, because it is always accepted.
const RATIO_FREE_BYTES: usize = 1 << 20;

/// Largest window of a zstd frame, as a power of two: 8 MiB, the limit of RFC 9659 for HTTP.
const WINDOW_LOG_MAX: u32 = 23;

/// The decompressor for one content encoding.
enum Decompressor {
    Identity(LimitedOutput),
    Gzip(flate2::write::MultiGzDecoder<LimitedOutput>),
    Deflate(flate2::write::ZlibDecoder<LimitedOutput>),
    Zstd(Box<zio::Writer<LimitedOutput, raw::Decoder<'static>>>),
}

/// Receives decompressed bytes up to a limit.
#[derive(Default)]
struct LimitedOutput {
    bytes: Vec<u8>,
    /// Maximum length of `bytes`.
    bytes_max: usize,
    /// Compressed bytes received so far.
    bytes_in: usize,
    /// Decompressed bytes produced so far.
    bytes_out: usize,
    exceeded: Option<OutputLimit>,
}

/// A limit of the output.
#[derive(Clone, Copy)]
enum OutputLimit {
    Size,
    Ratio,
}

impl Write for LimitedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes_out = self.bytes_out.saturating_add(bytes.len());
        let bytes_out_max = self
            .bytes_in
            .saturating_mul(RATIO_MAX)
            .max(RATIO_FREE_BYTES);
        if self.bytes.len() + bytes.len() > self.bytes_max {
            self.exceeded = Some(OutputLimit::Size);
        } else if self.bytes_out > bytes_out_max {
            self.exceeded = Some(OutputLimit::Ratio);
        } else {
            self.bytes.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        Err(io::Error::other("the decompressed body exceeds its limit"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decompresses a body as its chunks arrive.
pub(crate) struct BodyDecoder {
    decompressor: Decompressor,
    bytes_max: usize,
}

impl BodyDecoder {
    /// Creates the decoder for the content encoding of a request.
    ///
    /// At most `bytes_max` decompressed bytes may be pending at a time.
    pub(crate) fn for_request(request: &HttpRequest, bytes_max: usize) -> Result<Self, BodyError> {
        let mut codings = request.headers().get_all(header::CONTENT_ENCODING);
        let coding = codings.next().map(|coding| coding.to_str().unwrap_or("?"));
        if codings.next().is_some() {
            return Err(BodyError::Encoding);
        }
        Self::new(coding.unwrap_or_default(), bytes_max)
    }

    /// Creates the decoder for a content encoding.
    pub(crate) fn new(coding: &str, bytes_max: usize) -> Result<Self, BodyError> {
        let output = LimitedOutput {
            bytes_max,
            ..LimitedOutput::default()
        };
        let coding = coding.trim().to_ascii_lowercase();
        let decompressor = match coding.as_str() {
            "" | "identity" => Decompressor::Identity(output),
            "gzip" | "x-gzip" => Decompressor::Gzip(flate2::write::MultiGzDecoder::new(output)),
            "deflate" => Decompressor::Deflate(flate2::write::ZlibDecoder::new(output)),
            "zstd" => {
                let mut decoder = raw::Decoder::new().map_err(|error| corrupt(&error))?;
                let limit = raw::DParameter::WindowLogMax(WINDOW_LOG_MAX);
                decoder
                    .set_parameter(limit)
                    .map_err(|error| corrupt(&error))?;
                Decompressor::Zstd(Box::new(zio::Writer::new(output, decoder)))
            }
            _ => return Err(BodyError::Encoding),
        };
        Ok(Self {
            decompressor,
            bytes_max,
        })
    }

    fn output(&mut self) -> &mut LimitedOutput {
        match &mut self.decompressor {
            Decompressor::Identity(output) => output,
            Decompressor::Gzip(decoder) => decoder.get_mut(),
            Decompressor::Deflate(decoder) => decoder.get_mut(),
            Decompressor::Zstd(decoder) => decoder.writer_mut(),
        }
    }

    /// Reserves memory for decompressed bytes.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.output().bytes.reserve(bytes);
    }

    /// Decompresses the next chunk.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        let output = self.output();
        output.bytes_in = output.bytes_in.saturating_add(chunk.len());
        let result = match &mut self.decompressor {
            Decompressor::Identity(output) => output.write_all(chunk),
            Decompressor::Gzip(decoder) => write_members(decoder, chunk),
            Decompressor::Deflate(decoder) => decoder.write_all(chunk),
            Decompressor::Zstd(decoder) => decoder.write_all(chunk).and_then(|()| decoder.flush()),
        };
        self.check(result)
    }

    /// Ends the body; fails if it was truncated.
    pub(crate) fn finish(&mut self) -> Result<(), BodyError> {
        if self.output().bytes_in == 0 {
            return Ok(());
        }
        let result = match &mut self.decompressor {
            Decompressor::Identity(_) => Ok(()),
            Decompressor::Gzip(decoder) => decoder.try_finish(),
            Decompressor::Deflate(decoder) => decoder.try_finish(),
            Decompressor::Zstd(decoder) => decoder.finish(),
        };
        self.check(result)
    }

    fn check(&mut self, result: io::Result<()>) -> Result<(), BodyError> {
        match (self.output().exceeded, result) {
            (Some(OutputLimit::Size), _) => Err(BodyError::TooLarge(self.bytes_max)),
            (Some(OutputLimit::Ratio), _) => Err(BodyError::Ratio(RATIO_MAX)),
            (None, Err(error)) => Err(corrupt(&error)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Takes the bytes decompressed since the last call.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output().bytes)
    }
}

/// Writes all members of a chunk; one call of the decoder stops at the end of a member.
fn write_members(
    decoder: &mut flate2::write::MultiGzDecoder<LimitedOutput>,
    mut chunk: &[u8],
) -> io::Result<()> {
    while !chunk.is_empty() {
        match decoder.write(chunk)? {
            0 => return Err(io::Error::other("bytes after the end")),
            taken => chunk = chunk.get(taken..).unwrap_or_default(),
        }
    }
    decoder.flush()
}

fn corrupt(error: &io::Error) -> BodyError {
    BodyError::Corrupt(error.to_string())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const BYTES_MAX: usize = 4 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn decode(coding: &str, body: &[u8], chunk_bytes: usize) -> Result<Vec<u8>, &'static str> {
        let request = TestRequest::default();
        let request = request
            .insert_header((header::CONTENT_ENCODING, coding))
            .to_http_request();
        let run = || {
            let mut decoder = BodyDecoder::for_request(&request, BYTES_MAX)?;
            for chunk in body.chunks(chunk_bytes) {
                decoder.push(chunk)?;
            }
            decoder.finish()?;
            Ok(decoder.take_output())
        };
        run().map_err(|error: BodyError| error.reason())
    }

    #[test]
    fn decode_every_encoding_in_any_chunks() {
        let text: Vec<u8> = (0..30_000u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        let members = [gzip(&text[..1000]), gzip(&text[1000..])].concat();
        let frames = [zstd(&text[..1000]), zstd(&text[1000..])].concat();
        let table: [(&str, Vec<u8>); 7] = [
            ("identity", text.clone()),
            ("gzip", gzip(&text)),
            ("X-GZip", members),
            ("deflate", deflate(&text)),
            ("zstd", zstd(&text)),
            (" zstd ", frames),
            ("", text.clone()),
        ];
        for (coding, body) in table {
            for chunk_bytes in [1, 7, 4096, usize::MAX] {
                assert_eq!(
                    decode(coding, &body, chunk_bytes).as_ref(),
                    Ok(&text),
                    "{coding} {chunk_bytes}"
                );
            }
        }
        for coding in ["gzip", "zstd", "deflate"] {
            assert_eq!(decode(coding, b"", 1), Ok(Vec::new()), "{coding}");
        }
    }

    #[test]
    fn refuse_excessive_and_corrupt_bodies() {
        let zeros = |n: usize| vec![0; n];
        // Random bytes do not compress.
        let mut noise = vec![0; BYTES_MAX + 1];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let mut flipped = gzip(&noise[..50_000]);
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x40;
        let whole = zstd(&noise[..50_000]);
        let table: [(&str, Vec<u8>, &str); 14] = [
            ("gzip", gzip(&zeros(3 << 20)), "ratio"),
            ("zstd", zstd(&zeros(3 << 20)), "ratio"),
            ("deflate", deflate(&zeros(3 << 20)), "ratio"),
            ("zstd", zstd(&zeros(1 << 30)), "too_large"),
            ("gzip", gzip(&noise), "too_large"),
            ("zstd", zstd(&noise), "too_large"),
            ("identity", noise.clone(), "too_large"),
            ("gzip", flipped, "damaged"),
            ("gzip", gzip(&noise[..9_000])[..500].to_vec(), "damaged"),
            ("zstd", whole[..whole.len() - 10].to_vec(), "damaged"),
            ("deflate", b"no deflate".to_vec(), "damaged"),
            ("zstd", b"no zstd at all".to_vec(), "damaged"),
            ("br", b"x".to_vec(), "encoding"),
            ("gzip, zstd", b"x".to_vec(), "encoding"),
        ];
        for (at, (coding, body, reason)) in table.into_iter().enumerate() {
            assert_eq!(
                decode(coding, &body, 64 << 10),
                Err(reason),
                "{at}: {coding}"
            );
        }
    }
}
