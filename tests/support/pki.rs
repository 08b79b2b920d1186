//! A certificate authority for tests, and the files that it makes.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority, with its own certificate in `NAME.ca` of its folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub file: PathBuf,
}

/// A certificate and its key, in files.
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

    /// A certificate for `name` of the DNS, which is its common name, too.
    pub fn issue(&self, name: &str) -> Pair {
        self.issue_until(name, 2100)
    }

    /// One that ends with the year's begin.
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
    /// The two lines of `[tls]` that name it.
    pub fn keys(&self) -> String {
        format!(
            "certificate = {:?}\nkey = {:?}\n",
            self.certificate.display().to_string(),
            self.key.display().to_string()
        )
    }
}
