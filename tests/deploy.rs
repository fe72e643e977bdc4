//! What is shipped beside the binary: the systemd unit, the image and the compose file, checked by the tools of their
//! trade and held against what the daemon needs from them.

#[path = "tools/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use program::program;
use serde_json::Value;

/// What must be left between the longest stop and the moment when the service manager kills.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(5);

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
}

/// The values of a directive, in the order of the unit.
fn directives<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// `20s`, as both systemd and compose write it.
fn seconds(text: &str) -> Duration {
    let number = text.trim().strip_suffix('s').and_then(|number| number.parse().ok());
    Duration::from_secs(number.unwrap_or_else(|| panic!("not a number of seconds: {text}")))
}

/// A folder with the unit as systemd can judge it here, where the program is not installed.
fn unit_to_judge(additions: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a temporary folder: {error}"));
    let file = folder.path().join("hitchline.service");
    let unit = read("deploy/hitchline.service").replace("/usr/local/bin/hitchline", env!("CARGO_BIN_EXE_hitchline"));
    fs::write(&file, unit + additions).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    (folder, file)
}

#[test]
fn systemd_accepts_the_unit() {
    let Some(systemd_analyze) = program("systemd-analyze") else { return };
    let drop_in = read("deploy/hitchline-sandbox-proc.conf");
    for additions in ["", &drop_in] {
        let (_folder, unit) = unit_to_judge(additions);
        let output = run(Command::new(&systemd_analyze).args(["verify", "--man=no"]).arg(unit));
        assert_success(&output);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn the_unit_exposes_little() {
    let Some(systemd_analyze) = program("systemd-analyze") else { return };
    let (_folder, unit) = unit_to_judge("");
    // The threshold is in tenths: 2.0.
    let output = run(Command::new(systemd_analyze).args(["security", "--offline=true", "--threshold=20"]).arg(unit));
    assert_success(&output);
}

#[test]
fn systemd_accepts_the_user() {
    let Some(systemd_sysusers) = program("systemd-sysusers") else { return };
    assert_success(&run(Command::new(systemd_sysusers)
        .arg("--dry-run")
        .arg(repository().join("deploy/hitchline.sysusers.conf"))));
}

#[test]
fn the_unit_fits_the_daemon() {
    let unit = read("deploy/hitchline.service");
    let expected = [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        // READY comes with the first hello, and Slack may be away for days.
        ("TimeoutStartSec", "infinity"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "64 78"),
        ("KillMode", "mixed"),
        ("StateDirectory", "hitchline"),
        ("StateDirectoryMode", "0700"),
        // Just-in-time compilers.
        ("MemoryDenyWriteExecute", "no"),
    ];
    for (key, value) in expected {
        assert_eq!(directives(&unit, key), [value], "{key}");
    }
    for limit in ["MemoryMax", "MemoryHigh"] {
        assert_eq!(directives(&unit, limit), [""; 0], "agents need 4 GB and more");
    }
    // systemd does not ask RestartPreventExitStatus about these: a wrong configuration would be tried for ever.
    assert_eq!(directives(&unit, "ExecStartPre"), [""; 0]);
}

#[test]
fn every_credential_is_loaded_and_used() {
    let unit = read("deploy/hitchline.service");
    let environment = directives(&unit, "Environment");
    for name in ["bot_token", "app_token"] {
        let loaded = format!("{name}:/etc/hitchline/credentials/{name}");
        let used = format!("HITCHLINE__SLACK__{}_FILE=%d/{name}", name.to_uppercase());
        assert!(directives(&unit, "LoadCredential").contains(&loaded.as_str()), "{loaded}");
        assert!(environment.contains(&used.as_str()), "{used}");
    }
}

#[test]
fn agents_have_a_home_that_they_can_write() {
    let unit = read("deploy/hitchline.service");
    let users = read("deploy/hitchline.sysusers.conf");
    let user = users.lines().find(|line| line.starts_with("u ")).expect("a line that makes the user");
    let name = user.split_whitespace().nth(1).expect("its name");
    let home = user.split_whitespace().find(|word| word.starts_with('/')).expect("its home");
    assert_eq!(directives(&unit, "User"), [name]);
    assert_eq!(directives(&unit, "ReadWritePaths"), [home]);
    let made: Vec<String> = read("deploy/hitchline.tmpfiles.conf")
        .lines()
        .filter(|line| line.starts_with("d "))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(made, [format!("d {home} 0750 {name} {name} -")]);
}

#[test]
fn every_relaxed_directive_says_why() {
    let unit = read("deploy/hitchline.service");
    let relaxed = [
        "ReadWritePaths",
        "ProcSubset",
        "RestrictNamespaces",
        "MemoryDenyWriteExecute",
        "RestrictAddressFamilies",
        "IPAddressDeny",
        "SystemCallFilter=@mount",
    ];
    let lines: Vec<&str> = unit.lines().collect();
    for directive in relaxed {
        let at = lines.iter().position(|line| line.starts_with(directive)).expect(directive);
        assert!(lines[at - 1].starts_with("# "), "no reason above {directive}");
    }
}

#[test]
fn whoever_stops_the_daemon_waits_long_enough() {
    let unit = read("deploy/hitchline.service");
    let compose = read("deploy/compose.yml");
    let compose_grace = compose.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period:"));
    let waits = [
        ("TimeoutStopSec", seconds(directives(&unit, "TimeoutStopSec")[0])),
        ("stop_grace_period", seconds(compose_grace.expect("a stop_grace_period"))),
    ];
    let total = hitchline::settings::shutdown::Config::default().total;
    for (name, wait) in waits {
        assert!(total + SHUTDOWN_RESERVE <= wait, "{name} is {wait:?}");
    }
}

/// The instructions of the Dockerfile's last stage, continued lines joined.
fn last_stage() -> Vec<String> {
    let dockerfile = read("Dockerfile").replace("\\\n", " ");
    let lines = dockerfile.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut stage = Vec::new();
    for line in lines {
        if line.starts_with("FROM ") {
            stage.clear();
        }
        stage.push(line.to_owned());
    }
    stage
}

#[test]
fn the_dockerfile_has_no_lint() {
    let Some(hadolint) = program("hadolint") else { return };
    assert_success(&run(Command::new(hadolint).arg(repository().join("Dockerfile"))));
}

#[test]
fn the_last_stage_needs_no_network() {
    let stage = last_stage();
    assert!(stage.iter().any(|line| line.starts_with("ENTRYPOINT [")), "{stage:#?}");
    assert!(!stage.iter().any(|line| line.starts_with("RUN ")), "image-test.sh could not build it: {stage:#?}");
}

#[test]
fn the_image_runs_the_binary_as_nobody_special() {
    let Some(_buildah) = program("buildah") else { return };
    let binary = env!("CARGO_BIN_EXE_hitchline");
    let output = run(Command::new(repository().join("deploy/image-test.sh")).arg(binary));
    assert_success(&output);
    let text = String::from_utf8(output.stdout).expect("text");
    let (seen, image) = text.split_once("image:\n").expect("the image's description");
    let outside = run(Command::new(binary).arg("--version"));
    let version = String::from_utf8_lossy(&outside.stdout).trim_end().to_owned();
    assert_eq!(seen, format!("uid: 65532\nversion: {version}\nhealthy: 0\nstopped: 0\nhealthy after the stop: 1\n"));

    let image: Value = serde_json::from_str(image).expect("JSON");
    let config = &image["Docker"]["config"];
    let program = "/usr/local/bin/hitchline";
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!([program]));
    assert_eq!(config["Cmd"], serde_json::json!(["run"]));
    // `CMD`, not `CMD-SHELL`: there is no shell to rely on.
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD", program, "healthcheck"]));
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert_eq!(config["Volumes"], serde_json::json!({ "/var/lib/hitchline": {} }));
    let environment = config["Env"].as_array().expect("an environment");
    assert!(environment.contains(&Value::from("HITCHLINE__STORE__DIR=/var/lib/hitchline")), "{environment:?}");
}

#[test]
fn the_compose_file_gives_away_nothing() {
    let compose = read("deploy/compose.yml");
    let has = |line: &str| compose.lines().any(|candidate| candidate.trim().trim_start_matches("- ") == line);
    for line in [
        "init: true",
        "read_only: true",
        "cap_drop: [ALL]",
        "security_opt: [\"no-new-privileges:true\"]",
        "tmpfs: [\"/tmp\"]",
        "state:/var/lib/hitchline",
        "./workspace:/workspace",
    ] {
        assert!(has(line), "compose.yml lacks `{line}`");
    }
    for name in ["bot_token", "app_token"] {
        let variable = format!("HITCHLINE__SLACK__{}_FILE: /run/secrets/{name}", name.to_uppercase());
        assert!(has(&variable), "compose.yml lacks `{variable}`");
        assert!(has(&format!("file: ./secrets/{name}")), "compose.yml does not say where {name} comes from");
    }
    for word in ["privileged: true", "network_mode", "docker.sock", "cap_add"] {
        assert!(!compose.contains(word), "compose.yml has `{word}`");
    }
}
