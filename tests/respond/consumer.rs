//! A webhook consumer that follows a script: it answers well, twice, with errors, or not at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// The answer of a consumer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// Redirects to another address.
    Redirect(SocketAddr),
    /// Reads the request and closes the connection.
    Crash,
    /// Answers the request twice.
    Twice,
    /// Reads and answers nothing until the sender gives up.
    Never,
    /// Answers 200 with a body that never ends.
    Endless,
}

/// A request as the consumer received it. The header `request` is its first line.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl ReceivedRequest {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

#[derive(Default)]
struct State {
    /// Answers to the next requests. After the last one, every answer is 204.
    script: VecDeque<Answer>,
    received: Vec<ReceivedRequest>,
    stopped: bool,
}

/// A consumer on a loopback port.
pub struct Consumer {
    pub at: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    pub fn start(script: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State {
            script: script.iter().copied().collect(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().expect("whole").stopped {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self {
            at,
            state,
            thread: Some(thread),
        }
    }

    /// Sets the answers to the next requests.
    pub fn answer_with(&self, script: &[Answer]) {
        self.state.lock().expect("whole").script = script.iter().copied().collect();
    }

    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.state.lock().expect("whole").received.clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?key=secret", self.at)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.state.lock().expect("whole").stopped = true;
        let _ = TcpStream::connect(self.at);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let _ = stream.set_read_timeout(Some(super::support::LIMIT));
    let answer = {
        let mut state = state.lock().expect("whole");
        state.script.pop_front().unwrap_or(Answer::Status(204))
    };
    if answer == Answer::Never {
        let _ = BufReader::new(stream).read_to_end(&mut Vec::new());
        return;
    }
    let mut reader = BufReader::new(stream);
    let Some((headers, body)) = read(&mut reader) else {
        return;
    };
    let request = ReceivedRequest { headers, body };
    state.lock().expect("whole").received.push(request);
    let mut stream = reader.into_inner();
    let head = |status: u16, more: &str| {
        format!("HTTP/1.1 {status} as scripted\r\n{more}Content-Length: 4\r\n\r\nsaid")
    };
    let text = match answer {
        Answer::Status(status) => head(status, ""),
        Answer::Redirect(to) => head(307, &format!("Location: http://{to}/\r\n")),
        Answer::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while stream.write_all(b"10\r\n0123456789abcdef\r\n").is_ok() {}
            return;
        }
        Answer::Twice => [head(204, ""), head(500, "")].concat(),
        Answer::Crash | Answer::Never => return,
    };
    let _ = stream.write_all(text.as_bytes());
}

/// Reads a request, with its header names in lower case. `None` if it ends early.
fn read(reader: &mut impl BufRead) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = BTreeMap::from([("request".to_owned(), line.trim_end().to_owned())]);
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

/// The alerts that stand for a consumer that applies each message once, in order of arrival.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StandingAlerts {
    pub ids: BTreeSet<String>,
    newest_revisions: BTreeMap<String, u64>,
}

impl StandingAlerts {
    /// Fails if revisions of an alert arrived out of order.
    pub fn from_requests(requests: &[ReceivedRequest]) -> Self {
        let (mut alerts, mut applied) = (Self::default(), BTreeSet::new());
        for request in requests {
            if !applied.insert(request.headers["webhook-id"].clone()) {
                continue; // A repeated delivery.
            }
            let message = request.json();
            let data = &message["data"];
            if data["rule"]
                .as_str()
                .is_some_and(|rule| rule.starts_with("weir.self."))
            {
                continue;
            }
            let alert = data["alert"].as_str().expect("its id").to_owned();
            let revision = data["revision"].as_u64().expect("its revision");
            let id = format!("alert_{alert}_{revision}");
            assert_eq!(request.headers["webhook-id"], id);
            let newest = alerts.newest_revisions.insert(alert.clone(), revision);
            assert!(
                newest < Some(revision),
                "{alert}: {newest:?}, then {revision}"
            );
            for other in data["supersedes"].as_array().into_iter().flatten() {
                alerts.ids.remove(other.as_str().expect("an id"));
            }
            match message["type"].as_str().expect("a type") {
                "alert.retracted" => drop(alerts.ids.remove(&alert)),
                _ => drop(alerts.ids.insert(alert)),
            }
        }
        alerts
    }
}
