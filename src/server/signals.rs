//! The signals that stop the process, and those that do not.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGQUIT. None is missed from here on, also between two that are awaited.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
}

impl StopSignals {
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// Waits for SIGINT, SIGTERM or SIGQUIT.
pub async fn stop_requested() -> std::io::Result<()> {
    StopSignals::listen()?.next().await;
    Ok(())
}

/// Signals that end a process that does not handle them, though nothing asks for its end. A file
/// that reaches a limit of the process must fail as a write does, which is tried again.
const IGNORED: [rustix::process::Signal; 9] = {
    use rustix::process::Signal;
    [
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::POWER,
        Signal::XCPU,
        Signal::XFSZ,
    ]
};

/// Makes signals end nothing that do not mean a stop.
///
/// Tools send SIGHUP to have a configuration read again. Weir logs that it reads it only at its
/// start. A signal once handled stays handled for as long as the process lives.
pub fn survive_others() -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    for ignored in IGNORED {
        drop(signal(SignalKind::from_raw(ignored.as_raw()))?);
    }
    actix_rt::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!(
                "SIGHUP: the configuration is read only at the start, so restart Weir to change \
                 it; changes of rule files and certificates are followed without a signal"
            );
        }
    });
    Ok(())
}
