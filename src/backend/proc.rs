//! What the kernel tells of processes, in `/proc`. Elsewhere than on Linux there are none.

/// What `/proc/ID/stat` says of a process (`proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// The number of its parent.
    pub(super) parent: i32,
    /// The number of its session's leader.
    pub(super) session: i32,
    /// When it started, in clock ticks since the machine did: with it a process is told from a later one of the same number.
    pub(super) started: u64,
    /// Whether it has ended and only waits to be reaped.
    pub(super) is_dead: bool,
}

impl Stat {
    /// `None` when there is no such process.
    pub(super) fn of(id: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// The name of the program, in brackets, may hold anything; what counts begins after it.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3);
        Some(Self {
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            started: field(22)?.parse().ok()?,
            is_dead: matches!(field(3), Some(&("Z" | "X"))),
        })
    }
}

/// Every process that there is, by its number.
pub(super) fn all() -> impl Iterator<Item = (i32, Stat)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| Some((id, Stat::of(id)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_program_is_called() {
        let rest = "S 10 20 30 34816 20 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        let expected = Stat { parent: 10, session: 30, started: 4_242, is_dead: false };
        for name in ["sh", "a b", ") S 1 2 (", ""] {
            assert_eq!(Stat::parse(&format!("7 ({name}) {rest}")), Some(expected), "{name}");
        }
        let dead = Stat::parse(&format!("7 (sh) {}", rest.replacen('S', "Z", 1)));
        assert!(dead.is_some_and(|stat| stat.is_dead));
        for wrong in ["", "7 (sh", "7 (sh) S", "7 (sh) S x 20 30"] {
            assert_eq!(Stat::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn we_are_among_all() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(all().any(|(id, stat)| id == own && !stat.is_dead));
    }
}
