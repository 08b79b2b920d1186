//! TLS of the agent: how it verifies the server.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::AgentError;

/// The trusted certificate authorities, and the expected name of the server.
#[derive(Clone)]
pub struct AgentTls {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for AgentTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentTls({:?})", self.name)
    }
}

/// A connection, plain or over TLS.
pub(crate) trait AgentStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AgentStream for S {}

impl AgentTls {
    /// Trusts only servers whose certificate is issued by an authority in `file` (PEM).
    pub fn from_ca_file(file: &Path) -> Result<Self, AgentError> {
        let bad = |why: String| AgentError::Authority(format!("{}: {why}", file.display()));
        let text = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&text) {
            let authority = authority.map_err(|error| bad(error.to_string()))?;
            roots
                .add(authority)
                .map_err(|error| bad(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(bad("it has no certificate; it must be PEM".to_owned()));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: None,
        })
    }

    /// Sets the name that the certificate must have, if it is not the host of the address.
    pub fn with_name(mut self, name: &str) -> Result<Self, AgentError> {
        let parsed = ServerName::try_from(name.to_owned());
        let parsed =
            parsed.map_err(|_| AgentError::Authority(format!("`{name}` is not a host name")))?;
        self.name = Some(parsed);
        Ok(self)
    }

    pub(crate) async fn connect(
        &self,
        address: &str,
        stream: TcpStream,
    ) -> io::Result<Box<dyn AgentStream>> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                ServerName::try_from(host.to_owned())
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?
            }
        };
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}
