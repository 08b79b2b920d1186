//! What process 0 and each of the others tell each other: how far they have sealed, and passed.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_schema::{Control, Epoch};

use super::link::Loss;
use super::{Pace, wire};
use crate::host::HostError;

/// A process that has not said a word for so long is lost: it hangs, or its machine is gone.
pub const SILENCE: Duration = Duration::from_secs(10);

/// How often each says that it is there.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// The longest word: a control entry, which the journal bounds by half of it.
pub const WORD_BYTES_MAX: usize = 64 << 20;

/// Passed epochs that may wait. Process 0 begins only a dozen that the others have not passed, so
/// more means that it is none of ours.
const PASSED_MAX: usize = 4096;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Word {
    Alive,
    /// The journal of the process goes so far.
    Sealed(Epoch),
    /// A control entry of the epoch that is passed next.
    Control(Control),
    /// Process 0 is behind this epoch.
    Passed(Epoch),
}

/// The connections to those who are spoken to, and what they said.
pub struct Talk {
    others: Vec<Other>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
    loss: Loss,
}

struct Other {
    process: usize,
    stream: Mutex<TcpStream>,
}

#[derive(Default)]
struct Inbox {
    /// The greatest epoch that any has sealed.
    sealed: u64,
    open: Vec<Control>,
    passed: VecDeque<(Epoch, Vec<Control>)>,
}

impl Talk {
    /// Speaks over `links` and hears what comes there; ends once the answer is dropped.
    pub fn start(
        links: Vec<(usize, TcpStream)>,
        pace: Arc<dyn Pace>,
        loss: Loss,
    ) -> Result<Arc<Self>, HostError> {
        let mut others = Vec::new();
        let mut readers = Vec::new();
        for (process, stream) in links {
            let reader = stream.try_clone().and_then(|reader| {
                reader.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(SILENCE))?;
                Ok(reader)
            });
            let failed = |source| HostError::StartThread {
                name: "weir-talk",
                source,
            };
            readers.push((process, reader.map_err(failed)?));
            let stream = Mutex::new(stream);
            others.push(Other { process, stream });
        }
        let talk = Arc::new(Self {
            others,
            inbox: Mutex::default(),
            changed: Condvar::new(),
            loss,
        });
        for (process, stream) in readers {
            let (talk, pace) = (Arc::downgrade(&talk), Arc::clone(&pace));
            start("weir-talk", move || {
                hear(&talk, process, stream, &*pace);
            })?;
        }
        let speaker = Arc::downgrade(&talk);
        start("weir-alive", move || {
            while let Some(talk) = speaker.upgrade() {
                talk.say(&[Word::Alive]);
                drop(talk);
                std::thread::sleep(ALIVE_EVERY);
            }
        })?;
        Ok(talk)
    }

    /// Tells all.
    pub fn say(&self, words: &[Word]) {
        let mut bytes = Vec::new();
        let encoded = words
            .iter()
            .try_for_each(|word| wire::encode(word, &mut bytes));
        for Other { process, stream } in &self.others {
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            let said = match &encoded {
                Ok(()) => std::io::Write::write_all(&mut *stream, &bytes),
                Err(error) => Err(std::io::Error::other(error.to_string())),
            };
            if let Err(error) = said {
                self.loss.tell(*process, &error);
            }
        }
    }

    /// The greatest epoch that any other has sealed.
    pub fn sealed(&self) -> Epoch {
        Epoch(self.lock().sealed)
    }

    /// Takes what process 0 has passed; waits for it up to `wait` where there is nothing.
    pub fn passed(&self, wait: Duration) -> VecDeque<(Epoch, Vec<Control>)> {
        let inbox = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(inbox, wait, |inbox| inbox.passed.is_empty());
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inbox.passed)
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // Every word is taken in whole.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, word: Word) -> Result<(), &'static str> {
        let mut inbox = self.lock();
        match word {
            Word::Alive => {}
            Word::Sealed(epoch) => inbox.sealed = inbox.sealed.max(epoch.0),
            Word::Control(control) => inbox.open.push(control),
            Word::Passed(_) if inbox.passed.len() >= PASSED_MAX => {
                return Err("it passes epochs without end");
            }
            Word::Passed(epoch) => {
                let controls = std::mem::take(&mut inbox.open);
                inbox.passed.push_back((epoch, controls));
            }
        }
        drop(inbox);
        self.changed.notify_all();
        Ok(())
    }
}

impl Drop for Talk {
    /// Ends the readers, here and at the other end.
    fn drop(&mut self) {
        for other in &mut self.others {
            let stream = other.stream.get_mut();
            let _ = stream
                .unwrap_or_else(PoisonError::into_inner)
                .shutdown(Shutdown::Both);
        }
    }
}

fn hear(talk: &Weak<Talk>, process: usize, mut stream: TcpStream, pace: &dyn Pace) {
    loop {
        let word = wire::receive(&mut stream, WORD_BYTES_MAX);
        let Some(talk) = talk.upgrade() else { return };
        let word = word.and_then(|bytes| wire::decode::<Word>(&bytes));
        match word.map(|word| talk.take(word)) {
            Ok(Ok(())) => pace.wake(),
            Ok(Err(why)) => return talk.loss.tell(process, &why),
            Err(error) if is_silence(&error) => {
                let silence = SILENCE.as_secs();
                let why = format!("it has not said a word for {silence} s");
                return talk.loss.tell(process, &why);
            }
            Err(error) => return talk.loss.tell(process, &error),
        }
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Starts a thread that ends by itself.
pub fn start(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<(), HostError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    let started = builder.spawn(run).map(drop);
    started.map_err(|source| HostError::StartThread { name, source })
}
