//! The signals that stop the process, and those that do not.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGINT or SIGTERM.
pub async fn stop_requested() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
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
