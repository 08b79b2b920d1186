//! The handshake on a new connection: both ends say who they are and prove that they know the secret.

use std::io::{Error, ErrorKind};
use std::net::TcpStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_schema::Epoch;

use super::options::ClusterOptions;
use super::wire;

/// Longest wait for each of the two messages of a handshake, however slowly they arrive. A stranger
/// delays the other processes by no more than this.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(3);

/// A hello takes some 150 bytes.
pub const HELLO_BYTES_MAX: usize = 512;

const MAGIC: [u8; 8] = *b"weir-1-c";

/// The end of a connection that a proof comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Connects,
    Accepts,
}

/// The bytes of both hellos, in the order in which they were sent.
#[derive(Clone, Copy)]
struct Hellos<'b> {
    first: &'b [u8],
    second: &'b [u8],
}

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionKind {
    Data,
    Messages,
    Batches,
}

impl ConnectionKind {
    /// The connections between two processes.
    pub const fn between(a: usize, b: usize) -> &'static [Self] {
        if a == 0 || b == 0 {
            &[Self::Data, Self::Messages, Self::Batches]
        } else {
            &[Self::Data]
        }
    }
}

/// The first message of each end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    magic: [u8; 8],
    version: String,
    processes: u8,
    workers: u16,
    pub kind: ConnectionKind,
    from: u8,
    to: u8,
    /// Random number of the sender, fixed from its start to its end.
    pub incarnation: u64,
    /// The last epoch of its journal.
    pub sealed: Epoch,
    nonce: [u8; 32],
}

impl Hello {
    /// The process that sent it.
    pub fn sender(&self) -> usize {
        usize::from(self.from)
    }

    /// The settings that must be equal in all processes.
    pub fn settings(&self) -> String {
        let (version, processes, workers) = (&self.version, self.processes, self.workers);
        format!("version {version} in a cluster of {processes} with {workers} workers each")
    }
}

/// Decodes a hello, for the fuzzer.
pub fn read_hello(bytes: &[u8]) -> std::io::Result<()> {
    wire::decode::<Hello>(bytes).map(drop)
}

/// This process, as it introduces itself.
pub struct Identity<'o> {
    options: &'o ClusterOptions,
    nonces: u64,
    incarnation: u64,
    /// The last epoch of the own journal.
    pub sealed: Epoch,
}

/// A connection after the handshake, with the hello of the other end.
pub struct Introduction {
    pub hello: Hello,
    pub stream: TcpStream,
}

impl<'o> Identity<'o> {
    pub fn new(options: &'o ClusterOptions, sealed: Epoch) -> Self {
        let mut identity = Self {
            options,
            nonces: 0,
            incarnation: 0,
            sealed,
        };
        identity.incarnation = identity
            .nonce()
            .first_chunk()
            .map_or(1, |first| u64::from_le_bytes(*first));
        identity
    }

    /// Unpredictable bytes that are used once.
    fn nonce(&mut self) -> [u8; 32] {
        self.nonces += 1;
        *blake3::keyed_hash(&self.options.seed, &self.nonces.to_le_bytes()).as_bytes()
    }

    /// A new hello for a connection to the process `to`.
    pub fn hello(&mut self, kind: ConnectionKind, to: usize) -> Hello {
        let nonce = self.nonce();
        // Bounded by `BatchSeq::PROCESSES_MAX`, and the workers by configuration.
        let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        Hello {
            magic: MAGIC,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            processes: byte(self.options.addresses.len()),
            workers: u16::try_from(self.options.workers).unwrap_or(u16::MAX),
            kind,
            from: byte(self.options.process),
            to: byte(to),
            incarnation: self.incarnation,
            sealed: self.sealed,
            nonce,
        }
    }

    /// Proves that this process knows the secret, by a keyed hash over both hellos.
    fn proof(&self, role: Role, hellos: Hellos<'_>) -> blake3::Hash {
        let mut hasher = self.options.secret.hasher();
        hasher.update(&[u8::from(role == Role::Accepts)]);
        for hello in [hellos.first, hellos.second] {
            hasher.update(&(hello.len() as u64).to_le_bytes());
            hasher.update(hello);
        }
        hasher.finalize()
    }

    /// Checks the proof of the other end.
    fn verify(&self, proof: &[u8], role: Role, hellos: Hellos<'_>) -> std::io::Result<()> {
        let proof: [u8; 32] = wire::decode(proof)?;
        // The comparison of hashes takes the same time wherever they differ.
        if blake3::Hash::from(proof) == self.proof(role, hellos) {
            Ok(())
        } else {
            Err(invalid("it does not know the secret of the cluster"))
        }
    }

    /// The handshake of the end that connects.
    pub fn connect(
        &mut self,
        kind: ConnectionKind,
        peer: usize,
        mut stream: TcpStream,
    ) -> std::io::Result<Introduction> {
        set_timeouts(&stream)?;
        let own = self.hello(kind, peer);
        let first = wire::send(&mut stream, &own)?;
        let second = receive(&stream)?;
        let hello: Hello = wire::decode(&second)?;
        if hello.magic != MAGIC || hello.sender() != peer || hello.kind != kind {
            return Err(invalid("it is no process of this cluster"));
        }
        if hello.settings() != own.settings() {
            // The peer would refuse the proof. The caller compares the settings and reports them.
            return Ok(Introduction { hello, stream });
        }
        let hellos = Hellos {
            first: &first,
            second: &second,
        };
        let proof = self.proof(Role::Connects, hellos);
        wire::send(&mut stream, proof.as_bytes())?;
        let refused = |_| invalid("it refuses; do both have the same secret?");
        let proof = receive(&stream).map_err(refused)?;
        self.verify(&proof, Role::Accepts, hellos)?;
        clear_timeouts(&stream)?;
        Ok(Introduction { hello, stream })
    }

    /// The handshake of the end that accepts: only processes with a greater number connect to it.
    pub fn accept(&mut self, mut stream: TcpStream) -> std::io::Result<Introduction> {
        set_timeouts(&stream)?;
        let first = receive(&stream)?;
        let hello: Hello = wire::decode(&first)?;
        let from = hello.sender();
        let known = hello.magic == MAGIC
            && usize::from(hello.to) == self.options.process
            && (self.options.process + 1..self.options.addresses.len()).contains(&from)
            && ConnectionKind::between(self.options.process, from).contains(&hello.kind);
        let own = self.hello(hello.kind, from);
        // Sent in any case: the peer compares it with its own settings.
        let second = wire::send(&mut stream, &own)?;
        if !known || hello.settings() != own.settings() {
            return Err(invalid("it is no process of this cluster"));
        }
        let hellos = Hellos {
            first: &first,
            second: &second,
        };
        let proof = receive(&stream)?;
        self.verify(&proof, Role::Connects, hellos)?;
        let proof = self.proof(Role::Accepts, hellos);
        wire::send(&mut stream, proof.as_bytes())?;
        clear_timeouts(&stream)?;
        Ok(Introduction { hello, stream })
    }
}

/// Receives the next message of a handshake.
fn receive(stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut reader = wire::DeadlineReader::new(stream, HANDSHAKE_WAIT);
    wire::receive(&mut reader, HELLO_BYTES_MAX)
}

fn set_timeouts(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANDSHAKE_WAIT))?;
    stream.set_write_timeout(Some(HANDSHAKE_WAIT))
}

fn clear_timeouts(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}
