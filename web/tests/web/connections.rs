//! Limits for each address: one host leaves room for others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::harness::{Memory, TOKEN, TestServer};

/// Connects from the loopback address 127.0.0.`host`.
fn connect_from(host: u8, server: &TestServer) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from(([127, 0, 0, host], 0));
    socket.bind(&address.into()).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    let timeout = Some(Duration::from_secs(30));
    stream.set_read_timeout(timeout).unwrap();
    stream
}

/// Requests the health on a persistent connection; `None` if the server closed it.
fn health(stream: &mut TcpStream) -> Option<String> {
    let sent = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut answer = [0; 4096];
    let length = sent.and_then(|()| stream.read(&mut answer)).unwrap_or(0);
    let head = String::from_utf8_lossy(&answer[..length]).into_owned();
    Some(head.get(9..12)?.to_owned())
}

#[test]
fn limit_and_release_connections_of_an_address() {
    let server = TestServer::with(&Memory::new(), |options| options.connections_per_peer = 3);
    let mut connections: Vec<TcpStream> = (0..3).map(|_| connect_from(2, &server)).collect();
    for stream in &mut connections {
        assert_eq!(health(stream).as_deref(), Some("200"));
    }
    assert_eq!(health(&mut connect_from(2, &server)), None, "one too many");
    assert_eq!(
        health(&mut connect_from(3, &server)).as_deref(),
        Some("200")
    );
    connections.pop();
    // The server notices the closed connection after a while.
    while health(&mut connect_from(2, &server)).is_none() {}
    let refused = server.get("/metrics").text();
    assert!(
        refused.contains("weir_http_connections_refused_total "),
        "{refused}"
    );
}

#[test]
fn slow_bodies_of_an_address_leave_a_slot() {
    let server = TestServer::start(&Memory::new());
    let head = |length: usize| {
        format!(
            "POST /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n\
             Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let slow = |at: usize| {
        let mut stream = connect_from(2, &server);
        stream.write_all(head(1_000).as_bytes()).unwrap();
        // The server asks for the body: the request has a slot.
        if at < 7 {
            let mut interim = [0; 25];
            stream.read_exact(&mut interim).unwrap();
            assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        stream
    };
    let connections: Vec<TcpStream> = (0..20).map(slow).collect();
    let mut other = connect_from(3, &server);
    other.write_all(head(3).as_bytes()).unwrap();
    let mut interim = [0; 25];
    other.read_exact(&mut interim).unwrap();
    other.write_all(b"{}\n").unwrap();
    let mut answer = [0; 12];
    other.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(connections);
}
