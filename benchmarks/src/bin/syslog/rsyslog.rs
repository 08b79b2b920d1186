//! Runs Debian's rsyslog, the peer, in the foreground: from TCP or UDP to a file of JSON.

use std::fs::File;
use std::io::{BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use weir_benchmarks::server::free_ports;

/// How long rsyslog may take to listen, and to stop.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running rsyslog.
pub struct Rsyslog {
    child: Child,
    folder: PathBuf,
    pub tcp: SocketAddr,
    pub udp: SocketAddr,
}

/// Makes a configuration with the queue, batches and buffers of fast deployments.
///
/// It has one worker, since it shares two cores with the sender and its reader. Its own messages
/// stay out of the file.
fn configuration(folder: &Path, tcp: SocketAddr, udp: SocketAddr) -> String {
    let folder = folder.display();
    let fields = [
        ("time", "timereported\" dateFormat=\"rfc3339"),
        ("host", "hostname"),
        ("severity", "syslogseverity-text"),
        ("facility", "syslogfacility-text"),
        ("program", "programname"),
        ("process", "procid"),
        ("message", "msg"),
    ];
    let fields = fields.map(|(name, property)| {
        format!("property(outname=\"{name}\" name=\"{property}\" format=\"jsonf\")\n")
    });
    format!(
        "global(workDirectory=\"{folder}\" processInternalMessages=\"off\")\n\
         main_queue(queue.type=\"FixedArray\" queue.size=\"500000\" queue.dequeueBatchSize=\"2048\" \
         queue.workerThreads=\"1\")\n\
         module(load=\"imptcp\" threads=\"1\")\n\
         module(load=\"imudp\" batchSize=\"128\" threads=\"1\")\n\
         template(name=\"json\" type=\"list\" option.jsonf=\"on\") {{\n{}}}\n\
         input(type=\"imptcp\" address=\"{}\" port=\"{}\" supportOctetCountedFraming=\"off\")\n\
         input(type=\"imudp\" address=\"{}\" port=\"{}\" rcvbufSize=\"16m\")\n\
         action(type=\"omfile\" file=\"{folder}/out.json\" template=\"json\" ioBufferSize=\"256k\" \
         flushOnTXEnd=\"off\")\n",
        fields.concat(),
        tcp.ip(),
        tcp.port(),
        udp.ip(),
        udp.port(),
    )
}

impl Rsyslog {
    pub fn start(program: &Path, parent: &Path) -> Result<Self> {
        let folder = parent.join(format!("rsyslog-{}", std::process::id()));
        ensure!(!folder.exists(), "{} already exists", folder.display());
        std::fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let [tcp, udp, _] = free_ports()?;
        let file = folder.join("rsyslog.conf");
        std::fs::write(&file, configuration(&folder, tcp, udp))?;
        let child = Command::new(program)
            .arg("-n")
            .arg("-f")
            .arg(&file)
            .arg("-i")
            .arg(folder.join("pid"))
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", program.display()))?;
        let mut rsyslog = Self {
            child,
            folder,
            tcp,
            udp,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(tcp).is_err() {
            ensure!(
                rsyslog.child.try_wait()?.is_none(),
                "rsyslog stopped at once"
            );
            ensure!(began.elapsed() < TIMEOUT, "rsyslog does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(rsyslog)
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    fn out(&self) -> PathBuf {
        self.folder.join("out.json")
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        std::fs::metadata(self.out()).map_or(0, |data| data.len())
    }

    /// Stops it with SIGTERM. Returns the number of lines in its file.
    pub fn stop(mut self) -> Result<u64> {
        let process = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &process]).status()?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > TIMEOUT {
                bail!("rsyslog does not stop");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut reader = BufReader::with_capacity(1 << 20, File::open(self.out())?);
        let (mut buffer, mut lines) = (vec![0; 1 << 20], 0);
        loop {
            let length = reader.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            lines += buffer[..length]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count() as u64;
        }
        let _ = std::fs::remove_dir_all(&self.folder);
        Ok(lines)
    }
}

impl Drop for Rsyslog {
    /// Kills the process.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
