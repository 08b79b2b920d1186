//! Uploads of journald.

use weir_schema::Format;

use super::{JOURNAL, JSON, gzip, row, take_frames};
use crate::harness::{Memory, TestServer};

#[test]
fn accept_journals_as_streams() {
    let memory = Memory::new();
    let server = TestServer::start(&memory);
    let post = |headers: &[&str], body: &[u8]| server.send("POST /upload", headers, body);
    let entries = |count: usize| -> Vec<u8> {
        (0..count)
            .flat_map(|n| format!("_HOSTNAME=m{}\nMESSAGE=n {n}\n\n", n % 2).into_bytes())
            .collect()
    };
    let answer = post(&[JOURNAL], &entries(2_500));
    assert_eq!((answer.status, answer.text().as_str()), (202, "OK.\n"));
    let first = row("m0", Format::Json, r#"{"_HOSTNAME":"m0","MESSAGE":"n 0"}"#);
    let rows = take_frames(&memory);
    assert_eq!((rows.len(), &rows[0]), (2_500, &first));
    let answer = post(&[JOURNAL, "Content-Encoding: gzip"], &gzip(&entries(3)));
    assert_eq!((answer.status, take_frames(&memory).len()), (202, 3));
    // Complete entries before the fault are accepted.
    let broken = [&entries(2)[..], b"no journal\n"].concat();
    assert!(
        post(&[JOURNAL], &broken)
            .problem(400)
            .1
            .contains("starts no field")
    );
    assert_eq!(take_frames(&memory).len(), 2);
    post(&[JSON], b"{}").problem(415);
    assert_eq!(post(&[JOURNAL], b"").status, 202);
}
