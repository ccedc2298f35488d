//! A throw-away PostgreSQL: a fresh cluster in a directory of its own, reached through a Unix socket in there. A guard
//! process ends the server and removes the directory as soon as the test process is gone, however it went.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// $0 is the server, $1 the directory, $2 further options. Ends the server when its standard input does; keeps the data when told to.
const GUARD: &str = r#"
    "$0" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c max_connections=400 -c shared_buffers=16MB $2 2>&1 </dev/null &
    read -r word
    kill -QUIT $!; wait $!
    [ "$word" = keep ] || rm -rf "$1""#;

pub struct Server {
    directory: PathBuf,
    binaries: PathBuf,
    options: &'static str,
    running: Option<Running>,
    databases: AtomicU32,
}

struct Running {
    guard: Child,
    word: ChildStdin,
}

impl Server {
    /// The server that the tests of this binary share. It ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of the caller's own, to stop and start.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, with further options on its command line.
    pub fn start_with(options: &'static str) -> Self {
        let binaries = binaries();
        let made = output(as_postgres("mktemp").args(["-d", "/tmp/tenantry-pg-XXXXXX"]));
        let directory = PathBuf::from(made.trim());
        // A locale that orders texts otherwise than by their bytes: the store must not care.
        output(as_postgres(binaries.join("initdb")).arg("-D").arg(directory.join("data")).args([
            "--no-sync",
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "--locale-provider=icu",
            "--icu-locale=en",
        ]));
        let mut server = Self { directory, binaries, options, running: None, databases: AtomicU32::new(0) };
        server.resume();
        server
    }

    /// Ends the server at once, as a crash would; the data stay.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.word.write_all(b"keep\n").unwrap();
            drop(running.word);
            running.guard.wait().unwrap();
        }
    }

    /// Starts it again on its data; returns when it takes connections.
    pub fn resume(&mut self) {
        let mut guard = as_postgres("sh")
            .args(["-c", GUARD])
            .arg(self.binaries.join("postgres"))
            .arg(&self.directory)
            .arg(self.options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(guard.stdout.take().unwrap()).lines();
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut log = Vec::new();
            for line in lines.map_while(Result::ok) {
                if line.contains("ready to accept connections") {
                    let _ = ready.send(());
                }
                log.push(line);
            }
            drop(ready);
            if log.iter().any(|line| line.contains("FATAL:  could not")) {
                eprintln!("{}", log.join("\n"));
            }
        });
        let word = guard.stdin.take().unwrap();
        self.running = Some(Running { guard, word });
        is_ready.recv().expect("PostgreSQL ended before it was ready; its log is above");
    }

    /// Makes a database and returns its URL.
    pub async fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0")))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    /// The socket of the server.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(".s.PGSQL.5432")
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.directory.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match self.running.take() {
            Some(mut running) => {
                drop(running.word);
                let _ = running.guard.wait();
            }
            None => drop(as_postgres("rm").arg("-rf").arg(&self.directory).status()),
        }
    }
}

/// The newest installed server's programs.
fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort_by_key(|bin| {
        bin.parent().and_then(Path::file_name).and_then(|version| version.to_str()?.parse::<u32>().ok())
    });
    found.pop().expect("PostgreSQL's server programs are missing: apt-get install postgresql")
}

/// initdb refuses root.
fn as_postgres(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let root = output(Command::new("id").arg("-u")).trim() == "0";
    let mut command = if root { Command::new("runuser") } else { Command::new(program.as_ref()) };
    if root {
        command.args(["-u", "postgres", "--"]).arg(program);
    }
    command.current_dir("/");
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
