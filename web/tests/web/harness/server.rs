//! A running server, with requests to it.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use weir_web::{ApiToken, WebHandle, WebOptions, WebPorts, serve};

use super::client::{Answer, Stream};
use super::memory::Memory;

pub const TOKEN: &str = "a-token-of-the-tests";

/// A running server; dropping it stops it.
pub struct TestServer {
    pub address: SocketAddr,
    pub handle: WebHandle,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
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
            sources: memory.clone(),
            finding: Arc::new(|change, kind| {
                let alert = change.record.alert.to_string();
                serde_json::json!({ "activity": kind.name(), "uid": alert })
            }),
            taps: memory.clone(),
            health: memory.clone(),
            registry: prometheus::Registry::new(),
        };
        let mut options = WebOptions::new(ApiToken::of(TOKEN));
        options.heartbeat = Duration::from_millis(50);
        adjust(&mut options);
        let (sender, receiver) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let (server, handle) = serve(listener, ports, options).unwrap();
                sender.send(handle).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receiver.recv().unwrap();
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

    /// Sends bytes as they are; reads the answer until the server closes the connection.
    pub fn send_raw(&self, bytes: &[u8]) -> Answer {
        let mut socket = self.connect();
        socket.write_all(bytes).unwrap();
        Answer::read(&mut BufReader::new(socket))
    }

    pub fn send_without_token(&self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
        for header in headers {
            request += &format!("{header}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n", body.len());
        self.send_raw(&[request.as_bytes(), body].concat())
    }

    /// Sends a request with the token.
    pub fn send(&self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let token = format!("Authorization: Bearer {TOKEN}");
        self.send_without_token(line, &[headers, &[token.as_str()]].concat(), body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], b"")
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

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}
