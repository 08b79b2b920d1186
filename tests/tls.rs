//! TLS end to end: senders known by their certificates, bad ones counted, files followed, agents and HTTPS.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::outside::find;
use support::pki::{Authority, Pair};
use support::{LIMIT, Weir, config, config_with_streams, skipped, until};
use weir_schema::Transport;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A client of TLS that believes `authority`, and shows `pair`.
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

/// Sends, says goodbye, and waits until the server has ended the connection.
fn send(mut tls: Tls, bytes: &[u8]) -> std::io::Result<()> {
    tls.write_all(bytes)?;
    tls.conn.send_close_notify();
    tls.flush()?;
    match tls.read(&mut [0]) {
        Ok(_) => Ok(()),
        // The end of a connection whose both sides have said goodbye.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(error),
    }
}

fn quoted(file: &Path) -> String {
    format!("{:?}", file.display().to_string())
}

/// `[tls]` with certificates required.
fn required(server: &Pair, authority: &Authority) -> String {
    format!("{}client_ca = {}\n", server.keys(), quoted(&authority.file))
}

#[test]
fn a_sender_is_known_by_its_certificate_whatever_it_claims() {
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
        send(tls, line).expect("it is taken");
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

#[test]
fn what_is_no_handshake_is_counted_by_its_reason_and_others_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(folder.path(), name));
    let tls = required(&authority.issue("localhost"), &authority);
    let more = "[connections]\nhandshake = \"500ms\"\nper_peer_max = 8\n";
    let weir = Weir::start(&data, &config_with_streams(0, &tls, more));
    let good = authority.issue("web1.example.com");
    let at = weir.tls;
    let by = |authority: &Authority, pair: Option<&Pair>| {
        // What the server says of it is an error here, at the first byte or later.
        let _ = send(client(at, &authority.file, pair), b"<13>refused\n");
    };
    let raw = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(at).expect("the port is open");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let _ = stream.write_all(bytes);
        stream
    };
    let until_closed = |mut stream: TcpStream| {
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 40]].concat();
    let attacks: [(&str, &str, Box<dyn Fn()>); 9] = [
        (
            "no certificate",
            "certificate_refused",
            Box::new(|| by(&authority, None)),
        ),
        (
            "a certificate of another authority",
            "certificate_refused",
            Box::new(|| by(&authority, Some(&other.issue("web1.other.example.com")))),
        ),
        (
            "an expired certificate",
            "certificate_refused",
            Box::new(|| {
                by(
                    &authority,
                    Some(&authority.issue_until("old.example.com", 2021)),
                )
            }),
        ),
        (
            "a sender that does not believe us",
            "certificate_disliked",
            Box::new(|| by(&other, Some(&good))),
        ),
        (
            "a plain line",
            "handshake_failed",
            Box::new(|| until_closed(raw(b"<13>plain\n"))),
        ),
        (
            "a record longer than records are",
            "handshake_failed",
            Box::new(|| until_closed(raw(&[&[0x16, 3, 3, 0xff, 0xff][..], &[1; 70_000]].concat()))),
        ),
        (
            "half a hello, then the end",
            "handshake_cut",
            Box::new(|| drop(raw(&hello))),
        ),
        (
            "half a hello, then nothing",
            "handshake_slow",
            Box::new(|| until_closed(raw(&hello))),
        ),
        (
            "nothing",
            "handshake_slow",
            Box::new(|| until_closed(raw(b""))),
        ),
    ];
    const CLOSED: &str = "weir_ingest_connections_closed_total";
    let closed =
        |reason: &str| weir.metric(CLOSED, &format!("reason=\"{reason}\",transport=\"tls\""));
    for (served, (what, reason, attack)) in attacks.iter().enumerate() {
        let before = closed(reason);
        attack();
        until(&format!("{what} counts as {reason}"), || {
            (closed(reason) > before).then_some(())
        });
        assert_eq!(closed(reason), before + 1.0, "{what}");
        let line = format!("<13>served behind: {what}\n");
        let tls = client(at, &authority.file, Some(&good));
        send(tls, line.as_bytes()).expect("others are served");
        weir.await_metric("weir_events_received_total", "tls", served as u64 + 1);
        println!("{what}: {reason}");
    }
    // A flood of handshakes that are never made holds eight places, and no more.
    const REFUSED: &str = "weir_ingest_connections_refused_total";
    let flood: Vec<TcpStream> = (0..40).map(|_| raw(b"")).collect();
    weir.await_metric(REFUSED, "reason=\"peer_limit\",transport=\"tls\"", 32);
    drop(flood);
    let tls = until("a place comes free", || {
        let mut tls = client(at, &authority.file, Some(&good));
        tls.write_all(b"<13>after the flood\n").ok().map(|()| tls)
    });
    send(tls, b"").expect("it is served");
    weir.await_metric(
        "weir_events_received_total",
        "tls",
        attacks.len() as u64 + 1,
    );
    weir.assert_well();
    weir.stop();
    let frames = support::frames(&data, Transport::Tls);
    let refused = frames.iter().filter(|frame| !frame.starts_with(b"<13>"));
    assert_eq!(refused.count(), 0, "nothing of them is journaled");
}

#[test]
fn files_that_cannot_be_used_end_the_start_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let [good, other] = ["localhost", "other"].map(|name| authority.issue(name));
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("it can be written");
        file
    };
    let text = std::fs::read_to_string(&good.certificate).expect("it is there");
    let no_pem = write("no.pem", "hello");
    let torn = write("torn.crt", &text[..text.len() / 2]);
    let bad = write("bad.crt", &text.replacen('M', "!", 1));
    let absent = folder.path().join("absent");
    let pair = |certificate: &Path, key: &Path| Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    for (pair, ca, said) in [
        (pair(&absent, &good.key), None, "cannot read"),
        (
            pair(&no_pem, &good.key),
            None,
            "has no certificate; it must be PEM",
        ),
        (
            pair(&good.key, &good.key),
            None,
            "has no certificate; it must be PEM",
        ),
        (pair(&torn, &good.key), None, "is not PEM"),
        (pair(&bad, &good.key), None, "is not PEM"),
        (
            pair(&good.certificate, &good.certificate),
            None,
            "has no private key",
        ),
        (
            pair(&good.certificate, &other.key),
            None,
            "does not match the certificate",
        ),
        (
            good.clone(),
            Some(&no_pem),
            "has no certificate; it must be PEM",
        ),
        (good.clone(), Some(&absent), "cannot read"),
    ] {
        let ca = ca.map_or_else(String::new, |ca| format!("client_ca = {}\n", quoted(ca)));
        let config = config_with_streams(0, &(pair.keys() + &ca), "");
        let ended = Weir::try_start(&folder.path().join("data"), &config).err();
        let ended = ended.unwrap_or_else(|| panic!("it starts, without: {said}"));
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

#[test]
fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let [old, new] = ["old", "new"].map(|name| Authority::new(folder.path(), name));
    // Expired: said, and served to those who do not look.
    let pair = old.issue_until("localhost", 2021);
    let weir = Weir::start(&data, &config_with_streams(0, &pair.keys(), ""));
    assert!(weir.stderr.text().contains("the certificate has expired"));
    assert!(
        send(client(weir.tls, &old.file, None), b"<13>a\n").is_err(),
        "this one looks"
    );
    // The authority writes to the same files.
    let _ = new.issue("localhost");
    weir.await_metric("weir_tls_reloads_total", "used", 1);
    send(client(weir.tls, &new.file, None), b"<13>b\n").expect("the new one is believed");
    std::fs::write(&pair.certificate, "half a file").expect("it can be written");
    weir.await_metric("weir_tls_reloads_total", "refused", 1);
    send(client(weir.tls, &new.file, None), b"<13>c\n").expect("the one before goes on");
    let expiry = weir.metric("weir_tls_certificate_expiry_seconds", "");
    assert_eq!(expiry, 4_102_444_800.0, "the year 2100");
    weir.await_metric("weir_events_received_total", "tls", 2);
    weir.stop();
    assert_eq!(support::frames(&data, Transport::Tls), [b"<13>b", b"<13>c"]);
}

#[test]
fn agents_and_https_speak_within_tls_and_the_token_still_counts() {
    let name = "agents_and_https_speak_within_tls_and_the_token_still_counts";
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(folder.path(), name));
    let server = authority.issue("localhost");
    let tls = server.keys() + "agent = true\nhttp = true\n";
    let weir = Weir::start(&data, &config_with_streams(0, &tls, ""));
    let file = folder.path().join("lines");
    std::fs::write(&file, "<13>1 - h a - - - one\n<13>1 - h a - - - two\n").expect("a file");
    let deliver = |ca: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(["send", "--patience", "5", "--to"]);
        command.arg(format!("localhost:{}", weir.agent.port()));
        command.arg("--data-dir").arg(&data);
        if let Some(ca) = ca {
            command.arg("--ca").arg(ca);
        }
        command.arg(&file).output().expect("it can be run")
    };
    let sent = deliver(Some(&authority.file));
    let said = String::from_utf8_lossy(&sent.stdout);
    assert!(said.contains("2 lines acknowledged"), "{sent:?}");
    for refused in [Some(other.file.as_path()), None] {
        assert!(!deliver(refused).status.success(), "{refused:?}");
    }
    let Some(curl) = find("curl") else {
        return skipped(name, "curl");
    };
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&curl);
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]);
        command.args(arguments);
        let url = format!("https://localhost:{}/metrics", weir.http.port());
        let answer = command.arg(url).output().expect("it can be run");
        String::from_utf8_lossy(&answer.stdout).into_owned()
    };
    let ca = authority.file.display().to_string();
    let token = format!("authorization: Bearer {}", weir.token);
    assert_eq!(ask(&["--cacert", &ca, "-H", &token]), "200");
    assert_eq!(ask(&["--cacert", &ca]), "401");
    assert_eq!(
        ask(&["--cacert", &other.file.display().to_string(), "-H", &token]),
        "000"
    );
    weir.kill();
    assert_eq!(support::frames(&data, Transport::Agent).len(), 2);
}

#[test]
fn every_verb_that_asks_a_server_speaks_https_with_whom_it_believes() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(folder.path(), name));
    let tls = authority.issue("localhost").keys() + "http = true\n";
    let weir = Weir::start(&data, &config_with_streams(0, &tls, ""));
    let plain = Weir::start(&folder.path().join("plain"), &config(""));
    let ask = |args: &str, url: &str, ca: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(args.split(' ')).env("WEIR_URL", url);
        command.env("WEIR__DATA_DIR", &data).env_remove("WEIR_CA");
        if let Some(ca) = ca {
            command.env("WEIR_CA", ca);
        }
        let out = command.output().expect("it can be started");
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let url = format!("https://localhost:{}", weir.http.port());
    let believed = Some(authority.file.as_path());
    for (args, code, said) in [
        ("health", 0, "ok"),
        ("top --once --interval 1", 0, "STAGE"),
        ("tap --seconds 1", 0, "\"end\""),
        (
            "explain 00000000000000000000000000000000",
            1,
            "knows no alert",
        ),
        ("rules disable nosuch", 1, "no rule has the id"),
        ("sinks list", 0, "no sink is configured"),
        ("what-if --list", 0, "GAINED"),
    ] {
        let (ended, told) = ask(args, &url, believed);
        assert_eq!(ended, Some(code), "{args}: {told}");
        assert!(told.contains(said), "{args}: {told}");
    }
    let at = |scheme: &str, host: &str, of: &Weir| format!("{scheme}://{host}:{}", of.http.port());
    for (url, ca, said) in [
        (
            url.clone(),
            Some(other.file.as_path()),
            "the authority of its certificate is not known here",
        ),
        (
            url.clone(),
            None,
            "the authority of its certificate is not known here",
        ),
        (
            at("https", "127.0.0.1", &weir),
            believed,
            "not valid for name",
        ),
        (
            at("https", "localhost", &plain),
            believed,
            "does not speak TLS",
        ),
        (at("http", "localhost", &weir), believed, "write `https://`"),
    ] {
        for verb in ["health", "tap --seconds 1"] {
            let (ended, told) = ask(verb, &url, ca);
            assert_eq!(ended, Some(69), "{url}: {told}");
            assert!(told.contains(said), "{url}: {told}");
        }
    }
    weir.kill();
    plain.kill();
}
