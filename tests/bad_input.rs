//! Broken, hostile and excessive input: Weir refuses it clearly or stores it, and serves on.

mod support;

#[path = "bad_input/damage.rs"]
mod damage;
#[path = "bad_input/disk.rs"]
mod disk;
#[path = "bad_input/requests.rs"]
mod requests;
#[path = "bad_input/start.rs"]
mod start;
#[path = "bad_input/streams.rs"]
mod streams;

use support::{Weir, config};

/// A server on a fresh folder.
fn fresh() -> (tempfile::TempDir, Weir) {
    let folder = tempfile::tempdir().expect("a folder");
    let weir = Weir::start(&folder.path().join("data"), &config(""));
    (folder, weir)
}

fn line(n: usize) -> Vec<u8> {
    format!("<13>1 2026-01-01T00:00:00Z h app - - - line {n}\n").into_bytes()
}

/// A JSON object with 100,000 levels.
fn deep_json() -> Vec<u8> {
    [
        b"{\"a\":".repeat(100_000),
        b"1".to_vec(),
        b"}".repeat(100_000),
    ]
    .concat()
}
