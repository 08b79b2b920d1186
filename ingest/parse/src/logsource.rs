//! The text form of a log source: `category=C,product=P,service=S`; every part is optional.

use weir_schema::LogSource;

/// The error of a log source text that cannot be parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogSourceError {
    #[error("log source has the unknown key `{0}`; the keys are category, product and service")]
    UnknownKey(String),
    #[error("log source part `{0}` has no value; write it as key=value")]
    NoValue(String),
    #[error("log source states `{0}` twice; state it once")]
    DuplicateKey(String),
}

/// Parses `category=C,product=P,service=S`. Every part is optional; an empty text is valid.
pub fn parse_logsource(text: &str) -> Result<LogSource, LogSourceError> {
    let mut source = LogSource::default();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = part
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .ok_or_else(|| LogSourceError::NoValue(part.to_owned()))?;
        let slot = match key {
            "category" => &mut source.category,
            "product" => &mut source.product,
            "service" => &mut source.service,
            _ => return Err(LogSourceError::UnknownKey(key.to_owned())),
        };
        if value.is_empty() {
            return Err(LogSourceError::NoValue(part.to_owned()));
        }
        if slot.replace(value.to_owned()).is_some() {
            return Err(LogSourceError::DuplicateKey(key.to_owned()));
        }
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::parse_logsource;

    #[test]
    fn parse_valid_log_sources_and_reject_others() {
        let s = parse_logsource("category=c, product=p,service=s").unwrap();
        assert_eq!(
            (
                s.category.as_deref(),
                s.product.as_deref(),
                s.service.as_deref()
            ),
            (Some("c"), Some("p"), Some("s"))
        );
        assert_eq!(parse_logsource("").unwrap(), Default::default());
        for bad in ["host=a", "product", "product=", "product=a,product=b"] {
            assert!(parse_logsource(bad).is_err(), "{bad}");
        }
    }
}
