//! What a consumer answers: the fuzzer's way in, part of no interface.

use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::AsyncWriteExt;
use weir_schema::ReceiveTime;

use crate::carrier::Reaching;
use crate::guard::Reach;
use crate::http::{Endpoint, Post};

/// Posts over a connection whose other end says `bytes` and closes it. Why that is no success, and
/// for how many nanoseconds nothing more is to be sent.
pub async fn answered(bytes: &[u8]) -> Result<(), (String, Option<i64>)> {
    let reaching = Reaching {
        reach: Reach::Public,
        timeout: Duration::from_secs(1),
        ca_file: None,
        identity: None,
        token: None,
    };
    let endpoint = Endpoint::new("http://192.0.2.1/", &reaching);
    let endpoint = endpoint.map_err(|error| (error.to_string(), None))?;
    let (ours, mut theirs) = tokio::io::duplex(bytes.len() + (64 << 10));
    let broken = |error: std::io::Error| (error.to_string(), None);
    theirs.write_all(bytes).await.map_err(broken)?;
    theirs.shutdown().await.map_err(broken)?;
    let post = Post {
        content_type: "application/json",
        now: ReceiveTime(0),
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
