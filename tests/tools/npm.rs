//! Packages of the npm registry, installed once into `.cache/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{not_run, program};

/// A package, and a file by which one can see that it is installed.
pub(crate) struct Package {
    pub(crate) folder: &'static str,
    pub(crate) spec: &'static str,
    pub(crate) holds: &'static str,
}

impl Package {
    /// The file, once the package is installed. Without Node or npm the running test is noted as not run.
    pub(crate) fn installed(&self) -> Option<PathBuf> {
        program("node")?;
        let npm = program("npm")?;
        self.install(&npm).map_err(|why| not_run(&why)).ok()
    }

    fn install(&self, npm: &Path) -> Result<PathBuf, String> {
        let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(self.folder);
        let file = cache.join(self.holds);
        let failed = |why: std::io::Error| format!("the cache {} can't be used: {why}", cache.display());
        fs::create_dir_all(&cache).map_err(failed)?;
        // Tests run side by side, in several processes too; the lock goes with the file.
        let lock = File::create(cache.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        if file.is_file() {
            return Ok(file);
        }
        let output = Command::new(npm)
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&cache)
            .arg(self.spec)
            .output()
            .map_err(|error| format!("npm could not be started: {error}"))?;
        if output.status.success() && file.is_file() {
            return Ok(file);
        }
        Err(format!("npm could not install {}: {}", self.spec, String::from_utf8_lossy(&output.stderr).trim()))
    }
}
