//! Headers of the Standard Webhooks specification: message id, timestamp and signature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use ring::hmac;
use weir_schema::{Change, ChangeKind, ReceiveTime};

use crate::format::body_limit::BodyCut;

/// Prefix of a secret in its text form.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Reports what a body lacks; a frame of FlatBuffers has no field for it.
const CUT: HeaderName = HeaderName::from_static("weir-cut");

/// Key that signs the messages of a webhook. `Debug` hides it.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

impl WebhookSecret {
    /// Parses `whsec_` followed by 24 to 64 bytes in base64.
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

/// Id of the message of a change: the same for every attempt, and after a restart.
#[must_use]
pub(crate) fn message_id(change: &Change) -> String {
    format!("alert_{}_{}", change.record.alert, change.record.revision)
}

/// Type of a message, such as `alert.raised`.
#[must_use]
pub(crate) const fn message_type(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Raised => "alert.raised",
        ChangeKind::Revised => "alert.revised",
        ChangeKind::Retracted => "alert.retracted",
    }
}

/// Makes the headers of a message that is sent at `now`. The signature covers the body.
pub(crate) fn headers(
    id: &str,
    body: &[u8],
    cut: Option<&BodyCut>,
    secret: Option<&WebhookSecret>,
    now: ReceiveTime,
) -> Result<Vec<(HeaderName, HeaderValue)>, InvalidHeaderValue> {
    let seconds = now.0.div_euclid(1_000_000_000);
    let mut headers = vec![
        (ID, HeaderValue::try_from(id)?),
        (TIMESTAMP, HeaderValue::try_from(seconds.to_string())?),
    ];
    if let Some(cut) = cut {
        headers.push((CUT, HeaderValue::try_from(cut.header())?));
    }
    if let Some(secret) = secret {
        let signature = secret.sign(id, seconds, body);
        headers.push((SIGNATURE, HeaderValue::try_from(signature)?));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_match_the_example_of_the_specification() {
        // The example on the page of the specification about signatures.
        let secret =
            WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signed = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_parsed_or_refused_and_never_shown() {
        let good = format!("whsec_{}", STANDARD.encode([7; 32]));
        let secret = WebhookSecret::parse(&good).expect("a secret");
        assert_eq!(format!("{secret:?}"), "WebhookSecret(..)");
        for bad in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ",
            "whsec_*",
        ] {
            assert!(WebhookSecret::parse(bad).is_none(), "{bad}");
        }
    }
}
