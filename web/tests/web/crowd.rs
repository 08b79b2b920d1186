//! One host, with the token or without, leaves room for others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::harness::{Memory, Running, TOKEN};

/// A connection from another address of this machine.
fn from(host: u8, server: &Running) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let ours = SocketAddr::from(([127, 0, 0, host], 0));
    socket.bind(&ours.into()).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// The status of an answer on a connection that goes on; none: it was closed.
fn health(stream: &mut TcpStream) -> Option<String> {
    let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut answer = [0; 4096];
    let length = asked.and_then(|()| stream.read(&mut answer)).unwrap_or(0);
    let head = String::from_utf8_lossy(&answer[..length]).into_owned();
    Some(head.get(9..12)?.to_owned())
}

#[test]
fn connections_of_one_address_are_limited_and_given_back() {
    let server = Running::with(&Memory::new(), |options| options.connections_per_peer = 3);
    let mut held: Vec<TcpStream> = (0..3).map(|_| from(2, &server)).collect();
    for stream in &mut held {
        assert_eq!(health(stream).as_deref(), Some("200"));
    }
    assert_eq!(health(&mut from(2, &server)), None, "one more");
    assert_eq!(health(&mut from(3, &server)).as_deref(), Some("200"));
    held.pop();
    // When the server sees the end is its own affair.
    while health(&mut from(2, &server)).is_none() {}
    let refused = server.get("/metrics").text();
    assert!(
        refused.contains("weir_http_connections_refused_total "),
        "{refused}"
    );
}

#[test]
fn slow_bodies_of_one_address_leave_a_place() {
    let server = Running::start(&Memory::new());
    let head = |length: usize| {
        format!(
            "POST /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n\
             Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let slow = |at: usize| {
        let mut stream = from(2, &server);
        stream.write_all(head(1_000).as_bytes()).unwrap();
        // Its body is being read: it has its place.
        if at < 7 {
            let mut go_on = [0; 25];
            stream.read_exact(&mut go_on).unwrap();
            assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        stream
    };
    let held: Vec<TcpStream> = (0..20).map(slow).collect();
    let mut honest = from(3, &server);
    honest.write_all(head(3).as_bytes()).unwrap();
    let mut go_on = [0; 25];
    honest.read_exact(&mut go_on).unwrap();
    honest.write_all(b"{}\n").unwrap();
    let mut answer = [0; 12];
    honest.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(held);
}
