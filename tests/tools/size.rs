//! How long a suite is, and from which seed it draws.

/// Ten times `n` in a long run; in a short one a tenth, which is enough to see a bug that is planted.
pub(crate) fn sized(n: usize) -> usize {
    match (is_long(), std::env::var_os("HITCHLINE_SHORT").is_some()) {
        (true, _) => 10 * n,
        (false, true) => n / 10,
        (false, false) => n,
    }
}

/// Whether this is a long run.
pub(crate) fn is_long() -> bool {
    std::env::var_os("HITCHLINE_LONG").is_some()
}

/// The seed of this run, given or drawn; it is printed where a failed test shows what it printed.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("HITCHLINE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("HITCHLINE_SEED={seed} repeats this");
    seed
}
