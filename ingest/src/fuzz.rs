//! Entry points of the fuzzer to the certificate code. They are not part of the public interface.

use crate::certificate;

/// The names in a certificate, with the start and end of its validity.
pub fn certificate(der: &[u8]) -> (Vec<String>, Option<(i64, i64)>) {
    (certificate::names(der), certificate::validity(der))
}

/// Whether a pattern of the configuration matches a name.
pub fn matches(pattern: &str, name: &str) -> bool {
    certificate::matches(pattern, name)
}
