//! Plays a scenario through the doors of a server: real sockets, in the order and at the pace planned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout};
use weir_agent::{AgentClient, AgentIdentity, encode_event};
use weir_scenario::{AgentRecord, Delivery, DeliveryTransport, Payload, Scenario};
use weir_schema::EventTime;
use weir_web::rfc3339;

use crate::demo::tally::{Counts, Tally};
use crate::observe::Printer;
use crate::topology::Server;

/// Datagrams on their way at once: what every kernel's default receive buffer holds.
const UDP_IN_FLIGHT_MAX: u64 = 128;

/// Bytes of lines that gather before they are written to the TCP connection.
const TCP_GATHERED_MAX: usize = 32 << 10;

/// How long something sent may take to be journaled or judged before the demo gives it up.
const PATIENCE: Duration = Duration::from_secs(30);

/// All doors of a server, from outside.
pub struct Player<'s> {
    server: &'s Server,
    udp: UdpSocket,
    tcp: TcpStream,
    gathered: Vec<u8>,
    agents: BTreeMap<String, AgentClient>,
    pub sent: Counts,
    pub tally: Tally,
}

impl<'s> Player<'s> {
    pub async fn connect(server: &'s Server) -> Result<Self> {
        let at = &server.addresses;
        let (Some(udp_at), Some(tcp_at)) = (at.udp, at.tcp) else {
            bail!("the demo needs the doors for syslog");
        };
        let udp = UdpSocket::bind("127.0.0.1:0").await?;
        udp.connect(udp_at).await?;
        Ok(Self {
            server,
            udp,
            tcp: TcpStream::connect(tcp_at).await?,
            gathered: Vec::new(),
            agents: BTreeMap::new(),
            sent: Counts::default(),
            tally: Tally::start(&server.journal)?,
        })
    }

    /// Plays it all at `speed` times the pace of event time, and tells what happens meanwhile.
    pub async fn play(
        &mut self,
        scenario: &Scenario,
        speed: f64,
        printer: &mut Printer,
    ) -> Result<()> {
        let begin = Instant::now();
        let mut story = scenario.narration.iter().peekable();
        for delivery in &scenario.deliveries {
            if delivery.late {
                // What it corrects must have been said before.
                self.settle().await?;
            }
            while let Some((at, text)) = story.next_if(|(at, _)| *at <= delivery.at) {
                self.pace(begin, at.0, speed).await?;
                let time = clock(scenario.start.plus(*at));
                printer.print(format!("\n{time}  {text}"));
            }
            self.pace(begin, delivery.at.0, speed).await?;
            self.deliver(delivery).await?;
        }
        self.settle().await.map(drop)
    }

    /// Waits until it is time for what happens at `at`, if it is not yet.
    async fn pace(&mut self, begin: Instant, at: i64, speed: f64) -> Result<()> {
        let due = begin + Duration::from_nanos(at.unsigned_abs()).div_f64(speed);
        if due > Instant::now() {
            self.write_lines().await?;
            sleep_until(due).await;
        }
        Ok(())
    }

    async fn deliver(&mut self, delivery: &Delivery) -> Result<()> {
        match (&delivery.payload, delivery.via) {
            (Payload::Line(line), DeliveryTransport::Udp) => self.datagram(line).await,
            (Payload::Line(line), DeliveryTransport::Tcp | DeliveryTransport::Agent) => {
                self.gathered.extend_from_slice(line);
                self.gathered.push(b'\n');
                self.sent.tcp += 1;
                if self.gathered.len() >= TCP_GATHERED_MAX {
                    self.write_lines().await?;
                }
                Ok(())
            }
            (Payload::Agent(record), _) => {
                // Order between doors is nobody's promise, so what a rule asks of two of them
                // waits until the one is durable.
                let awaited = !delivery.marks.is_empty();
                self.report(&delivery.host, record, awaited).await
            }
        }
    }

    async fn datagram(&mut self, line: &[u8]) -> Result<()> {
        let enough = self.sent.udp.saturating_sub(UDP_IN_FLIGHT_MAX);
        if self.tally.now().udp < enough {
            let enough = Counts {
                udp: enough,
                ..Counts::default()
            };
            if !self.tally.reach(&enough, PATIENCE).await {
                bail!("datagrams were lost on loopback");
            }
        }
        self.udp.send(line).await.context("cannot send over UDP")?;
        self.sent.udp += 1;
        Ok(())
    }

    async fn write_lines(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            self.tcp
                .write_all(&self.gathered)
                .await
                .context("cannot send over TCP")?;
            self.gathered.clear();
        }
        Ok(())
    }

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
                    bail!("the demo needs the door for agents");
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
            timeout(PATIENCE, client.flush())
                .await
                .context("no acknowledgement came")??;
        }
        Ok(())
    }

    /// Waits until all that was sent is journaled and judged; false where some of it is not.
    pub async fn settle(&mut self) -> Result<bool> {
        self.write_lines().await?;
        for client in self.agents.values() {
            timeout(PATIENCE, client.flush())
                .await
                .context("no acknowledgement came")??;
        }
        let sent = self.sent;
        let journaled = self.tally.reach(&sent, PATIENCE).await;
        let (epoch, status) = (
            self.server.journal.last_sealed(),
            Arc::clone(&self.server.status),
        );
        let wait = move || status.wait_for(epoch, PATIENCE);
        let judged = actix_rt::task::spawn_blocking(wait).await?;
        Ok(journaled && judged)
    }
}

/// The time of day.
pub fn clock(time: EventTime) -> String {
    rfc3339(time).get(11..19).unwrap_or_default().to_owned()
}
