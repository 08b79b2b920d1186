//! Reads the configuration file, and lets the environment override its values.

use std::path::{Path, PathBuf};

use super::Config;

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A configuration that cannot be used: every problem, each with its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{} has problems:\n  {}", .file.display(), .problems.join("\n  "))]
pub struct BadConfig {
    pub file: PathBuf,
    pub problems: Vec<String>,
}

impl Config {
    /// Reads `file`, lets `WEIR__SECTION__KEY` of the environment override it, and checks all of
    /// it.
    pub fn load(file: Option<&Path>) -> Result<Self, BadConfig> {
        let origin = file.unwrap_or(Path::new("the environment"));
        let bad = |problems| BadConfig {
            file: origin.to_owned(),
            problems,
        };
        let text = match file {
            Some(file) => read(file).map_err(|problem| bad(vec![problem]))?,
            None => String::new(),
        };
        let mut table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| bad(vec![error.to_string().trim_end().to_owned()]))?;
        // The file is checked alone first: only then do errors have a line and a column.
        if let Err(error) = toml::from_str::<Self>(&text) {
            return Err(bad(vec![error.to_string().trim_end().to_owned()]));
        }
        overlay(&mut table, std::env::vars());
        let config: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| bad(vec![format!("{error}")]))?;
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(bad(problems))
        }
    }
}

fn read(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file).map(|metadata| metadata.len());
    match size {
        Ok(size) if size > FILE_BYTES_MAX => Err("is larger than 1 MiB".to_owned()),
        Ok(_) => std::fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}")),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Sets `WEIR__SECTION__KEY=value` in the table. A value that is not TOML is a string.
pub fn overlay(table: &mut toml::Table, variables: impl Iterator<Item = (String, String)>) {
    for (name, value) in variables {
        let Some(path) = name.strip_prefix("WEIR__") else {
            continue;
        };
        let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let parsed = format!("value = {value}").parse::<toml::Table>();
        let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
        set(table, &keys, parsed.unwrap_or(toml::Value::String(value)));
    }
}

fn set(table: &mut toml::Table, keys: &[String], value: toml::Value) {
    let Some((key, rest)) = keys.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return;
    }
    let inner = table
        .entry(key.clone())
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let toml::Value::Table(inner) = inner {
        set(inner, rest, value);
    }
}
