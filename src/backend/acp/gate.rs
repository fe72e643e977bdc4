//! The gate before the protocol crate: bounded lines, no garbage, and one message admitted for each one consumed.
//!
//! The crate's own queues have no bound. They need none behind this gate: an update or a request enters only with a credit, and the credit
//! comes back when it has been handed on; a request enters only while few are unanswered; answers are as many as we asked for; and
//! nothing else enters.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::{Sink, Stream, sink, stream};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::Semaphore;

use super::line::{self, Sort};

/// The longest line, in bytes.
const LONGEST_LINE: usize = 16 * 1024 * 1024;
/// The most values in a line. In memory each takes some dozens of bytes, however short it is in the line.
const MOST_VALUES: usize = 500_000;
/// How many updates and requests may be inside at once. When all are, the agent's output is not read on.
pub(super) const CREDITS: u32 = 64;
/// For how many bytes one credit is due.
const BYTES_PER_CREDIT: usize = 64 * 1024;
/// How many of the agent's requests may be unanswered. When all are, its output is not read on.
const REQUESTS: usize = 64;

/// The books of a gate; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Books {
    credits: Arc<Semaphore>,
    /// What the updates and requests inside the crate cost, in their order.
    costs: Arc<Mutex<VecDeque<u32>>>,
    requests: Arc<Semaphore>,
    violation: Arc<OnceLock<String>>,
}

/// What an update or a request paid to enter; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Credit {
    credits: Arc<Semaphore>,
    cost: u32,
}

impl Credit {
    /// Whether it was for more than many such messages may take together.
    pub(super) fn is_big(&self) -> bool {
        self.cost > 1
    }
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            credits: Arc::new(Semaphore::new(CREDITS as usize)),
            costs: Arc::default(),
            requests: Arc::new(Semaphore::new(REQUESTS)),
            violation: Arc::default(),
        }
    }

    /// To be called for each update and each request that comes out of the crate, in order.
    pub(super) fn received(&self) -> Credit {
        let cost = self.costs.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(0);
        Credit { credits: self.credits.clone(), cost }
    }

    /// What the agent did that made us stop reading.
    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.get().map(String::as_str)
    }

    async fn admit(&self, bytes: usize) {
        let cost = u32::try_from(bytes.div_ceil(BYTES_PER_CREDIT)).unwrap_or(CREDITS).clamp(1, CREDITS);
        if let Ok(permit) = self.credits.acquire_many(cost).await {
            permit.forget();
            self.costs.lock().unwrap_or_else(PoisonError::into_inner).push_back(cost);
        }
    }

    async fn admit_request(&self) {
        if let Ok(permit) = self.requests.acquire().await {
            permit.forget();
        }
    }

    fn violated(&self, what: String) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self.violation.get_or_init(|| what).clone())
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.credits.add_permits(self.cost as usize);
    }
}

/// The lines of `reader` that may enter. It ends with an error when a line is too long, or too much in it.
pub(super) fn incoming<R>(reader: R, books: Books) -> impl Stream<Item = io::Result<String>> + Send + 'static
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let gate = Gate { reader: BufReader::new(reader), books };
    stream::unfold(Some(gate), |gate| async move {
        let mut gate = gate?;
        match gate.next().await {
            Ok(Some(line)) => Some((Ok(line), Some(gate))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Where lines to the agent go. An answer on its way out makes room for another request.
pub(super) fn outgoing<W>(writer: W, books: Books) -> impl Sink<String, Error = io::Error> + Send + 'static
where
    W: AsyncWrite + Unpin + Send + 'static,
{
    sink::unfold((writer, books), |(mut writer, books), mut line: String| async move {
        if line::is_response(&line) {
            books.requests.add_permits(1);
        }
        line.push('\n');
        writer.write_all(line.as_bytes()).await?;
        writer.flush().await?;
        Ok((writer, books))
    })
}

struct Gate<R> {
    reader: BufReader<R>,
    books: Books,
}

impl<R: AsyncRead + Unpin> Gate<R> {
    async fn next(&mut self) -> io::Result<Option<String>> {
        while let Some(line) = self.line().await? {
            if line.len() > MOST_VALUES && line::values(&line) > MOST_VALUES {
                return Err(self.books.violated(format!("it wrote a line with more than {MOST_VALUES} values in it")));
            }
            let (sort, line) = line::read(line);
            match sort {
                Sort::Update => self.books.admit(line.len()).await,
                Sort::Request => {
                    self.books.admit_request().await;
                    self.books.admit(line.len()).await;
                }
                Sort::Response | Sort::Withdrawal => {}
                Sort::Other => continue,
            }
            return Ok(Some(line));
        }
        Ok(None)
    }

    /// The next line without its end; `None` at the end, also when half a line stands there.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                return Ok(None);
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let piece = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
            if line.len() + piece.len() > LONGEST_LINE {
                return Err(self.books.violated(format!("it wrote a line of more than {} MiB", LONGEST_LINE >> 20)));
            }
            line.extend_from_slice(piece);
            let used = piece.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    const UPDATE: &str = r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s"}}"#;
    const REQUEST: &str = r#"{"jsonrpc":"2.0","id":null,"method":"x/y","params":{}}"#;
    const RESPONSE: &str = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;

    async fn admitted(input: &str) -> Vec<String> {
        let lines = incoming(io::Cursor::new(input.to_owned().into_bytes()), Books::new());
        lines.map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn garbage_and_half_a_line_are_dropped() {
        let input = format!("warning: x\n[{UPDATE}]\n{RESPONSE}\n\n{REQUEST}\n{{\"jsonrpc\":");
        assert_eq!(admitted(&input).await, [RESPONSE, REQUEST]);
    }

    #[tokio::test]
    async fn an_update_enters_when_an_earlier_one_is_consumed() {
        let books = Books::new();
        let input = format!("{UPDATE}\n").repeat(100);
        let mut lines = Box::pin(incoming(io::Cursor::new(input.into_bytes()), books.clone()));
        for _ in 0..CREDITS {
            assert!(lines.next().now_or_never().is_some());
        }
        assert!(lines.next().now_or_never().is_none(), "no credit was left");
        drop(books.received());
        assert!(lines.next().now_or_never().is_some());
        assert!(lines.next().now_or_never().is_none(), "only one came back");
    }

    #[tokio::test]
    async fn a_big_update_or_request_waits_until_nothing_else_is_inside() {
        for small in [UPDATE, REQUEST] {
            let books = Books::new();
            let big =
                small.replace("{}", "{\"sessionId\":\"s\"}").replace("\"s\"", &format!("{:?}", "x".repeat(8 << 20)));
            let input = format!("{small}\n{big}\n").into_bytes();
            let mut lines = Box::pin(incoming(io::Cursor::new(input), books.clone()));
            assert!(lines.next().now_or_never().is_some());
            assert!(lines.next().now_or_never().is_none(), "{small}");
            assert!(!books.received().is_big());
            assert!(lines.next().now_or_never().is_some());
            assert!(books.received().is_big());
        }
    }

    #[tokio::test]
    async fn a_line_without_end_ends_the_reading() {
        let books = Books::new();
        let mut lines = Box::pin(incoming(tokio::io::repeat(b'x'), books.clone()));
        assert!(lines.next().await.unwrap().is_err());
        assert!(lines.next().await.is_none());
        assert!(books.violation().unwrap().contains("16 MiB"));
    }

    #[tokio::test]
    async fn a_line_that_would_grow_in_memory_ends_the_reading() {
        for (numbers, enters) in [(400_000, true), (600_000, false)] {
            let books = Books::new();
            let update = UPDATE.replace("\"s\"", &format!("[0{}]", ",0".repeat(numbers)));
            let mut lines = Box::pin(incoming(io::Cursor::new(format!("{update}\n").into_bytes()), books.clone()));
            assert_eq!(lines.next().await.unwrap().is_ok(), enters);
            assert_eq!(books.violation().is_some_and(|why| why.contains("values")), !enters);
        }
    }
}
