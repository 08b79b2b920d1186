//! `weir init`: writes a configuration that shows every key at its default, with what it means.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::Failure;

/// The one place that shows all keys; a test holds its values against the defaults in the code.
const EXAMPLE: &str = include_str!("../examples/weir.toml");

/// Writes a commented configuration: every key at its default, sources and sinks as examples.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// File to write, which must not be there yet; without it, standard output.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Writes it.
pub fn init(args: &InitArgs) -> Result<ExitCode> {
    let text = configuration();
    let Some(file) = &args.file else {
        print!("{text}");
        return Ok(ExitCode::SUCCESS);
    };
    let made = OpenOptions::new().write(true).create_new(true).open(file);
    let mut made = match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let told = format!("{} is there already; name another file", file.display());
            return Err(Failure::Usage(told).into());
        }
        made => made.with_context(|| format!("cannot make {}", file.display()))?,
    };
    made.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!(
        "weir: wrote {}; start with `weir --config {0}`",
        file.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// The example, with what it gives examples of commented out: sources and sinks that nobody has.
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
    fn it_is_a_configuration_that_says_what_holds_without_it() {
        let mut config: Config = toml::from_str(&super::configuration()).expect("a configuration");
        assert_eq!(config.data_dir.take(), Some("weir-data".into()));
        let default = Config::default();
        assert_eq!(format!("{config:#?}"), format!("{default:#?}"));
    }
}
