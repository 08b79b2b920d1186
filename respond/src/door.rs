//! What a consumer answers: the fuzzer's way in, part of no interface.

use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::AsyncWriteExt;

use crate::guard::Reach;
use crate::http::{Endpoint, Post};

/// Posts over a connection whose other end says `bytes` and closes it. Why that is no success, and
/// for how many nanoseconds nothing more is to be sent.
pub async fn answered(bytes: &[u8]) -> Result<(), (String, Option<i64>)> {
    let patience = Duration::from_secs(1);
    let endpoint = Endpoint::new("http://192.0.2.1/", Reach::Public, patience, None, None);
    let endpoint = endpoint.map_err(|error| (error.to_string(), None))?;
    let (ours, mut theirs) = tokio::io::duplex(bytes.len() + (64 << 10));
    let broken = |error: std::io::Error| (error.to_string(), None);
    theirs.write_all(bytes).await.map_err(broken)?;
    theirs.shutdown().await.map_err(broken)?;
    let post = Post {
        content_type: "application/json",
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
    };
    let done = endpoint.over(ours, post).await;
    drop(theirs);
    done.map_err(|fault| {
        let failure = fault.failure;
        (failure.reason, failure.pause.map(|pause| pause.0))
    })
}
