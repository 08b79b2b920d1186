//! Limits for each address: one host leaves room for others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use weir_schema::PlaceLimits;

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

/// Sends a request with the token whose body never comes; its connection is in use.
fn hold(stream: &mut TcpStream) {
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n\
         Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
}

/// W9: persistent connections that only ask for health give way to whoever comes, at once.
#[test]
fn idle_connections_give_way_to_new_ones() {
    let server = TestServer::with(&Memory::new(), |options| {
        options.connections = PlaceLimits::with_default_shares(4);
    });
    let mut idle: Vec<TcpStream> = (0..4).map(|_| connect_from(2, &server)).collect();
    for stream in &mut idle {
        assert_eq!(health(stream).as_deref(), Some("200"));
    }
    for host in 3..20 {
        let mut other = connect_from(host, &server);
        assert_eq!(health(&mut other).as_deref(), Some("200"));
    }
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("weir_http_connections_closed_total{reason=\"over_share\"}"),
        "{metrics}"
    );
}

/// W9: where all connections are in use, an address above its share is refused, and others are not.
#[test]
fn an_address_above_its_share_is_refused() {
    let server = TestServer::with(&Memory::new(), |options| {
        options.connections = PlaceLimits::with_default_shares(4);
    });
    let mut busy: Vec<TcpStream> = (0..4).map(|_| connect_from(2, &server)).collect();
    busy.iter_mut().for_each(hold);
    assert_eq!(health(&mut connect_from(2, &server)), None, "one too many");
    let mut other = connect_from(3, &server);
    assert_eq!(health(&mut other).as_deref(), Some("200"));
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
