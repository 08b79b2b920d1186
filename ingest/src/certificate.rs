//! Reads the names and the validity of a certificate.

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Object identifier of the common name.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Most names read from a certificate; senders have a few.
const NAMES_MAX: usize = 16;

/// Longest name: the limit of DNS names.
const NAME_BYTES_MAX: usize = 255;

/// The names in a certificate in lower case: DNS names first, the common name last. Names that are not
/// printable ASCII without spaces are left out.
pub(crate) fn names(der: &[u8]) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(der) else {
        return Vec::new();
    };
    let certificate = certificate.tbs_certificate;
    let alternatives = match certificate.get::<SubjectAltName>() {
        Ok(Some((_, SubjectAltName(names)))) => names,
        Ok(None) | Err(_) => Vec::new(),
    };
    let (mut dns, mut other) = (Vec::new(), Vec::new());
    for name in &alternatives {
        match name {
            GeneralName::DnsName(name) => dns.push(name.as_str()),
            GeneralName::Rfc822Name(name) | GeneralName::UniformResourceIdentifier(name) => {
                other.push(name.as_str());
            }
            _ => {} // Addresses and directory names do not identify a sender.
        }
    }
    let attributes = certificate.subject.0.iter().flat_map(|set| set.0.iter());
    let common = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
    let common = common.filter_map(|attribute| {
        let value = &attribute.value;
        let utf8 = value.decode_as::<Utf8StringRef<'_>>().map(|t| t.as_str());
        let printable = || {
            value
                .decode_as::<PrintableStringRef<'_>>()
                .map(|t| t.as_str())
        };
        let ia5 = || value.decode_as::<Ia5StringRef<'_>>().map(|t| t.as_str());
        utf8.or_else(|_| printable()).or_else(|_| ia5()).ok()
    });
    let mut names: Vec<String> = Vec::new();
    for name in dns.into_iter().chain(other).chain(common) {
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
        let name = name.to_ascii_lowercase();
        if fits && name.bytes().all(|b| b.is_ascii_graphic()) && !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(NAMES_MAX);
    names
}

/// Start and end of the validity, in seconds since 1970.
pub(crate) fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let validity = Certificate::from_der(der).ok()?.tbs_certificate.validity;
    let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs());
    Some((
        seconds(validity.not_before).ok()?,
        seconds(validity.not_after).ok()?,
    ))
}

/// Whether `pattern` matches `name`, ignoring case. `*.` matches exactly the first label of a name.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => name
            .split_once('.')
            .is_some_and(|(first, behind)| !first.is_empty() && behind.eq_ignore_ascii_case(rest)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}
