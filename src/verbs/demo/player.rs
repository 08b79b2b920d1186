//! Plays a scenario: sends its logs to the listeners of a server, in the planned order and at its
//! pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout};
use weir_agent::{AgentClient, AgentIdentity, encode_event};
use weir_scenario::{AgentRecord, DeliveryPayload, DeliveryTransport, PlannedDelivery, Scenario};
use weir_schema::EventTime;
use weir_web::rfc3339;

use crate::server::printer::LinePrinter;
use crate::server::topology::Server;
use crate::verbs::demo::counter::{JournalCounter, LineCounts};

/// Most datagrams in flight: as many as fit every kernel's default receive buffer.
const UDP_IN_FLIGHT_MAX: u64 = 128;

/// Bytes of lines that are buffered before they are written to the TCP connection.
const TCP_BUFFER_BYTES: usize = 32 << 10;

/// Longest wait until sent lines are journaled and applied.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A client of all listeners of a server.
pub struct Player<'s> {
    server: &'s Server,
    udp: UdpSocket,
    tcp: TcpStream,
    buffer: Vec<u8>,
    agents: BTreeMap<String, AgentClient>,
    pub sent: LineCounts,
    pub counter: JournalCounter,
}

impl<'s> Player<'s> {
    /// Connects to the listeners for syslog; agents connect when they first report.
    pub async fn connect(server: &'s Server) -> Result<Self> {
        let at = &server.addresses;
        let (Some(udp_at), Some(tcp_at)) = (at.udp, at.tcp) else {
            bail!("the demo needs the listeners for syslog");
        };
        let udp = UdpSocket::bind("127.0.0.1:0").await?;
        udp.connect(udp_at).await?;
        Ok(Self {
            server,
            udp,
            tcp: TcpStream::connect(tcp_at).await?,
            buffer: Vec::new(),
            agents: BTreeMap::new(),
            sent: LineCounts::default(),
            counter: JournalCounter::start(&server.journal)?,
        })
    }

    /// Sends all deliveries at `speed` times real time, and prints the narration meanwhile.
    pub async fn play(
        &mut self,
        scenario: &Scenario,
        speed: f64,
        printer: &mut LinePrinter,
    ) -> Result<()> {
        let begin = Instant::now();
        let mut narration = scenario.narration.iter().peekable();
        for delivery in &scenario.deliveries {
            if delivery.late {
                // The alert that it corrects must have been raised before.
                self.settle().await?;
            }
            while let Some((at, text)) = narration.next_if(|(at, _)| *at <= delivery.at) {
                self.pace(begin, at.0, speed).await?;
                let time = clock(scenario.start.plus(*at));
                printer.print(format!("\n{time}  {text}"));
            }
            self.pace(begin, delivery.at.0, speed).await?;
            self.deliver(delivery).await?;
        }
        self.settle().await.map(drop)
    }

    /// Waits until the time `at` of the scenario, unless it has passed.
    async fn pace(&mut self, begin: Instant, at: i64, speed: f64) -> Result<()> {
        let due = begin + Duration::from_nanos(at.unsigned_abs()).div_f64(speed);
        if due > Instant::now() {
            self.write_lines().await?;
            sleep_until(due).await;
        }
        Ok(())
    }

    async fn deliver(&mut self, delivery: &PlannedDelivery) -> Result<()> {
        match (&delivery.payload, delivery.transport) {
            (DeliveryPayload::Line(line), DeliveryTransport::Udp) => self.datagram(line).await,
            (DeliveryPayload::Line(line), DeliveryTransport::Tcp | DeliveryTransport::Agent) => {
                self.buffer.extend_from_slice(line);
                self.buffer.push(b'\n');
                self.sent.tcp += 1;
                if self.buffer.len() >= TCP_BUFFER_BYTES {
                    self.write_lines().await?;
                }
                Ok(())
            }
            (DeliveryPayload::Agent(record), _) => {
                // Listeners do not keep an order among them. An event that a rule needs together
                // with events of another listener is therefore awaited until it is durable.
                let awaited = !delivery.detections.is_empty();
                self.report(&delivery.host, record, awaited).await
            }
        }
    }

    /// Sends a line over UDP, once few enough datagrams are in flight.
    async fn datagram(&mut self, line: &[u8]) -> Result<()> {
        let enough = self.sent.udp.saturating_sub(UDP_IN_FLIGHT_MAX);
        if self.counter.now().udp < enough {
            let enough = LineCounts {
                udp: enough,
                ..LineCounts::default()
            };
            if !self.counter.reach(&enough, WAIT_MAX).await {
                bail!("datagrams were lost on loopback");
            }
        }
        self.udp.send(line).await.context("cannot send over UDP")?;
        self.sent.udp += 1;
        Ok(())
    }

    async fn write_lines(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.tcp
                .write_all(&self.buffer)
                .await
                .context("cannot send over TCP")?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Sends a record as the agent of `host`; with `awaited`, waits until it is durable.
    async fn report(&mut self, host: &str, record: &AgentRecord, awaited: bool) -> Result<()> {
        let fields: Vec<(&str, &str)> = record
            .fields
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let (kind, logsource) = (Some(&*record.kind), Some(&*record.logsource));
        let event = encode_event(record.time.0, kind, logsource, &fields, None);
        let client = match self.agents.entry(host.to_owned()) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let Some(at) = self.server.addresses.agent else {
                    bail!("the demo needs the listener for agents");
                };
                let identity = AgentIdentity {
                    agent: host.to_owned(),
                    spool: 1,
                    token: self.server.token.clone(),
                };
                new.insert(AgentClient::connect(&at.to_string(), identity).await?)
            }
        };
        client.push(event).await?;
        self.sent.agent += 1;
        if awaited {
            timeout(WAIT_MAX, client.flush())
                .await
                .context("no acknowledgement came")??;
        }
        Ok(())
    }

    /// Waits until every sent line is journaled and applied; false if some are not in time.
    pub async fn settle(&mut self) -> Result<bool> {
        self.write_lines().await?;
        for client in self.agents.values() {
            timeout(WAIT_MAX, client.flush())
                .await
                .context("no acknowledgement came")??;
        }
        let sent = self.sent;
        let journaled = self.counter.reach(&sent, WAIT_MAX).await;
        let (epoch, status) = (
            self.server.journal.last_sealed(),
            Arc::clone(&self.server.status),
        );
        let wait = move || status.wait_for(epoch, WAIT_MAX);
        let applied = actix_rt::task::spawn_blocking(wait).await?;
        Ok(journaled && applied)
    }
}

/// The time of day of an event time.
pub fn clock(time: EventTime) -> String {
    rfc3339(time).get(11..19).unwrap_or_default().to_owned()
}
