//! Entry point for the fuzzer: answers of a consumer. It is not part of the public interface.

use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::AsyncWriteExt;
use weir_schema::ReceiveTime;

use crate::options::ConnectionOptions;
use crate::transport::guard::AddressScope;
use crate::transport::http::{HttpEndpoint, HttpPost};

/// Posts over a connection whose other end answers `bytes` and closes it.
///
/// An error holds the reason, and the pause that the consumer requests in nanoseconds.
pub async fn post_with_answer(bytes: &[u8]) -> Result<(), (String, Option<i64>)> {
    let connection = ConnectionOptions {
        address_scope: AddressScope::Public,
        timeout: Duration::from_secs(1),
        ca_file: None,
        client_certificate: None,
        token: None,
    };
    let endpoint = HttpEndpoint::new("http://192.0.2.1/", &connection);
    let endpoint = endpoint.map_err(|error| (error.to_string(), None))?;
    let (ours, mut theirs) = tokio::io::duplex(bytes.len() + (64 << 10));
    let broken = |error: std::io::Error| (error.to_string(), None);
    theirs.write_all(bytes).await.map_err(broken)?;
    theirs.shutdown().await.map_err(broken)?;
    let post = HttpPost {
        content_type: "application/json",
        now: ReceiveTime(0),
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
    };
    let done = endpoint.exchange_over(ours, post).await;
    drop(theirs);
    done.map_err(|error| {
        let failure = error.failure;
        (failure.reason, failure.pause.map(|pause| pause.0))
    })
}
