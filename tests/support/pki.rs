//! A certificate authority for tests, and the files it writes.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// A certificate authority with its own certificate in `file`.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub file: PathBuf,
}

/// Files of a certificate and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = folder.join(format!("{name}.ca"));
        std::fs::write(&file, certificate.pem()).expect("it can be written");
        Self {
            folder: folder.to_owned(),
            issuer: Issuer::new(params, key),
            file,
        }
    }

    /// Issues a certificate whose DNS name and common name are `name`.
    pub fn issue(&self, name: &str) -> Pair {
        self.issue_until(name, 2100)
    }

    /// [`Authority::issue`] with a certificate that expires when `year` begins.
    pub fn issue_until(&self, name: &str, year: i32) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pair = Pair {
            certificate: self.folder.join(format!("{name}.crt")),
            key: self.folder.join(format!("{name}.key")),
        };
        std::fs::write(&pair.certificate, certificate.pem()).expect("it can be written");
        std::fs::write(&pair.key, key.serialize_pem()).expect("it can be written");
        pair
    }
}

impl Pair {
    /// The two lines of a `[tls]` table that name these files.
    pub fn keys(&self) -> String {
        format!(
            "certificate = {:?}\nkey = {:?}\n",
            self.certificate.display().to_string(),
            self.key.display().to_string()
        )
    }
}
