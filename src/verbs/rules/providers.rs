//! The known log sources: which of them a rule reads, and which fields their events have.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_detect::LogSources;
use weir_schema::LogSource;

/// Sources recognised by their form. Those recognised by fields come from `weir_detect`.
const BY_FORM: &str = include_str!("providers.toml");

/// Fields of every Windows event: those of its system part, and those that Weir adds.
const WINDOWS_FIELDS: &str = "\
    Channel EventID Provider_Name Provider_Guid Computer EventRecordID Level Task Opcode \
    Version Keywords Qualifiers TimeCreated Execution_ProcessID Execution_ThreadID \
    Security_UserID Correlation_ActivityID host";

/// A known log source.
#[derive(Clone, Debug, Deserialize)]
pub struct Provider {
    #[serde(default)]
    product: Option<String>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    service: Option<String>,
    /// Empty if the fields are unknown. A name that ends with `*` matches all names with that
    /// prefix.
    #[serde(default)]
    fields: Vec<String>,
    /// The source's name of each field that rules name otherwise.
    #[serde(skip)]
    renames: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ProviderFile {
    source: Vec<Provider>,
}

/// All known log sources.
pub struct Providers {
    all: Vec<Provider>,
}

impl Providers {
    /// The built-in sources, and those of the configured mappings.
    pub fn new(log_sources: &[String]) -> Result<Self, toml::de::Error> {
        let mut all = toml::from_str::<ProviderFile>(BY_FORM)?.source;
        let windows = || WINDOWS_FIELDS.split_whitespace().map(str::to_owned);
        for entry in LogSources::with(log_sources).0.entries() {
            let source = &entry.logsource;
            let mut fields = entry.provides.clone();
            // No listed field means that the fields are unknown, not that there are only common
            // ones.
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

    /// The sources whose events a rule with this log source reads.
    pub fn matching<'a>(&'a self, stated: &'a LogSource) -> Vec<&'a Provider> {
        let fits = |stated: &Option<String>, own: &Option<String>| {
            stated.is_none() || own.as_ref() == stated.as_ref()
        };
        let product = self
            .all
            .iter()
            .filter(|p| fits(&stated.product, &p.product));
        // A mapping has a category or a service; a rule that states both reads either.
        let both = stated.category.is_some() && stated.service.is_some();
        let matches = |provider: &&Provider| {
            let category = fits(&stated.category, &provider.category);
            let service = fits(&stated.service, &provider.service);
            if both && provider.category.is_some() != provider.service.is_some() {
                (category && provider.category.is_some()) || (service && provider.service.is_some())
            } else {
                category && service
            }
        };
        product.filter(matches).collect()
    }
}

impl Provider {
    /// Whether events of the source have the field; `None` if its fields are unknown.
    pub fn has(&self, field: &str) -> Option<bool> {
        if self.fields.is_empty() {
            return None;
        }
        let field = self.renames.get(field).map_or(field, String::as_str);
        // Every event has its text in the field `message`.
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
    fn a_rule_may_read_the_fields_of_each_of_its_sources() {
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
            let answers = providers
                .matching(&source)
                .into_iter()
                .map(|p| p.has(field));
            // Some(true) if one source has it, else Some(false) if one lacks it, else None.
            assert_eq!(answers.max().flatten(), has, "{words:?} {field}");
        }
        assert!(providers.matching(&source(["okta", "", "okta"])).is_empty());
    }
}
