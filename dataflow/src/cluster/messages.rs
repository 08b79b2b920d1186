//! Messages between process 0 and the others: how far each has sealed and passed.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_schema::{Control, Epoch};

use super::link::LossReporter;
use super::{SealControl, wire};
use crate::error::HostError;
use crate::thread::spawn_detached;

/// Silence after which a process counts as lost: it hangs, or its machine is gone.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Interval between two [`ClusterMessage::Alive`].
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// The longest message: a control entry, which the journal limits to half of this.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Passed epochs that may wait. Process 0 is at most a dozen ahead of the others, so a peer that
/// sends more is not a correct process of this cluster.
const PASSED_MAX: usize = 4096;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ClusterMessage {
    Alive,
    /// The sender's journal has sealed this epoch.
    Sealed(Epoch),
    /// A control entry of the next passed epoch.
    Control(Control),
    /// Process 0 has passed this epoch.
    Passed(Epoch),
}

/// An epoch that process 0 has passed, with its control entries.
pub struct PassedEpoch {
    pub epoch: Epoch,
    pub controls: Vec<Control>,
}

/// The message connections to other processes, and the messages received from them.
pub struct MessageChannel {
    peers: Vec<MessagePeer>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
    loss: LossReporter,
}

struct MessagePeer {
    process: usize,
    stream: Mutex<TcpStream>,
}

#[derive(Default)]
struct Inbox {
    /// The greatest epoch that any peer has sealed.
    sealed: u64,
    /// Control entries of the epoch that is not passed yet.
    open: Vec<Control>,
    passed: VecDeque<PassedEpoch>,
}

impl MessageChannel {
    /// Starts the threads that receive from `links`; they end once the channel is dropped.
    pub fn start(
        links: Vec<(usize, TcpStream)>,
        seals: Arc<dyn SealControl>,
        loss: LossReporter,
    ) -> Result<Arc<Self>, HostError> {
        let mut peers = Vec::new();
        let mut readers = Vec::new();
        for (process, stream) in links {
            let reader = stream.try_clone().and_then(|reader| {
                reader.set_read_timeout(Some(SILENCE_MAX))?;
                stream.set_write_timeout(Some(SILENCE_MAX))?;
                Ok(reader)
            });
            let failed = |source| HostError::StartThread {
                name: "weir-talk",
                source,
            };
            readers.push((process, reader.map_err(failed)?));
            let stream = Mutex::new(stream);
            peers.push(MessagePeer { process, stream });
        }
        let channel = Arc::new(Self {
            peers,
            inbox: Mutex::default(),
            changed: Condvar::new(),
            loss,
        });
        for (process, stream) in readers {
            let (channel, seals) = (Arc::downgrade(&channel), Arc::clone(&seals));
            spawn_detached("weir-talk", move || {
                receive_messages(&channel, process, stream, &*seals);
            })?;
        }
        let sender = Arc::downgrade(&channel);
        spawn_detached("weir-alive", move || {
            while let Some(channel) = sender.upgrade() {
                channel.send(&[ClusterMessage::Alive]);
                drop(channel);
                std::thread::sleep(ALIVE_EVERY);
            }
        })?;
        Ok(channel)
    }

    /// Sends messages to all peers.
    pub fn send(&self, messages: &[ClusterMessage]) {
        let mut bytes = Vec::new();
        let encoded = messages
            .iter()
            .try_for_each(|message| wire::encode(message, &mut bytes));
        for MessagePeer { process, stream } in &self.peers {
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            let sent = match &encoded {
                Ok(()) => std::io::Write::write_all(&mut *stream, &bytes),
                Err(error) => Err(std::io::Error::other(error.to_string())),
            };
            if let Err(error) = sent {
                self.loss.report(*process, &error);
            }
        }
    }

    /// The greatest epoch that any peer has sealed.
    pub fn sealed(&self) -> Epoch {
        Epoch(self.lock().sealed)
    }

    /// Takes the epochs that process 0 has passed. Waits up to `wait` if there are none.
    pub fn take_passed(&self, wait: Duration) -> VecDeque<PassedEpoch> {
        let inbox = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(inbox, wait, |inbox| inbox.passed.is_empty());
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inbox.passed)
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // Every message is applied whole.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, message: ClusterMessage) -> Result<(), &'static str> {
        let mut inbox = self.lock();
        match message {
            ClusterMessage::Alive => {}
            ClusterMessage::Sealed(epoch) => inbox.sealed = inbox.sealed.max(epoch.0),
            ClusterMessage::Control(control) => inbox.open.push(control),
            ClusterMessage::Passed(_) if inbox.passed.len() >= PASSED_MAX => {
                return Err("it passes too many epochs ahead");
            }
            ClusterMessage::Passed(epoch) => {
                let controls = std::mem::take(&mut inbox.open);
                inbox.passed.push_back(PassedEpoch { epoch, controls });
            }
        }
        drop(inbox);
        self.changed.notify_all();
        Ok(())
    }
}

impl Drop for MessageChannel {
    /// Ends the readers, here and at the other end.
    fn drop(&mut self) {
        for peer in &mut self.peers {
            let stream = peer.stream.get_mut();
            let _ = stream
                .unwrap_or_else(PoisonError::into_inner)
                .shutdown(Shutdown::Both);
        }
    }
}

/// Receives the messages of one process until the channel is dropped or the process is lost.
fn receive_messages(
    channel: &Weak<MessageChannel>,
    process: usize,
    mut stream: TcpStream,
    seals: &dyn SealControl,
) {
    loop {
        let message = wire::receive(&mut stream, MESSAGE_BYTES_MAX);
        let Some(channel) = channel.upgrade() else {
            return;
        };
        let message = message.and_then(|bytes| wire::decode::<ClusterMessage>(&bytes));
        match message.map(|message| channel.apply(message)) {
            Ok(Ok(())) => seals.wake(),
            Ok(Err(why)) => return channel.loss.report(process, &why),
            Err(error) if is_timeout(&error) => {
                let silence = SILENCE_MAX.as_secs();
                let why = format!("it sent nothing for {silence} s");
                return channel.loss.report(process, &why);
            }
            Err(error) => return channel.loss.report(process, &error),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
