//! `[tls]`: what the server shows, whose certificates senders may show, and which doors it is for.

use std::path::PathBuf;

use serde::Deserialize;
use weir_ingest::{ServeTls, TlsFiles, TlsServer};

/// Certificates. Syslog over TLS is served where there is one; other doors where they are told so.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file: the server's certificate, then those between it and its authority; default none.
    pub certificate: Option<PathBuf>,
    /// PEM file: its private key, without passphrase.
    pub key: Option<PathBuf>,
    /// PEM file: the authorities of senders' certificates, for syslog over TLS and RELP; default
    /// none, and then none is asked for.
    pub client_ca: Option<PathBuf>,
    /// `required`, or `requested`: then a sender without a certificate is taken; default `required`.
    pub client_certificates: Option<ClientCertificates>,
    /// Whether RELP is spoken within TLS; default false.
    pub relp: bool,
    /// Whether agents speak within TLS; default false.
    pub agent: bool,
    /// Whether HTTP is served within TLS; default false.
    pub http: bool,
}

/// What happens to a sender without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// It is refused.
    Required,
    /// It is taken, and known by its address.
    Requested,
}

impl TlsConfig {
    /// What is wrong with the values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |what: &str| problems.push(format!("tls.{what}"));
        match (&self.certificate, &self.key) {
            (Some(_), None) => say("key: is missing; tls.certificate needs its private key"),
            (None, Some(_)) => say("certificate: is missing; tls.key is of no use without it"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.client_certificates.is_some() && self.client_ca.is_none() {
            say("client_certificates: needs tls.client_ca, else none is asked for");
        }
        if self.certificate.is_none() {
            let wanted = [
                ("relp", self.relp),
                ("agent", self.agent),
                ("http", self.http),
            ];
            for (door, _) in wanted.iter().filter(|(_, wanted)| *wanted) {
                say(&format!("{door}: needs tls.certificate and tls.key"));
            }
            if self.client_ca.is_some() {
                say("client_ca: needs tls.certificate and tls.key");
            }
        }
        problems
    }

    /// Reads the files; `None` where none are named.
    pub fn load(&self) -> Result<Option<TlsServer>, ServeTls> {
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
