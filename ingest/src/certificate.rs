//! What a certificate says: names of whom it is, and from when to when.

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The attribute that holds the common name.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Names of a certificate that are looked at: a sender has a few.
const NAMES_MAX: usize = 16;

/// Longest name: what a name in the DNS may have.
const NAME_BYTES_MAX: usize = 255;

/// The names in a certificate, those of the DNS first, the common name last, in lower case. A name
/// that is not printable ASCII without space is left out.
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
            _ => {} // Addresses and directory names name nobody.
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

/// From when to when it is valid, in seconds since 1970.
pub(crate) fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let validity = Certificate::from_der(der).ok()?.tbs_certificate.validity;
    let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs());
    Some((
        seconds(validity.not_before).ok()?,
        seconds(validity.not_after).ok()?,
    ))
}

/// Whether `pattern` means `name`: the same, or `*.` for the first part of it. In any case of letters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => name
            .split_once('.')
            .is_some_and(|(first, behind)| !first.is_empty() && behind.eq_ignore_ascii_case(rest)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}
