//! Files of certificates and keys: refused at the start, and followed while the server runs.

use std::path::Path;

use weir_schema::Transport;

use super::support::pki::{Authority, Pair};
use super::support::{Weir, config_with_streams, frames};
use super::{client, quoted, send};

#[test]
fn unusable_files_end_the_start_with_a_reason() {
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
    for (pair, ca, reason) in [
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
            "has no usable private key",
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
        let ended = ended.unwrap_or_else(|| panic!("it starts, without: {reason}"));
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{reason}: {}", ended.stderr);
    }
}

#[test]
fn a_renewed_certificate_is_used_and_a_broken_one_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let [old, new] = ["old", "new"].map(|name| Authority::new(folder.path(), name));
    // An expired certificate is logged and used. This client refuses it.
    let pair = old.issue_until("localhost", 2021);
    let weir = Weir::start(&data, &config_with_streams(0, &pair.keys(), ""));
    assert!(weir.stderr.text().contains("the certificate has expired"));
    assert!(
        send(client(weir.tls, &old.file, None), b"<13>a\n").is_err(),
        "an expired certificate was accepted"
    );
    // The new authority writes to the same files.
    let _ = new.issue("localhost");
    weir.await_metric("weir_tls_reloads_total", "used", 1);
    send(client(weir.tls, &new.file, None), b"<13>b\n").expect("the new certificate is used");
    std::fs::write(&pair.certificate, "half a file").expect("it can be written");
    weir.await_metric("weir_tls_reloads_total", "refused", 1);
    send(client(weir.tls, &new.file, None), b"<13>c\n").expect("the last good certificate is used");
    let expiry = weir.metric("weir_tls_certificate_expiry_seconds", "");
    assert_eq!(expiry, 4_102_444_800.0, "the year 2100");
    weir.await_metric("weir_events_received_total", "tls", 2);
    weir.stop();
    assert_eq!(frames(&data, Transport::Tls), [b"<13>b", b"<13>c"]);
}
