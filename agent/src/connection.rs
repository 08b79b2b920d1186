//! One connection to Weir: a hello, then batches out and acknowledgements in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_schema::agent;

use crate::AgentError;
use crate::shared_spool::SharedSpool;
use crate::target::{AgentIdentity, Target};
use crate::tls::AgentStream;

/// Timeout of connecting, and of the reply to the hello.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest reply. A refusal's reason has a few hundred bytes.
const REPLY_BYTES_MAX: usize = 64 << 10;

pub(crate) struct AgentConnection {
    read: ReadHalf<Box<dyn AgentStream>>,
    write: WriteHalf<Box<dyn AgentStream>>,
    /// Weir has all events of the spool before this number.
    pub next_sequence: u64,
}

/// A message from Weir.
enum Reply {
    Ack(u64),
    Refusal(String),
}

impl From<io::Error> for AgentError {
    fn from(error: io::Error) -> Self {
        Self::Connection(Arc::new(error))
    }
}

impl AgentConnection {
    pub async fn open(target: &Target) -> Result<Self, AgentError> {
        let Target {
            address,
            identity,
            tls,
        } = target;
        let failed = |error: io::Error| AgentError::Connect {
            address: address.clone(),
            source: Arc::new(error),
        };
        let elapsed = |_| failed(io::ErrorKind::TimedOut.into());
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connecting.map_err(elapsed)?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream: Box<dyn AgentStream> = match tls {
            None => Box::new(stream),
            Some(tls) => {
                let handshake = timeout(CONNECT_TIMEOUT, tls.connect(address, stream)).await;
                handshake.map_err(elapsed)?.map_err(failed)?
            }
        };
        let (mut read, mut write) = tokio::io::split(stream);
        let AgentIdentity {
            agent,
            spool,
            token,
        } = identity;
        let greeting = async {
            // If writing fails, Weir may have sent a refusal already, which is the better error.
            let hello = agent::encode_hello(agent, *spool, token);
            let written = write_message(&mut write, &hello).await;
            match read_reply(&mut read).await {
                Ok(reply) => Ok(reply),
                Err(error) => Err(written.map_or_else(AgentError::from, |()| error)),
            }
        };
        match timeout(CONNECT_TIMEOUT, greeting)
            .await
            .map_err(elapsed)??
        {
            Reply::Ack(next_sequence) => Ok(Self {
                read,
                write,
                next_sequence,
            }),
            Reply::Refusal(reason) => Err(AgentError::Refused(reason)),
        }
    }

    /// Sends and receives until the connection ends. Returns the reason.
    pub async fn run(self, shared: &SharedSpool) -> AgentError {
        let Self {
            mut read, write, ..
        } = self;
        tokio::select! {
            biased;
            error = receive(&mut read, shared) => error,
            error = send(write, shared) => {
                // Weir closes after a refusal, which is a better error than a broken pipe.
                match timeout(CONNECT_TIMEOUT, receive(&mut read, shared)).await {
                    Ok(refused @ AgentError::Refused(_)) => refused,
                    Ok(_) | Err(_) => error,
                }
            }
        }
    }
}

async fn write_message(
    write: &mut WriteHalf<Box<dyn AgentStream>>,
    bytes: &[u8],
) -> io::Result<()> {
    write.write_all(bytes).await?;
    write.flush().await
}

async fn send(mut write: WriteHalf<Box<dyn AgentStream>>, shared: &SharedSpool) -> AgentError {
    loop {
        let Some(message) = shared.with_spool(|spool| spool.next_batch()) else {
            shared.wake.notified().await;
            continue;
        };
        if let Err(error) = write_message(&mut write, &message).await {
            return error.into();
        }
    }
}

async fn receive(read: &mut ReadHalf<Box<dyn AgentStream>>, shared: &SharedSpool) -> AgentError {
    loop {
        match read_reply(read).await {
            Ok(Reply::Ack(next_sequence)) => shared.acknowledge(next_sequence),
            Ok(Reply::Refusal(reason)) => return AgentError::Refused(reason),
            Err(error) => return error,
        }
    }
}

async fn read_reply(read: &mut ReadHalf<Box<dyn AgentStream>>) -> Result<Reply, AgentError> {
    let mut prefix = [0; 4];
    read.read_exact(&mut prefix).await?;
    let length = u32::from_le_bytes(prefix) as usize;
    if length > REPLY_BYTES_MAX {
        return Err(AgentError::Protocol);
    }
    let mut bytes = vec![0; length];
    read.read_exact(&mut bytes).await?;
    let message = agent::decode_message(&bytes).map_err(|_| AgentError::Protocol)?;
    if let Some(ack) = message.body_as_ack() {
        return Ok(Reply::Ack(ack.next_sequence()));
    }
    match message.body_as_refusal() {
        Some(refusal) => Ok(Reply::Refusal(refusal.reason().to_owned())),
        None => Err(AgentError::Protocol),
    }
}
