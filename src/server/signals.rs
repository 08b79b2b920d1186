//! The signals that stop the process, and those that do not.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM. None is missed from here on, also between two that are awaited.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for SIGINT or SIGTERM.
pub async fn stop_requested() -> std::io::Result<()> {
    StopSignals::listen()?.next().await;
    Ok(())
}

/// Makes SIGHUP, SIGUSR1 and SIGUSR2, which would end the process, end nothing.
///
/// Tools send SIGHUP to have a configuration read again. Weir logs that it reads it only at its
/// start. A signal once handled stays handled for as long as the process lives.
pub fn survive_others() -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    drop(signal(SignalKind::user_defined1())?);
    drop(signal(SignalKind::user_defined2())?);
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
