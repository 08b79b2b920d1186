//! Errors of setting up a sink.

use std::path::PathBuf;

/// Why a sink cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum RespondError {
    #[error("url: {reason}")]
    BadUrl { reason: String },
    #[error("cannot use the certificates in {}: {reason}", .file.display())]
    BadCertificates { file: PathBuf, reason: String },
    #[error("this machine has no root certificates; name some with `ca_file`")]
    NoCertificates,
    #[error("cannot set up TLS: {reason}")]
    Tls { reason: String },
    #[error("cannot start the sinks' thread")]
    Thread(#[source] std::io::Error),
}
