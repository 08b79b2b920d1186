//! TLS to consumers: verifies their certificates, and presents our own if one is configured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use crate::error::RespondError;
use crate::failure::{DeliveryError, FailureReason};
use crate::options::{ClientCertificate, ConnectionOptions};

/// TLS client for one consumer.
#[derive(Clone)]
pub(crate) struct TlsClient {
    connector: TlsConnector,
    /// Name or address that the certificate of the consumer must be for.
    name: ServerName<'static>,
}

impl TlsClient {
    /// Reads the certificates once.
    pub(crate) fn new(url: &Url, connection: &ConnectionOptions) -> Result<Self, RespondError> {
        let bad = |reason: &str| RespondError::BadUrl {
            reason: reason.to_owned(),
        };
        let name = match url.host().ok_or_else(|| bad("it names no host"))? {
            Host::Domain(name) => ServerName::try_from(name.to_owned())
                .map_err(|_| bad("its host is not a valid server name"))?,
            Host::Ipv4(v4) => ServerName::IpAddress(std::net::IpAddr::V4(v4).into()),
            Host::Ipv6(v6) => ServerName::IpAddress(std::net::IpAddr::V6(v6).into()),
        };
        let tls = |error: rustls::Error| RespondError::Tls {
            reason: error.to_string(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_root_certificates(roots(connection.ca_file.as_deref())?);
        let config = match &connection.client_certificate {
            None => config.with_no_client_auth(),
            Some(certificate) => {
                let (chain, key) = client_chain(certificate)?;
                config.with_client_auth_cert(chain, key).map_err(tls)?
            }
        };
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, name })
    }

    /// Starts TLS on a connection, and verifies the consumer.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, DeliveryError> {
        let stream = self.connector.connect(self.name.clone(), stream).await;
        stream.map_err(|error| DeliveryError::new(FailureReason::Tls, error))
    }
}

/// Root certificates from `file`, or those of this machine.
fn roots(file: Option<&Path>) -> Result<RootCertStore, RespondError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        // Like other programs, skip certificates that cannot be used.
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return match roots.is_empty() {
            true => Err(RespondError::NoCertificates),
            false => Ok(roots),
        };
    };
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| bad(file, error))?;
    }
    Ok(roots)
}

fn client_chain(
    certificate: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), RespondError> {
    let chain = certificates(&certificate.chain)?;
    let key = PrivateKeyDer::from_pem_file(&certificate.key);
    Ok((chain, key.map_err(|error| bad(&certificate.key, error))?))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, RespondError> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| bad(file, error))?;
    let found: Vec<_> = found
        .collect::<Result<_, _>>()
        .map_err(|error| bad(file, error))?;
    match found.is_empty() {
        true => Err(bad(file, "the file holds no certificate")),
        false => Ok(found),
    }
}

fn bad(file: &Path, reason: impl std::fmt::Display) -> RespondError {
    RespondError::BadCertificates {
        file: PathBuf::from(file),
        reason: reason.to_string(),
    }
}
