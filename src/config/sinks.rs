//! `[[sink]]`: the consumers of alerts, which alerts each receives, how, and for how long Weir
//! retries.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_respond::{
    AddressScope, BODY_BYTES_MIN, BearerToken, ClientCertificate, ConnectionOptions, RetryPolicy,
    SINKS_MAX, SinkOptions, SinkStart, SinkTarget, WebhookFormat, WebhookSecret,
};
use weir_schema::outbox::OutboxFilter;
use weir_schema::{Level, Span};

use super::HumanDuration;

/// Largest file of a secret or a token that is read.
const SECRET_BYTES_MAX: u64 = 4 << 10;

/// Limits that a webhook's bodies may have, in KiB. The least fits every id.
const BODY_KIB: RangeInclusive<u32> = (BODY_BYTES_MIN >> 10) as u32..=4_096;

/// Longest name of a sink, which is a label of metrics.
const NAME_BYTES_MAX: usize = 64;

/// One consumer of alerts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Lower-case letters, digits, `-` and `_`. The journal stores the sink's position by name.
    pub name: String,
    /// `webhook`, `alertmanager` or `cef`.
    #[serde(rename = "type")]
    pub kind: SinkKind,
    /// `https://…` or `http://…`; for `cef` `tls://HOST:PORT`, `tcp://HOST:PORT` or
    /// `udp://HOST:PORT`.
    pub url: String,
    /// `whsec_…`, which signs a webhook.
    pub secret: Option<SecretText>,
    /// File with the secret, instead of `secret`.
    pub secret_file: Option<PathBuf>,
    /// File with a token, which is sent as `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
    /// Body of a webhook: `json`, `ocsf` or `flatbuffers`; default `json`.
    #[serde(default)]
    pub format: SinkFormat,
    /// Largest body of a webhook in KiB, 32 to 4096; evidence and long values are cut until it
    /// fits. Default 256.
    #[serde(default = "default_body_max_kib")]
    pub body_max_kib: u32,
    /// `all`, or `create-only` for a consumer that cannot retract; default `all`.
    #[serde(default)]
    pub mode: SinkMode,
    /// `confirmed`, or `provisional` to send also alerts that are not confirmed; default
    /// `confirmed`.
    #[serde(default)]
    pub states: SinkStates,
    /// Sends alerts of this level or a higher one; default all.
    pub min_level: Option<SinkLevel>,
    /// Sends alerts of these rules, by id; default all.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Sends alerts of these tenants; default all.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Where a new sink begins: `now`, or `start` for every alert so far; default `now`.
    #[serde(default)]
    pub from: SinkFrom,
    /// Whether the sink may connect to private networks and to this machine; default false.
    #[serde(default)]
    pub allow_private: bool,
    /// Root certificates to verify a consumer over `https` or `tls`, instead of this machine's.
    pub ca_file: Option<PathBuf>,
    /// Certificate that Weir presents to a consumer that requests one.
    pub certificate: Option<PathBuf>,
    /// Private key of `certificate`.
    pub key: Option<PathBuf>,
    /// Longest attempt; default `15s`.
    #[serde(default = "default_timeout")]
    pub timeout: HumanDuration,
    /// Delay before the second attempt, doubled with each further one; default `1s`.
    #[serde(default = "default_retry_min")]
    pub retry_min: HumanDuration,
    /// Longest delay between two attempts; default `5m`.
    #[serde(default = "default_retry_max")]
    pub retry_max: HumanDuration,
    /// Attempts after which an alert becomes a dead letter; default 100.
    #[serde(default = "default_tries_max")]
    pub tries_max: u32,
    /// Time after which an alert becomes a dead letter; default `24h`.
    #[serde(default = "default_age_max")]
    pub age_max: HumanDuration,
    /// How often standing alerts are sent to Alertmanager again; default `1m`.
    #[serde(default = "default_resend")]
    pub resend: HumanDuration,
    /// Age of the last event beyond which an alert is not sent again; default `24h`.
    #[serde(default = "default_hold")]
    pub hold: HumanDuration,
}

/// A secret, which `Debug` hides.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Enums whose variants are words of the configuration; the first one is the default.
macro_rules! keywords {
    ($(#[$doc:meta])* $name:ident: $first:ident $(, $other:ident)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            #[default]
            $first,
            $($other,)*
        }
    };
}

keywords! {
    /// Protocol of a sink.
    SinkKind: Webhook, Alertmanager, Cef
}
keywords! {
    /// Body of a webhook.
    SinkFormat: Json, Ocsf, Flatbuffers
}
keywords! {
    /// Whether a consumer receives every change, or only new alerts.
    SinkMode: All, CreateOnly
}
keywords! {
    /// State from which alerts are sent.
    SinkStates: Confirmed, Provisional
}
keywords! {
    /// Where a new sink begins.
    SinkFrom: Now, Start
}
keywords! {
    /// Level of a rule.
    SinkLevel: Informational, Low, Medium, High, Critical
}

const fn seconds(seconds: i64) -> HumanDuration {
    HumanDuration(Span::seconds(seconds))
}

const fn default_body_max_kib() -> u32 {
    256
}

fn default_timeout() -> HumanDuration {
    seconds(15)
}

fn default_retry_min() -> HumanDuration {
    seconds(1)
}

fn default_retry_max() -> HumanDuration {
    seconds(300)
}

fn default_tries_max() -> u32 {
    100
}

fn default_age_max() -> HumanDuration {
    seconds(24 * 3_600)
}

fn default_resend() -> HumanDuration {
    seconds(60)
}

fn default_hold() -> HumanDuration {
    seconds(24 * 3_600)
}

/// All problems of the sinks.
pub fn problems(sinks: &[SinkConfig]) -> Vec<String> {
    let mut problems = Vec::new();
    if sinks.len() > SINKS_MAX {
        problems.push(format!("sink: there may be {SINKS_MAX} at most"));
    }
    for (place, sink) in sinks.iter().enumerate() {
        let mut found = sink.problems();
        if sinks
            .iter()
            .take(place)
            .any(|other| other.name == sink.name)
        {
            found.push("name: another sink has it".to_owned());
        }
        let (place, name) = (place + 1, &sink.name);
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("sink {place} ({name}): {problem}")),
        );
    }
    problems
}

/// A condition, and the problem to report if it is false.
type Check = (bool, &'static str);

impl SinkConfig {
    fn problems(&self) -> Vec<String> {
        let checks = [
            &self.address_checks()[..],
            &self.content_checks(),
            &self.time_checks(),
        ];
        let failed = checks.concat().into_iter().filter(|(holds, _)| !holds);
        failed.map(|(_, problem)| problem.to_owned()).collect()
    }

    /// Checks of the name and the address.
    fn address_checks(&self) -> [Check; 4] {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let named = (1..=NAME_BYTES_MAX).contains(&self.name.len());
        let begins = |schemes: &[&str]| schemes.iter().any(|scheme| self.url.starts_with(scheme));
        let is_cef = self.kind == SinkKind::Cef;
        let is_tls = begins(&["https://", "tls://"]);
        [
            (
                named && self.name.bytes().all(fits),
                "name: must be 1 to 64 of a-z, 0-9, `-` and `_`",
            ),
            match is_cef {
                true => (
                    begins(&["tls://", "tcp://", "udp://"]),
                    "url: must begin with tls://, tcp:// or udp://",
                ),
                false => (
                    begins(&["https://", "http://"]),
                    "url: must begin with https:// or http://",
                ),
            },
            (
                self.certificate.is_some() == self.key.is_some(),
                "certificate: set it together with `key`, or neither",
            ),
            (
                is_tls || (self.certificate.is_none() && self.ca_file.is_none()),
                "ca_file, certificate: only `https://` and `tls://` use them",
            ),
        ]
    }

    /// Checks of what is sent.
    fn content_checks(&self) -> [Check; 6] {
        let is_webhook = self.kind == SinkKind::Webhook;
        let signed = self.secret.is_some() || self.secret_file.is_some();
        let secret = self.secret.as_ref();
        [
            (is_webhook || !signed, "secret: only a webhook is signed"),
            (
                is_webhook || self.format == SinkFormat::Json,
                "format: only a webhook has one",
            ),
            (
                self.secret.is_none() || self.secret_file.is_none(),
                "secret: set it or `secret_file`, not both",
            ),
            (
                secret.is_none_or(|hidden| WebhookSecret::parse(&hidden.0).is_some()),
                "secret: must be `whsec_` and base64 of 24 to 64 bytes",
            ),
            (
                BODY_KIB.contains(&self.body_max_kib),
                "body_max_kib: must be 32 to 4096",
            ),
            (
                self.kind != SinkKind::Alertmanager || self.mode == SinkMode::All,
                "mode: Alertmanager receives standing alerts; `create-only` does not apply",
            ),
        ]
    }

    /// Checks of retries and times.
    fn time_checks(&self) -> [Check; 4] {
        [
            (
                self.retry_min.0.0 > 0 && self.retry_min.0 <= self.retry_max.0,
                "retry_min: must be above 0 and not above retry_max",
            ),
            (self.tries_max >= 1, "tries_max: must be 1 or more"),
            (
                (1_000_000..=Span::seconds(300).0).contains(&self.timeout.0.0),
                "timeout: must be 1ms to 5m",
            ),
            (self.resend.0.0 >= 1_000_000, "resend: must be 1ms or more"),
        ]
    }

    /// The options of the sink; reads its files.
    pub fn options(&self) -> Result<SinkOptions, String> {
        Ok(SinkOptions {
            name: self.name.clone(),
            target: self.target()?,
            connection: ConnectionOptions {
                address_scope: if self.allow_private {
                    AddressScope::Private
                } else {
                    AddressScope::Public
                },
                timeout: self.timeout.to_std(),
                ca_file: self.ca_file.clone(),
                client_certificate: self.identity(),
                token: self.token()?,
            },
            filter: OutboxFilter {
                level_min: self.min_level.map(SinkLevel::level),
                provisional: self.states == SinkStates::Provisional,
                rules: self.rules.clone(),
                tenants: self.tenants.clone(),
            },
            create_only: self.mode == SinkMode::CreateOnly,
            start: match self.from {
                SinkFrom::Now => SinkStart::Now,
                SinkFrom::Start => SinkStart::Start,
            },
            retry: RetryPolicy {
                retry_min: self.retry_min.0,
                retry_max: self.retry_max.0,
                tries_max: self.tries_max,
                age_max: self.age_max.0,
            },
        })
    }
}

impl SinkConfig {
    fn target(&self) -> Result<SinkTarget, String> {
        let secret = match (&self.secret, &self.secret_file) {
            (Some(hidden), _) => Some(hidden.0.clone()),
            (None, Some(file)) => Some(read_secret(file)?),
            (None, None) => None,
        };
        let no_secret = || "secret: must be `whsec_` and base64 of 24 to 64 bytes".to_owned();
        let secret = secret
            .map(|text| WebhookSecret::parse(&text).ok_or_else(no_secret))
            .transpose()?;
        let url = self.url.clone();
        Ok(match self.kind {
            SinkKind::Webhook => SinkTarget::Webhook {
                url,
                secret,
                format: match self.format {
                    SinkFormat::Json => WebhookFormat::Json,
                    SinkFormat::Ocsf => WebhookFormat::Ocsf,
                    SinkFormat::Flatbuffers => WebhookFormat::Flatbuffers,
                },
                body_bytes_max: (self.body_max_kib as usize) << 10,
            },
            SinkKind::Alertmanager => SinkTarget::Alertmanager {
                url,
                resend: self.resend.0,
                hold: self.hold.0,
            },
            SinkKind::Cef => SinkTarget::Cef { url },
        })
    }

    fn identity(&self) -> Option<ClientCertificate> {
        Some(ClientCertificate {
            chain: self.certificate.clone()?,
            key: self.key.clone()?,
        })
    }

    fn token(&self) -> Result<Option<BearerToken>, String> {
        let text = self.token_file.as_deref().map(read_secret).transpose()?;
        Ok(text.map(BearerToken))
    }
}

impl SinkLevel {
    const fn level(self) -> Level {
        match self {
            Self::Informational => Level::Informational,
            Self::Low => Level::Low,
            Self::Medium => Level::Medium,
            Self::High => Level::High,
            Self::Critical => Level::Critical,
        }
    }
}

fn read_secret(file: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", file.display());
    if std::fs::metadata(file).map_err(unreadable)?.len() > SECRET_BYTES_MAX {
        return Err(format!("{} is larger than 4 KiB", file.display()));
    }
    Ok(std::fs::read_to_string(file)
        .map_err(unreadable)?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sinks(text: &str) -> Vec<SinkConfig> {
        let config: super::super::Config = toml::from_str(text).expect("a configuration");
        config.sink
    }

    #[test]
    fn sinks_are_read_with_their_defaults() {
        let text = "[[sink]]\nname = \"soar\"\ntype = \"webhook\"\nurl = \"https://soar.example/\"\n\
                    secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nmode = \"create-only\"\n\
                    min_level = \"high\"\n";
        let sinks = sinks(text);
        assert_eq!(problems(&sinks), Vec::<String>::new());
        let options = sinks[0].options().expect("they are whole");
        assert!(options.create_only && options.connection.address_scope == AddressScope::Public);
        assert_eq!(options.filter.level_min, Some(Level::High));
        assert_eq!(options.retry.tries_max, 100);
        assert!(!format!("{sinks:?}").contains("MfKQ"));
    }

    #[test]
    fn problems_of_each_sink_are_reported() {
        let sink = |more: &str| {
            format!("[[sink]]\nname = \"a\"\ntype = \"webhook\"\nurl = \"https://x/\"\n{more}\n")
        };
        let table = [
            ("secret = \"whsec_x\"", "secret"),
            ("retry_min = \"10m\"", "retry_min"),
            ("tries_max = 0", "tries_max"),
            ("timeout = \"10m\"", "timeout"),
            ("body_max_kib = 16", "body_max_kib"),
            ("certificate = \"a.crt\"", "certificate"),
        ];
        for (more, key) in table {
            let found = problems(&sinks(&sink(more)));
            assert!(
                found.len() == 1 && found[0].contains(key),
                "{more}: {found:?}"
            );
        }
        let plain = sink("ca_file = \"a.ca\"").replace("https:", "http:");
        assert_eq!(problems(&sinks(&plain)).len(), 1);
        let twice = format!("{}{}", sink(""), sink(""));
        assert_eq!(
            problems(&sinks(&twice)),
            ["sink 2 (a): name: another sink has it"]
        );
        let cef =
            "[[sink]]\nname = \"B c\"\ntype = \"cef\"\nurl = \"https://x/\"\nformat = \"ocsf\"\n";
        assert_eq!(problems(&sinks(cef)).len(), 3);
    }
}
