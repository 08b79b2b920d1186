//! The load of the crash test, and the agent that sends it.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use weir_agent::{AgentClient, AgentIdentity, AgentOptions, encode_event};

use super::support::Weir;

/// Generates events. An event depends on the seed and its number alone.
#[derive(Clone, Copy)]
pub struct Load {
    pub seed: u64,
}

impl Load {
    const USERS: u32 = 400;
    /// 2026-01-01.
    const BEGIN_NS: i64 = 1_767_225_600_000_000_000;
    const STEP_NS: i64 = 20_000_000;

    fn random(self, n: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(n))
    }

    /// A tenth are orders, half are looks, a tenth are payments, and no rule reads the rest.
    fn kind(random: &mut StdRng) -> &'static str {
        match random.random_range(0..10) {
            0 => "a",
            1..6 => "c",
            6 => "b",
            _ => "d",
        }
    }

    pub fn event(self, n: u64) -> Vec<u8> {
        let mut random = self.random(n);
        let kind = Self::kind(&mut random);
        let mut user = random.random_range(0..Self::USERS);
        let mut time = n as i64;
        if kind == "b" {
            // A payment for an earlier order, 4 to 34 seconds late.
            let back = random.random_range(200..1_700);
            let around = (0..40).filter_map(|more| n.checked_sub(back + more));
            let order = around
                .into_iter()
                .find(|m| Self::kind(&mut self.random(*m)) == "a");
            if let Some(order) = order {
                let mut random = self.random(order);
                Self::kind(&mut random);
                user = random.random_range(0..Self::USERS);
                time = order as i64 - 150;
            }
        }
        let user = format!("u{user}");
        // Noise does not compress, so it fills segments.
        let noise: String = (0..96).map(|_| random.random_range('!'..='~')).collect();
        let raw = format!("{n} {noise}");
        let time_ns = Self::BEGIN_NS + time * Self::STEP_NS;
        let fields = [("user", user.as_str())];
        encode_event(
            time_ns,
            Some(kind),
            Some("product=shop"),
            &fields,
            Some(&raw),
        )
    }
}

/// The agent, on its own thread. It outlives every server.
pub struct Sender {
    pub client: Arc<AgentClient>,
    /// Number of events that may be sent.
    allowed: watch::Sender<u64>,
    thread: std::thread::JoinHandle<u64>,
}

impl Sender {
    pub fn start(weir: &Weir, load: Load) -> Self {
        let identity = AgentIdentity {
            agent: "shop".to_owned(),
            spool: 7,
            token: weir.token.clone(),
        };
        let options = AgentOptions {
            spool_events_max: 4_000,
            batch_events_max: 150,
            in_flight_events_max: 3_000,
            backoff_min: Duration::from_millis(2),
            backoff_max: Duration::from_millis(50),
            ..AgentOptions::default()
        };
        let (allowed, mut may) = watch::channel(0);
        let (hand, take) = std::sync::mpsc::sync_channel(1);
        let address = weir.agent.to_string();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let client = AgentClient::connect_with(&address, identity, options).await;
                let client = Arc::new(client.expect("the agents' port is open"));
                hand.send(Arc::clone(&client)).expect("the test waits");
                let mut sent = 0;
                // The channel closes when no more events will be allowed.
                while may.wait_for(|allowed| *allowed > sent).await.is_ok() {
                    client
                        .push(load.event(sent))
                        .await
                        .expect("the agent never gives up");
                    sent += 1;
                }
                client.flush().await.expect("all events become durable");
                sent
            })
        });
        let client = take.recv().expect("it connects");
        Self {
            client,
            allowed,
            thread,
        }
    }

    /// Allows the agent to send events up to number `count`.
    pub fn allow(&self, count: u64) {
        self.allowed.send_modify(|allowed| *allowed = count);
    }

    /// Waits until all allowed events are acknowledged, and returns their number.
    pub fn finish(self) -> u64 {
        drop(self.allowed);
        let sent = self.thread.join().expect("the agent never gives up");
        assert_eq!(self.client.acknowledged(), sent);
        sent
    }
}
