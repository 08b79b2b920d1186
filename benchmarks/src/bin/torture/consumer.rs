//! A consumer of alerts over HTTP that answers as a case wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

/// How the consumer treats one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Answers with this status.
    Answer(u16),
    /// Reads the request and never answers.
    Silence,
    /// Answers 200 after a pause.
    Slow(Duration),
}

/// Decides over the body of a request, in its order.
type Decide = Arc<dyn Fn(&str) -> Treatment + Send + Sync>;

/// A request as it was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub at: Instant,
    pub body: String,
}

/// A consumer that listens until the program ends.
#[derive(Clone)]
pub struct AlertReceiver {
    pub address: SocketAddr,
    decide: Arc<Mutex<Decide>>,
    accepted: Arc<Mutex<Vec<Accepted>>>,
}

impl AlertReceiver {
    pub fn start(decide: impl Fn(&str) -> Treatment + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let consumer = Self {
            address: listener.local_addr()?,
            decide: Arc::new(Mutex::new(Arc::new(decide))),
            accepted: Arc::default(),
        };
        let serving = consumer.clone();
        std::thread::Builder::new()
            .name("consumer".into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let serving = serving.clone();
                    // A connection that breaks is the server's to repeat.
                    std::thread::spawn(move || serving.serve(stream));
                }
            })?;
        Ok(consumer)
    }

    /// Replaces the decision for later requests.
    pub fn decide(&self, decide: impl Fn(&str) -> Treatment + Send + Sync + 'static) {
        *self.decide.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(decide);
    }

    #[must_use]
    pub fn accepted(&self) -> Vec<Accepted> {
        self.accepted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until an accepted body contains `text`; returns when it came.
    #[must_use]
    pub fn wait_for(&self, text: &str, limit: Duration) -> Option<Instant> {
        let began = Instant::now();
        loop {
            let found = self
                .accepted()
                .into_iter()
                .find(|accepted| accepted.body.contains(text));
            if found.is_some() || began.elapsed() > limit {
                return found.map(|accepted| accepted.at);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line)? > 0 && line.trim_end() != "" {
            let lower = line.to_ascii_lowercase();
            if let Some(text) = lower.strip_prefix("content-length:") {
                length = text.trim().parse()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let decide = Arc::clone(&self.decide.lock().unwrap_or_else(PoisonError::into_inner));
        let status = match decide(&body) {
            Treatment::Answer(status) => status,
            Treatment::Slow(pause) => {
                std::thread::sleep(pause);
                200
            }
            Treatment::Silence => {
                let _ = reader.read(&mut [0])?;
                return Ok(());
            }
        };
        if status == 200 {
            let at = Instant::now();
            let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
            accepted.push(Accepted { at, body });
        }
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        Ok(())
    }
}
