//! One output and the thread that writes to it. Whoever has a line leaves it in a bounded queue and goes on; when the
//! queue is full the line is lost, and counted. Nothing here knows what a line says.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::{Dropped, LogError};
use crate::config::LogOutput;

/// Lines that may wait to be written.
const QUEUE: usize = 65_536;
/// A hundred access lines: more would save no system call worth having.
const BUFFER: usize = 64 * 1024;
/// How long lines wait for others, to be written together: whoever leaves one under load wakes nobody, and the disk has
/// fewer writes than there are requests.
const GATHERING: Duration = Duration::from_millis(5);
/// What is waited for when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Outlet {
    name: &'static str,
    queue: SyncSender<Message>,
    dropped: Dropped,
    /// The file is to be opened again although the queue had no room to say so.
    reopen: Arc<AtomicBool>,
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
        let (output, reopen) = (output.clone(), Arc::new(AtomicBool::new(false)));
        let asked = Arc::clone(&reopen);
        let writer = std::thread::Builder::new().name(format!("{name}-writer"));
        writer.spawn(move || write_all(&lines, sink, &output, &asked)).map_err(LogError::Thread)?;
        Ok(Self { name, queue, dropped: dropped.clone(), reopen })
    }

    pub fn write(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err()
            && let Some(counter) = self.dropped.get()
        {
            counter.with_label_values(&[self.name]).inc();
        }
    }

    /// Opens a file again, when what came before is written. When the queue is full, with the next line.
    pub fn reopen(&self) {
        if self.queue.try_send(Message::Reopen).is_err() {
            self.reopen.store(true, Ordering::Release);
        }
    }

    /// Waits until what came before is written; not for ever.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(LAST_WORDS);
        }
    }
}

/// The thread: writes what has come whenever something has. Ends with the last sender.
fn write_all(lines: &Receiver<Message>, mut sink: Sink, output: &LogOutput, asked: &AtomicBool) {
    while let Ok(first) = lines.recv() {
        if matches!(first, Message::Line(_)) {
            std::thread::sleep(GATHERING);
        }
        for message in std::iter::once(first).chain(lines.try_iter()) {
            if asked.swap(false, Ordering::AcqRel) {
                reopen(&mut sink, output);
            }
            match message {
                // A disk that is full has no room for a complaint either.
                Message::Line(line) => drop(sink.write_all(&line)),
                Message::Reopen => reopen(&mut sink, output),
                Message::Flush(done) => {
                    let _ = sink.flush();
                    let _ = done.send(());
                }
            }
        }
        let _ = sink.flush();
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
            LogOutput::Stderr => Self::Stderr(BufWriter::with_capacity(BUFFER, io::stderr())),
            LogOutput::Stdout => Self::Stdout(BufWriter::with_capacity(BUFFER, io::stdout())),
            LogOutput::File(path) => Self::File(BufWriter::with_capacity(BUFFER, append(path)?)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_again_although_the_queue_is_full_and_lost_lines_are_counted() {
        let dir = tempfile::TempDir::new().unwrap();
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let output = LogOutput::File(path.clone());
        let sink = Sink::open(&output).unwrap();
        // The writer does not write yet: the queue has room for one.
        let (queue, lines) = sync_channel(1);
        let dropped = Dropped::default();
        let options = prometheus::Opts::new("lines_dropped", "Lines.");
        dropped.set(prometheus::IntCounterVec::new(options, &["output"]).unwrap()).unwrap();
        let outlet = Outlet { name: "access", queue, dropped: dropped.clone(), reopen: Arc::default() };
        let asked = Arc::clone(&outlet.reopen);
        outlet.write(b"first\n".to_vec());
        outlet.write(b"lost\n".to_vec());
        outlet.write(b"lost, too\n".to_vec());
        assert_eq!(dropped.get().unwrap().with_label_values(&["access"]).get(), 2);
        std::fs::rename(&path, &moved).unwrap();
        outlet.reopen();
        drop(outlet);
        write_all(&lines, sink, &output, &asked);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\n", "in the file that was opened again");
    }
}
