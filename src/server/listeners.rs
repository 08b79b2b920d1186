//! The listeners: every address the server listens on, in plain text or with TLS.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use actix_rt::ArbiterHandle;
use anyhow::{Context, Result};
use weir_ingest::{
    AgentSource, IngestMetrics, Intake, ReceiveClock, RelpSource, SourceHandle, SourceTable,
    TcpSource, TlsServer, UdpOptions, UdpSource,
};
use weir_web::{ApiToken, WebHandle, WebOptions, WebPorts};

use crate::config::{BadConfig, Config};

/// The parts that all listeners share.
pub struct ListenerParts<'a> {
    pub config: &'a Config,
    pub thread: ArbiterHandle,
    pub tls: Option<TlsServer>,
    pub intake: Intake,
    pub sources: Arc<SourceTable>,
    pub clock: Arc<dyn ReceiveClock>,
    pub metrics: IngestMetrics,
}

/// The open listeners; `None` for one that is configured `off`.
pub struct OpenListeners {
    pub udp: Option<SourceHandle>,
    pub tcp: Option<SourceHandle>,
    pub tls: Option<SourceHandle>,
    pub relp: Option<SourceHandle>,
    pub agent: Option<SourceHandle>,
}

impl ListenerParts<'_> {
    /// Opens all configured listeners, and reloads the TLS files whenever they change.
    pub fn open(self, token: &str) -> Result<OpenListeners> {
        let listen = &self.config.listen;
        let relp_tls = self.tls.clone().filter(|_| self.config.tls.relp);
        let syslog_tls = self.config.syslog_tls();
        let opened = OpenListeners {
            udp: listen.syslog_udp.0.map(|at| self.udp(at)).transpose()?,
            tcp: listen.syslog_tcp.0.map(|at| self.tcp(at)).transpose()?,
            tls: syslog_tls.map(|at| self.tls(at)).transpose()?,
            relp: listen
                .relp
                .0
                .map(|at| self.relp(at, relp_tls))
                .transpose()?,
            agent: listen.agent.0.map(|at| self.agent(at, token)).transpose()?,
        };
        if let Some(tls) = self.tls {
            actix_rt::spawn(tls.watch(self.metrics));
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
            Arc::clone(&self.sources),
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
            self.config.connections.syslog_options(),
            tls,
            self.intake.clone(),
            Arc::clone(&self.sources),
            Arc::clone(&self.clock),
            self.metrics.clone(),
        )?)
    }

    fn relp(&self, at: SocketAddr, tls: Option<TlsServer>) -> Result<SourceHandle> {
        Ok(RelpSource::start(
            &self.thread,
            listen(at, "listen.relp")?,
            self.config.connections.syslog_options(),
            tls,
            self.intake.clone(),
            Arc::clone(&self.sources),
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
            self.config.connections.agent_options(),
            tls.map(|tls| tls.without_client_certificates()),
            Arc::new(move |_agent, got| weir_ingest::tokens_equal(&expected, got)),
            self.intake.clone(),
            Arc::clone(&self.sources),
            Arc::clone(&self.clock),
            self.metrics.clone(),
        )?)
    }
}

impl OpenListeners {
    /// The handles of all open listeners.
    pub fn into_handles(self) -> Vec<SourceHandle> {
        let all = [self.udp, self.tcp, self.tls, self.relp, self.agent];
        all.into_iter().flatten().collect()
    }
}

/// Reads the TLS files. A file that cannot be used is a problem of the configuration.
pub fn load_tls(config: &Config) -> Result<Option<TlsServer>, BadConfig> {
    config.tls.load().map_err(|error| {
        let cause = std::error::Error::source(&error);
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        BadConfig {
            file: "[tls]".into(),
            problems: vec![format!("{error}{cause}")],
        }
    })
}

/// The open listeners of HTTP; the second one is for health and metrics alone.
pub struct OpenHttp {
    pub address: SocketAddr,
    pub handles: Vec<WebHandle>,
}

/// Serves HTTP, or HTTPS if `tls` is given; `None` if it is off.
pub fn serve_http(
    config: &Config,
    ports: WebPorts,
    token: &str,
    tls: Option<TlsServer>,
) -> Result<Option<OpenHttp>> {
    let Some(at) = config.listen.http.0 else {
        return Ok(None);
    };
    let tls = tls.filter(|_| config.tls.http);
    let listener = listen(at, "listen.http")?;
    let address = listener.local_addr()?;
    let tls = tls.map(|tls| tls.for_http()).transpose()?;
    let options = WebOptions {
        tls,
        connections: config.connections.http_limits(),
        ..WebOptions::new(ApiToken::of(token))
    };
    let (server, handle) = weir_web::serve(listener, ports, options)?;
    actix_rt::spawn(server);
    let mut handles = vec![handle];
    if let Some(at) = config.listen.health.0 {
        let (server, health) = handles[0].serve_health(listen(at, "listen.health")?)?;
        actix_rt::spawn(server);
        handles.push(health);
    }
    Ok(Some(OpenHttp { address, handles }))
}

fn listen(at: SocketAddr, key: &str) -> Result<TcpListener> {
    TcpListener::bind(at).with_context(|| cannot_listen(at, key))
}

fn cannot_listen(at: SocketAddr, key: &str) -> String {
    format!("cannot listen on {at}; choose another address for {key}, or `off`")
}
