//! TLS for listeners: loads certificates and keys from files, and reloads them when they change.
//!
//! The files are checked every [`RELOAD_PERIOD`]. Changed files serve new connections. If they are
//! unusable, an error is logged and the previous ones stay in use. The server sends no session tickets:
//! a sender that never reads would close its socket with unread tickets, the close would become a
//! reset, and the lines sent last would be lost.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{
    ClientHello, ResolvesServerCert, WantsServerCert, WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{self, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use tokio_rustls::server::TlsStream;

use crate::certificate;
use crate::metrics::IngestMetrics;

/// Interval between checks of the files: a renewed certificate is in use within seconds.
const RELOAD_PERIOD: Duration = Duration::from_secs(2);

/// Largest PEM file: four times a bundle of all public authorities.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files of a TLS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the server's certificate, then the intermediate certificates.
    pub certificate: PathBuf,
    /// PEM: its private key, as PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
    /// PEM: the authorities of the senders' certificates; `None` requests no certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether a sender without a certificate is refused. A wrong certificate is always refused.
    pub client_required: bool,
}

/// Reason why the files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum ServeTlsError {
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{} has a part that is not PEM", .0.display())]
    Pem(PathBuf, #[source] pem::Error),
    #[error(
        "{} has no certificate; it must be PEM, with `-----BEGIN CERTIFICATE-----`", .0.display()
    )]
    NoCertificate(PathBuf),
    #[error(
        "{} has no usable private key; it must be PEM, without passphrase", .0.display()
    )]
    NoKey(PathBuf),
    #[error("{} has a key of an unsupported type; use an ECDSA P-256 key", .0.display())]
    KeyKind(PathBuf, #[source] rustls::Error),
    #[error("the key in {} does not match the certificate in {}", .key.display(), .certificate.display())]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
    #[error("{} has an unusable certificate", .0.display())]
    BadCertificate(PathBuf, #[source] rustls::Error),
    #[error("{} has no authority usable for client certificates", .0.display())]
    BadAuthority(PathBuf, #[source] rustls::server::VerifierBuilderError),
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// The result of loading the files once.
struct TlsState {
    config: Arc<ServerConfig>,
    /// Like `config`, but requests no client certificate.
    plain: Arc<ServerConfig>,
    key: Arc<CertifiedKey>,
    stamps: FileStamps,
}

/// Length and modification time of each file, to detect changes.
type FileStamps = Vec<Option<(u64, SystemTime)>>;

/// The server side of TLS. Clones share the loaded files.
#[derive(Clone)]
pub struct TlsServer {
    inner: Arc<Inner>,
    requests_certificates: bool,
}

struct Inner {
    files: TlsFiles,
    state: RwLock<TlsState>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsServer({})", self.files.certificate.display())
    }
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl TlsServer {
    /// Loads the files. An expired certificate is logged and still used: the server's clock may be
    /// wrong, and senders check the certificate themselves.
    pub fn load(files: TlsFiles) -> Result<Self, ServeTlsError> {
        let state = load(&files)?;
        warn_on_validity(&files, &state.key);
        let state = RwLock::new(state);
        Ok(Self {
            inner: Arc::new(Inner { files, state }),
            requests_certificates: true,
        })
    }

    /// The same server, for senders that authenticate in another way.
    #[must_use]
    pub fn without_client_certificates(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            requests_certificates: false,
        }
    }

    /// The configuration of an HTTP server, which requests no client certificate. It uses reloaded
    /// files as well.
    pub fn for_http(&self) -> Result<ServerConfig, ServeTlsError> {
        Ok(builder()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.inner) as _))
    }

    /// Reloads the files if they have changed. Returns whether new files are in use.
    pub fn reload(&self) -> Result<bool, ServeTlsError> {
        let stamps = stamps(&self.inner.files);
        if self.inner.read().stamps == stamps {
            return Ok(false);
        }
        let state = load(&self.inner.files);
        let mut before = self
            .inner
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // An unusable file is reported once, not every few seconds.
        before.stamps = stamps;
        let state = state?;
        warn_on_validity(&self.inner.files, &state.key);
        *before = state;
        Ok(true)
    }

    /// Checks and reloads the files periodically. It never returns.
    pub async fn watch(self, metrics: IngestMetrics) {
        metrics.set_certificate_expiry(self.expiry());
        loop {
            tokio::time::sleep(RELOAD_PERIOD).await;
            match self.reload() {
                Ok(false) => continue,
                Ok(true) => {
                    tracing::info!("reloaded the TLS certificate");
                    metrics.count_tls_reload("used");
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "cannot reload the TLS certificate; using the previous one");
                    metrics.count_tls_reload("refused");
                }
            }
            metrics.set_certificate_expiry(self.expiry());
        }
    }

    /// Expiry of the certificate, in seconds since 1970.
    fn expiry(&self) -> i64 {
        let state = self.inner.read();
        let validity = state
            .key
            .cert
            .first()
            .and_then(|c| certificate::validity(c));
        validity.map_or(0, |(_, end)| end)
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = {
            let state = self.inner.read();
            Arc::clone(if self.requests_certificates {
                &state.config
            } else {
                &state.plain
            })
        };
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl Inner {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, TlsState> {
        // Each write replaces the whole value, so a panic leaves it consistent.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Inner {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.read().key))
    }
}

/// The `ring` provider: its build needs nothing but a C compiler.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn load(files: &TlsFiles) -> Result<TlsState, ServeTlsError> {
    // Read the stamps first: a file that changes during the load is then loaded again.
    let stamps = stamps(files);
    let key = Arc::new(certified_key(files)?);
    let plain = Arc::new(server_config(builder()?.with_no_client_auth(), &key));
    let config = match &files.client_ca {
        None => Arc::clone(&plain),
        Some(file) => {
            let roots = Arc::new(authorities(file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = if files.client_required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier.build();
            let verifier = verifier.map_err(|e| ServeTlsError::BadAuthority(file.clone(), e))?;
            let asking = builder()?.with_client_cert_verifier(verifier);
            Arc::new(server_config(asking, &key))
        }
    };
    Ok(TlsState {
        config,
        plain,
        key,
        stamps,
    })
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, ServeTlsError> {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(ServeTlsError::Setup)
}

fn server_config(
    builder: ConfigBuilder<ServerConfig, WantsServerCert>,
    key: &Arc<CertifiedKey>,
) -> ServerConfig {
    let resolver = SingleCertAndKey::from(Arc::clone(key));
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.send_tls13_tickets = 0;
    config
}

fn certified_key(files: &TlsFiles) -> Result<CertifiedKey, ServeTlsError> {
    let TlsFiles {
        certificate, key, ..
    } = files;
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => ServeTlsError::NoKey(key.clone()),
        error => ServeTlsError::Pem(key.clone(), error),
    })?;
    let signing = ring::sign::any_supported_type(&private);
    let signing = signing.map_err(|error| ServeTlsError::KeyKind(key.clone(), error))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // Unknown: this type of key cannot be compared.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(ServeTlsError::KeyMismatch {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        Err(error) => Err(ServeTlsError::BadCertificate(certificate.clone(), error)),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ServeTlsError> {
    let text = read(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| ServeTlsError::Pem(file.to_owned(), error))?;
    if chain.is_empty() {
        return Err(ServeTlsError::NoCertificate(file.to_owned()));
    }
    Ok(chain)
}

fn authorities(file: &Path) -> Result<RootCertStore, ServeTlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(file)? {
        let added = roots.add(authority);
        added.map_err(|error| ServeTlsError::BadCertificate(file.to_owned(), error))?;
    }
    Ok(roots)
}

fn read(file: &Path) -> Result<Vec<u8>, ServeTlsError> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|f| f.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| ServeTlsError::Read(file.to_owned(), error))?;
    Ok(bytes)
}

fn stamps(files: &TlsFiles) -> FileStamps {
    let file_stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    let all = [
        Some(&files.certificate),
        Some(&files.key),
        files.client_ca.as_ref(),
    ];
    all.into_iter().flatten().map(file_stamp).collect()
}

fn warn_on_validity(files: &TlsFiles, key: &CertifiedKey) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let file = files.certificate.display();
    match key.cert.first().and_then(|c| certificate::validity(c)) {
        Some((_, end)) if end < now => {
            tracing::warn!(%file, "the certificate has expired; senders that verify it will not connect");
        }
        Some((start, _)) if start > now => {
            tracing::warn!(%file, "the certificate is not valid yet; check the system clock");
        }
        Some(_) => {}
        None => tracing::warn!(%file, "cannot read the validity of the certificate"),
    }
}
