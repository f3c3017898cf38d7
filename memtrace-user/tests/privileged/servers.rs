//! Servers under load are attached to, watched and left, again and again: no request fails, nothing is left behind.
//!
//! Ten rounds a server; `MEMTRACE_TEST_ROUNDS=100` makes it more.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};

use crate::{
    binary::{Attached, eventually},
    support::Running,
    traces::{await_removal, bpf_objects_of, breakpoints},
};

/// Attaches to a process, sees it allocate, and ends by Ctrl-C; every fifth time memtrace is killed instead.
fn attach_and_leave(pid: u32, load: &mut Logged) {
    let rounds = std::env::var("MEMTRACE_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let start = Instant::now();
    for round in 0..rounds {
        assert!(load.is_alive(), "{}", load.log());
        let mut memtrace = Attached::to(pid);
        let objects = bpf_objects_of(memtrace.pid());
        memtrace.wait_for_allocations();
        let killed = round % 5 == 4;
        memtrace.signal(if killed { Signal::SIGKILL } else { Signal::SIGINT });
        let ended = memtrace.end();
        assert!(killed || ended.status.success() && ended.allocated_blocks() > 0, "{ended:#?}");
        eventually("no breakpoint", || breakpoints(pid) == 0);
        await_removal(&objects);
    }
    println!("{rounds} rounds in {:?}", start.elapsed());
}

/// A port that nobody listens on. Another may take it before the server does, which then does not start.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A process whose output goes to a file, so that it never waits for a reader.
struct Logged {
    process: Running,
    log: PathBuf,
}

impl Logged {
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = fs::File::create(&log).expect("a log file");
        let errors = file.try_clone().expect("a descriptor");
        let spawned = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        Self { process: Running(spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"))), log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log is readable")
    }

    /// It runs, and runs since it was started.
    fn is_alive(&mut self) -> bool {
        self.process.0.try_wait().expect("it is waited for").is_none()
    }

    /// Ends it in an orderly way, and returns its words.
    fn end(mut self, signal: Signal) -> String {
        assert!(self.is_alive(), "{}", self.log());
        kill(Pid::from_raw(self.process.pid().cast_signed()), signal).expect("it takes signals");
        self.process.0.wait().expect("it is waited for");
        self.log()
    }
}

impl Drop for Logged {
    /// SIGKILL would leave the children of a server.
    fn drop(&mut self) {
        if self.is_alive() {
            let _gone = kill(Pid::from_raw(self.process.pid().cast_signed()), Signal::SIGTERM);
            let _ = self.process.0.wait();
        }
    }
}

/// The output of a command that must succeed.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// nginx's worker under `ab`.
#[test]
fn nginx_serves_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, port) = (directory.path(), free_port());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {};", path.join(name).display())).concat();
    let server = format!("server {{ listen 127.0.0.1:{port}; root {}; }}", path.display());
    let configuration = format!(
        "user root; daemon off; worker_processes 1; pid {}; error_log stderr; events {{}}\n\
         http {{ access_log off; keepalive_requests 1000; {temporary} {server} }}\n",
        path.join("pid").display()
    );
    let file = path.join("nginx.conf");
    fs::write(&file, configuration).expect("written");
    let mut nginx = Command::new("nginx");
    let mut nginx = Logged::start(nginx.arg("-e").arg("stderr").arg("-c").arg(&file), path.join("nginx.log"));
    eventually("nginx listens", || {
        assert!(nginx.is_alive(), "{}", nginx.log());
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    // It listens before it has a worker.
    eventually("nginx has a worker", || !children_of(nginx.process.pid()).is_empty());
    let worker = children_of(nginx.process.pid())[0];
    // Large, so that the requests that ab makes at most last for a hundred rounds.
    fs::write(path.join("page"), vec![b'.'; 1 << 18]).expect("written");
    let url = format!("http://127.0.0.1:{port}/page");
    let mut load = Command::new("ab");
    let load = load.args(["-q", "-k", "-c", "4", "-t", "3600", "-n", "5000000", &url]);
    let mut load = Logged::start(load, path.join("ab.log"));
    attach_and_leave(worker, &mut load);
    let text = load.end(Signal::SIGINT);
    assert!(text.contains("Failed requests:        0\n") && !text.contains("Non-2xx"), "{text}");
    assert_eq!(children_of(nginx.process.pid()), [worker], "the worker was not replaced");
    let text = nginx.end(Signal::SIGTERM);
    assert!(!text.contains("exited on signal"), "{text}");
}

/// A backend of `PostgreSQL` under `pgbench`.
#[test]
fn postgresql_serves_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::start(directory.path());
    said(cluster.client("pgbench").args(["-q", "-i", "-s", "1"]));
    let mut load = cluster.client("pgbench");
    let mut load = Logged::start(load.args(["-n", "-c", "4", "-T", "3600"]), directory.path().join("pgbench.log"));
    // Before its clients, pgbench connects once to look at the tables.
    eventually("pgbench's clients are connected", || {
        assert!(load.is_alive(), "{}", load.log());
        cluster.query("select count(*) from pg_stat_activity where application_name = 'pgbench'") == "4"
    });
    let backend = cluster.query("select min(pid) from pg_stat_activity where application_name = 'pgbench'");
    attach_and_leave(backend.parse().expect("a process id"), &mut load);
    let found = cluster.query("select min(pid) from pg_stat_activity where application_name = 'pgbench'");
    assert_eq!(found, backend, "the connection is the same");
    assert_eq!(cluster.query("select count(*) from pg_stat_activity where application_name = 'pgbench'"), "4");
    assert_eq!(cluster.query("select xact_rollback from pg_stat_database where datname = 'postgres'"), "0");
    let text = load.end(Signal::SIGINT);
    assert!(!text.contains("aborted") && !text.contains("ERROR"), "{text}");
    assert!(cluster.server.is_alive());
    // A backend that dies makes the server end all others, and say so.
    let log = cluster.server.log();
    assert!(!log.contains("terminated by signal") && !log.contains("PANIC"), "{log}");
}

/// A `PostgreSQL` server of its own, reached through a socket in its directory. Ended at the end of the test.
pub struct Cluster {
    directory: PathBuf,
    user: User,
    server: Logged,
}

impl Cluster {
    pub fn start(directory: &Path) -> Self {
        // The server refuses to run as root; its package brings a user.
        let user = User::from_name("postgres").expect("the user database").expect("the package's user");
        chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("root may");
        let data = directory.join("data");
        let as_user = |program: &str| {
            let mut command = Command::new(server_program(program));
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir(directory).arg("-D").arg(&data);
            command
        };
        said(as_user("initdb").args(["--auth=trust", "--username=postgres", "--no-sync", "--locale=C"]));
        let mut server = as_user("postgres");
        server.args(["-F", "-c", "listen_addresses=", "-c", "autovacuum=off", "-k"]).arg(directory);
        let server = Logged::start(&mut server, directory.join("server.log"));
        let mut cluster = Self { directory: directory.to_owned(), user, server };
        eventually("PostgreSQL listens", || {
            assert!(cluster.server.is_alive(), "{}", cluster.server.log());
            cluster.client("pg_isready").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        });
        cluster
    }

    /// A command that reaches it.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("PGHOST", &self.directory).env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        command.uid(self.user.uid.as_raw()).gid(self.user.gid.as_raw()).current_dir(&self.directory);
        command
    }

    fn query(&self, query: &str) -> String {
        said(self.client("psql").args(["-AtXc", query]))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its processes end with it; SIGKILL would leave them, and its shared memory.
        let _gone = kill(Pid::from_raw(self.server.process.pid().cast_signed()), Signal::SIGQUIT);
        let _ = self.server.process.0.wait();
    }
}

/// Debian keeps the programs of each version in a directory of their own.
fn server_program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let found = versions.map(|version| version.path().join("bin").join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| name.into())
}

fn children_of(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("the process lives");
    text.split_whitespace().map(|word| word.parse().expect("a process id")).collect()
}
