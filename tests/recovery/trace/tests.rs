//! Lines as `strace` writes them, and frames as a client sends them.

use super::*;

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<Vec<_>>().concat()
}

fn read(lines: &[String]) -> Vec<Call> {
    let mut parser = Parser::default();
    lines.iter().filter_map(|line| parser.read(line)).collect()
}

#[test]
fn calls_are_read_with_their_files_and_bytes() {
    let (file, data) = (hex("/s/db-wal"), hex("ab"));
    let calls = read(&[
        format!("77  pwrite64(14<{file}>, \"{data}\", 2, 1024) = 2"),
        format!("77  pwrite64(14<{file}>, \"{data}\", 2, 2048) = -1 ENOSPC (No space left on device)"),
        format!("77  ftruncate(14<{file}>, 3) = 0"),
        format!("77  unlink(\"{file}\") = 0"),
        format!("77  rename(\"{file}\", \"{data}\") = 0"),
        format!(
            "78  writev(9<{}>, [{{iov_base=\"{data}\", iov_len=2}}, {{iov_base=\"{data}\", iov_len=2}}], 2) = 4",
            hex("socket:[1]")
        ),
        "78  +++ killed by SIGKILL +++".to_owned(),
    ]);
    let file = "/s/db-wal".to_owned();
    let expected = [
        Call::Write { file: file.clone(), offset: 1024, data: b"ab".to_vec() },
        Call::Truncate { file: file.clone(), length: 3 },
        Call::Removed { file: file.clone() },
        Call::Renamed { from: file, to: "ab".to_owned() },
        Call::Sent { to: "socket:[1]".to_owned(), data: b"abab".to_vec() },
    ];
    assert_eq!(calls, expected);
}

#[test]
fn what_is_synced_lasts_from_the_end_of_the_call_and_what_is_sent_counts_from_its_beginning() {
    let (file, socket, data) = (hex("/s/db"), hex("socket:[1]"), hex("x"));
    let calls = read(&[
        format!("77  fsync(14<{file}> <unfinished ...>"),
        format!("78  sendto(9<{socket}>, \"{data}\", 1, 0, NULL, 0 <unfinished ...>"),
        "77  <... fsync resumed>) = 0".to_owned(),
        "78  <... sendto resumed>) = 1".to_owned(),
    ]);
    let sent = Call::Sent { to: "socket:[1]".to_owned(), data: b"x".to_vec() };
    assert_eq!(calls, [sent, Call::Synced { file: "/s/db".to_owned() }]);
}

#[test]
fn masked_frames_are_read_one_after_the_other() {
    let frame = |text: &str| {
        let mask = [1, 2, 3, 4];
        let length = u8::try_from(text.len()).unwrap();
        let masked = text.bytes().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [0x81, 0x80 | length].into_iter().chain(mask).chain(masked).collect::<Vec<u8>>()
    };
    let data = [frame("{\"envelope_id\":\"a\"}"), frame("{\"envelope_id\":\"b\"}"), frame("no")].concat();
    assert_eq!(acknowledged(&data), ["a", "b"]);
    assert_eq!(acknowledged(b"POST /api/auth.test HTTP/1.1\r\n"), Vec::<String>::new());
}
