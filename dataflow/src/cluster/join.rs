//! Joins a cluster: connects this process with all others.

use std::io::{Error, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_schema::{BatchSeq, Epoch};

use super::ClusterMember;
use super::handshake::{ConnectionKind, HANDSHAKE_WAIT, Hello, Identity, Introduction};
use super::options::ClusterOptions;

/// Pause between two attempts to reach a process that is not running yet.
const RETRY: Duration = Duration::from_millis(100);

/// Interval between two log messages about a missing process.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why a process cannot join a cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(
        "{process} is no process of a cluster of {processes}, of at most {}",
        BatchSeq::PROCESSES_MAX
    )]
    NoSuchProcess { process: usize, processes: usize },
    #[error("cannot listen on {address} for the other processes; is one running there?")]
    Listen {
        address: String,
        #[source]
        source: Error,
    },
    #[error(
        "process {process} is {theirs}, this one {ours}; all need the same binary and `cluster` section"
    )]
    Differs {
        process: usize,
        theirs: String,
        ours: String,
    },
}

/// The connections with another process so far.
#[derive(Default)]
struct Peer {
    incarnation: u64,
    sealed: Option<Epoch>,
    data: Option<TcpStream>,
    messages: Option<TcpStream>,
    batches: Option<TcpStream>,
}

impl Peer {
    fn slot(&mut self, kind: ConnectionKind) -> &mut Option<TcpStream> {
        match kind {
            ConnectionKind::Data => &mut self.data,
            ConnectionKind::Messages => &mut self.messages,
            ConnectionKind::Batches => &mut self.batches,
        }
    }

    /// Adds a connection. If the process was restarted, drops those from before.
    fn add(&mut self, introduction: Introduction) {
        let Introduction { hello, stream } = introduction;
        if self.incarnation != hello.incarnation {
            *self = Self::default();
            self.incarnation = hello.incarnation;
        }
        self.sealed = Some(hello.sealed);
        *self.slot(hello.kind) = Some(stream);
    }
}

struct Join<'o> {
    options: &'o ClusterOptions,
    identity: Identity<'o>,
    peers: Vec<Peer>,
}

/// Connects with all other processes, and waits for them without limit.
///
/// `sealed` is the last epoch of this process's journal.
pub fn join(options: &ClusterOptions, sealed: Epoch) -> Result<ClusterMember, JoinError> {
    let (process, processes) = (options.process, options.addresses.len());
    if process >= processes || processes > BatchSeq::PROCESSES_MAX {
        return Err(JoinError::NoSuchProcess { process, processes });
    }
    let mut join = Join {
        options,
        identity: Identity::new(options, sealed),
        peers: (0..processes).map(|_| Peer::default()).collect(),
    };
    // Processes with greater numbers connect to this one. It listens first, so that they wait
    // instead of being refused.
    let listener = join.listen()?;
    for peer in 0..process {
        join.connect(peer)?;
    }
    if let Some(listener) = listener {
        join.accept(&listener);
    }
    Ok(join.into_member())
}

impl Join<'_> {
    fn listen(&self) -> Result<Option<TcpListener>, JoinError> {
        if self.options.process + 1 == self.peers.len() {
            return Ok(None);
        }
        let address = &self.options.addresses[self.options.process];
        let bound = TcpListener::bind(address);
        let bound = bound.map_err(|source| JoinError::Listen {
            address: address.clone(),
            source,
        })?;
        Ok(Some(bound))
    }

    /// Connects to a process with a smaller number, retrying until it is there.
    fn connect(&mut self, peer: usize) -> Result<(), JoinError> {
        let mut last_log = None;
        while let Some(kind) = self.missing_kind(peer) {
            let address = self.options.addresses[peer].clone();
            let connected =
                connect_to(&address).and_then(|stream| self.identity.connect(kind, peer, stream));
            match connected {
                Ok(introduction) => {
                    let own = self.identity.hello(kind, peer);
                    check_settings(peer, &introduction.hello, &own)?;
                    self.peers[peer].add(introduction);
                }
                Err(error) => {
                    rate_limit(&mut last_log, || {
                        tracing::info!(process = peer, address, %error, "waiting for a process");
                    });
                    std::thread::sleep(RETRY);
                }
            }
        }
        Ok(())
    }

    /// The kind of the next connection that is missing to a process.
    fn missing_kind(&mut self, peer: usize) -> Option<ConnectionKind> {
        let kinds = ConnectionKind::between(self.options.process, peer);
        let peer = &mut self.peers[peer];
        kinds
            .iter()
            .copied()
            .find(|kind| peer.slot(*kind).is_none())
    }

    /// Accepts connections until all processes with greater numbers are connected.
    fn accept(&mut self, listener: &TcpListener) {
        let mut last_log = None;
        while let Some(missing) = self.missing_peer() {
            let accepted = listener.accept().and_then(|(stream, from)| {
                let answered = self.identity.accept(stream);
                answered.map_err(|error| Error::new(error.kind(), format!("{from}: {error}")))
            });
            match accepted {
                Ok(introduction) => {
                    let sender = introduction.hello.sender();
                    self.peers[sender].add(introduction);
                }
                Err(error) => rate_limit(&mut last_log, || {
                    tracing::warn!(process = missing, %error, "a connection was refused");
                }),
            }
        }
    }

    /// A process with a greater number to which a connection is missing.
    fn missing_peer(&mut self) -> Option<usize> {
        let mut greater = self.options.process + 1..self.peers.len();
        greater.find(|peer| self.missing_kind(*peer).is_some())
    }

    fn into_member(self) -> ClusterMember {
        let sealed = self.peers.iter().filter_map(|peer| peer.sealed);
        let last_epoch = sealed.fold(self.identity.sealed, Epoch::max);
        let mut member = ClusterMember {
            process: self.options.process,
            last_epoch,
            data: Vec::new(),
            messages: Vec::new(),
            batches: Vec::new(),
            status: Arc::default(),
        };
        for (process, peer) in self.peers.into_iter().enumerate() {
            member.data.push(peer.data);
            let messages = peer.messages.map(|stream| (process, stream));
            member.messages.extend(messages);
            let batches = peer.batches.map(|stream| (process, stream));
            member.batches.extend(batches);
        }
        member
    }
}

/// Fails if a process has other settings than this one.
fn check_settings(process: usize, hello: &Hello, own: &Hello) -> Result<(), JoinError> {
    if hello.settings() == own.settings() {
        return Ok(());
    }
    Err(JoinError::Differs {
        process,
        theirs: hello.settings(),
        ours: own.settings(),
    })
}

fn connect_to(address: &str) -> std::io::Result<TcpStream> {
    let mut last = Error::from(ErrorKind::AddrNotAvailable);
    for at in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&at, HANDSHAKE_WAIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Runs `log` the first time, and again when [`LOG_EVERY`] has passed.
fn rate_limit(last: &mut Option<Instant>, log: impl FnOnce()) {
    if last.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
        *last = Some(Instant::now());
        log();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::cluster::options::ClusterSecret;

    fn options(
        process: usize,
        addresses: &[String],
        secret: &str,
        workers: usize,
    ) -> ClusterOptions {
        ClusterOptions {
            process,
            addresses: addresses.to_vec(),
            workers,
            secret: ClusterSecret::from_text(secret),
            seed: [process as u8; 32],
        }
    }

    /// Addresses that are free at the moment.
    fn addresses(count: usize) -> Vec<String> {
        let bound: Vec<_> = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free"))
            .collect();
        let address =
            |listener: &TcpListener| listener.local_addr().expect("it is bound").to_string();
        bound.iter().map(address).collect()
    }

    #[test]
    fn three_processes_join_in_any_order_despite_strangers_and_agree_on_the_last_epoch() {
        let addresses = addresses(3);
        let start = |process: usize, secret: &'static str| {
            let addresses = addresses.clone();
            std::thread::spawn(move || {
                let options = options(process, &addresses, secret, 1);
                let sealed = Epoch([4, 9, 2][process]);
                join(&options, sealed).expect("the others join")
            })
        };
        let last = start(2, "s");
        let first = start(0, "s");
        // A client of another protocol is refused, and so is one that does not know the secret.
        let mut stranger = loop {
            match TcpStream::connect(&addresses[0]) {
                Ok(stranger) => break stranger,
                Err(_) => std::thread::yield_now(),
            }
        };
        stranger
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .expect("it is read");
        drop(stranger);
        let _wrong_secret = start(2, "another");
        let middle = start(1, "s");
        for (process, member) in [first, middle, last].into_iter().enumerate() {
            let member = member.join().expect("no panic");
            assert_eq!(member.last_epoch(), Epoch(9));
            let connected: Vec<bool> = member.data.iter().map(Option::is_some).collect();
            let wanted: Vec<bool> = (0..3).map(|other| other != process).collect();
            assert_eq!(connected, wanted);
            assert_eq!(member.messages.len(), if process == 0 { 2 } else { 1 });
            assert_eq!(member.batches.len(), member.messages.len());
        }
    }

    #[test]
    fn other_settings_are_reported() {
        let addresses = addresses(2);
        let lead = addresses.clone();
        // It waits for a matching process until the test ends.
        std::thread::spawn(move || join(&options(0, &lead, "s", 2), Epoch(0)));
        let joined = join(&options(1, &addresses, "s", 1), Epoch(0));
        let error = joined.err().expect("it differs").to_string();
        assert!(error.contains("with 2 workers"), "{error}");
        let none = join(&options(2, &addresses, "s", 1), Epoch(0));
        assert!(matches!(none, Err(JoinError::NoSuchProcess { .. })));
    }
}
