//! Log lines on their way to stderr: written by a thread of their own, so that nobody who logs waits for somebody who does not read.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait. When it is full, further ones are dropped and counted.
const WAITING: usize = 4_096;
/// How long the last lines may take at the end.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The process's lines, once they are set up.
static LINES: OnceLock<Lines> = OnceLock::new();

enum Line {
    Text(Vec<u8>),
    /// Everything before it has been written.
    Mark(SyncSender<()>),
}

/// Where lines go; cheap to clone.
#[derive(Clone)]
pub(super) struct Lines {
    sender: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        // Nobody waits for its end: it may never be able to write its last line.
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&lines, out, &counted))?;
        Ok(Self { sender, dropped })
    }

    /// Waits until what was logged so far is written, for a moment at the most.
    fn written_within(&self, within: Duration) -> bool {
        let (mark, written) = sync_channel(1);
        self.sender.try_send(Line::Mark(mark)).is_ok() && written.recv_timeout(within).is_ok()
    }
}

fn write_all(lines: &Receiver<Line>, mut out: impl Write, dropped: &AtomicU64) {
    while let Ok(line) = lines.recv() {
        match line {
            // A reader that has gone has read enough.
            Line::Text(text) => drop(out.write_all(&text)),
            Line::Mark(mark) => drop(mark.try_send(())),
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            metrics::counter!("hitchline_log_lines_dropped_total").increment(lost);
            tracing::warn!(lines = lost, "Log lines were dropped, because nobody read them");
        }
    }
}

/// The one who writes one line.
impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Line::Text(text.to_vec())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The process's lines to stderr.
pub(super) fn to_stderr() -> io::Result<Lines> {
    if let Some(lines) = LINES.get() {
        return Ok(lines.clone());
    }
    let lines = Lines::to(io::stderr())?;
    Ok(LINES.get_or_init(|| lines).clone())
}

/// Waits until everything logged is written, for a moment at the most. Returns whether it was, or nothing was ever logged.
pub fn flush() -> bool {
    LINES.get().is_none_or(|lines| lines.written_within(LAST_LINES))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use super::*;

    /// Blocks in its first write until it is let go.
    struct Blocked(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Blocked {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _let_go = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_what_is_dropped_is_counted() {
        let (let_go, blocked) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut lines = Lines::to(Blocked(blocked, written.clone())).unwrap();
        for _ in 0..WAITING + 10 {
            lines.write_all(b"line\n").unwrap();
        }
        // One more may be in hand.
        let dropped = lines.dropped.load(Ordering::Relaxed);
        assert!((9..=10).contains(&dropped), "{dropped}");
        assert!(!lines.written_within(Duration::ZERO));
        drop(let_go);
        let mut flushed = false;
        while !flushed {
            flushed = lines.written_within(LAST_LINES);
        }
        assert!(written.lock().unwrap().len() >= WAITING * 5);
        assert_eq!(lines.dropped.load(Ordering::Relaxed), 0, "told");
    }
}
