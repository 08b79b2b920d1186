//! TLS end to end: sender identity, refused handshakes, certificate files, agents and HTTPS.

mod support;

#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/files.rs"]
mod files;
#[path = "tls/handshakes.rs"]
mod handshakes;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::pki::{Authority, Pair};
use support::{LIMIT, Weir, config_with_streams};
use weir_schema::Transport;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Connects a TLS client that trusts `authority` and presents `pair`.
fn client(at: SocketAddr, authority: &Path, pair: Option<&Pair>) -> Tls {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).expect("a certificate");
    roots.add(authority).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match pair {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::from_pem_file(&pair.certificate).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
            config
                .with_client_auth_cert(vec![chain], key)
                .expect("a pair")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(at).expect("the port is open");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    StreamOwned::new(session, stream)
}

/// Sends bytes, closes the session, and waits until the server closes the connection.
fn send(mut tls: Tls, bytes: &[u8]) -> std::io::Result<()> {
    tls.write_all(bytes)?;
    tls.conn.send_close_notify();
    tls.flush()?;
    match tls.read(&mut [0]) {
        Ok(_) => Ok(()),
        // Both sides have closed the session, so the end of the connection is expected.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(error),
    }
}

fn quoted(file: &Path) -> String {
    format!("{:?}", file.display().to_string())
}

/// A `[tls]` table that requires client certificates of `authority`.
fn required(server: &Pair, authority: &Authority) -> String {
    format!("{}client_ca = {}\n", server.keys(), quoted(&authority.file))
}

#[test]
fn a_sender_is_identified_by_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let authority = Authority::new(folder.path(), "authority");
    let tls = required(&authority.issue("localhost"), &authority);
    let source = "[[source]]\nname = \"shops\"\ntransport = \"tls\"\n\
                  certificate = \"*.shop.example.com\"\n";
    let weir = Weir::start(&data, &config_with_streams(0, &tls, source));
    let line = b"48 <13>1 2026-01-01T00:00:00Z liar app - - - a line";
    for name in ["a.shop.example.com", "web1.example.com"] {
        let tls = client(weir.tls, &authority.file, Some(&authority.issue(name)));
        send(tls, line).expect("the line is accepted");
    }
    weir.await_metric("weir_events_received_total", "tls", 2);
    weir.stop();
    let found: Vec<_> = support::batches(&data)
        .into_iter()
        .filter(|(_, batch)| batch.transport == Transport::Tls)
        .map(|(_, batch)| {
            (
                batch.source.clone(),
                batch.peer.clone(),
                batch.frames.clone(),
            )
        })
        .collect();
    let frames = || [&line[3..]].into();
    let peer = || Some("127.0.0.1".to_owned());
    let expected = ["shops", "tls:web1.example.com"];
    let expected = expected.map(|name| (name.to_owned(), peer(), frames()));
    assert_eq!(found, expected);
}
