//! Faults of consumers: each type of sink, in each way.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::TimeDelta;

use super::{Expected, FaultPattern, HealthLog};
use crate::case::{Case, Facts, Setting};
use crate::consumer::{AlertReceiver, Treatment};
use crate::lines;
use crate::server::{Setup, TorturedServer};

/// Types of sinks, as in the configuration.
const TYPES: [&str; 3] = ["webhook", "alertmanager", "cef"];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in TYPES {
        for pattern in FaultPattern::ALL {
            let name = format!("sink-{kind}/{}", pattern.name());
            let question = "does a consumer that fails stop detection, or a stop?";
            cases.push(Case::new(name, question, move |setting| {
                run(kind, pattern, setting)
            }));
        }
    }
    cases
}

/// The consumer of a case: HTTP with a decision, or syslog, which has no answers.
enum TestConsumer {
    Http(AlertReceiver),
    Syslog(SocketAddr),
}

impl TestConsumer {
    fn start(kind: &str, pattern: FaultPattern) -> Result<Self> {
        if kind != "cef" {
            let mut fails = Treatment::Answer(500);
            if pattern == FaultPattern::Stalls {
                fails = Treatment::Silence;
            }
            let first = std::sync::atomic::AtomicBool::new(true);
            return Ok(Self::Http(AlertReceiver::start(move |_| {
                let is_first = first.swap(false, std::sync::atomic::Ordering::Relaxed);
                match pattern {
                    FaultPattern::Once if !is_first => Treatment::Answer(200),
                    _ => fails,
                }
            })?));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        if pattern == FaultPattern::Stalls {
            // Connects and never reads.
            std::thread::spawn(move || {
                let held: Vec<_> = listener.incoming().collect();
                drop(held);
            });
        } // Otherwise nobody listens any more: connections are refused.
        Ok(Self::Syslog(address))
    }

    fn config(&self, kind: &str) -> String {
        let url = match self {
            Self::Http(consumer) => format!("http://{}/", consumer.address),
            Self::Syslog(address) => format!("tcp://{address}"),
        };
        format!(
            "[[sink]]\nname = \"tested\"\ntype = \"{kind}\"\nurl = \"{url}\"\n\
             allow_private = true\ntimeout = \"3s\"\nretry_max = \"5s\"\n"
        )
    }

    /// Mends the consumer; reports whether an alert of `address` then arrives.
    fn mend(&self, address: &str) -> Result<Option<Instant>> {
        let limit = Duration::from_secs(30);
        match self {
            Self::Http(consumer) => {
                consumer.decide(|_| Treatment::Answer(200));
                Ok(consumer.wait_for(address, limit))
            }
            Self::Syslog(at) => {
                let Ok(listener) = TcpListener::bind(at) else {
                    // The stalled listener still has the address.
                    return Ok(None);
                };
                listener.set_nonblocking(true)?;
                Ok(read_until(&listener, address, limit))
            }
        }
    }
}

/// Reads all connections until one has `text`.
fn read_until(listener: &TcpListener, text: &str, limit: Duration) -> Option<Instant> {
    let (began, mut streams, mut bytes) = (Instant::now(), Vec::new(), Vec::new());
    while began.elapsed() < limit {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).ok()?;
            streams.push(stream);
        }
        for stream in &mut streams {
            // Fails with `WouldBlock` once there is no more.
            let _ = stream.read_to_end(&mut bytes);
        }
        if String::from_utf8_lossy(&bytes).contains(text) {
            return Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

fn run(kind: &'static str, pattern: FaultPattern, setting: &Setting) -> Result<Facts> {
    let consumer = TestConsumer::start(kind, pattern)?;
    let config = consumer.config(kind);
    let mut server = TorturedServer::start(
        setting,
        &Setup {
            config,
            ..Setup::default()
        },
    )?;
    let (alerts, mut facts) = (server.alerts()?, Facts::default());
    let (mut health, began) = (HealthLog::default(), Instant::now());
    let (mut round, mut latest) = (0, Duration::ZERO);
    while began.elapsed() < pattern.duration(setting) && server.is_running() {
        // 20 alerts in one write, and one whose way to the stream is measured.
        let now = lines::time(TimeDelta::zero());
        let burst = (0..20_u8).map(|host| lines::guessing(&format!("10.9.{round}.{host}"), &now));
        server.post(&burst.collect::<String>(), Duration::from_secs(10))?;
        let address = Ipv4Addr::new(198, 51, 100, round);
        let told = server.attack(&alerts, address, Duration::from_secs(10));
        latest = latest.max(told.unwrap_or(Duration::MAX));
        health.sample(&server, began);
        round = round.wrapping_add(1);
        std::thread::sleep(Duration::from_secs(2));
    }
    let told = format!("{:.1} s", latest.as_secs_f64().min(999.0));
    facts.judge(
        "slowest alert on the stream",
        told,
        latest < Duration::from_secs(5),
    );
    Expected::Well.judge(&mut facts, "healthz", health.live.as_ref(), setting);
    Expected::Either.judge(&mut facts, "readyz", health.ready.as_ref(), setting);
    if matches!(pattern, FaultPattern::Once | FaultPattern::Minute) {
        let mended = Instant::now();
        let arrived = consumer.mend("198.51.100.0")?;
        let shown = arrived.map_or("never".to_owned(), |at| {
            format!(
                "{:.1} s",
                at.saturating_duration_since(mended).as_secs_f64()
            )
        });
        facts.judge("delivered after the fault", shown, arrived.is_some());
    }
    facts.note("self-alerts", alerts.own().join(" "));
    server.stop_judged(&mut facts)?;
    server.remove();
    Ok(facts)
}
