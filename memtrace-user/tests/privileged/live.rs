//! The live table on a real terminal: tmux has the terminal, and shows what is on it.

use std::process::Command;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{binary::eventually, errors::without_libc, support::program, target::Target};

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
    screen.wait_for("97.7K   +97.7K    1,000");
    screen.wait_for("▼Live");
    screen.press(&[">"]);
    screen.wait_for("▼ΔMark");
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
    screen.press(&["Space"]);
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

/// A leak is found as a user would: sort, filter, look at the callers, the sizes and the source, mark generations, see what
/// grows; what is shown can be written to files. Afterwards the terminal is as it was.
#[test]
fn a_leak_is_found_in_the_live_view() {
    let mut target = Target::start(program("leaking"));
    let pid = target.pid().to_string();
    let screen = Screen::start();
    let directory = tempfile::tempdir().expect("a directory");
    let command = format!("'{}' attach --interval 200ms --pid {pid}", env!("CARGO_BIN_EXE_memtrace"));
    screen.press(&[&format!("cd '{}'; {command}; echo status $?", directory.path().display()), "Enter"]);
    screen.wait_for("Losses none");
    assert_eq!(target.ask("s"), "done");
    assert_eq!(target.ask("r"), "done");
    let top_row =
        |text: &str, function: &str| text.lines().any(|line| line.starts_with('>') && line.contains(function));
    screen.wait_until("settings at the top", |text| top_row(text, "settings_load") && text.contains("scratch"));
    // Sorted by short-lived blocks: all of the scratch blocks were.
    screen.press(&["6"]);
    screen.wait_until("scratch at the top", |text| top_row(text, "scratch (leaking.c:"));
    screen.press(&["/", "cache"]);
    screen.wait_until("one row", |text| top_row(text, "cache_put") && !text.contains("settings_load"));
    screen.wait_for("/cache");
    screen.press(&["Enter", "Enter"]);
    screen.wait_for("[Callers]");
    screen.wait_until("the callers", |text| {
        let names = ["- cache_put (leaking.c:", "- handle_request (leaking.c:", "main (leaking.c:"];
        names.iter().all(|name| text.contains(name))
    });
    screen.wait_for("Oldest live block");
    screen.press(&["Tab"]);
    screen.wait_for("[Stack]");
    screen.press(&["Tab"]);
    screen.wait_until("20 blocks of 512 bytes", |text| {
        text.lines().any(|line| line.split_whitespace().take(4).eq(["512B", "–", "1023B", "20"]))
    });
    screen.press(&["Tab"]);
    screen.wait_for("if (!malloc(512)) _exit(1);");
    // One by one: what follows Escape at once belongs to one key.
    screen.press(&["BSpace"]);
    screen.wait_for("/cache (1 of 3)");
    screen.press(&["BSpace"]);
    screen.wait_until("no filter", |text| !text.contains("/cache"));
    screen.press(&["Home", "1"]);
    screen.wait_until("all rows", |text| top_row(text, "settings_load") && text.contains("cache_put"));
    for mark in 1..=2 {
        screen.press(&["m"]);
        screen.wait_for(&format!("mark {mark}: "));
        assert_eq!(target.ask("r"), "done");
        screen.wait_for(&format!("Blocks {}", 520 + 20 * mark));
    }
    screen.press(&["G", "["]);
    screen.wait_until("the leak is growing", |text| {
        let words = ["+20.0", "KiB", "+40", "40", "30.0", "KiB", "▲", "growing", "cache_put"];
        text.lines().any(|line| line.trim_start_matches('>').split_whitespace().take(9).eq(words))
    });
    screen.press(&["f"]);
    screen.wait_until("the picture of all stacks", |text| {
        text.contains("▏handle_request") && text.contains("▏cache_put")
    });
    screen.press(&["f", "e"]);
    screen.wait_for(&format!("written: memtrace-{pid}-view-1.txt and .csv"));
    let csv = std::fs::read_to_string(directory.path().join(format!("memtrace-{pid}-view-1.csv"))).expect("the file");
    let leak = csv.lines().find(|line| line.contains("cache_put")).expect("a row of the leak");
    assert!(leak.starts_with("30720,60,10240,20,"), "{csv}");
    assert_eq!(target.ask("q"), "");
    screen.wait_for("PROCESS HAS ENDED");
    screen.press(&["Enter"]);
    screen.wait_for("[Source]");
    screen.press(&["q"]);
    screen.wait_for("status 0");
    screen.press(&["clear; stty -a", "Enter"]);
    screen.wait_until("a sane terminal", |text| text.contains(" icanon") && text.contains(" echo "));
    let state = screen.tmux(&["display-message", "-p", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}"]);
    assert_eq!(state.trim(), "0 0 1");
}

/// With `NO_COLOR` the screen has no colour, and what is selected stands out all the same.
#[test]
fn no_color_leaves_the_selection_visible() {
    let mut target = Target::start(program("leaking"));
    let screen = Screen::start();
    let command = format!("NO_COLOR=1 '{}' attach --pid {}", env!("CARGO_BIN_EXE_memtrace"), target.pid());
    screen.press(&[&command, "Enter"]);
    screen.wait_for("Losses none");
    assert_eq!(target.ask("s"), "done");
    screen.wait_for("settings_load");
    let styled = screen.tmux(&["capture-pane", "-p", "-e"]);
    let row = styled.lines().find(|line| line.contains("settings_load")).expect("the row");
    assert!(row.starts_with("\u{1b}[0;7m") || row.contains("\u{1b}[7m"), "{row:?}");
    let is_colour =
        |code: &str| code.parse().is_ok_and(|code: u32| (30..=37).contains(&code) || (40..=47).contains(&code));
    let codes = styled.split("\u{1b}[").filter_map(|part| part.split_once('m')).flat_map(|(codes, _)| codes.split(';'));
    assert_eq!(codes.filter(|code| is_colour(code)).count(), 0, "{styled:?}");
    screen.press(&["q"]);
    screen.wait_until("the shell", |text| text.trim_end().ends_with("prompt>"));
}

/// The screen can be left before tracing has begun, and what cannot be traced is said on a terminal given back: nothing is
/// left behind but the shell's own mode.
#[test]
fn the_start_can_be_left_and_fail() {
    let mut target = Target::start(program("on_request"));
    let screen = Screen::start();
    let attach = |pid: u32| format!("'{}' attach --pid {pid}; echo status $?", env!("CARGO_BIN_EXE_memtrace"));
    // The key is there before the screen is.
    screen.press(&[&attach(target.pid()), "Enter", "q"]);
    screen.wait_for("status 0");
    assert_eq!(target.ask("a"), "done");
    screen.press(&["clear", "Enter"]);
    let idle = Target::start(without_libc("no_libc", &[]));
    screen.press(&[&attach(idle.pid()), "Enter"]);
    screen.wait_for("error: no known allocator");
    screen.wait_for("status 1");
    screen.press(&["clear; stty -a", "Enter"]);
    screen.wait_until("a sane terminal", |text| text.contains(" icanon") && text.contains(" echo "));
}
