//! What configuration says of sinks: who is told of alerts, of which, how, and how patiently.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_respond::{
    Begin, Format, Identity, Patience, Reach, Reaching, SINKS_MAX, Secret, SinkOptions, Target,
    Token,
};
use weir_schema::said::OutboxFilter;
use weir_schema::{Level, Span};

use super::Duration;

/// The largest file of a secret or a token that is read.
const SECRET_BYTES_MAX: u64 = 4 << 10;
/// A sink's name is a label of metrics.
const NAME_BYTES_MAX: usize = 64;

/// One consumer that is told of alerts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Lower-case letters, digits, `-` and `_`. It names the sink's place in the journal.
    pub name: String,
    /// `webhook`, `alertmanager` or `cef`.
    #[serde(rename = "type")]
    pub kind: SinkKind,
    /// `https://…` or `http://…`; of `cef` `tls://HOST:PORT`, `tcp://HOST:PORT` or
    /// `udp://HOST:PORT`.
    pub url: String,
    /// `whsec_…`, which a webhook is signed with.
    pub secret: Option<Hidden>,
    /// A file with the secret, instead.
    pub secret_file: Option<PathBuf>,
    /// A file with a token that is sent as `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
    /// Of a webhook: `json`, `ocsf` or `flatbuffers`; default `json`.
    #[serde(default)]
    pub format: SinkFormat,
    /// `all`, or `create-only` for who cannot take anything back; default `all`.
    #[serde(default)]
    pub mode: SinkMode,
    /// `confirmed`, or `provisional` for those too that may yet be undone; default `confirmed`.
    #[serde(default)]
    pub states: SinkStates,
    /// Alerts of this level or worse; default all.
    pub min_level: Option<SinkLevel>,
    /// Alerts of these rules, by id; default all.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Alerts of these tenants; default all.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Where a sink begins that is new: `now`, or `start` for all that was ever said; default
    /// `now`.
    #[serde(default)]
    pub from: SinkFrom,
    /// Whether addresses of private networks and of this machine may be connected to; default
    /// false.
    #[serde(default)]
    pub allow_private: bool,
    /// Certificates to verify the consumer of `https` or `tls` with, instead of this machine's.
    pub ca_file: Option<PathBuf>,
    /// A certificate of our own, shown to a consumer that asks for one.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// For one attempt; default `15s`.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Before a second attempt, doubled with each; default `1s`.
    #[serde(default = "default_retry_min")]
    pub retry_min: Duration,
    /// Longest time between two attempts; default `5m`.
    #[serde(default = "default_retry_max")]
    pub retry_max: Duration,
    /// After so many attempts an alert is a dead letter; default 100.
    #[serde(default = "default_tries_max")]
    pub tries_max: u32,
    /// Or after this long; default `24h`.
    #[serde(default = "default_age_max")]
    pub age_max: Duration,
    /// How often Alertmanager is told again what stands; default `1m`.
    #[serde(default = "default_resend")]
    pub resend: Duration,
    /// It is not told again of alerts whose last event is older; default `24h`.
    #[serde(default = "default_hold")]
    pub hold: Duration,
}

/// A text that no log may show.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

macro_rules! words {
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

words! {
    /// What a sink speaks.
    SinkKind: Webhook, Alertmanager, Cef
}
words! {
    /// What a webhook's body is.
    SinkFormat: Json, Ocsf, Flatbuffers
}
words! {
    /// Whether a consumer can take things back.
    SinkMode: All, CreateOnly
}
words! {
    /// Alerts in which state.
    SinkStates: Confirmed, Provisional
}
words! {
    /// Where a new sink begins.
    SinkFrom: Now, Start
}
words! {
    /// A level, as rules have it.
    SinkLevel: Informational, Low, Medium, High, Critical
}

const fn seconds(seconds: i64) -> Duration {
    Duration(Span::seconds(seconds))
}

fn default_timeout() -> Duration {
    seconds(15)
}

fn default_retry_min() -> Duration {
    seconds(1)
}

fn default_retry_max() -> Duration {
    seconds(300)
}

fn default_tries_max() -> u32 {
    100
}

fn default_age_max() -> Duration {
    seconds(24 * 3_600)
}

fn default_resend() -> Duration {
    seconds(60)
}

fn default_hold() -> Duration {
    seconds(24 * 3_600)
}

/// What is wrong with the values, all of it.
pub fn problems(sinks: &[SinkConfig]) -> Vec<String> {
    let mut problems = Vec::new();
    if sinks.len() > SINKS_MAX {
        problems.push(format!("sink: there may be {SINKS_MAX} at most"));
    }
    for (place, sink) in sinks.iter().enumerate() {
        let mut said = sink.problems();
        if sinks
            .iter()
            .take(place)
            .any(|other| other.name == sink.name)
        {
            said.push("name: another sink has it".to_owned());
        }
        let (place, name) = (place + 1, &sink.name);
        problems.extend(
            said.into_iter()
                .map(|said| format!("sink {place} ({name}): {said}")),
        );
    }
    problems
}

/// Whether something holds, and what is said where it does not.
type Check = (bool, &'static str);

impl SinkConfig {
    fn problems(&self) -> Vec<String> {
        let checks = [
            &self.address_checks()[..],
            &self.content_checks(),
            &self.time_checks(),
        ];
        let failed = checks.concat().into_iter().filter(|(holds, _)| !holds);
        failed.map(|(_, told)| told.to_owned()).collect()
    }

    /// What must hold of whom it tells, and what is said where it does not.
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
                "certificate: give it with its `key`, or neither",
            ),
            (
                is_tls || (self.certificate.is_none() && self.ca_file.is_none()),
                "ca_file, certificate: `https://` and `tls://` alone have a use for them",
            ),
        ]
    }

    fn content_checks(&self) -> [Check; 5] {
        let is_webhook = self.kind == SinkKind::Webhook;
        let signed = self.secret.is_some() || self.secret_file.is_some();
        let secret = self.secret.as_ref();
        [
            (is_webhook || !signed, "secret: a webhook alone is signed"),
            (
                is_webhook || self.format == SinkFormat::Json,
                "format: a webhook alone has one",
            ),
            (
                self.secret.is_none() || self.secret_file.is_none(),
                "secret: give it, or the file that has it",
            ),
            (
                secret.is_none_or(|hidden| Secret::parse(&hidden.0).is_some()),
                "secret: must be `whsec_` and base64 of 24 to 64 bytes",
            ),
            (
                self.kind != SinkKind::Alertmanager || self.mode == SinkMode::All,
                "mode: Alertmanager is told what stands; it has no use for `create-only`",
            ),
        ]
    }

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

    /// What the sink is to do, with what its files hold.
    pub fn options(&self) -> Result<SinkOptions, String> {
        Ok(SinkOptions {
            name: self.name.clone(),
            target: self.target()?,
            reaching: Reaching {
                reach: if self.allow_private {
                    Reach::Private
                } else {
                    Reach::Public
                },
                timeout: self.timeout.std(),
                ca_file: self.ca_file.clone(),
                identity: self.identity(),
                token: self.token()?,
            },
            filter: OutboxFilter {
                level_min: self.min_level.map(SinkLevel::level),
                provisional: self.states == SinkStates::Provisional,
                rules: self.rules.clone(),
                tenants: self.tenants.clone(),
            },
            create_only: self.mode == SinkMode::CreateOnly,
            begin: match self.from {
                SinkFrom::Now => Begin::Now,
                SinkFrom::Start => Begin::Start,
            },
            patience: Patience {
                retry_min: self.retry_min.0,
                retry_max: self.retry_max.0,
                tries_max: self.tries_max,
                age_max: self.age_max.0,
            },
        })
    }
}

impl SinkConfig {
    fn target(&self) -> Result<Target, String> {
        let secret = match (&self.secret, &self.secret_file) {
            (Some(hidden), _) => Some(hidden.0.clone()),
            (None, Some(file)) => Some(read_secret(file)?),
            (None, None) => None,
        };
        let no_secret = || "secret: must be `whsec_` and base64 of 24 to 64 bytes".to_owned();
        let secret = secret
            .map(|text| Secret::parse(&text).ok_or_else(no_secret))
            .transpose()?;
        let url = self.url.clone();
        Ok(match self.kind {
            SinkKind::Webhook => Target::Webhook {
                url,
                secret,
                format: match self.format {
                    SinkFormat::Json => Format::Json,
                    SinkFormat::Ocsf => Format::Ocsf,
                    SinkFormat::Flatbuffers => Format::Flatbuffers,
                },
            },
            SinkKind::Alertmanager => Target::Alertmanager {
                url,
                resend: self.resend.0,
                hold: self.hold.0,
            },
            SinkKind::Cef => Target::Cef { url },
        })
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity {
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
        })
    }

    fn token(&self) -> Result<Option<Token>, String> {
        let text = self.token_file.as_deref().map(read_secret).transpose()?;
        Ok(text.map(Token))
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
    let told = |error: std::io::Error| format!("cannot read {}: {error}", file.display());
    if std::fs::metadata(file).map_err(told)?.len() > SECRET_BYTES_MAX {
        return Err(format!("{} is larger than 4 KiB", file.display()));
    }
    Ok(std::fs::read_to_string(file)
        .map_err(told)?
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
        assert!(options.create_only && options.reaching.reach == Reach::Public);
        assert_eq!(options.filter.level_min, Some(Level::High));
        assert_eq!(options.patience.tries_max, 100);
        assert!(!format!("{sinks:?}").contains("MfKQ"));
    }

    #[test]
    fn what_is_wrong_with_sinks_is_told_of_each() {
        let sink = |more: &str| {
            format!("[[sink]]\nname = \"a\"\ntype = \"webhook\"\nurl = \"https://x/\"\n{more}\n")
        };
        let table = [
            ("secret = \"whsec_x\"", "secret"),
            ("retry_min = \"10m\"", "retry_min"),
            ("tries_max = 0", "tries_max"),
            ("timeout = \"10m\"", "timeout"),
            ("certificate = \"a.crt\"", "certificate"),
        ];
        for (more, key) in table {
            let said = problems(&sinks(&sink(more)));
            assert!(said.len() == 1 && said[0].contains(key), "{more}: {said:?}");
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
