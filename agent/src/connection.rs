//! One connection: hello, then batches out and acknowledgements in until it breaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_schema::agent;

use crate::AgentError;
use crate::client::{AgentIdentity, Shared, Target};
use crate::tls::Stream;

/// Longest connecting, and longest wait for the answer to the hello.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer: a refusal's reason is some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

pub(crate) struct Connection {
    read: ReadHalf<Box<dyn Stream>>,
    write: WriteHalf<Box<dyn Stream>>,
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
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(tls) => {
                let shaken = timeout(CONNECT_TIMEOUT, tls.connect(address, stream)).await;
                shaken.map_err(elapsed)?.map_err(failed)?
            }
        };
        let (mut read, mut write) = tokio::io::split(stream);
        let AgentIdentity {
            agent,
            spool,
            token,
        } = identity;
        let greeting = async {
            // A refusal may be on its way already; then writing fails, and reading tells why.
            let hello = agent::encode_hello(agent, *spool, token);
            let written = say(&mut write, &hello).await;
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

async fn say(write: &mut WriteHalf<Box<dyn Stream>>, bytes: &[u8]) -> io::Result<()> {
    write.write_all(bytes).await?;
    write.flush().await
}

async fn send(mut write: WriteHalf<Box<dyn Stream>>, shared: &Shared) -> AgentError {
    loop {
        let Some(message) = shared.with_spool(|spool| spool.next_batch()) else {
            shared.wake.notified().await;
            continue;
        };
        if let Err(error) = say(&mut write, &message).await {
            return error.into();
        }
    }
}

async fn receive(read: &mut ReadHalf<Box<dyn Stream>>, shared: &Shared) -> AgentError {
    loop {
        match read_answer(read).await {
            Ok(Answer::Ack(next_sequence)) => shared.acknowledge(next_sequence),
            Ok(Answer::Refusal(reason)) => return AgentError::Refused(reason),
            Err(error) => return error,
        }
    }
}

async fn read_answer(read: &mut ReadHalf<Box<dyn Stream>>) -> Result<Answer, AgentError> {
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
