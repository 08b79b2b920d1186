//! Broken HTTP requests, and bytes that are neither HTTP nor the agent protocol.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::support::LIMIT;
use super::support::http::Request;
use super::{deep_json, fresh};

const EVENTS: &str = "/api/v1/events";
const RULES: &str = "/api/v1/rules";

/// Method, path, body and status.
const REFUSALS: &[(&str, &str, &[u8], u16)] = &[
    ("POST", EVENTS, b"", 400),
    ("POST", EVENTS, b"no json\n", 400),
    ("POST", EVENTS, b"\xff\xfe\n", 400),
    ("POST", EVENTS, b"\"text\"\n[1]\n3\n", 400),
    ("PUT", RULES, b"title: [", 422),
    ("PUT", RULES, b"", 422),
    ("PUT", RULES, b"# nothing\n---\n", 422),
    (
        "PUT",
        RULES,
        b"title: no detection\nlogsource: {product: x}\n",
        422,
    ),
    ("PUT", RULES, b"\xff", 400),
    ("GET", "/api/v1/alerts/zzz", b"", 400),
    ("GET", "/api/v1/alerts?limit=x", b"", 400),
];

#[test]
fn broken_requests_get_a_clear_reply() {
    let (_folder, weir) = fresh();
    let lists = b"[".repeat(100_000);
    let huge = vec![b' '; (16 << 20) + 1];
    let deep_yaml = [&b"a: "[..], &lists].concat();
    let large: [(&str, &str, &[u8], u16); 3] = [
        ("POST", EVENTS, &lists, 400),
        ("POST", EVENTS, &huge, 413),
        ("PUT", RULES, &deep_yaml, 422),
    ];
    for (method, path, body, status) in REFUSALS.iter().chain(&large) {
        let reply = weir.send(Request::new(method, path).body(body));
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]);
        let text = reply.text();
        assert_eq!(reply.status, *status, "{method} {path} {start:?}: {text}");
        assert!(reply.json()["detail"].is_string(), "{text}");
        weir.assert_well();
    }
    // A deep object is refused, or stored with the problem.
    let reply = weir.send(Request::new("POST", EVENTS).body(&deep_json()));
    assert!(matches!(reply.status, 200 | 400), "{}", reply.text());
    weir.assert_well();
    weir.stop();
}

#[test]
fn a_text_with_one_bad_rule_is_refused_whole() {
    let (_folder, weir) = fresh();
    let text = "title: Good\nid: good\nlogsource: {product: x}\n\
                detection: {s: {a: 1}, condition: s}\nlevel: low\n---\n\
                title: Bad\nid: bad\nlogsource: {product: x}\n\
                detection: {s: {a: 1}, condition: s and nobody}\nlevel: low\n";
    let reply = weir.send(Request::new("PUT", RULES).body(text.as_bytes()));
    assert_eq!(reply.status, 422, "{}", reply.text());
    let first = &reply.json()["diagnostics"][0];
    assert!(
        first["line"].as_u64().is_some_and(|line| line >= 7),
        "{first}"
    );
    assert!(
        first["message"]
            .as_str()
            .is_some_and(|text| text.contains("nobody")),
        "{first}"
    );
    let listed = weir.get(RULES).text();
    assert!(
        !listed.contains("\"good\""),
        "a part of a refused text runs: {listed}"
    );
    weir.stop();
}

#[test]
fn bytes_of_other_protocols_hurt_no_listener() {
    let (_folder, weir) = fresh();
    let mut stream = TcpStream::connect(weir.http).expect("the port is open");
    stream
        .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
        .expect("the server reads");
    drop(stream);
    for bytes in [
        b"\xff\xff\xff\xff".as_slice(),
        b"\x08\0\0\0garbage!",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(weir.agent).expect("the port is open");
        stream.write_all(bytes).expect("the server reads");
        // The server may have closed the connection already.
        let _ = stream.shutdown(Shutdown::Write);
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    weir.assert_well();
    weir.stop();
}
