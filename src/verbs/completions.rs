//! `weir completions` and `weir man`: shell completions and the manual page, generated from the
//! command line.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Command;

use crate::console;

/// Write completions for a shell to standard output.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Writes the completions of `command`.
pub fn completions(mut command: Command, args: &CompletionsArgs) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "weir", &mut text);
    console::write_out(&text);
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual page weir(1) of `command`, with a section for each verb.
pub fn man(mut command: Command) -> Result<ExitCode> {
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    writeln!(text, ".SH VERBS")?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        verb_section(verb, &mut text)?;
    }
    text.extend_from_slice(EXIT_CODES.as_bytes());
    console::write_out(&text);
    Ok(ExitCode::SUCCESS)
}

/// The section of a verb: its description, its arguments, its own verbs.
fn verb_section(verb: &Command, text: &mut Vec<u8>) -> Result<()> {
    writeln!(text, ".SS weir {}", verb.get_name())?;
    if let Some(about) = verb.get_long_about().or_else(|| verb.get_about()) {
        writeln!(text, "{}", roff(&about.to_string()))?;
    }
    for argument in verb
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
    {
        let name = argument.get_long().map_or_else(
            || argument.get_id().to_string().to_uppercase(),
            |long| format!("--{long}"),
        );
        let help = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        writeln!(text, ".TP\n\\fB{}\\fR\n{}", roff(&name), roff(&help))?;
    }
    for inner in verb
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help")
    {
        let about = inner
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        writeln!(
            text,
            ".TP\n\\fB{}\\fR\n{}",
            roff(inner.get_name()),
            roff(&about)
        )?;
    }
    Ok(())
}

/// Escapes text for roff, where a backslash, and a dot that begins a line, are commands.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('-', "\\-");
    let lines = escaped
        .lines()
        .map(|line| match line.starts_with(['.', '\'']) {
            true => format!("\\&{line}"),
            false => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

/// The last sections of the manual page.
const EXIT_CODES: &str = "\
.SH EXIT STATUS
0 success; 1 negative answer, or failure; 2 usage; 65 bad data: rules, stories, input, a damaged journal;
69 no server answers; 74 input or output failed; 75 try again; 77 no permission; 78 bad configuration.
.SH FILES
weir.toml, named with \\-\\-config; `weir init` writes one. The data folder: weir\\-data, or \\-\\-data\\-dir.
";
