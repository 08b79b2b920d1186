//! Messages to a syslog server over TLS: which one is believed, and what becomes of one that refuses us.

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
use crate::carrier::Identity;

/// Makes the certificate of an authority, and one of `name` that it vouches for, in files.
fn authority(folder: &Path, name: &str) -> (PathBuf, Identity) {
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
    let identity = Identity {
        certificate: write("crt", signed.pem()),
        key: write("key", own.serialize_pem()),
    };
    (write("ca", certificate.pem()), identity)
}

/// A server that asks for certificates of `clients`.
async fn server(own: &Identity, clients: &Path) -> (TcpListener, TlsAcceptor) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    let client = CertificateDer::from_pem_file(clients).expect("a certificate");
    roots.add(client).expect("an authority");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = CertificateDer::from_pem_file(&own.certificate).expect("a certificate");
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
fn only_a_server_that_is_believed_and_believes_us_takes_messages() {
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
        let sink = |host: &str, ca: &PathBuf, identity: Option<&Identity>| {
            let reaching = Reaching {
                reach: Reach::Private,
                timeout: Duration::from_secs(30),
                ca_file: Some(ca.clone()),
                identity: identity.cloned(),
                token: None,
            };
            Syslog::new(&format!("tls://{host}:{port}"), &reaching).expect("it is one")
        };
        // A name that it has not, another authority, no certificate, and one of another authority:
        // whatever the protocol makes of it, no message counts as taken.
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
                sent.map_err(|fault| fault.reason),
                Err(Reason::Tls),
                "{place}"
            );
        }
        let sink = sink("localhost", &ca, Some(&client));
        for round in ["first", "second"] {
            let (sent, accepted) = tokio::join!(sink.send(round), accept(&listener, &acceptor));
            let mut stream = accepted.expect("it is believed");
            assert!(sent.is_ok(), "{round}");
            assert!(sink.send("of the same connection").await.is_ok());
            let expected = format!("{} {round}22 of the same connection", round.len());
            let mut heard = vec![0; expected.len()];
            stream.read_exact(&mut heard).await.expect("both come");
            assert_eq!(String::from_utf8(heard), Ok(expected));
            // The server ends: the next message has a connection of its own.
            stream.shutdown().await.expect("it says goodbye");
            drop(stream);
        }
    });
}

#[test]
fn addresses_name_a_host_and_a_port_and_no_more() {
    let reaching = Reaching {
        reach: Reach::Public,
        timeout: Duration::from_secs(1),
        ca_file: None,
        identity: None,
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
        assert!(Syslog::new(bad, &reaching).is_err(), "{bad}");
    }
    let sink = Syslog::new("udp://[::1]:514", &reaching).expect("it is one");
    assert_eq!(sink.shown(), "udp://[::1]:514");
}
