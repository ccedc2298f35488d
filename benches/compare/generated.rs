//! The nearest that the peers have to what changes in Tenantry: hosts and routes that are generated into their settings, and a
//! reload; of HAProxy also the line that its runtime API takes. A suspension is the same act with one host less, and not asked
//! again. Every peer is asked the same, in the form in which its own users would have so many, and is gone before the next
//! starts. All hosts have the same certificate.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::changes::reloading;
use super::client::Http1;
use super::program::{local, port};
use super::report::{Fact, count};
use super::servers::{Ground, Process, find, until_answered, until_served};
use super::{machine, names};

const PATIENCE: Duration = Duration::from_secs(60);

/// After a start and before each reload: HAProxy's master hears no signal in the first milliseconds in which its worker serves.
const REST: Duration = Duration::from_millis(300);

/// Whoever would reload for longer is not asked to do it again: all has to be over in twenty minutes.
const ENOUGH: Duration = Duration::from_secs(20);

/// How one of them is told.
struct Peer {
    name: &'static str,
    program: &'static str,
    /// What stands before the path of its settings.
    words: &'static [&'static str],
    /// What hosts and routes are called in its settings.
    hosts: &'static str,
    routes: &'static str,
    settings: fn(&Place, Wanted) -> String,
    reload: Reload,
    /// What its runtime API is told for one more host, where it has one that needs no reload.
    add: Option<fn(&Place, &str) -> String>,
}

enum Reload {
    Signal(Signal),
    /// It is handed the settings, and answers when they are in force.
    Post,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "nginx",
        program: "nginx",
        words: &["-c"],
        hosts: "server blocks",
        routes: "locations",
        settings: nginx,
        reload: Reload::Signal(Signal::HUP),
        add: None,
    },
    Peer {
        name: "HAProxy",
        program: "haproxy",
        // A master and its worker, as Debian's unit has it: a worker alone cannot reload.
        words: &["-W", "-f"],
        hosts: "hosts in a map",
        routes: "use_backend rules",
        settings: haproxy,
        reload: Reload::Signal(Signal::USR2),
        add: Some(|place, host| format!("add map {} {host} app\n", place.file("map"))),
    },
    Peer {
        name: "Caddy",
        program: "caddy",
        words: &["run", "--adapter", "caddyfile", "--config"],
        // So many site blocks take its adapter two minutes, at every reload.
        hosts: "hosts of one site block",
        routes: "handle blocks",
        settings: caddy,
        reload: Reload::Post,
        add: None,
    },
];

/// What is to be in force.
#[derive(Clone, Copy)]
struct Wanted {
    hosts: usize,
    routes: usize,
    /// `/marker` is answered with so many bytes.
    marker: Option<usize>,
}

impl Wanted {
    fn hosts(hosts: usize) -> Self {
        Self { hosts, routes: 0, marker: None }
    }
}

/// Where one of them is.
struct Place<'a> {
    ground: &'a Ground,
    label: String,
    https: SocketAddr,
    /// Where it listens for its operator, if it does.
    admin: SocketAddr,
}

impl Place<'_> {
    fn file(&self, kind: &str) -> String {
        self.ground.directory.join(format!("{}.{kind}", self.label)).display().to_string()
    }

    fn write(&self, kind: &str, text: &str) -> String {
        self.ground.file(&format!("{}.{kind}", self.label), text)
    }
}

/// All that are installed: with so many hosts, and then with so many routes.
pub async fn of_peers(ground: &Ground, hosts: usize, routes: usize, times: usize) -> Vec<Fact> {
    let mut facts = Vec::new();
    for peer in &PEERS {
        // Whoever is not has been named.
        let Some(program) = find(peer.program) else { continue };
        let label = format!("{}-generated", peer.program);
        let place = Place { ground, label, https: local(port()), admin: local(port()) };
        let asked = async {
            let running = Running::start(peer, place, &program, hosts, &mut facts).await?;
            running.change(hosts, routes, times, &mut facts).await
        };
        if let Err(why) = asked.await {
            println!("{} with generated settings is not measured, or not to the end: {why}", peer.name);
        }
    }
    facts
}

struct Running<'a> {
    peer: &'a Peer,
    place: Place<'a>,
    process: Process,
    /// As the table calls it while it has its hosts.
    who: String,
}

impl<'a> Running<'a> {
    async fn start(
        peer: &'a Peer,
        place: Place<'a>,
        program: &Path,
        hosts: usize,
        facts: &mut Vec<Fact>,
    ) -> Result<Self, String> {
        let who = format!("{}, {} {}", peer.name, count(hosts), peer.hosts);
        let settings = place.write("conf", &(peer.settings)(&place, Wanted::hosts(hosts)));
        let words: Vec<&str> = peer.words.iter().copied().chain([&*settings]).collect();
        let begun = Instant::now();
        let process = Process::start(&place.ground.directory, &place.label, program, &words);
        let running = Self { peer, place, process: process.map_err(|error| error.to_string())?, who };
        running.until_served(&host(0)).await?;
        facts.push(Fact::millis("start until the first request is answered", &running.who, &[begun.elapsed()]));
        tokio::time::sleep(REST).await;
        let memory = machine::memory(&running.process.family());
        facts.push(Fact::number("memory", &running.who, memory as f64 / 1_048_576.0, "MiB"));
        Ok(running)
    }

    async fn change(&self, hosts: usize, routes: usize, times: usize, facts: &mut Vec<Fact>) -> Result<(), String> {
        // Before any reload: the worker of before might take the word.
        if let Some(add) = self.peer.add {
            let mut took = Vec::new();
            for n in 0..times {
                let host = format!("added-{}", host(n));
                let begun = Instant::now();
                tell(self.place.admin, &add(&self.place, &host)).await.map_err(|error| error.to_string())?;
                self.until_served(&host).await?;
                took.push(begun.elapsed());
            }
            let what = "one more host: from telling the runtime API until it is served";
            facts.push(Fact::millis(what, &self.who, &took));
        }
        let mut took = vec![self.reload(Wanted::hosts(hosts + 1)).await?];
        while took.len() < times.min(3) && took.iter().sum::<Duration>() + took[took.len() - 1] < ENOUGH {
            took.push(self.reload(Wanted::hosts(hosts + took.len() + 1)).await?);
        }
        facts.push(Fact::millis("one more host: from asking for the reload until it is served", &self.who, &took));
        let took = self.reload(Wanted { hosts: 1, routes, marker: Some(1) }).await?;
        let who = format!("{}, {} {}", self.peer.name, count(routes), self.peer.routes);
        facts.push(Fact::millis(&reloading(routes), &who, &[took]));
        Ok(())
    }

    /// How long it takes until the last of the hosts is served, or the marker; the peer may say later that it is done.
    async fn reload(&self, wanted: Wanted) -> Result<Duration, String> {
        let settings = (self.peer.settings)(&self.place, wanted);
        self.place.write("conf", &settings);
        tokio::time::sleep(REST).await;
        let told = async {
            match self.peer.reload {
                Reload::Signal(signal) => self.process.signal(signal),
                Reload::Post => post(self.place.admin, &settings).await.map_err(|error| error.to_string())?,
            }
            Ok(())
        };
        let seen = async {
            let Some(length) = wanted.marker else { return self.until_served(&host(wanted.hosts - 1)).await };
            let took = until_answered(self.place.https, &names::slug_host(0), "/marker", length, PATIENCE).await;
            took.ok_or_else(|| self.silent("/marker"))
        };
        let both = async { tokio::try_join!(told, seen) };
        let done = tokio::time::timeout(PATIENCE * 2, both).await.map_err(|_| self.silent("what was asked for"))?;
        Ok(done?.1)
    }

    async fn until_served(&self, host: &str) -> Result<Duration, String> {
        until_served(self.place.https, host, PATIENCE).await.ok_or_else(|| self.silent(host))
    }

    fn silent(&self, what: &str) -> String {
        format!("{what} is not served within {PATIENCE:?}\n{}", self.process.said())
    }
}

/// Hands Caddy its settings.
async fn post(admin: SocketAddr, settings: &str) -> io::Result<()> {
    let head = format!(
        "POST /load HTTP/1.1\r\nHost: {admin}\r\nContent-Type: text/caddyfile\r\nContent-Length: {}\r\n\r\n",
        settings.len()
    );
    let mut connection = Http1::new(TcpStream::connect(admin).await?);
    connection.served(&[head.as_bytes(), settings.as_bytes()].concat()).await.map(drop)
}

/// Tells HAProxy a line, which it answers with an empty one.
async fn tell(admin: SocketAddr, line: &str) -> io::Result<()> {
    let mut connection = TcpStream::connect(admin).await?;
    connection.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    if answer.trim().is_empty() { Ok(()) } else { Err(io::Error::other(answer)) }
}

const DOMAIN: &str = "generated.example";

fn host(n: usize) -> String {
    format!("n{n}.{DOMAIN}")
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|n| line(n) + "\n").collect()
}

fn nginx(place: &Place, wanted: Wanted) -> String {
    let https = place.https;
    let blocks = lines(wanted.hosts, |n| {
        let host = host(n);
        format!("server {{ listen {https} ssl http2; server_name {host}; location / {{ proxy_pass http://app; }} }}")
    });
    let marker =
        wanted.marker.map(|length| format!("location = /marker {{ return 200 \"{}\"; }}\n", "m".repeat(length)));
    let locations = lines(wanted.routes, |n| format!("location /area-{n} {{ proxy_pass http://app; }}"));
    place.ground.nginx_settings(https, &place.label, &(marker.unwrap_or_default() + &locations), &blocks)
}

fn haproxy(place: &Place, wanted: Wanted) -> String {
    let map = place.write("map", &lines(wanted.hosts, |n| format!("{} app", host(n))));
    // Names that are not in the certificate get it too, and all others no handshake.
    let names = format!("{} *.{} *.{DOMAIN}\n", place.ground.both.display(), names::BASE);
    let certificates = format!("crt-list {}", place.write("certificates", &names));
    let marker = wanted.marker.map(|length| {
        let text = "m".repeat(length);
        format!("    http-request return status 200 content-type text/plain string {text} if {{ path /marker }}\n")
    });
    let routes = lines(wanted.routes, |n| format!("    use_backend app if {{ path_beg /area-{n} }}"));
    let by_host = format!("    use_backend %[req.hdr(host),field(1,:),lower,map({map},nobody)]");
    let rules = marker.unwrap_or_default() + &routes + &by_host;
    let more = format!(
        "backend nobody\n    http-request return status 404\nglobal\n    stats socket {} level admin\n",
        place.admin
    );
    place.ground.haproxy_settings(place.https, &certificates, &rules, &more)
}

fn caddy(place: &Place, wanted: Wanted) -> String {
    let (backend, port) = (place.ground.backend, place.https.port());
    let hosts: Vec<String> = (0..wanted.hosts).map(|n| format!("https://{}:{port}", host(n))).collect();
    let block = format!("{} {{\n    import app\n}}\n", hosts.join(",\n"));
    let marker = wanted.marker.map(|length| format!("    respond /marker {}\n", "m".repeat(length)));
    let routes = lines(wanted.routes, |n| format!("    handle /area-{n}* {{\n        reverse_proxy {backend}\n    }}"));
    place.ground.caddy_settings(place.https, &place.admin.to_string(), &(marker.unwrap_or_default() + &routes), &block)
}
