//! `weir init`: writes a commented configuration that has every key at its default.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::console::{self, outln};
use crate::exit::ExitError;

/// The file with all keys; a test compares its values with the defaults of the code.
const EXAMPLE: &str = include_str!("../../examples/weir.toml");

/// Write a commented configuration: every key at its default, sources and sinks as examples.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// File to write, which must not exist; without it, or with `-`, standard output.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Writes the configuration.
pub fn init(args: &InitArgs) -> Result<ExitCode> {
    let text = configuration();
    let named = args.file.as_ref().filter(|file| *file != Path::new("-"));
    let Some(file) = named else {
        console::out(&text);
        return Ok(ExitCode::SUCCESS);
    };
    let created = OpenOptions::new().write(true).create_new(true).open(file);
    let mut created = match created {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let message = format!("{} exists; name another file", file.display());
            return Err(ExitError::Usage(message).into());
        }
        created => created.with_context(|| format!("cannot create {}", file.display()))?,
    };
    created
        .write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    outln!(
        "weir: wrote {}; start with `weir --config {0}`",
        file.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// The example file, with its example sources and sinks commented out.
#[must_use]
pub fn configuration() -> String {
    let mut text = String::with_capacity(EXAMPLE.len() + 1_024);
    let mut within = false;
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            within = line.starts_with("[[");
        }
        if within && !line.is_empty() && !line.starts_with('#') {
            text.push_str("# ");
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn the_written_configuration_equals_the_default() {
        let mut config: Config = toml::from_str(&super::configuration()).expect("a configuration");
        assert_eq!(config.data_dir.take(), Some("weir-data".into()));
        let default = Config::default();
        assert_eq!(format!("{config:#?}"), format!("{default:#?}"));
    }
}
