//! One output and the thread that writes to it. Whoever has a line leaves it in a bounded queue and goes on; when the
//! queue is full the line is lost, and counted. Nothing here knows what a line says.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use super::{Dropped, LogError};
use crate::config::LogOutput;

/// Lines that may wait to be written.
const QUEUE: usize = 65_536;
/// What is waited for when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Outlet {
    name: &'static str,
    queue: SyncSender<Message>,
    dropped: Dropped,
}

enum Message {
    Line(Vec<u8>),
    Reopen,
    Flush(SyncSender<()>),
}

impl Outlet {
    /// `key` is named when it cannot be opened; under `name` its losses are counted.
    pub fn open(
        key: &'static str,
        name: &'static str,
        output: &LogOutput,
        dropped: &Dropped,
    ) -> Result<Self, LogError> {
        let sink = Sink::open(output).map_err(|source| match output {
            LogOutput::File(path) => LogError::Open { key, path: path.display().to_string(), source },
            LogOutput::Stderr | LogOutput::Stdout => LogError::Thread(source),
        })?;
        let (queue, lines) = sync_channel(QUEUE);
        let output = output.clone();
        let writer = std::thread::Builder::new().name(format!("{name}-writer"));
        writer.spawn(move || write_all(&lines, sink, &output)).map_err(LogError::Thread)?;
        Ok(Self { name, queue, dropped: dropped.clone() })
    }

    pub fn write(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err()
            && let Some(counter) = self.dropped.get()
        {
            counter.with_label_values(&[self.name]).inc();
        }
    }

    /// Opens a file again, when what came before is written.
    pub fn reopen(&self) {
        // A queue that is full belongs to a disk that is stuck: the next signal may find it well.
        let _ = self.queue.try_send(Message::Reopen);
    }

    /// Waits until what came before is written; not for ever.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(LAST_WORDS);
        }
    }
}

/// The thread: writes what comes, and flushes whenever nothing waits. Ends with the last sender.
fn write_all(lines: &Receiver<Message>, mut sink: Sink, output: &LogOutput) {
    let mut next = lines.recv().ok();
    while let Some(message) = next {
        match message {
            // A disk that is full has no room for a complaint either.
            Message::Line(line) => drop(sink.write_all(&line)),
            Message::Reopen => reopen(&mut sink, output),
            Message::Flush(done) => {
                let _ = sink.flush();
                let _ = done.send(());
            }
        }
        next = match lines.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                let _ = sink.flush();
                lines.recv().ok()
            }
        };
    }
    let _ = sink.flush();
}

fn reopen(sink: &mut Sink, output: &LogOutput) {
    if !matches!(output, LogOutput::File(_)) {
        return;
    }
    let _ = sink.flush();
    match Sink::open(output) {
        Ok(opened) => *sink = opened,
        Err(error) => tracing::error!(%error, "log.not_reopened: lines go where they went"),
    }
}

enum Sink {
    Stderr(BufWriter<io::Stderr>),
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<File>),
}

impl Sink {
    fn open(output: &LogOutput) -> io::Result<Self> {
        Ok(match output {
            LogOutput::Stderr => Self::Stderr(BufWriter::new(io::stderr())),
            LogOutput::Stdout => Self::Stdout(BufWriter::new(io::stdout())),
            LogOutput::File(path) => Self::File(BufWriter::new(append(path)?)),
        })
    }

    fn inner(&mut self) -> &mut dyn Write {
        match self {
            Self::Stderr(inner) => inner,
            Self::Stdout(inner) => inner,
            Self::File(inner) => inner,
        }
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.inner().write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().flush()
    }
}

/// Readable by its group, for those who collect logs.
fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}
