//! Ports in memory, a real server on a loopback port, and a plain HTTP client.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;
use weir_schema::outbox::OutboxRows;
use weir_schema::*;
use weir_web::ports::OutboxSignal;
use weir_web::ports::*;
use weir_web::{ApiToken, WebHandle, WebOptions, WebPorts, serve};

pub const TOKEN: &str = "a-token-of-the-tests";

/// All ports at once.
pub struct Memory {
    pub changes: Mutex<Vec<Change>>,
    /// Of the changes before this one the outbox has no rows any more.
    pub kept_from: AtomicUsize,
    pub bell: watch::Sender<u64>,
    pub taken: Mutex<Vec<Vec<Batch>>>,
    /// Answers of the intake, in order; then it accepts.
    pub intake: Mutex<VecDeque<Result<IntakeReceipt, IntakeError>>>,
    pub asked: Mutex<Vec<AlertQuery>>,
    pub rules: Mutex<Vec<RuleInfo>>,
    pub ready: Mutex<Result<(), String>>,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            changes: Mutex::default(),
            kept_from: AtomicUsize::default(),
            bell: watch::Sender::new(0),
            taken: Mutex::default(),
            intake: Mutex::default(),
            asked: Mutex::default(),
            rules: Mutex::default(),
            ready: Mutex::new(Ok(())),
        })
    }

    /// Commits rows to the outbox.
    pub fn commit(&self, changes: impl IntoIterator<Item = Change>) {
        self.changes.lock().unwrap().extend(changes);
        self.bell.send_modify(|n| *n += 1);
    }
}

impl Alerts for Memory {
    fn list(&self, query: &AlertQuery) -> Result<AlertPage<AlertRecord>, PortError> {
        self.asked.lock().unwrap().push(query.clone());
        let changes = self.changes.lock().unwrap();
        let mut items: Vec<_> = changes.iter().map(|change| change.record.clone()).collect();
        items.truncate(query.limit);
        let next = items.last().map(|record| record.alert);
        Ok(AlertPage { items, next })
    }

    fn get(&self, id: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError> {
        let changes = self.changes.lock().unwrap();
        let of_id = changes.iter().filter(|change| change.record.alert == id);
        let of_id: Vec<_> = of_id.cloned().collect();
        Ok(of_id
            .last()
            .map(|last| (last.record.clone(), of_id.clone())))
    }

    fn explain(&self, id: AlertId) -> Result<Option<AlertExplanation>, PortError> {
        let Some((record, _)) = self.get(id)? else {
            return Ok(None);
        };
        let event = |raw: &[u8]| ExplainedEvent {
            item: item(5),
            received: ReceiveTime(6),
            source: "http".into(),
            peer: None,
            raw: Some(raw.to_vec()),
            clauses: vec![MatchedClause {
                rule: "r".into(),
                clause: "selection.user: root".into(),
                field: Some("user".into()),
                value: Some("root".into()),
            }],
        };
        Ok(Some(AlertExplanation {
            record,
            condition: "event_count >= 5 within 60s by host".into(),
            rule_text: None,
            events: vec![event(b"foobar"), event(b"\xff\0"), event(&[b'x'; 70_000])],
            cause: None,
        }))
    }

    fn previous(&self, id: AlertId, revision: u64) -> Result<Option<Change>, PortError> {
        let changes = self.changes.lock().unwrap();
        let mut newest = changes.iter().rev().map(|change| (&change.record, change));
        let found = newest.find(|(record, _)| record.alert == id && record.revision < revision);
        Ok(found.map(|(_, change)| change.clone()))
    }

    fn outbox(&self, after: Cursor, limit: usize) -> Result<OutboxRows, PortError> {
        let changes = self.changes.lock().unwrap();
        let first = changes.partition_point(|change| Cursor::of(change) <= after);
        let kept = self.kept_from.load(Ordering::SeqCst);
        let rows = changes[first.max(kept)..].iter().take(limit);
        Ok(OutboxRows {
            changes: rows.cloned().collect(),
            has_gap: first < kept,
        })
    }

    fn latest(&self) -> Result<Cursor, PortError> {
        let changes = self.changes.lock().unwrap();
        Ok(changes.last().map_or(Cursor::START, Cursor::of))
    }
}

impl OutboxSignal for Memory {
    fn subscribe(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }
}

impl EventIntake for Memory {
    fn submit(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<IntakeReceipt, IntakeError>> {
        Box::pin(async {
            let answer = self.intake.lock().unwrap().pop_front();
            self.taken.lock().unwrap().push(batches);
            answer.unwrap_or(Ok(IntakeReceipt { repeated: false }))
        })
    }
}

impl Rules for Memory {
    fn diagnostics(&self) -> Result<Vec<RuleDiagnostic>, PortError> {
        Ok(Vec::new())
    }

    fn enable(&self, id: &str) -> Result<bool, RuleUpdateError> {
        Ok(self.disable(id)?)
    }

    fn list(&self) -> Result<Vec<RuleInfo>, PortError> {
        Ok(self.rules.lock().unwrap().clone())
    }

    fn add(&self, text: &str, origin: &str) -> Result<Vec<RuleInfo>, RuleUpdateError> {
        let Some(id) = text.strip_prefix("id: ") else {
            return Err(RuleUpdateError::Refused(vec![RuleDiagnostic {
                origin: "api".into(),
                line: Some(1),
                column: None,
                message: "no id".into(),
                hint: Some("add `id: NAME`".into()),
                refused: true,
            }]));
        };
        let rule = RuleInfo {
            id: id.trim().into(),
            version: RuleVersion(1),
            title: "t".into(),
            level: Level::High,
            origin: origin.into(),
            since: EventTime(0),
            until: None,
            incomplete: false,
        };
        self.rules.lock().unwrap().push(rule.clone());
        Ok(vec![rule])
    }

    fn disable(&self, id: &str) -> Result<bool, PortError> {
        Ok(self
            .rules
            .lock()
            .unwrap()
            .iter()
            .any(|rule| &*rule.id == id))
    }

    fn remove(&self, id: &str) -> Result<bool, PortError> {
        let mut rules = self.rules.lock().unwrap();
        let before = rules.len();
        rules.retain(|rule| &*rule.id != id);
        Ok(rules.len() < before)
    }
}

impl Sinks for Memory {
    fn list(&self) -> Result<Vec<SinkInfo>, PortError> {
        Ok(vec![SinkInfo {
            name: "soar".into(),
            state: "starting",
            ..SinkInfo::default()
        }])
    }

    fn dead(&self, sink: &str) -> Result<Option<Vec<DeadLetter>>, PortError> {
        let letter = DeadLetter {
            alert: AlertId([0, 7]),
            from: Cursor::START,
            last: Cursor::START,
            rows: 3,
            since: ReceiveTime(0),
            reason: "server: 500".into(),
        };
        Ok((sink == "soar").then(|| vec![letter]))
    }

    fn resend(&self, sink: &str, alert: Option<AlertId>) -> Result<Option<usize>, PortError> {
        let count = usize::from(alert.is_none_or(|alert| alert == AlertId([0, 7])));
        Ok((sink == "soar").then_some(count))
    }

    fn enable(&self, sink: &str) -> Result<bool, PortError> {
        Ok(sink == "soar")
    }
}

impl Taps for Memory {
    fn open(&self, query: TapQuery) -> Result<Box<dyn Tap>, PortError> {
        Ok(Box::new(Counting { query, said: 0 }))
    }
}

/// A tap that says its query and a number, as often as it was asked to.
struct Counting {
    query: TapQuery,
    said: usize,
}

impl Tap for Counting {
    fn next(&mut self, _wait: Duration) -> Result<String, PortError> {
        self.said += 1;
        let (query, said) = (&self.query, self.said);
        Ok(format!("{said} {} {:?}\n", query.stage.name(), query.field))
    }

    fn is_done(&self) -> bool {
        self.said >= self.query.limit
    }

    fn end(&mut self) -> String {
        "end\n".to_owned()
    }
}

impl Health for Memory {
    fn ready(&self) -> Result<(), String> {
        self.ready.lock().unwrap().clone()
    }
}

pub fn item(time: i64) -> EvidenceItem {
    EvidenceItem {
        time: EventTime(time),
        event: EventId([1, 2]),
        position: Position(3),
    }
}

/// A change of the alert with a one-letter name.
pub fn change(
    at: (u64, u32),
    alert: char,
    kind: ChangeKind,
    revision: u64,
    state: AlertState,
) -> Change {
    Change {
        kind,
        epoch: Epoch(at.0),
        ordinal: at.1,
        supersedes: Vec::new(),
        record: AlertRecord {
            alert: AlertId([0, u64::from(alert)]),
            key: AlertId([0, u64::from(alert)]),
            revision,
            standing: kind != ChangeKind::Retracted,
            raised: Epoch(1),
            rule: "ssh-guessing".into(),
            version: RuleVersion(0xab),
            title: "Passwords guessed".into(),
            level: Level::High,
            tenant: "default".into(),
            group: vec![GroupField {
                name: "host".into(),
                value: "web\n1".into(),
            }],
            state,
            first: EventTime(0),
            last: EventTime(1_500_000_000),
            count: 5,
            limited: false,
            supersedes: vec![AlertId([0, 9])],
            evidence: Evidence {
                head: vec![item(0)],
                tail: vec![],
            },
            cause: Cause::LateEvent(item(1)),
        },
    }
}

/// A server that ends with the test.
pub struct Running {
    pub address: SocketAddr,
    pub handle: WebHandle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start(memory: &Arc<Memory>) -> Self {
        Self::with(memory, |_| {})
    }

    pub fn with(memory: &Arc<Memory>, adjust: impl FnOnce(&mut WebOptions)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ports = WebPorts {
            alerts: memory.clone(),
            outbox_signal: memory.clone(),
            intake: memory.clone(),
            rules: memory.clone(),
            sinks: memory.clone(),
            finding: Arc::new(
                |change, kind| serde_json::json!({ "activity": kind.name(), "uid": change.record.alert.to_string() }),
            ),
            taps: memory.clone(),
            health: memory.clone(),
            registry: prometheus::Registry::new(),
        };
        let mut options = WebOptions::new(ApiToken::of(TOKEN));
        options.heartbeat = Duration::from_millis(50);
        adjust(&mut options);
        let (send, receive) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let (server, handle) = serve(listener, ports, options).unwrap();
                send.send(handle).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receive.recv().unwrap();
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            actix_web::rt::System::new().block_on(self.handle.stop());
            thread.join().unwrap();
        }
    }

    pub fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        socket
    }

    /// Sends bytes as they are and reads the answer to its end.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut socket = self.connect();
        socket.write_all(bytes).unwrap();
        Answer::read(&mut BufReader::new(socket))
    }

    pub fn ask(&self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
        for header in headers {
            request += &format!("{header}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n", body.len());
        self.raw(&[request.as_bytes(), body].concat())
    }

    /// Asks with the token.
    pub fn authed(&self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let token = format!("Authorization: Bearer {TOKEN}");
        self.ask(line, &[headers, &[token.as_str()]].concat(), body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.authed(&format!("GET {path}"), &[], b"")
    }

    pub fn stream(&self, path: &str, headers: &[&str]) -> Stream {
        let mut request =
            format!("GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n");
        for header in headers {
            request += &format!("{header}\r\n");
        }
        let mut socket = self.connect();
        socket.write_all((request + "\r\n").as_bytes()).unwrap();
        Stream::open(socket)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn read(from: &mut impl BufRead) -> Self {
        let (status, headers) = read_head(from);
        let mut body = Vec::new();
        from.read_to_end(&mut body).unwrap();
        Self {
            status,
            headers,
            body,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// Checks that it is a problem of this status, and gives its name and detail.
    pub fn problem(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        let body = self.json();
        assert_eq!(body["status"], status);
        let kind = body["type"]
            .as_str()
            .unwrap()
            .strip_prefix("urn:weir:problem:");
        (
            kind.unwrap().into(),
            body["detail"].as_str().unwrap().into(),
        )
    }
}

fn read_head(from: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let status = lines
        .first()
        .expect("an answer")
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines[1..].iter().map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_lowercase(), value.trim().to_owned())
    });
    (status, headers.collect())
}

/// An open stream: chunked lines, grouped into blocks that end with an empty line.
pub struct Stream {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    from: BufReader<TcpStream>,
    text: Vec<u8>,
}

impl Stream {
    fn open(socket: TcpStream) -> Self {
        let mut from = BufReader::new(socket);
        let (status, headers) = read_head(&mut from);
        Self {
            status,
            headers,
            from,
            text: Vec::new(),
        }
    }

    /// The text up to `end`; `None` once the stream has ended well.
    fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let mut places = self.text.windows(end.len());
            if let Some(at) = places.position(|place| place == end.as_bytes()) {
                let text = self.text.drain(..at + end.len()).collect();
                return Some(String::from_utf8(text).unwrap());
            }
            if !self.chunk() {
                return None;
            }
        }
    }

    /// Another chunk; false at the end.
    fn chunk(&mut self) -> bool {
        let mut size = String::new();
        self.from.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk");
        let mut chunk = vec![0; size + 2];
        self.from.read_exact(&mut chunk).unwrap();
        self.text.extend(&chunk[..size]);
        size > 0
    }

    /// All of it, once it has ended well.
    pub fn rest(mut self) -> String {
        while self.until("\0").is_some() {}
        String::from_utf8(self.text).unwrap()
    }

    /// A block of server-sent events as it came.
    pub fn block(&mut self) -> Option<String> {
        self.until("\n\n")
    }

    /// The next event, `(id, word, data)`; heartbeats are passed over.
    pub fn event(&mut self) -> Option<(String, String, Value)> {
        let (id, word, data) = self.told()?;
        Some((id.expect("an id"), word, data))
    }

    /// The same of an event that need not have an id.
    pub fn told(&mut self) -> Option<(Option<String>, String, Value)> {
        loop {
            let block = self.block()?;
            let field = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(name).map(|v| v.trim().to_owned()))
            };
            if let (Some(word), Some(data)) = (field("event:"), field("data:")) {
                return Some((field("id:"), word, serde_json::from_str(&data).unwrap()));
            }
        }
    }

    /// The next frame of FlatBuffers with its length; signs of life are passed over.
    pub fn frame(&mut self) -> Vec<u8> {
        loop {
            let length = self.bytes(4);
            let wanted = u32::from_le_bytes(*length.first_chunk().unwrap()) as usize;
            if wanted > 0 {
                return [length, self.bytes(wanted)].concat();
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.text.len() < count {
            assert!(self.chunk(), "the stream has ended");
        }
        self.text.drain(..count).collect()
    }

    /// The next object of NDJSON; heartbeats are passed over.
    pub fn object(&mut self) -> Option<Value> {
        loop {
            let line = self.until("\n")?;
            if !line.trim().is_empty() {
                return Some(serde_json::from_str(&line).unwrap());
            }
        }
    }
}
