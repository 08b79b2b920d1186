//! The doors: every address the server listens on, plain or within TLS.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use actix_rt::ArbiterHandle;
use anyhow::{Context, Result};
use weir_ingest::{
    AgentSource, Clock, IngestMetrics, Intake, RelpSource, SourceHandle, SourceTable, TcpSource,
    TlsServer, UdpOptions, UdpSource,
};
use weir_web::{Ports, Token, WebHandle, WebOptions};

use crate::config::{BadConfig, Config};

/// What all sources have in common.
pub struct Doors<'a> {
    pub config: &'a Config,
    pub thread: ArbiterHandle,
    pub tls: Option<TlsServer>,
    pub intake: Intake,
    pub known: Arc<SourceTable>,
    pub clock: Arc<dyn Clock>,
    pub metrics: IngestMetrics,
}

/// The doors that are open; `None` for one that is not.
pub struct Opened {
    pub udp: Option<SourceHandle>,
    pub tcp: Option<SourceHandle>,
    pub tls: Option<SourceHandle>,
    pub relp: Option<SourceHandle>,
    pub agent: Option<SourceHandle>,
}

impl Doors<'_> {
    /// Opens them all; follows the files of TLS, where there are any.
    pub fn open(self, token: &str) -> Result<Opened> {
        let listen = &self.config.listen;
        let of_relp = self.tls.clone().filter(|_| self.config.tls.relp);
        let syslog_tls = self.config.syslog_tls();
        let opened = Opened {
            udp: listen.syslog_udp.0.map(|at| self.udp(at)).transpose()?,
            tcp: listen.syslog_tcp.0.map(|at| self.tcp(at)).transpose()?,
            tls: syslog_tls.map(|at| self.tls(at)).transpose()?,
            relp: listen.relp.0.map(|at| self.relp(at, of_relp)).transpose()?,
            agent: listen.agent.0.map(|at| self.agent(at, token)).transpose()?,
        };
        if let Some(tls) = self.tls {
            actix_rt::spawn(tls.follow(self.metrics));
        }
        Ok(opened)
    }

    fn udp(&self, at: SocketAddr) -> Result<SourceHandle> {
        let socket = UdpSocket::bind(at);
        Ok(UdpSource::start(
            &self.thread,
            socket.with_context(|| cannot_listen(at, "listen.syslog_udp"))?,
            UdpOptions::default(),
            self.intake.clone(),
            Arc::clone(&self.known),
            Arc::clone(&self.clock),
            self.metrics.clone(),
        )?)
    }

    fn tcp(&self, at: SocketAddr) -> Result<SourceHandle> {
        self.stream(listen(at, "listen.syslog_tcp")?, None)
    }

    fn tls(&self, at: SocketAddr) -> Result<SourceHandle> {
        self.stream(listen(at, "listen.syslog_tls")?, self.tls.clone())
    }

    fn stream(&self, listener: TcpListener, tls: Option<TlsServer>) -> Result<SourceHandle> {
        Ok(TcpSource::start(
            &self.thread,
            listener,
            self.config.connections.of_syslog(),
            tls,
            self.intake.clone(),
            Arc::clone(&self.known),
            Arc::clone(&self.clock),
            self.metrics.clone(),
        )?)
    }

    fn relp(&self, at: SocketAddr, tls: Option<TlsServer>) -> Result<SourceHandle> {
        Ok(RelpSource::start(
            &self.thread,
            listen(at, "listen.relp")?,
            self.config.connections.of_syslog(),
            tls,
            self.intake.clone(),
            Arc::clone(&self.known),
            Arc::clone(&self.clock),
            self.metrics.clone(),
        )?)
    }

    fn agent(&self, at: SocketAddr, token: &str) -> Result<SourceHandle> {
        let expected = token.to_owned();
        let tls = self.tls.as_ref().filter(|_| self.config.tls.agent);
        Ok(AgentSource::start(
            &self.thread,
            listen(at, "listen.agent")?,
            self.config.connections.of_agents(),
            tls.map(|tls| tls.without_clients()),
            Arc::new(move |_agent, got| weir_ingest::tokens_equal(&expected, got)),
            self.intake.clone(),
            Arc::clone(&self.known),
            Arc::clone(&self.clock),
            self.metrics.clone(),
        )?)
    }
}

impl Opened {
    /// All that are open.
    pub fn all(self) -> Vec<SourceHandle> {
        let all = [self.udp, self.tcp, self.tls, self.relp, self.agent];
        all.into_iter().flatten().collect()
    }
}

/// Reads the files of TLS. What is wrong with them is a problem of the configuration.
pub fn tls(config: &Config) -> Result<Option<TlsServer>, BadConfig> {
    config.tls.load().map_err(|error| {
        let cause = std::error::Error::source(&error);
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        BadConfig {
            file: "[tls]".into(),
            problems: vec![format!("{error}{cause}")],
        }
    })
}

/// Serves HTTP, within TLS where there is any for it.
pub fn serve(
    at: SocketAddr,
    ports: Ports,
    token: &str,
    tls: Option<TlsServer>,
    connections_of_peer: usize,
) -> Result<(SocketAddr, WebHandle)> {
    let listener = listen(at, "listen.http")?;
    let address = listener.local_addr()?;
    let tls = tls.map(|tls| tls.for_http()).transpose()?;
    let options = WebOptions {
        tls,
        connections_of_peer,
        ..WebOptions::new(Token::of(token))
    };
    let (server, handle) = weir_web::serve(listener, ports, options)?;
    actix_rt::spawn(server);
    Ok((address, handle))
}

fn listen(at: SocketAddr, key: &str) -> Result<TcpListener> {
    TcpListener::bind(at).with_context(|| cannot_listen(at, key))
}

fn cannot_listen(at: SocketAddr, key: &str) -> String {
    format!("cannot listen on {at}; choose another address for {key}, or `off`")
}
