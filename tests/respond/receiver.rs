//! An rsyslog that receives syslog over TLS and requires client certificates.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::outside::{Daemon, find, rsyslog_module};
use super::support::pki::{Authority, Pair};
use super::support::until;

/// Certificate name of the one permitted sender.
const SENDER: &str = "weir.example.com";

/// A running rsyslog that writes each message to a file.
pub struct Receiver {
    daemon: Daemon,
    file: PathBuf,
    pub at: SocketAddr,
}

impl Receiver {
    /// Starts with the driver `gtls` or `ossl`; `None` if this machine lacks it.
    pub fn start(folder: &Path, driver: &str, authority: &Authority, own: &Pair) -> Option<Self> {
        let program = find("rsyslogd").filter(|_| rsyslog_module(&format!("lmnsd_{driver}")))?;
        let folder = folder.join(driver);
        std::fs::create_dir(&folder).expect("a folder");
        let (file, port) = (folder.join("received.log"), folder.join("port"));
        let text = format!(
            "global(workDirectory={folder:?} defaultNetstreamDriver=\"{driver}\"\n\
             defaultNetstreamDriverCAFile={:?} defaultNetstreamDriverCertFile={:?}\n\
             defaultNetstreamDriverKeyFile={:?})\n\
             module(load=\"imtcp\" streamDriver.name=\"{driver}\" streamDriver.mode=\"1\"\n\
             streamDriver.authMode=\"x509/name\" permittedPeer=[\"{SENDER}\"])\n\
             template(name=\"received\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             action(type=\"omfile\" file={file:?} template=\"received\")\n\
             input(type=\"imtcp\" port=\"0\" address=\"127.0.0.1\" listenPortFileName={port:?})\n",
            authority.file, own.certificate, own.key,
        );
        let settings = folder.join("rsyslog.conf");
        std::fs::write(&settings, text).expect("it can be written");
        let mut command = Command::new(program);
        let command = command.arg("-n").arg("-f").arg(&settings).arg("-i");
        let daemon = Daemon::start(command.arg(folder.join("pid")));
        let port = until(
            &format!("rsyslog listens: {}", daemon.stderr.text()),
            || {
                let port: u16 = std::fs::read_to_string(&port).ok()?.trim().parse().ok()?;
                (port > 0).then_some(port)
            },
        );
        Some(Self {
            daemon,
            file,
            at: ([127, 0, 0, 1], port).into(),
        })
    }

    /// The received messages.
    pub fn received(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn log(&self) -> String {
        self.daemon.stderr.text()
    }

    pub fn stop(self) {
        self.daemon.stop();
    }
}

/// Configuration keys of a sink that trusts `authority` and presents `own`.
pub fn keys(authority: &Authority, own: &Pair) -> String {
    let (certificate, key) = (&own.certificate, &own.key);
    let ca = &authority.file;
    format!("ca_file = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}\n")
}
