//! Tests of prepared children, with real commands.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn shell(script: &str) -> CommandSpec {
    CommandSpec {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        run_as: None,
        signals: SignalState::default(),
    }
}

/// The process is there before its exec, runs only when released, and keeps its id.
#[test]
fn child_waits_until_it_is_released() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("pid");
    let prepared = PreparedChild::start(&shell(&format!("echo $$ > {}; exit 7", output.display()))).unwrap();
    let pid = prepared.pid();
    let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!(executable, std::env::current_exe().unwrap());
    assert!(!output.exists());
    let status = prepared.release().unwrap().wait().unwrap();
    assert_eq!(exit_code(status), 7);
    assert_eq!(fs::read_to_string(output).unwrap().trim(), pid.to_string());
}

/// A child that is given up is ended and reaped, and its program never runs.
#[test]
fn dropped_child_is_ended_and_reaped() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("ran");
    let prepared = PreparedChild::start(&shell(&format!("touch {}", output.display()))).unwrap();
    let pid = prepared.pid();
    drop(prepared);
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
    assert!(!output.exists());
}

/// A child that someone else kills while it waits is reaped too, and its release reports its death.
#[test]
fn child_killed_while_it_waits_is_reaped() {
    for release in [false, true] {
        let prepared = PreparedChild::start(&shell("exit 0")).unwrap();
        let pid = prepared.pid();
        // SAFETY: the child is ours and has not been reaped, so the id is its own.
        unsafe { libc::kill(pid.cast_signed(), libc::SIGINT) };
        if release {
            let status = prepared.release().unwrap().wait().unwrap();
            assert_eq!(exit_code(status), 128 + 2);
        } else {
            drop(prepared);
        }
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
    }
}

/// Exit statuses are those of a shell: the program's, or 128 and the signal's number.
#[test]
fn exit_codes_are_those_of_a_shell() {
    for (script, expected) in [("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        let status = PreparedChild::start(&shell(script)).unwrap().release().unwrap().wait().unwrap();
        assert_eq!(exit_code(status), expected, "{script}");
    }
}

/// A program whose interpreter is missing fails at the exec with the status of a shell and a remedy.
#[test]
fn missing_interpreter_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let spec = CommandSpec { program: script.into(), ..shell("") };
    let error = PreparedChild::start(&spec).unwrap().release().unwrap_err();
    assert_eq!(error.exit_code(), 127);
    assert!(error.hint().contains("interpreter"), "{error}");
}

/// The command's signals are as memtrace's parent had set them up: defaults, but for what it was told to ignore.
#[test]
fn signals_are_restored() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("signals");
    let print = format!("grep -E 'Sig(Ign|Blk)' /proc/self/status > {}", output.display());
    let signals = SignalState { ignored: SignalState::bit(libc::SIGHUP), blocked: 0 };
    let spec = CommandSpec { signals, ..shell(&print) };
    assert!(PreparedChild::start(&spec).unwrap().release().unwrap().wait().unwrap().success());
    let text = fs::read_to_string(output).unwrap();
    // Signals 32 and 33 belong to the C library, which lets nobody change them.
    let reserved = SignalState::bit(32) | SignalState::bit(33);
    let masks: Vec<u64> = text
        .lines()
        .map(|line| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap() & !reserved)
        .collect();
    assert_eq!(masks, [0, SignalState::bit(libc::SIGHUP)], "{text}");
}

/// Under sudo the command gets the invoking user's ids, groups and home, and no trace of sudo.
#[test]
fn command_runs_as_the_invoking_user() {
    // Debian's `games` user exists nearly everywhere and owns nothing.
    let Ok(Some(user)) = nix::unistd::User::from_name("games") else { return eprintln!("skipped: no user to run as") };
    if !nix::unistd::getuid().is_root() {
        return eprintln!("skipped: only root can run a command as another user");
    }
    let run_as = RunAs::of_uid(user.uid.as_raw()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = directory.path().join("who");
    let script =
        format!("(id -u; id -g; id -G; echo $USER $HOME; grep -E ^Cap /proc/self/status) > {}", output.display());
    let spec = CommandSpec { run_as: Some(run_as), ..shell(&script) };
    let child = PreparedChild::start(&spec).unwrap().release().unwrap();
    assert!({ child }.wait().unwrap().success());
    let text = fs::read_to_string(output).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(user.uid.to_string().as_str()));
    assert_eq!(lines.next(), Some(user.gid.to_string().as_str()));
    assert!(!lines.next().unwrap().split(' ').any(|group| group == "0"));
    assert_eq!(lines.next(), Some(format!("games {}", user.dir.display()).as_str()));
    assert!(text.contains("CapEff:\t0000000000000000"), "{text}");
}
