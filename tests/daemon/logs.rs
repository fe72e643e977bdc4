//! What machines read of the log.

use std::collections::BTreeSet;
use std::fmt;

use rustix::process::Signal;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::harness::Daemon;

/// The keys of an object as they are written, each as often as it stands there.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}

#[test]
fn a_json_line_has_each_key_once_and_names_the_signal() {
    let daemon = Daemon::start(&[("HITCHLINE__LOG__FORMAT", "json"), ("HITCHLINE__LOG__LEVEL", "trace")]);
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline hi");
    daemon.wait_for_answer("C0GENERAL", &ts, "hi");
    daemon.wait_for_log("A turn ended");
    daemon.signal(Signal::TERM);
    let (code, log) = daemon.ended();
    assert_eq!(code, 0);
    for line in log.lines() {
        let Keys(keys) = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let distinct: BTreeSet<&String> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "{line}");
    }
    assert!(log.contains(r#""message":"Stopping","why":"SIGTERM""#), "{log}");
}
