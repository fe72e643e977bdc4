//! From which seed a suite draws.

/// The seed of this run, given or drawn; it is printed where a failed test shows what it printed.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("HITCHLINE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("HITCHLINE_SEED={seed} repeats this");
    seed
}
