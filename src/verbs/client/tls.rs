//! TLS of the client: which authorities it trusts, and how failed handshakes are reported.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use url::{Host, Position, Url};

use crate::exit::ExitError;

/// A configuration that trusts the authorities in `ca`, or by default those of the machine.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let roots = match ca {
        Some(file) => authorities_from_file(file)?,
        None => machine_authorities()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The authorities in a PEM file.
pub fn authorities_from_file(file: &Path) -> Result<RootCertStore> {
    let name = file.display();
    let text = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
    let mut roots = RootCertStore::empty();
    let bad = |why: &dyn std::fmt::Display| ExitError::BadData(format!("{name}: {why}"));
    for authority in CertificateDer::pem_slice_iter(&text) {
        let authority = authority.map_err(|error| bad(&error))?;
        roots.add(authority).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"it has no certificate; it must be PEM").into());
    }
    Ok(roots)
}

fn machine_authorities() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let message = "this machine has no certificates of authorities (package ca-certificates); \
                    name a file of them with --ca";
        return Err(ExitError::Io(message.to_owned()).into());
    }
    Ok(roots)
}

/// Does the handshake, which verifies that the server has a certificate for its address.
pub fn handshake(
    config: &Arc<ClientConfig>,
    url: &Url,
    mut socket: TcpStream,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
        Some(Host::Ipv4(ip)) => Some(ServerName::IpAddress(ip.into())),
        Some(Host::Ipv6(ip)) => Some(ServerName::IpAddress(ip.into())),
        None => None,
    };
    let at = &url[..Position::BeforePath];
    let name = name.ok_or_else(|| anyhow!("{at} has no host that a certificate could name"))?;
    let mut session =
        ClientConnection::new(Arc::clone(config), name).context("TLS cannot be started")?;
    while session.is_handshaking() {
        let Err(error) = session.complete_io(&mut socket) else {
            continue;
        };
        let cause = error.get_ref().and_then(|error| error.downcast_ref());
        let why = match cause {
            Some(cause) => reason(cause),
            None => format!("it ended the handshake ({error}); does it speak TLS?"),
        };
        return Err(ExitError::Unreachable(format!("{at} is not trusted: {why}")).into());
    }
    Ok(StreamOwned::new(session, socket))
}

/// The reason of a failed handshake, with a remedy.
fn reason(error: &rustls::Error) -> String {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "the authority of its certificate is not known here; name that authority's file \
             with --ca"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(
            bad @ (Bad::NotValidForName | Bad::NotValidForNameContext { .. }),
        ) => format!("{bad}; name the server with --url as its certificate does"),
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS; write `http://` if that is meant".to_owned()
        }
        other => other.to_string(),
    }
}
