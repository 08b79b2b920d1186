//! Exit codes: 0 ok, 1 failure, 2 usage, 65 bad data, 69 unreachable, 74 I/O, 75 a part of the
//! server has ended, 77 permission, 78 bad configuration.

use std::process::ExitCode;

use weir_manage::settings::SettingsError;

use crate::config::BadConfig;

/// An error whose exit code cannot be read from its cause.
#[derive(Debug, thiserror::Error)]
pub enum ExitError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    BadData(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Io(String),
    #[error("{0}")]
    Lost(String),
}

impl ExitError {
    /// The exit code of the process.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::BadData(_) => BAD_DATA,
            Self::Unreachable(_) => 69,
            Self::Denied(_) => 77,
            Self::Io(_) => 74,
            Self::Lost(_) => LOST,
        }
    }
}

/// Rules, stories, settings or input that cannot be used.
pub const BAD_DATA: u8 = 65;

/// A part of the server has ended, stalled, or did not stop in time.
pub const LOST: u8 = 75;

/// A configuration that cannot be used.
pub const BAD_CONFIG: u8 = 78;

/// The exit code for the kind of an error, found along its causes; 1 if none is known.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if cause.is::<BadConfig>() {
            return ExitCode::from(BAD_CONFIG);
        }
        if let Some(error) = cause.downcast_ref::<ExitError>() {
            return ExitCode::from(error.code());
        }
        match cause.downcast_ref::<SettingsError>() {
            None | Some(SettingsError::ReadLogSources { .. }) => {} // Its source tells the kind.
            Some(_) => return ExitCode::from(BAD_DATA),
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            return ExitCode::from(if denied { 77 } else { 74 });
        }
    }
    ExitCode::FAILURE
}
