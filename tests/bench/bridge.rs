//! The benchmark: what Hitchline costs beside a minimal loop that only acknowledges and posts.
//!
//! `cargo bench --bench bridge` measures both in one run, each as a process of its own, against the same small server in this
//! process. Nothing is asserted about times; a reply that is lost or doubled fails it. `-- --quick` is for a first look.

mod cpu;
mod disk;
mod envelope;
mod http;
mod load;
mod minimal;
mod process;
mod server;
mod statistics;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use hitchline::clock::Clock;

use load::Load;
use process::Process;
use server::Server;
use statistics::{Sample, median};

/// Between two events at 200 a second.
const PACE: Duration = Duration::from_millis(5);
/// How many conversations are written to, and how many events are outstanding in closed loop.
const OUTSTANDING: usize = 64;
/// How many conversations are mapped when memory is measured.
const CONVERSATIONS: usize = 10_000;
/// How long a process rests before its memory is read.
const REST: Duration = Duration::from_secs(1);

/// How much is measured.
struct Extent {
    fsyncs: u64,
    /// Both candidates take turns so often, so that what else the machine does meets both.
    rounds: u32,
    /// Events at a steady pace in each round.
    events: u32,
    /// How long a round in closed loop lasts.
    round: Duration,
}

impl Extent {
    const FULL: Self = Self { fsyncs: 400, rounds: 5, events: 2_000, round: Duration::from_secs(3) };
    const QUICK: Self = Self { fsyncs: 100, rounds: 1, events: 1_000, round: Duration::from_secs(1) };
}

/// A process under test with the server that it is connected to, and what was measured of it.
struct Candidate {
    name: &'static str,
    process: Process,
    load: Load,
    idle_kib: u32,
    /// Latencies at a steady pace.
    acknowledgements: Vec<Duration>,
    /// CPU time at a steady pace.
    cpu: Duration,
    rates: Vec<f64>,
    _dir: tempfile::TempDir,
}

/// What was measured of a candidate in all rounds.
struct Measured {
    idle_kib: u32,
    acknowledged: Sample,
    cpu: Duration,
    rates: Vec<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, base] = arguments.as_slice()
        && mode == "minimal-loop"
    {
        return minimal::run(base).await;
    }
    // Without cargo's own flag this is a test run, which only has to show that it works.
    let quick = arguments.iter().any(|argument| argument == "--quick") || !arguments.iter().any(|a| a == "--bench");
    measure(if quick { &Extent::QUICK } else { &Extent::FULL }).await
}

async fn measure(extent: &Extent) -> Result<()> {
    let clock = Clock::system();
    let dir = scratch()?;
    let spaced = disk::fsyncs(&clock, dir.path(), extent.fsyncs, PACE)?;
    let at_once = disk::fsyncs(&clock, dir.path(), extent.fsyncs, Duration::ZERO)?;
    let mut ours = Candidate::hitchline(&clock).await?;
    let mut minimal = Candidate::minimal_loop(&clock).await?;
    for _ in 0..extent.rounds {
        for candidate in [&mut ours, &mut minimal] {
            let measured = candidate.round(extent).await;
            candidate.explain(measured)?;
        }
    }
    let (ours, minimal) = (ours.stop(), minimal.stop());
    let mapped = mapped_memory(&clock).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "fsync every 5 ms: p50 {:.2} ms, p99 {:.2} ms", spaced.percentile_ms(50), spaced.percentile_ms(99))?;
    writeln!(
        out,
        "fsync at once:    p50 {:.2} ms, p99 {:.2} ms",
        at_once.percentile_ms(50),
        at_once.percentile_ms(99)
    )?;
    report(&mut out, extent, ours, minimal)?;
    writeln!(out, "{:<44}{:>12.1}", format!("resident with {CONVERSATIONS} conversations, MiB"), mib(mapped))?;
    Ok(())
}

fn report(out: &mut impl Write, extent: &Extent, ours: Measured, minimal: Measured) -> Result<()> {
    let times = |percent| (ours.acknowledged.percentile_ms(percent), minimal.acknowledged.percentile_ms(percent));
    let rate = format!("replies/s, {OUTSTANDING} outstanding (median of {})", extent.rounds);
    let cpu = |cpu: Duration| cpu.as_secs_f64() * 10_000.0 / f64::from(extent.rounds * extent.events);
    writeln!(out, "{:<44}{:>12}{:>14}{:>9}", "", "hitchline", "minimal loop", "ratio")?;
    for (what, (ours, minimal), digits) in [
        ("acknowledgement at 200/s, p50, ms", times(50), 2),
        ("acknowledgement at 200/s, p99, ms", times(99), 2),
        (rate.as_str(), (median(ours.rates), median(minimal.rates)), 0),
        ("CPU s per 10,000 events at 200/s", (cpu(ours.cpu), cpu(minimal.cpu)), 2),
        ("resident when idle, MiB", (mib(ours.idle_kib), mib(minimal.idle_kib)), 1),
    ] {
        writeln!(out, "{what:<44}{ours:>12.digits$}{minimal:>14.digits$}{:>9.2}", ours / minimal)?;
    }
    Ok(())
}

/// Memory with many mapped conversations, of a process that did nothing else.
async fn mapped_memory(clock: &Clock) -> Result<u32> {
    let mut candidate = Candidate::hitchline(clock).await?;
    let opened = candidate.load.open_conversations(CONVERSATIONS, OUTSTANDING).await;
    candidate.explain(opened)?;
    clock.sleep(REST).await;
    candidate.process.size("VmRSS")
}

impl Candidate {
    async fn hitchline(clock: &Clock) -> Result<Self> {
        let start = |dir: &Path, server: &Server| Process::hitchline(dir, server.address, "");
        Self::start("hitchline", clock, start).await
    }

    async fn minimal_loop(clock: &Clock) -> Result<Self> {
        let start = |dir: &Path, server: &Server| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["minimal-loop".to_owned(), format!("http://{}/api", server.address)]);
            Process::spawn(command, dir)
        };
        Self::start("the minimal loop", clock, start).await
    }

    async fn start(
        name: &'static str,
        clock: &Clock,
        start: impl Fn(&Path, &Server) -> Result<Process>,
    ) -> Result<Self> {
        let (dir, server) = (scratch()?, Server::start(clock.clone(), Duration::ZERO).await?);
        let process = start(dir.path(), &server)?;
        let load = Load::connected(clock.clone(), server).await;
        let load = load.with_context(|| format!("{name}:\n{}", process.log()))?;
        clock.sleep(REST).await;
        let idle_kib = process.size("VmRSS")?;
        let (acknowledgements, cpu, rates) = (Vec::new(), Duration::ZERO, Vec::new());
        Ok(Self { name, process, load, idle_kib, acknowledgements, cpu, rates, _dir: dir })
    }

    async fn round(&mut self, extent: &Extent) -> Result<()> {
        let before = cpu::used(self.process.id())?;
        self.acknowledgements.extend(self.load.at_pace(extent.events, PACE, OUTSTANDING).await?);
        self.cpu += cpu::used(self.process.id())?.saturating_sub(before);
        self.rates.push(self.load.closed_loop(OUTSTANDING, extent.round).await?);
        Ok(())
    }

    fn stop(self) -> Measured {
        let acknowledged = Sample::new(self.acknowledgements);
        Measured { idle_kib: self.idle_kib, acknowledged, cpu: self.cpu, rates: self.rates }
    }

    /// Adds to an error who failed, and the end of its log.
    fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| format!("{}:\n{}", self.name, self.process.log()))
    }
}

/// A directory on the file system that the build is on, which is seldom one in memory.
fn scratch() -> Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

fn mib(kib: u32) -> f64 {
    f64::from(kib) / 1_024.0
}
