//! Posts to servers on loopback, with and without TLS, and judges their answers.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::header::HeaderValue;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::options::BearerToken;

#[test]
fn answers_are_judged_by_status_and_only_some_may_request_a_pause() {
    let table = [
        (200, None),
        (204, None),
        (301, Some(FailureReason::Redirect)),
        (400, Some(FailureReason::Refused)),
        (410, Some(FailureReason::Gone)),
        (429, Some(FailureReason::Refused)),
        (500, Some(FailureReason::Server)),
        (503, Some(FailureReason::Server)),
    ];
    for (status, expected) in table {
        let pause = Some(Span::seconds(7));
        let status = StatusCode::from_u16(status).expect("a status");
        let judged = judge(status, pause, b"no\x1b[2J\n");
        let Err(error) = judged else {
            assert_eq!(expected, None, "{status}");
            continue;
        };
        assert_eq!(Some(error.reason), expected);
        assert_eq!(error.failure.gone, error.reason == FailureReason::Gone);
        let may_pause = [429, 500, 503].contains(&status.as_u16());
        assert_eq!(error.failure.pause, pause.filter(|_| may_pause), "{status}");
        let reason = format!("{}: {} no [2J ", error.reason.name(), status.as_u16());
        assert_eq!(error.failure.reason, reason);
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_of_the_consumers_clock() {
    // 07:28:00 by our clock, which counts if the consumer shows none.
    let now = ReceiveTime(1_792_567_680_000_000_000);
    let date = "Wed, 21 Oct 2026 07:30:00 GMT";
    let table = [
        ("7", None, Some(7)),
        (" 7 ", None, Some(7)),
        ("0", None, Some(0)),
        ("-1", None, None),
        ("soon", None, None),
        ("99999999999999999999", None, None),
        ("18446744073709551615", None, Some(300)),
        ("3600", None, Some(300)),
        (date, None, Some(120)),
        // Relative to its own clock, even if that is wrong.
        (date, Some("Wed, 21 Oct 2026 07:29:30 GMT"), Some(30)),
        (date, Some("Thu, 01 Jan 1970 00:00:00 GMT"), Some(300)),
        (date, Some("today"), Some(120)),
        ("Wednesday, 21-Oct-26 07:30:00 GMT", None, Some(120)),
        ("Wed Oct 21 07:30:00 2026", None, Some(120)),
        // A date in the past requests no pause.
        ("Wed, 21 Oct 2026 07:00:00 GMT", None, Some(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None, Some(300)),
    ];
    for (text, date, expected) in table {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
        if let Some(date) = date {
            headers.insert(header::DATE, HeaderValue::from_static(date));
        }
        let pause = retry_after(&headers, now);
        assert_eq!(pause, expected.map(Span::seconds), "{text} {date:?}");
    }
    let earlier = ReceiveTime(now.0 - 1);
    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static(date));
    assert_eq!(retry_after(&headers, earlier), Some(Span::seconds(121)));
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

fn connection(address_scope: AddressScope) -> ConnectionOptions {
    ConnectionOptions {
        address_scope,
        timeout: Duration::from_secs(30),
        ca_file: None,
        client_certificate: None,
        token: None,
    }
}

fn post() -> HttpPost {
    HttpPost {
        content_type: "application/json",
        now: ReceiveTime(0),
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
    }
}

#[test]
fn urls_with_other_schemes_or_credentials_are_refused() {
    let new = |url: &str| HttpEndpoint::new(url, &connection(AddressScope::Public));
    for bad in [
        "",
        "ftp://x/",
        "http://",
        "http://user:secret@x/",
        "javascript:alert(1)",
        "/x",
    ] {
        assert!(new(bad).is_err(), "{bad}");
    }
    let endpoint = new("http://x:8080/a/b?key=secret#c").expect("a valid URL");
    assert_eq!(endpoint.shown(), "http://x:8080/…");
    assert_eq!(
        format!("{endpoint:?}"),
        "HttpEndpoint { url: \"http://x:8080/…\", .. }"
    );
    let endpoint = new("https://[::1]").expect("a valid URL");
    assert_eq!(endpoint.shown(), "https://[::1]/");
}

/// Answers one request with 204, over TLS with this key.
async fn serve(listener: TcpListener, key: CertifiedKey<rcgen::KeyPair>) {
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], secret)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 ok\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    }
}

#[test]
fn a_success_counts_even_without_its_body() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
            let _ = stream.write_all(head).await;
            let _ = ended.await; // The body is never sent.
        });
        let url = format!("http://127.0.0.1:{port}/");
        let endpoint =
            HttpEndpoint::new(&url, &connection(AddressScope::Private)).expect("a valid URL");
        assert!(endpoint.post(post()).await.is_ok());
        drop(end);
        server.await.expect("the server ends");
    });
}

#[test]
fn certificates_are_verified() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let key = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(key.cert.pem().as_bytes())
            .expect("it can be written");
        let ca = file.path().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let server = tokio::spawn(serve(listener, key));
        let failure = async |host: &str, ca: Option<&PathBuf>, scope: AddressScope| {
            let url = format!("https://{host}:{port}/");
            let endpoint = HttpEndpoint::new(
                &url,
                &ConnectionOptions {
                    ca_file: ca.cloned(),
                    token: Some(BearerToken("t".to_owned())),
                    ..connection(scope)
                },
            );
            let answer = match endpoint {
                Ok(endpoint) => endpoint.post(post()).await,
                // This machine may have no root certificates.
                Err(_) => return Some(FailureReason::Tls),
            };
            answer.err().map(|error| error.reason)
        };
        assert_eq!(
            failure("localhost", Some(&ca), AddressScope::Private).await,
            None
        );
        // Refused with the roots of this machine, and under another name.
        assert_eq!(
            failure("localhost", None, AddressScope::Private).await,
            Some(FailureReason::Tls)
        );
        assert_eq!(
            failure("127.0.0.1", Some(&ca), AddressScope::Private).await,
            Some(FailureReason::Tls)
        );
        assert_eq!(
            failure("localhost", Some(&ca), AddressScope::Public).await,
            Some(FailureReason::Address)
        );
        server.abort();
    });
}
