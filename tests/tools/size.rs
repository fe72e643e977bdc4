//! How long a suite is.

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
