//! Programs from elsewhere that a test starts: they end with the test, however it goes, and what they said is shown when
//! it fails. Ports for those that cannot take port 0.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// Ends the program, and whatever it has started, as soon as the test process is gone.
const GUARD: &str =
    r#"setsid "$0" "$@" 2>&1 </dev/null & exec 2>/dev/null; read -r word; kill -KILL -$! || kill -KILL $!; wait $!"#;
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program.
pub struct Program {
    name: String,
    guard: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Program {
    pub fn start(name: &str, arguments: &[&str], environment: &[(String, String)]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, name]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        let mut guard = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = BufReader::new(guard.stdout.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        Self { name: name.to_owned(), guard, log }
    }

    /// Waits until it takes TCP connections at all of these; `false` if it complains of an address that is taken.
    pub async fn listens(&self, addresses: &[SocketAddr]) -> bool {
        let until = Instant::now() + PATIENCE;
        for address in addresses {
            while TcpStream::connect(address).await.is_err() {
                if self.said("address already in use") {
                    return false;
                }
                assert!(Instant::now() < until, "{} does not listen at {address}:\n{}", self.name, self.log());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        !self.said("address already in use")
    }

    pub fn said(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
        if std::thread::panicking() {
            let log = self.log.lock().unwrap();
            let tail = log.len().saturating_sub(100);
            eprintln!("--- {}:\n{}", self.name, log[tail..].join("\n"));
        }
    }
}

/// A port that was free a moment ago, for TCP and UDP alike. Below those that the kernel gives to clients, and no two
/// calls of one process give the same.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const PORTS: std::ops::Range<u16> = 12_000..32_000;
    loop {
        let start = (std::process::id() as u16).wrapping_mul(97);
        let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
        let address = ("127.0.0.1", PORTS.start + step);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address.1;
        }
    }
}

pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
