//! Webhooks by the Standard Webhooks specification: ids, timestamps and signatures of what is posted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use ring::hmac;
use weir_schema::{Change, ChangeKind, ReceiveTime};

use crate::fault::{Fault, Reason};
use crate::http::Post;

/// What secrets begin with in text.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret, as the specification asks for.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The key that signatures are made with.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Reads `whsec_` and base64 of 24 to 64 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD
            .decode(text.trim().strip_prefix(SECRET_PREFIX)?)
            .ok()?;
        let fits = SECRET_BYTES.contains(&bytes.len());
        fits.then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// The id of a change: the same on every attempt, and after every restart.
#[must_use]
pub fn message_id(change: &Change) -> String {
    format!("alert_{}_{}", change.record.alert, change.record.revision)
}

/// `alert.raised` and the like.
#[must_use]
pub const fn message_type(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Raised => "alert.raised",
        ChangeKind::Revised => "alert.revised",
        ChangeKind::Retracted => "alert.retracted",
    }
}

/// Signs a message that is sent at `now`.
pub fn post(
    id: &str,
    content_type: &'static str,
    body: Vec<u8>,
    secret: Option<&Secret>,
    now: ReceiveTime,
) -> Result<Post, Fault> {
    let seconds = now.0.div_euclid(1_000_000_000);
    let value = |text: &str| {
        HeaderValue::try_from(text).map_err(|error| Fault::new(Reason::Content, error))
    };
    let mut headers = vec![(ID, value(id)?), (TIMESTAMP, value(&seconds.to_string())?)];
    if let Some(secret) = secret {
        headers.push((SIGNATURE, value(&secret.sign(id, seconds, &body))?));
    }
    Ok(Post {
        content_type,
        now,
        headers,
        body: Bytes::from(body),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the specification's own page on signatures.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signed = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_read_or_refused_and_never_shown() {
        let good = format!("whsec_{}", STANDARD.encode([7; 32]));
        let secret = Secret::parse(&good).expect("a secret");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        for bad in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ",
            "whsec_*",
        ] {
            assert!(Secret::parse(bad).is_none(), "{bad}");
        }
    }
}
