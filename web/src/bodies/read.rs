//! Reads a whole request body into memory.

use std::pin::pin;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{BodyDecoder, BodyError, BodySlots};

/// Longest event body after decompression.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;

/// Time within which a body has to arrive; a slower sender would block others.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a whole body of at most `bytes_max`, both compressed and decompressed.
pub(crate) async fn read_body(
    request: &HttpRequest,
    body: web::Payload,
    bytes_max: usize,
) -> Result<Bytes, BodyError> {
    let mut decoder = BodyDecoder::for_request(request, bytes_max)?;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bytes_max) {
        return Err(BodyError::TooLarge(bytes_max));
    }
    // Decompression makes a body no shorter.
    decoder.reserve(length.unwrap_or(0));
    let read = async {
        let mut body = pin!(body);
        let mut compressed_bytes = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| BodyError::EndedEarly)?;
            compressed_bytes += chunk.len();
            if compressed_bytes > bytes_max {
                return Err(BodyError::TooLarge(bytes_max));
            }
            decoder.push(&chunk)?;
            // A chunk may hold a thousand empty gzip members. Yielding lets the worker serve its
            // other connections during a long decompression.
            tokio::task::yield_now().await;
        }
        decoder.finish()?;
        Ok(Bytes::from(decoder.take_output()))
    };
    let read = tokio::time::timeout(BODY_TIMEOUT, read).await;
    read.unwrap_or(Err(BodyError::Timeout))
}

/// Reads a small body of at most `bytes_max`, once a slot for small bodies is free.
pub(crate) async fn read_small_body(
    request: &HttpRequest,
    body: web::Payload,
    slots: &BodySlots,
    bytes_max: usize,
) -> Result<Bytes, BodyError> {
    let _slot = slots.acquire_small().await?;
    read_body(request, body, bytes_max).await
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::task::{Context, Waker};

    use actix_web::FromRequest;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn yield_between_chunks() {
        let mut empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        empty.write_all(b"").unwrap();
        let empty = empty.finish().unwrap();
        actix_web::rt::System::new().block_on(async {
            let (request, mut payload) = TestRequest::default()
                .insert_header((header::CONTENT_ENCODING, "gzip"))
                .set_payload(empty.repeat(1_000))
                .to_http_parts();
            let body = web::Payload::from_request(&request, &mut payload).await;
            let mut read = pin!(read_body(&request, body.unwrap(), 4 << 20));
            let polled = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "the whole body is there already");
            assert!(read.await.unwrap().is_empty());
        });
    }
}
