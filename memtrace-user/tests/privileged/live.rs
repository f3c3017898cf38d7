//! The live table on a real terminal: tmux has the terminal, and shows what is on it.

use std::process::Command;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{binary::eventually, support::program, target::Target};

/// A tmux server of its own with a shell in it, ended with the test.
struct Screen(String);

impl Screen {
    fn start() -> Self {
        let screen = Self(format!("memtrace-test-{}", std::process::id()));
        // A prompt that nothing else on the screen looks like.
        screen.tmux(&["new-session", "-d", "-x", "100", "-y", "30", "env PS1='prompt> ' bash --norc --noprofile"]);
        screen.wait_for("prompt>");
        screen
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux").args(["-u", "-f", "/dev/null", "-L", &self.0]).args(words).output();
        let output = output.expect("tmux runs");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn wait_for(&self, text: &str) {
        self.wait_until(&format!("`{text}` on the screen"), |screen| screen.contains(text));
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let mut last = String::new();
        eventually(what, || {
            let text = self.text();
            if text != last {
                println!("{text}");
                last = text;
            }
            is_so(&last)
        });
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.0, "kill-server"]).output();
    }
}

/// Keys, a change of size, Ctrl-Z and `fg` do what they say, also while the numbers are held; the shell gets its terminal
/// back when memtrace is left by a key and when a signal ends it.
#[test]
fn live_table_on_a_terminal() {
    let mut target = Target::start(program("on_request"));
    let pid = target.pid().to_string();
    let screen = Screen::start();
    let directory = tempfile::tempdir().expect("a directory");
    screen.press(&[&format!("cd '{}'", directory.path().display()), "Enter"]);
    let command = format!("'{}' attach --pid {pid}", env!("CARGO_BIN_EXE_memtrace"));
    screen.press(&[&command, "Enter"]);
    screen.wait_for("Losses none");
    assert_eq!(target.ask("a"), "done");
    screen.wait_for("keep (on_request.c:");
    screen.wait_for("97.7 KiB      1,000     100 B");
    screen.wait_for("▼Live");
    screen.press(&[">"]);
    screen.wait_for("▼Blocks");
    screen.press(&["s"]);
    screen.wait_for(&format!("snapshot in memtrace-{pid}-"));
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);
    screen.press(&["p"]);
    screen.wait_for("the peak is that of what is live");
    screen.press(&["c"]);
    screen.wait_for("c again forgets");
    screen.press(&["c"]);
    screen.wait_for("cleared: only what is allocated from here on counts");
    screen.wait_for("Live 0 B");
    screen.press(&["Space"]);
    screen.wait_for("PAUSED");
    screen.press(&["?"]);
    screen.wait_for("detach and quit");
    screen.press(&["?"]);
    screen.wait_until("no help", |text| !text.contains("detach and quit"));
    screen.press(&["C-z"]);
    screen.wait_for("Stopped");
    screen.press(&["fg", "Enter"]);
    screen.wait_until("the table again", |text| text.contains("PAUSED") && !text.contains("Stopped"));
    screen.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    screen.wait_until("the footer in the last line", |text| {
        text.lines().nth(11).is_some_and(|line| line.starts_with("q quit"))
    });
    screen.press(&["q"]);
    screen.wait_until("the shell", |text| text.trim_end().ends_with("prompt>"));
    screen.tmux(&["resize-window", "-x", "100", "-y", "30"]);
    screen.press(&[&format!("clear; {command}; echo status $?"), "Enter"]);
    screen.wait_for("Losses none");
    let shell: u32 = screen.tmux(&["list-panes", "-F", "#{pane_pid}"]).trim().parse().expect("a process id");
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("it lives");
    let memtrace = children.trim().parse().expect("one child");
    kill(Pid::from_raw(memtrace), Signal::SIGTERM).expect("memtrace takes signals");
    screen.wait_for("status 0");
    assert_eq!(target.ask("b"), "done");
}
