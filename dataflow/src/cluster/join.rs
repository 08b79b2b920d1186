//! How processes find each other at the start: connections, proofs that both know the secret, and
//! how far their journals go.

use std::io::{Error, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use weir_schema::{BatchSeq, Epoch};

use super::{Member, wire};

/// Longest wait for each of the two words of a handshake, however slowly they come: whoever is none
/// of ours holds the others up by no more.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(3);

/// Between two tries to reach a process that is not there yet.
const RETRY: Duration = Duration::from_millis(100);

/// How often it is said who is waited for.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// A hello takes some 150 bytes.
pub const HELLO_BYTES_MAX: usize = 512;

const MAGIC: [u8; 8] = *b"weir-1-c";

/// What all processes of a cluster know, and nobody else.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Of the text that all are given.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(blake3::derive_key("weir cluster join 1", text.as_bytes()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Who this process is, and where the others are.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub process: usize,
    /// `host:port` of each process, in order; each listens on its own while it joins.
    pub addresses: Vec<String>,
    /// Timely workers of each.
    pub workers: usize,
    pub secret: Secret,
    /// Random bytes, for what is said only once.
    pub seed: [u8; 32],
}

/// Why a process cannot be one of a cluster.
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

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Data,
    Talk,
    Frames,
}

/// Whether the bytes are a hello, of whomever.
pub fn read_hello(bytes: &[u8]) -> std::io::Result<()> {
    wire::decode::<Hello>(bytes).map(drop)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hello {
    magic: [u8; 8],
    version: String,
    processes: u8,
    workers: u16,
    kind: Kind,
    from: u8,
    to: u8,
    /// Of the process from its start to its end.
    life: u64,
    /// The last epoch of its journal.
    sealed: Epoch,
    nonce: [u8; 32],
}

impl Hello {
    /// What must be the same everywhere.
    fn shape(&self) -> String {
        let (version, processes, workers) = (&self.version, self.processes, self.workers);
        format!("version {version} in a cluster of {processes} with {workers} workers each")
    }
}

/// Another process, as far as it is connected.
#[derive(Default)]
struct Peer {
    life: u64,
    sealed: Option<Epoch>,
    data: Option<TcpStream>,
    talk: Option<TcpStream>,
    frames: Option<TcpStream>,
}

impl Peer {
    fn slot(&mut self, kind: Kind) -> &mut Option<TcpStream> {
        match kind {
            Kind::Data => &mut self.data,
            Kind::Talk => &mut self.talk,
            Kind::Frames => &mut self.frames,
        }
    }

    /// Takes a connection in; those of an earlier life of the process are gone.
    fn take(&mut self, hello: &Hello, stream: TcpStream) {
        if self.life != hello.life {
            *self = Self::default();
            self.life = hello.life;
        }
        self.sealed = Some(hello.sealed);
        *self.slot(hello.kind) = Some(stream);
    }
}

struct Join<'o> {
    options: &'o ClusterOptions,
    sealed: Epoch,
    life: u64,
    said: u64,
    peers: Vec<Peer>,
}

/// Connects with all other processes, however long they take to come. `sealed` is how far the
/// journal of this one goes.
pub fn join(options: &ClusterOptions, sealed: Epoch) -> Result<Member, JoinError> {
    let (process, processes) = (options.process, options.addresses.len());
    if process >= processes || processes > BatchSeq::PROCESSES_MAX {
        return Err(JoinError::NoSuchProcess { process, processes });
    }
    let mut join = Join {
        options,
        sealed,
        life: 0,
        said: 0,
        peers: (0..processes).map(|_| Peer::default()).collect(),
    };
    join.life = join
        .fresh()
        .first_chunk()
        .map_or(1, |life| u64::from_le_bytes(*life));
    // Those behind this one connect to it. Bound first, so that they wait and are not refused.
    let listener = join.listen()?;
    for peer in 0..process {
        join.connect(peer)?;
    }
    if let Some(listener) = listener {
        join.accept(&listener);
    }
    Ok(join.member())
}

/// The connections between `a` and `b`.
fn kinds(a: usize, b: usize) -> &'static [Kind] {
    if a.min(b) == 0 {
        &[Kind::Data, Kind::Talk, Kind::Frames]
    } else {
        &[Kind::Data]
    }
}

impl Join<'_> {
    /// Bytes that nobody could foresee and that are used once.
    fn fresh(&mut self) -> [u8; 32] {
        self.said += 1;
        *blake3::keyed_hash(&self.options.seed, &self.said.to_le_bytes()).as_bytes()
    }

    fn hello(&mut self, kind: Kind, to: usize) -> Hello {
        let nonce = self.fresh();
        // Bounded by `BatchSeq::PROCESSES_MAX`, and the workers by configuration.
        let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        Hello {
            magic: MAGIC,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            processes: byte(self.peers.len()),
            workers: u16::try_from(self.options.workers).unwrap_or(u16::MAX),
            kind,
            from: byte(self.options.process),
            to: byte(to),
            life: self.life,
            sealed: self.sealed,
            nonce,
        }
    }

    fn proof(&self, answers: bool, first: &[u8], second: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.options.secret.0);
        hasher.update(&[u8::from(answers)]);
        for said in [first, second] {
            hasher.update(&(said.len() as u64).to_le_bytes());
            hasher.update(said);
        }
        hasher.finalize()
    }

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

    /// Connects to a process that started before this one, or will.
    fn connect(&mut self, peer: usize) -> Result<(), JoinError> {
        let mut told = None;
        while let Some(kind) = self.missing(peer) {
            let address = self.options.addresses[peer].clone();
            let tried = connect_to(&address).and_then(|stream| self.introduce(kind, peer, stream));
            match tried {
                Ok((hello, stream)) => {
                    let ours = self.hello(kind, peer);
                    if hello.shape() != ours.shape() {
                        return Err(JoinError::Differs {
                            process: peer,
                            theirs: hello.shape(),
                            ours: ours.shape(),
                        });
                    }
                    self.peers[peer].take(&hello, stream);
                }
                Err(error) => {
                    say(&mut told, || {
                        tracing::info!(process = peer, address, %error, "waiting for a process");
                    });
                    std::thread::sleep(RETRY);
                }
            }
        }
        Ok(())
    }

    /// The next connection with a process that is not there.
    fn missing(&mut self, peer: usize) -> Option<Kind> {
        let kinds = kinds(self.options.process, peer).iter().copied();
        let peer = &mut self.peers[peer];
        kinds.into_iter().find(|kind| peer.slot(*kind).is_none())
    }

    /// The handshake of whoever connects.
    fn introduce(
        &mut self,
        kind: Kind,
        peer: usize,
        mut stream: TcpStream,
    ) -> std::io::Result<(Hello, TcpStream)> {
        patient(&stream)?;
        let ours = self.hello(kind, peer);
        let first = wire::send(&mut stream, &ours)?;
        let second = receive(&stream)?;
        let hello: Hello = wire::decode(&second)?;
        if hello.magic != MAGIC || usize::from(hello.from) != peer || hello.kind != kind {
            return Err(strange("it is no process of this cluster"));
        }
        if hello.shape() != ours.shape() {
            // It would refuse; and whoever is asked says why this process ends.
            return Ok((hello, stream));
        }
        wire::send(&mut stream, self.proof(false, &first, &second).as_bytes())?;
        let refused = |_| strange("it refuses; do both have the same secret?");
        let proof = receive(&stream).map_err(refused)?;
        self.check(&proof, true, &first, &second)?;
        impatient(&stream)?;
        Ok((hello, stream))
    }

    /// Takes connections until all processes behind this one are there.
    fn accept(&mut self, listener: &TcpListener) {
        let mut told = None;
        while let Some(waited) = self.waited_for() {
            let came = listener.accept().and_then(|(stream, from)| {
                let answered = self.answer(stream);
                answered.map_err(|error| Error::new(error.kind(), format!("{from}: {error}")))
            });
            match came {
                Ok((hello, stream)) => self.peers[usize::from(hello.from)].take(&hello, stream),
                Err(error) => say(&mut told, || {
                    tracing::warn!(process = waited, %error, "a connection was refused");
                }),
            }
        }
    }

    /// A process behind this one that is not all there.
    fn waited_for(&mut self) -> Option<usize> {
        let mut behind = self.options.process + 1..self.peers.len();
        behind.find(|peer| self.missing(*peer).is_some())
    }

    /// The handshake of whoever was connected to.
    fn answer(&mut self, mut stream: TcpStream) -> std::io::Result<(Hello, TcpStream)> {
        patient(&stream)?;
        let first = receive(&stream)?;
        let hello: Hello = wire::decode(&first)?;
        let from = usize::from(hello.from);
        let known = hello.magic == MAGIC
            && usize::from(hello.to) == self.options.process
            && (self.options.process + 1..self.peers.len()).contains(&from)
            && kinds(self.options.process, from).contains(&hello.kind);
        let ours = self.hello(hello.kind, from);
        // It finds out by it where it differs.
        let second = wire::send(&mut stream, &ours)?;
        if !known || hello.shape() != ours.shape() {
            return Err(strange("it is no process of this cluster"));
        }
        let proof = receive(&stream)?;
        self.check(&proof, false, &first, &second)?;
        wire::send(&mut stream, self.proof(true, &first, &second).as_bytes())?;
        impatient(&stream)?;
        Ok((hello, stream))
    }

    fn check(
        &self,
        proof: &[u8],
        answers: bool,
        first: &[u8],
        second: &[u8],
    ) -> std::io::Result<()> {
        let proof: [u8; 32] = wire::decode(proof)?;
        // The comparison of hashes takes the same time wherever they differ.
        if blake3::Hash::from(proof) == self.proof(answers, first, second) {
            Ok(())
        } else {
            Err(strange("it does not know the secret of the cluster"))
        }
    }

    fn member(self) -> Member {
        let sealed = self.peers.iter().filter_map(|peer| peer.sealed);
        let greatest = sealed.fold(self.sealed, Epoch::max);
        let mut member = Member {
            process: self.options.process,
            greatest,
            data: Vec::new(),
            talk: Vec::new(),
            frames: Vec::new(),
            status: Arc::default(),
        };
        for (process, peer) in self.peers.into_iter().enumerate() {
            member.data.push(peer.data);
            member.talk.extend(peer.talk.map(|talk| (process, talk)));
            member
                .frames
                .extend(peer.frames.map(|frames| (process, frames)));
        }
        member
    }
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

/// The next word of a handshake.
fn receive(stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    wire::receive(
        &mut wire::Within::new(stream, HANDSHAKE_WAIT),
        HELLO_BYTES_MAX,
    )
}

fn patient(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANDSHAKE_WAIT))?;
    stream.set_write_timeout(Some(HANDSHAKE_WAIT))
}

fn impatient(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)
}

fn strange(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// Says it the first time, and from time to time.
fn say(told: &mut Option<Instant>, what: impl FnOnce()) {
    if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
        *told = Some(Instant::now());
        what();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

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
            secret: Secret::of(secret),
            seed: [process as u8; 32],
        }
    }

    /// Addresses that are free now.
    fn addresses(count: usize) -> Vec<String> {
        let bound: Vec<_> = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free"))
            .collect();
        let address =
            |listener: &TcpListener| listener.local_addr().expect("it is bound").to_string();
        bound.iter().map(address).collect()
    }

    #[test]
    fn three_find_each_other_in_any_order_past_strangers_and_agree_on_the_greatest_epoch() {
        let addresses = addresses(3);
        let start = |process: usize, secret: &'static str| {
            let addresses = addresses.clone();
            std::thread::spawn(move || {
                let options = options(process, &addresses, secret, 1);
                let sealed = Epoch([4, 9, 2][process]);
                join(&options, sealed).expect("the others come")
            })
        };
        let last = start(2, "s");
        let first = start(0, "s");
        // Whoever speaks otherwise is let go, and so is one that does not know the secret.
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
        let _liar = start(2, "another");
        let middle = start(1, "s");
        for (process, member) in [first, middle, last].into_iter().enumerate() {
            let member = member.join().expect("no panic");
            assert_eq!(member.greatest(), Epoch(9));
            let connected: Vec<bool> = member.data.iter().map(Option::is_some).collect();
            let wanted: Vec<bool> = (0..3).map(|other| other != process).collect();
            assert_eq!(connected, wanted);
            assert_eq!(member.talk.len(), if process == 0 { 2 } else { 1 });
            assert_eq!(member.frames.len(), member.talk.len());
        }
    }

    #[test]
    fn who_is_set_up_otherwise_is_told_so() {
        let addresses = addresses(2);
        let lead = addresses.clone();
        // It goes on waiting for one that fits, until the test ends.
        std::thread::spawn(move || join(&options(0, &lead, "s", 2), Epoch(0)));
        let joined = join(&options(1, &addresses, "s", 1), Epoch(0));
        let error = joined.err().expect("it differs").to_string();
        assert!(error.contains("with 2 workers"), "{error}");
        let none = join(&options(2, &addresses, "s", 1), Epoch(0));
        assert!(matches!(none, Err(JoinError::NoSuchProcess { .. })));
    }
}
