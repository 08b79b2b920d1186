//! `[tls]`: the server's certificate, the authorities of senders, and which listeners use TLS.

use std::path::PathBuf;

use serde::Deserialize;
use weir_ingest::{ServeTlsError, TlsFiles, TlsServer};

/// Certificates. With one, syslog over TLS is served; other listeners use TLS if configured.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file: the server's certificate, then its intermediate certificates; default none.
    pub certificate: Option<PathBuf>,
    /// PEM file: the private key of `certificate`, without passphrase.
    pub key: Option<PathBuf>,
    /// PEM file: the authorities of senders' certificates, for syslog over TLS and RELP; default
    /// none: senders are asked for no certificate.
    pub client_ca: Option<PathBuf>,
    /// `required`, or `requested`, which also accepts senders without one; default `required`.
    pub client_certificates: Option<ClientCertificates>,
    /// Whether RELP uses TLS; default false.
    pub relp: bool,
    /// Whether the agent protocol uses TLS; default false.
    pub agent: bool,
    /// Whether HTTP uses TLS; default false.
    pub http: bool,
}

/// Whether a sender needs a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// A sender without one is refused.
    Required,
    /// A sender without one is accepted, and identified by its address.
    Requested,
}

impl TlsConfig {
    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut report = |problem: &str| problems.push(format!("tls.{problem}"));
        match (&self.certificate, &self.key) {
            (Some(_), None) => report("key: is missing; tls.certificate needs its private key"),
            (None, Some(_)) => report("certificate: is missing; tls.key needs it"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.client_certificates.is_some() && self.client_ca.is_none() {
            report("client_certificates: needs tls.client_ca, else senders are asked for none");
        }
        if self.certificate.is_none() {
            let wanted = [
                ("relp", self.relp),
                ("agent", self.agent),
                ("http", self.http),
            ];
            for (listener, _) in wanted.iter().filter(|(_, wanted)| *wanted) {
                report(&format!("{listener}: needs tls.certificate and tls.key"));
            }
            if self.client_ca.is_some() {
                report("client_ca: needs tls.certificate and tls.key");
            }
        }
        problems
    }

    /// Reads the files; `None` if no certificate is configured.
    pub fn load(&self) -> Result<Option<TlsServer>, ServeTlsError> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else {
            return Ok(None);
        };
        let files = TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: self.client_ca.clone(),
            client_required: self.client_certificates != Some(ClientCertificates::Requested),
        };
        TlsServer::load(files).map(Some)
    }
}
