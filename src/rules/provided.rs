//! What the known log sources provide: which of them a rule looks at, and which fields those have.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_detect::LogSources;
use weir_schema::LogSource;

/// Sources that are told by their form; those that depend on fields come from `weir_detect`.
const OWN: &str = include_str!("provided.toml");

/// Fields that every Windows event has: those of its system part, and what Weir adds.
const WINDOWS: &str = "Channel EventID Provider_Name Provider_Guid Computer EventRecordID Level Task \
    Opcode Version Keywords Qualifiers TimeCreated Execution_ProcessID Execution_ThreadID \
    Security_UserID Correlation_ActivityID host";

/// A log source that Weir knows.
#[derive(Clone, Debug, Deserialize)]
pub struct Provider {
    #[serde(default)]
    product: Option<String>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    service: Option<String>,
    /// None where they are not known; a name that ends with `*` stands for all that begin so.
    #[serde(default)]
    fields: Vec<String>,
    /// A rule's name of a field, to the source's.
    #[serde(skip)]
    renames: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Own {
    source: Vec<Provider>,
}

/// All log sources that are known.
pub struct Providers {
    all: Vec<Provider>,
}

impl Providers {
    /// With the mappings of the configuration.
    pub fn new(log_sources: &[String]) -> Result<Self, toml::de::Error> {
        let mut all = toml::from_str::<Own>(OWN)?.source;
        let windows = || WINDOWS.split_whitespace().map(str::to_owned);
        for entry in LogSources::with(log_sources).0.entries() {
            let source = &entry.logsource;
            let mut fields = entry.provides.clone();
            // Where no field is listed they are not known, and the common ones are not all of them.
            if !fields.is_empty() {
                fields.extend(windows());
            }
            all.push(Provider {
                product: source.product.clone(),
                category: source.category.clone(),
                service: source.service.clone(),
                fields,
                renames: entry.fields.as_ref().clone(),
            });
        }
        Ok(Self { all })
    }

    /// The sources whose events a rule of this log source sees.
    pub fn of<'a>(&'a self, stated: &'a LogSource) -> Vec<&'a Provider> {
        let is = |stated: &Option<String>, own: &Option<String>| {
            stated.is_none() || own.as_ref() == stated.as_ref()
        };
        let product = self.all.iter().filter(|p| is(&stated.product, &p.product));
        // A mapping is of a category or of a service; a rule that states both looks at either.
        let both = stated.category.is_some() && stated.service.is_some();
        let fits = |provider: &&Provider| {
            let category = is(&stated.category, &provider.category);
            let service = is(&stated.service, &provider.service);
            if both && provider.category.is_some() != provider.service.is_some() {
                (category && provider.category.is_some()) || (service && provider.service.is_some())
            } else {
                category && service
            }
        };
        product.filter(fits).collect()
    }
}

impl Provider {
    /// Whether events of the source have the field; `None` where its fields are not known.
    pub fn has(&self, field: &str) -> Option<bool> {
        if self.fields.is_empty() {
            return None;
        }
        let field = self.renames.get(field).map_or(field, String::as_str);
        // The text of an event is the field `message`, whatever the source.
        let known = |own: &String| match own.strip_suffix('*') {
            Some(start) => field.starts_with(start),
            None => own == field,
        };
        Some(field == "message" || self.fields.iter().any(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(words: [&str; 3]) -> LogSource {
        let [product, category, service] =
            words.map(|word| (!word.is_empty()).then(|| word.to_owned()));
        LogSource {
            category,
            product,
            service,
        }
    }

    #[test]
    fn fields_are_those_that_some_source_of_the_rule_has() {
        let providers = Providers::new(&[]).expect("the list of sources can be read");
        for (words, field, has) in [
            (["windows", "process_creation", ""], "Image", Some(true)),
            (
                ["windows", "process_creation", ""],
                "NewProcessName",
                Some(true),
            ),
            (
                ["windows", "process_creation", ""],
                "QueryName",
                Some(false),
            ),
            (["windows", "process_creation", ""], "EventID", Some(true)),
            (["windows", "", "security"], "TargetUserName", Some(true)),
            (["windows", "", "dns-server"], "QNAME", None),
            (["linux", "process_creation", ""], "CommandLine", Some(true)),
            (["linux", "", "sshd"], "src_ip", Some(true)),
            (["linux", "", "auditd"], "a3", Some(true)),
            (
                ["aws", "", "cloudtrail"],
                "userIdentity.sessionContext.x",
                Some(true),
            ),
            (["aws", "", "cloudtrail"], "eventname", Some(false)),
            (["zeek", "", "dns"], "qtype_name", Some(true)),
            (["", "webserver", ""], "cs-uri-query", Some(true)),
            (["okta", "", "okta"], "eventtype", None),
        ] {
            let source = source(words);
            let answers = providers.of(&source).into_iter().map(|p| p.has(field));
            // One that has it, else one that lacks it, else nobody knows.
            assert_eq!(answers.max().flatten(), has, "{words:?} {field}");
        }
        assert!(providers.of(&source(["okta", "", "okta"])).is_empty());
    }
}
