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
        Self::load_with(file, &variables())
    }

    /// [`Config::load`] with the given variables of the environment.
    pub(super) fn load_with(
        file: Option<&Path>,
        variables: &[(String, String)],
    ) -> Result<Self, BadConfig> {
        let origin = file.unwrap_or(Path::new(ENVIRONMENT));
        let bad = |problems| BadConfig {
            file: origin.to_owned(),
            problems,
        };
        let text = match file {
            Some(file) => read(file).map_err(|problem| bad(vec![problem]))?,
            None => String::new(),
        };
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| bad(vec![one_problem(&error)]))?;
        // The file is checked alone first: only then do errors have a line and a column.
        let alone =
            toml::from_str::<Self>(&text).map_err(|error| bad(vec![one_problem(&error)]))?;
        let all = checked(&table, variables);
        if let Ok(config) = all {
            return Ok(config);
        }
        let of_file = alone.problems();
        let of_environment = environment_problems(&table, variables, &of_file, all.err());
        Err(match (of_file.is_empty(), of_environment.is_empty()) {
            (_, true) => bad(of_file),
            (true, false) => BadConfig {
                file: ENVIRONMENT.into(),
                problems: of_environment,
            },
            (false, false) => BadConfig {
                file: format!("{} and {ENVIRONMENT}", origin.display()).into(),
                problems: [of_file, of_environment].concat(),
            },
        })
    }
}

/// The origin of values that no file has.
const ENVIRONMENT: &str = "the environment";

/// The variables of the environment that are values of the configuration.
fn variables() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let mut variables: Vec<_> = all.filter(|(name, _)| name.starts_with("WEIR__")).collect();
    variables.sort();
    variables
}

/// The configuration of a table with variables over it, or its problems.
fn checked(table: &toml::Table, variables: &[(String, String)]) -> Result<Config, Vec<String>> {
    let mut table = table.clone();
    overlay(&mut table, variables.iter().cloned());
    let config: Result<Config, toml::de::Error> = table.try_into();
    let config = config.map_err(|error| vec![one_problem(&error)])?;
    let problems = config.problems();
    match problems.is_empty() {
        true => Ok(config),
        false => Err(problems),
    }
}

/// The problems that the environment adds to those of the file, each with the variable that has it.
///
/// A problem that no single variable causes is one of several variables together.
fn environment_problems(
    table: &toml::Table,
    variables: &[(String, String)],
    of_file: &[String],
    all: Option<Vec<String>>,
) -> Vec<String> {
    let mut found = Vec::new();
    for variable in variables {
        let alone = checked(table, std::slice::from_ref(variable));
        let problems = alone.err().unwrap_or_default().into_iter();
        let problems = problems.filter(|problem| !of_file.contains(problem));
        let name = &variable.0;
        found.extend(problems.map(|problem| format!("{name}: {problem}")));
    }
    let is_named = |problem: &String| found.iter().any(|named| named.ends_with(problem.as_str()));
    let mut others = all.unwrap_or_default();
    others.retain(|problem| !of_file.contains(problem) && !is_named(problem));
    // Until each variable can be read, values are not checked together.
    let names: Vec<&str> = variables.iter().map(|(name, _)| &**name).collect();
    let names = names.join(", ");
    found.extend(
        others
            .into_iter()
            .map(|problem| format!("{names}: {problem}")),
    );
    found
}

/// The text of a problem, which may have several lines.
fn one_problem(error: &toml::de::Error) -> String {
    error.to_string().trim_end().to_owned()
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
