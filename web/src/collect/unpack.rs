//! Reads bodies and unpacks them piece by piece, within bounds that hold before memory is taken.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use futures_util::StreamExt;
use zstd::stream::{raw, zio};

use super::refusal::Refusal;

/// A body unpacks to at most so many times its size: logs do so ten to thirty times, equal lines
/// some two hundred, and what is meant to fill a machine many thousand times.
const RATIO_MAX: usize = 250;

/// Up to here the ratio does not matter: so much is taken in anyway.
const RATIO_FREE_BYTES: usize = 1 << 20;

/// Largest window of a zstd frame, as a power of two: 8 MiB, what RFC 9659 asks of HTTP.
const WINDOW_LOG_MAX: u32 = 23;

/// A body arrives within this time, or its sender holds up others.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How a body is packed.
enum Unpacker {
    Identity(Sink),
    Gzip(flate2::write::MultiGzDecoder<Sink>),
    Deflate(flate2::write::ZlibDecoder<Sink>),
    Zstd(Box<zio::Writer<Sink, raw::Decoder<'static>>>),
}

/// Takes what was unpacked, up to a limit.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    /// Most bytes that may wait here.
    most: usize,
    /// Bytes that came, packed, and went through.
    packed: usize,
    unpacked: usize,
    over: Option<Over>,
}

#[derive(Clone, Copy)]
enum Over {
    Size,
    Ratio,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unpacked = self.unpacked.saturating_add(bytes.len());
        let fair = self.packed.saturating_mul(RATIO_MAX).max(RATIO_FREE_BYTES);
        if self.bytes.len() + bytes.len() > self.most {
            self.over = Some(Over::Size);
        } else if self.unpacked > fair {
            self.over = Some(Over::Ratio);
        } else {
            self.bytes.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        Err(io::Error::other("more than may be unpacked"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Unpacks a body as its pieces come.
pub(crate) struct Unpack {
    unpacker: Unpacker,
    most: usize,
}

impl Unpack {
    /// By the content encoding of a request; at most `most` unpacked bytes wait at a time.
    pub(crate) fn of(request: &HttpRequest, most: usize) -> Result<Self, Refusal> {
        let mut codings = request.headers().get_all(header::CONTENT_ENCODING);
        let coding = codings.next().map(|coding| coding.to_str().unwrap_or("?"));
        if codings.next().is_some() {
            return Err(Refusal::Encoding);
        }
        Self::by(coding.unwrap_or_default(), most)
    }

    pub(super) fn by(coding: &str, most: usize) -> Result<Self, Refusal> {
        let sink = Sink {
            most,
            ..Sink::default()
        };
        let coding = coding.trim().to_ascii_lowercase();
        let unpacker = match coding.as_str() {
            "" | "identity" => Unpacker::Identity(sink),
            "gzip" | "x-gzip" => Unpacker::Gzip(flate2::write::MultiGzDecoder::new(sink)),
            "deflate" => Unpacker::Deflate(flate2::write::ZlibDecoder::new(sink)),
            "zstd" => {
                let mut decoder = raw::Decoder::new().map_err(|error| damaged(&error))?;
                let limit = raw::DParameter::WindowLogMax(WINDOW_LOG_MAX);
                decoder
                    .set_parameter(limit)
                    .map_err(|error| damaged(&error))?;
                Unpacker::Zstd(Box::new(zio::Writer::new(sink, decoder)))
            }
            _ => return Err(Refusal::Encoding),
        };
        Ok(Self { unpacker, most })
    }

    fn sink(&mut self) -> &mut Sink {
        match &mut self.unpacker {
            Unpacker::Identity(sink) => sink,
            Unpacker::Gzip(decoder) => decoder.get_mut(),
            Unpacker::Deflate(decoder) => decoder.get_mut(),
            Unpacker::Zstd(decoder) => decoder.writer_mut(),
        }
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let sink = self.sink();
        sink.packed = sink.packed.saturating_add(piece.len());
        let result = match &mut self.unpacker {
            Unpacker::Identity(sink) => sink.write_all(piece),
            Unpacker::Gzip(decoder) => write_members(decoder, piece),
            Unpacker::Deflate(decoder) => decoder.write_all(piece),
            Unpacker::Zstd(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
        };
        self.judge(result)
    }

    /// Ends the body: what was cut off is told.
    pub(crate) fn finish(&mut self) -> Result<(), Refusal> {
        if self.sink().packed == 0 {
            return Ok(());
        }
        let result = match &mut self.unpacker {
            Unpacker::Identity(_) => Ok(()),
            Unpacker::Gzip(decoder) => decoder.try_finish(),
            Unpacker::Deflate(decoder) => decoder.try_finish(),
            Unpacker::Zstd(decoder) => decoder.finish(),
        };
        self.judge(result)
    }

    fn judge(&mut self, result: io::Result<()>) -> Result<(), Refusal> {
        let most = self.most;
        match (self.sink().over, result) {
            (Some(Over::Size), _) => Err(Refusal::TooLarge(most)),
            (Some(Over::Ratio), _) => Err(Refusal::Ratio(RATIO_MAX)),
            (None, Err(error)) => Err(damaged(&error)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// What has been unpacked since this was asked last.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sink().bytes)
    }
}

/// A decoder of members reads to the end of one and says so; what is left is the next one's.
fn write_members(
    decoder: &mut flate2::write::MultiGzDecoder<Sink>,
    mut piece: &[u8],
) -> io::Result<()> {
    while !piece.is_empty() {
        match decoder.write(piece)? {
            0 => return Err(io::Error::other("bytes behind the end")),
            taken => piece = piece.get(taken..).unwrap_or_default(),
        }
    }
    decoder.flush()
}

fn damaged(error: &io::Error) -> Refusal {
    Refusal::Damaged(error.to_string())
}

/// Reads a whole body of at most `most` bytes, packed and unpacked.
pub(crate) async fn read(
    request: &HttpRequest,
    body: web::Payload,
    most: usize,
) -> Result<Bytes, Refusal> {
    let mut unpack = Unpack::of(request, most)?;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > most) {
        return Err(Refusal::TooLarge(most));
    }
    // It unpacks to no less.
    unpack.sink().bytes.reserve(length.unwrap_or(0));
    let read = async {
        let mut body = pin!(body);
        let mut packed = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| Refusal::Early)?;
            packed += piece.len();
            if packed > most {
                return Err(Refusal::TooLarge(most));
            }
            unpack.push(&piece)?;
            // A piece may be a thousand members of nothing: whatever a body takes to unpack, the
            // other connections of its worker go on.
            tokio::task::yield_now().await;
        }
        unpack.finish()?;
        Ok(Bytes::from(unpack.take()))
    };
    let read = tokio::time::timeout(BODY_TIMEOUT, read).await;
    read.unwrap_or(Err(Refusal::Slow))
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use actix_web::FromRequest;
    use actix_web::test::TestRequest;

    const MOST: usize = 4 << 20;

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

    fn unpack(coding: &str, body: &[u8], pieces: usize) -> Result<Vec<u8>, &'static str> {
        let request = TestRequest::default();
        let request = request
            .insert_header((header::CONTENT_ENCODING, coding))
            .to_http_request();
        let run = || {
            let mut unpack = Unpack::of(&request, MOST)?;
            for piece in body.chunks(pieces) {
                unpack.push(piece)?;
            }
            unpack.finish()?;
            Ok(unpack.take())
        };
        run().map_err(|refusal: Refusal| refusal.reason())
    }

    #[test]
    fn bodies_unpack_however_they_come() {
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
            for pieces in [1, 7, 4096, usize::MAX] {
                assert_eq!(
                    unpack(coding, &body, pieces).as_ref(),
                    Ok(&text),
                    "{coding} {pieces}"
                );
            }
        }
        for coding in ["gzip", "zstd", "deflate"] {
            assert_eq!(unpack(coding, b"", 1), Ok(Vec::new()), "{coding}");
        }
    }

    #[test]
    fn others_go_on_between_the_pieces_of_a_body() {
        actix_web::rt::System::new().block_on(async {
            let (request, mut payload) = TestRequest::default()
                .insert_header((header::CONTENT_ENCODING, "gzip"))
                .set_payload(gzip(b"").repeat(1_000))
                .to_http_parts();
            let body = web::Payload::from_request(&request, &mut payload).await;
            let mut reading = pin!(read(&request, body.unwrap(), MOST));
            let polled = reading
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "it is there whole, and yet");
            assert!(reading.await.unwrap().is_empty());
        });
    }

    #[test]
    fn what_unpacks_to_too_much_or_is_damaged_is_refused() {
        let zeros = |n: usize| vec![0; n];
        // Nothing packs this.
        let mut noise = vec![0; MOST + 1];
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
                unpack(coding, &body, 64 << 10),
                Err(reason),
                "{at}: {coding}"
            );
        }
    }
}
