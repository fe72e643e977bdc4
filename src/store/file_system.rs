//! Which file systems can't hold a store: those whose locks, or whose memory shared between processes, can't be relied on.

use std::path::Path;

/// Magic numbers of file systems that are somewhere else, or in a process of their own, as in the kernel's `linux/magic.h`.
const REFUSED: [(u32, &str); 6] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x5346_414F, "AFS"),
];

/// The name of the file system below `dir`, when it can't hold a store. One that can't be asked is taken for good.
pub(super) fn refused(dir: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(dir).ok()?;
    // The field is wider on some machines, the number never is.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers have 32 bits")]
    name(found.f_type as u32)
}

fn name(magic: u32) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_45_a_state_directory_on_a_network_or_in_user_space_is_refused() {
        for (magic, refused) in [
            (0x6969, Some("NFS")),
            (0xFF53_4D42, Some("CIFS")),
            (0xFE53_4D42, Some("SMB")),
            (0x6573_5546, Some("FUSE")),
            (0xEF53, None),
            (0x5846_5342, None),
            (0x9123_683E, None),
            (0x0102_1994, None),
            (0x794C_7630, None),
        ] {
            assert_eq!(name(magic), refused, "{magic:#x}");
        }
        assert_eq!(refused(&std::env::temp_dir()), None, "here tests can run");
        assert_eq!(refused(Path::new("/nowhere/at/all")), None, "what is not there is for others to name");
    }
}
