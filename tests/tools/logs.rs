//! What is logged on this thread: each test has a thread and a runtime of its own.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Collects from now on. There is one subscriber for the whole process: with several, a place in the code that is first reached on
/// a thread without any would be taken for one that nobody listens to.
pub(crate) fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Writer).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    WRITTEN.with_borrow_mut(Vec::clear);
}

/// The lines that hold `text`.
pub(crate) fn with(text: &str) -> Vec<String> {
    let all = WRITTEN.with_borrow(|written| String::from_utf8_lossy(written).into_owned());
    all.lines().filter(|line| line.contains(text)).map(ToOwned::to_owned).collect()
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
