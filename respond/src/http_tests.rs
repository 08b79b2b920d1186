//! Requests to servers on loopback, with and without TLS, and what answers mean.

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
use crate::carrier::Token;

#[test]
fn answers_are_judged_by_their_status_and_pauses_bounded_by_who_may_ask() {
    let table = [
        (200, None),
        (204, None),
        (301, Some(Reason::Redirect)),
        (400, Some(Reason::Refused)),
        (410, Some(Reason::Gone)),
        (429, Some(Reason::Refused)),
        (500, Some(Reason::Server)),
        (503, Some(Reason::Server)),
    ];
    for (status, expected) in table {
        let pause = Some(Span::seconds(7));
        let status = StatusCode::from_u16(status).expect("a status");
        let judged = judge(status, pause, b"no\x1b[2J\n");
        let Err(fault) = judged else {
            assert_eq!(expected, None, "{status}");
            continue;
        };
        assert_eq!(Some(fault.reason), expected);
        assert_eq!(fault.failure.gone, fault.reason == Reason::Gone);
        let asks = [429, 500, 503].contains(&status.as_u16());
        assert_eq!(fault.failure.pause, pause.filter(|_| asks), "{status}");
        let reason = format!("{}: {} no [2J ", fault.reason.name(), status.as_u16());
        assert_eq!(fault.failure.reason, reason);
    }
}

#[test]
fn a_pause_is_asked_for_in_seconds_or_as_a_date_of_who_asks() {
    // 07:28:00 by our clock, at which a consumer without one is taken to answer.
    let now = ReceiveTime(1_792_567_680_000_000_000);
    let date = "Wed, 21 Oct 2026 07:30:00 GMT";
    let table = [
        ("7", None, Some(7)),
        (" 7 ", None, Some(7)),
        ("0", None, Some(0)),
        ("-1", None, None),
        ("soon", None, None),
        ("99999999999999999999", None, None),
        ("18446744073709551615", None, Some(3_600)),
        (date, None, Some(120)),
        // By its own clock, however wrong.
        (date, Some("Wed, 21 Oct 2026 07:29:30 GMT"), Some(30)),
        (date, Some("Thu, 01 Jan 1970 00:00:00 GMT"), Some(3_600)),
        (date, Some("today"), Some(120)),
        ("Wednesday, 21-Oct-26 07:30:00 GMT", None, Some(120)),
        ("Wed Oct 21 07:30:00 2026", None, Some(120)),
        // What has passed asks for nothing.
        ("Wed, 21 Oct 2026 07:00:00 GMT", None, Some(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None, Some(3_600)),
    ];
    for (text, date, expected) in table {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
        if let Some(date) = date {
            headers.insert(header::DATE, HeaderValue::from_static(date));
        }
        let asked = retry_after(&headers, now);
        assert_eq!(asked, expected.map(Span::seconds), "{text} {date:?}");
    }
    let earlier = ReceiveTime(now.0 - 1);
    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static(date));
    assert_eq!(retry_after(&headers, earlier), Some(Span::seconds(121)));
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

fn reaching(reach: Reach) -> Reaching {
    Reaching {
        reach,
        timeout: Duration::from_secs(30),
        ca_file: None,
        identity: None,
        token: None,
    }
}

fn post() -> Post {
    Post {
        content_type: "application/json",
        now: ReceiveTime(0),
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
    }
}

#[test]
fn addresses_with_what_does_not_belong_there_are_refused() {
    let new = |url: &str| Endpoint::new(url, &reaching(Reach::Public));
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
    let endpoint = new("http://x:8080/a/b?key=secret#c").expect("it is one");
    assert_eq!(endpoint.shown(), "http://x:8080/…");
    assert_eq!(
        format!("{endpoint:?}"),
        "Endpoint { url: \"http://x:8080/…\", .. }"
    );
    let endpoint = new("https://[::1]").expect("it is one");
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
fn a_receipt_counts_whatever_its_body_does() {
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
            let _ = ended.await; // The body never comes.
        });
        let url = format!("http://127.0.0.1:{port}/");
        let endpoint = Endpoint::new(&url, &reaching(Reach::Private)).expect("it is one");
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
        let told = async |host: &str, ca: Option<&PathBuf>, reach: Reach| {
            let url = format!("https://{host}:{port}/");
            let endpoint = Endpoint::new(
                &url,
                &Reaching {
                    ca_file: ca.cloned(),
                    token: Some(Token("t".to_owned())),
                    ..reaching(reach)
                },
            );
            let answer = match endpoint {
                Ok(endpoint) => endpoint.post(post()).await,
                // A machine without certificates verifies nobody.
                Err(_) => return Some(Reason::Tls),
            };
            answer.err().map(|fault| fault.reason)
        };
        assert_eq!(told("localhost", Some(&ca), Reach::Private).await, None);
        // Not by the machine's own, and not under another name.
        assert_eq!(
            told("localhost", None, Reach::Private).await,
            Some(Reason::Tls)
        );
        assert_eq!(
            told("127.0.0.1", Some(&ca), Reach::Private).await,
            Some(Reason::Tls)
        );
        assert_eq!(
            told("localhost", Some(&ca), Reach::Public).await,
            Some(Reason::Address)
        );
        server.abort();
    });
}
