//! Runs the `weir` binary, for every test of a verb.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Path of the binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_weir");

/// A `weir` command with these arguments and an empty standard input.
pub fn weir(args: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null());
    command
}

/// Exit code and output of a process that has ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Finished {
    /// Standard output as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as one JSON value per line.
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}: {self:?}"))
        };
        self.out.lines().map(parse).collect()
    }

    /// Fails unless the exit code is 0.
    pub fn assert_success(&self) {
        assert_eq!(self.code, Some(0), "{self:?}");
    }
}

/// Runs a command to its end and fails if it panicked.
pub fn finish(command: &mut Command) -> Finished {
    let output = command.output().expect("the binary can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    Finished {
        code: output.status.code(),
        out,
        err,
    }
}

/// Runs `weir` with these arguments to its end.
pub fn run(args: &[&str]) -> Finished {
    finish(&mut weir(args))
}
