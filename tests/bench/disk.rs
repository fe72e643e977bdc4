//! What an fsync costs here, for every durable answer waits for one.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use hitchline::clock::Clock;

use crate::statistics::Sample;

/// How much is written before each fsync: about what a commit of one event writes.
const BYTES: usize = 16 * 1_024;
/// The file is overwritten from its start again after so many writes, like a write-ahead log.
const AROUND: u64 = 256;

/// Times `count` fsyncs in `dir`, each `pause` after the one before; an fsync's cost depends on that.
pub(crate) fn fsyncs(clock: &Clock, dir: &Path, count: u64, pause: Duration) -> Result<Sample> {
    let mut file = File::create(dir.join("fsync"))?;
    let block = [0x5a; BYTES];
    let mut times = Vec::new();
    for n in 0..count {
        std::thread::sleep(pause);
        if n % AROUND == 0 {
            file.seek(SeekFrom::Start(0))?;
        }
        let start = clock.now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(clock.now() - start);
    }
    Ok(Sample::new(times))
}
