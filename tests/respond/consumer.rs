//! A consumer of webhooks that behaves as it is told: well, late, twice, with errors, or never.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// What a consumer does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// To another place.
    Redirect(SocketAddr),
    /// Takes it, and closes the connection without a word.
    Crash,
    /// Takes it, and says so twice.
    Twice,
    /// Reads nothing and says nothing until the other end has had enough.
    Never,
    /// Says that it is well, and then more than anyone wants to hear.
    Endless,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Heard {
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

#[derive(Default)]
struct State {
    /// What is done next; then all is well.
    script: VecDeque<Answer>,
    heard: Vec<Heard>,
    stopped: bool,
}

/// A consumer on a port of loopback.
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

    /// What is done with the next requests.
    pub fn will(&self, script: &[Answer]) {
        self.state.lock().expect("whole").script = script.iter().copied().collect();
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.state.lock().expect("whole").heard.clone()
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
    let heard = Heard { headers, body };
    state.lock().expect("whole").heard.push(heard);
    let mut stream = reader.into_inner();
    let head = |status: u16, more: &str| {
        format!("HTTP/1.1 {status} as told\r\n{more}Content-Length: 4\r\n\r\nsaid")
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

/// A request with its headers in lower case; `None` where it breaks off.
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

/// What a consumer believes of each alert, that takes each message once and in the order it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Belief {
    pub standing: BTreeSet<String>,
    newest: BTreeMap<String, u64>,
}

impl Belief {
    /// Fails where a later revision of an alert came before an earlier one.
    pub fn of(heard: &[Heard]) -> Self {
        let (mut belief, mut seen) = (Self::default(), BTreeSet::new());
        for heard in heard {
            if !seen.insert(heard.headers["webhook-id"].clone()) {
                continue; // It came before.
            }
            let told = heard.json();
            let data = &told["data"];
            let alert = data["alert"].as_str().expect("its id").to_owned();
            let revision = data["revision"].as_u64().expect("its revision");
            let id = format!("alert_{alert}_{revision}");
            assert_eq!(heard.headers["webhook-id"], id);
            let newest = belief.newest.insert(alert.clone(), revision);
            assert!(
                newest < Some(revision),
                "{alert}: {newest:?}, then {revision}"
            );
            for other in data["supersedes"].as_array().into_iter().flatten() {
                belief.standing.remove(other.as_str().expect("an id"));
            }
            match told["type"].as_str().expect("a type") {
                "alert.retracted" => drop(belief.standing.remove(&alert)),
                _ => drop(belief.standing.insert(alert)),
            }
        }
        belief
    }
}
