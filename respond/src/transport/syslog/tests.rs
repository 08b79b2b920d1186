//! Sends messages to a syslog server over TLS, with valid and invalid certificates on both sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::options::ClientCertificate;

/// Writes the certificate of a new authority, and one for `name` that it signs, to files.
fn authority(folder: &Path, name: &str) -> (PathBuf, ClientCertificate) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().expect("a key");
    let signed = CertificateParams::new([name.to_owned()]).expect("a name");
    let signed = signed.signed_by(&own, &issuer).expect("a certificate");
    let write = |file: &str, text: String| {
        let file = folder.join(format!("{name}.{file}"));
        std::fs::write(&file, text).expect("it can be written");
        file
    };
    let identity = ClientCertificate {
        chain: write("crt", signed.pem()),
        key: write("key", own.serialize_pem()),
    };
    (write("ca", certificate.pem()), identity)
}

/// A server that requires certificates of the authority `clients`.
async fn server(own: &ClientCertificate, clients: &Path) -> (TcpListener, TlsAcceptor) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    let client = CertificateDer::from_pem_file(clients).expect("a certificate");
    roots.add(client).expect("an authority");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = CertificateDer::from_pem_file(&own.chain).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![chain], key)
        .expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    (listener, TlsAcceptor::from(Arc::new(config)))
}

async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let (stream, _) = listener.accept().await?;
    acceptor.accept(stream).await
}

#[test]
fn messages_are_sent_only_after_both_sides_are_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ca, own) = authority(folder.path(), "localhost");
    let (client_ca, client) = authority(folder.path(), "weir.example.com");
    let (other_ca, _) = authority(folder.path(), "other.example.com");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let (listener, acceptor) = server(&own, &client_ca).await;
        let port = listener.local_addr().expect("its address").port();
        let sink = |host: &str, ca: &PathBuf, identity: Option<&ClientCertificate>| {
            let connection = ConnectionOptions {
                address_scope: AddressScope::Private,
                timeout: Duration::from_secs(30),
                ca_file: Some(ca.clone()),
                client_certificate: identity.cloned(),
                token: None,
            };
            SyslogSender::new(&format!("tls://{host}:{port}"), &connection).expect("a valid URL")
        };
        // Another name, another authority, no client certificate, and one of another authority: in
        // no case is a message reported as sent.
        let refused = [
            sink("127.0.0.1", &ca, Some(&client)),
            sink("localhost", &other_ca, Some(&client)),
            sink("localhost", &ca, None),
            sink("localhost", &ca, Some(&own)),
        ];
        for (place, sink) in refused.iter().enumerate() {
            let (sent, accepted) = tokio::join!(sink.send("lost"), accept(&listener, &acceptor));
            assert!(accepted.is_err(), "{place}");
            assert_eq!(
                sent.map_err(|error| error.reason),
                Err(FailureReason::Tls),
                "{place}"
            );
        }
        let sink = sink("localhost", &ca, Some(&client));
        for round in ["first", "second"] {
            let (sent, accepted) = tokio::join!(sink.send(round), accept(&listener, &acceptor));
            let mut stream = accepted.expect("it is verified");
            assert!(sent.is_ok(), "{round}");
            assert!(sink.send("of the same connection").await.is_ok());
            let expected = format!("{} {round}22 of the same connection", round.len());
            let mut received = vec![0; expected.len()];
            stream.read_exact(&mut received).await.expect("both arrive");
            assert_eq!(String::from_utf8(received), Ok(expected));
            // The server closes: the next message opens another connection.
            stream.shutdown().await.expect("it closes");
            drop(stream);
        }
    });
}

#[test]
fn urls_contain_a_host_and_a_port_and_nothing_else() {
    let connection = ConnectionOptions {
        address_scope: AddressScope::Public,
        timeout: Duration::from_secs(1),
        ca_file: None,
        client_certificate: None,
        token: None,
    };
    for bad in [
        "",
        "https://x:1",
        "tcp://x",
        "tcp://user:secret@x:1",
        "tcp://x:1/path",
        "tcp://x:1?a=b",
    ] {
        assert!(SyslogSender::new(bad, &connection).is_err(), "{bad}");
    }
    let sink = SyslogSender::new("udp://[::1]:514", &connection).expect("a valid URL");
    assert_eq!(sink.shown(), "udp://[::1]:514");
}
