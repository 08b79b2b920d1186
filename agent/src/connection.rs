//! One connection: hello, then batches out and acknowledgements in until it breaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use weir_schema::agent;

use crate::AgentError;
use crate::client::{AgentIdentity, Shared};

/// Longest connecting, and longest wait for the answer to the hello.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer: a refusal's reason is some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

pub(crate) struct Connection {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    /// Weir has all events of the spool before it.
    pub next_sequence: u64,
}

enum Answer {
    Ack(u64),
    Refusal(String),
}

impl From<io::Error> for AgentError {
    fn from(error: io::Error) -> Self {
        Self::Connection(Arc::new(error))
    }
}

impl Connection {
    pub async fn open(address: &str, identity: &AgentIdentity) -> Result<Self, AgentError> {
        let failed = |error: io::Error| AgentError::Connect {
            address: address.to_owned(),
            source: Arc::new(error),
        };
        let elapsed = |_| failed(io::ErrorKind::TimedOut.into());
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connecting.map_err(elapsed)?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (mut read, mut write) = stream.into_split();
        let AgentIdentity {
            agent,
            spool,
            token,
        } = identity;
        let greeting = async {
            // A refusal may be on its way already; then writing fails, and reading tells why.
            let written = write
                .write_all(&agent::encode_hello(agent, *spool, token))
                .await;
            match read_answer(&mut read).await {
                Ok(answer) => Ok(answer),
                Err(error) => Err(written.map_or_else(AgentError::from, |()| error)),
            }
        };
        match timeout(CONNECT_TIMEOUT, greeting)
            .await
            .map_err(elapsed)??
        {
            Answer::Ack(next_sequence) => Ok(Self {
                read,
                write,
                next_sequence,
            }),
            Answer::Refusal(reason) => Err(AgentError::Refused(reason)),
        }
    }

    /// Runs until the connection ends, and says why.
    pub async fn run(self, shared: &Shared) -> AgentError {
        let Self {
            mut read, write, ..
        } = self;
        tokio::select! {
            biased;
            error = receive(&mut read, shared) => error,
            error = send(write, shared) => {
                // Weir closes after a refusal, which says more than a broken pipe.
                match timeout(CONNECT_TIMEOUT, receive(&mut read, shared)).await {
                    Ok(refused @ AgentError::Refused(_)) => refused,
                    Ok(_) | Err(_) => error,
                }
            }
        }
    }
}

async fn send(mut write: OwnedWriteHalf, shared: &Shared) -> AgentError {
    loop {
        let Some(message) = shared.with_spool(|spool| spool.next_batch()) else {
            shared.wake.notified().await;
            continue;
        };
        if let Err(error) = write.write_all(&message).await {
            return error.into();
        }
    }
}

async fn receive(read: &mut OwnedReadHalf, shared: &Shared) -> AgentError {
    loop {
        match read_answer(read).await {
            Ok(Answer::Ack(next_sequence)) => shared.acknowledge(next_sequence),
            Ok(Answer::Refusal(reason)) => return AgentError::Refused(reason),
            Err(error) => return error,
        }
    }
}

async fn read_answer(read: &mut OwnedReadHalf) -> Result<Answer, AgentError> {
    let mut prefix = [0; 4];
    read.read_exact(&mut prefix).await?;
    let length = u32::from_le_bytes(prefix) as usize;
    if length > ANSWER_BYTES_MAX {
        return Err(AgentError::Protocol);
    }
    let mut bytes = vec![0; length];
    read.read_exact(&mut bytes).await?;
    let message = agent::message(&bytes).map_err(|_| AgentError::Protocol)?;
    if let Some(ack) = message.body_as_ack() {
        return Ok(Answer::Ack(ack.next_sequence()));
    }
    match message.body_as_refusal() {
        Some(refusal) => Ok(Answer::Refusal(refusal.reason().to_owned())),
        None => Err(AgentError::Protocol),
    }
}
