//! What is read of a sender's certificate: the fuzzer's way in, part of no interface.

use crate::certificate;

/// The names in a certificate, and from when to when it is valid.
pub fn certificate(der: &[u8]) -> (Vec<String>, Option<(i64, i64)>) {
    (certificate::names(der), certificate::validity(der))
}

/// Whether a pattern of the configuration means a name.
pub fn matches(pattern: &str, name: &str) -> bool {
    certificate::matches(pattern, name)
}
