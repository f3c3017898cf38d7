//! What servers lose under load: requests a second without a tracer and under each, in turn.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use super::contenders::{BY_TABLES, CONTENDERS, Contender, ENTRIES, FLOOR, MEMLEAK, SAMPLED, UNTRACED};
use super::running::{Running, until};
use super::stats::Summary;
use super::table::Table;
use crate::{process, workspace};

/// Requests of a measurement of redis, and of its warm-up.
const REQUESTS: (u32, u32) = (100_000, 10_000);
/// Seconds for which transactions are counted.
const SECONDS: usize = 4;
/// A column of the table: a server, and what it is asked for.
const COLUMNS: [&str; 5] =
    ["redis SET/s", "redis GET/s", "redis SET/s, local socket", "redis GET/s, local socket", "pgbench tps"];

/// Tracers that are compared. memleak finds no allocator in Debian's redis.
const TRACERS: [(&str, bool); 6] =
    [(UNTRACED, true), (ENTRIES, true), (SAMPLED, true), (FLOOR, true), (BY_TABLES, true), (MEMLEAK, false)];

/// Numbers of one round, by column.
type Round = [Option<f64>; COLUMNS.len()];

/// Measures and prints.
///
/// # Errors
/// When a server or its load cannot be run.
pub fn run(bench: &Bench) -> Result<()> {
    let directory = workspace::target_dir().join("bench-servers");
    let _left_over = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    // The database's own user goes through it.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    let (redis, postgres) = (Redis::start(bench, &directory)?, Postgres::start(bench, &directory)?);
    let mut rows = Vec::new();
    for (name, with_redis) in TRACERS {
        let contender = CONTENDERS.iter().find(|contender| contender.name == name).context("an unknown tracer")?;
        if contender.is_present(bench) {
            rows.push((contender, with_redis, Vec::new()));
        }
    }
    for round in 1..=bench.arguments.rounds {
        process::say(&format!("servers: round {round} of {}", bench.arguments.rounds));
        for (contender, with_redis, rounds) in &mut rows {
            let [set, get, local_set, local_get] =
                if *with_redis { redis.measure(bench, contender)?.map(Some) } else { [None; 4] };
            rounds.push([set, get, local_set, local_get, Some(postgres.measure(bench, contender)?)]);
        }
    }
    print(bench, &rows);
    drop((redis, postgres));
    fs::remove_dir_all(&directory).context("cannot clean up")
}

fn print(bench: &Bench, rows: &[(&Contender, bool, Vec<Round>)]) {
    println!(
        "Requests a second of servers on one CPU (redis: 50 connections, postgres: one), and how many of those untraced; median of {} interleaved rounds (lowest–highest)\n",
        bench.arguments.rounds
    );
    let mut table = Table::new(std::iter::once("").chain(COLUMNS));
    let cells = |decimals: usize, value: &dyn Fn(usize, usize) -> Option<f64>| -> Vec<String> {
        let rounds = 0..bench.arguments.rounds as usize;
        let summary = |column| Summary::of(rounds.clone().filter_map(|round| value(round, column)));
        (0..COLUMNS.len()).map(|column| summary(column).map_or_else(String::new, |all| all.show(decimals))).collect()
    };
    for (contender, _, rounds) in rows {
        let name = contender.name.to_owned();
        table.row(std::iter::once(name).chain(cells(0, &|round, column| rounds[round][column])));
    }
    let Some(((_, _, untraced), traced)) = rows.split_first() else { return };
    for (contender, _, rounds) in traced {
        let ratio = |round: usize, column: usize| Some(rounds[round][column]? / untraced[round][column]?);
        table.row(std::iter::once(format!("{} / untraced", contender.name)).chain(cells(2, &ratio)));
    }
    print!("{}", table.text());
}

struct Redis {
    server: Running,
    /// redis-benchmark as it comes, but for the port: 50 connections by TCP, one key.
    by_network: Vec<String>,
    /// A socket in the file system, on which a request takes the server less time, and many keys.
    locally: Vec<String>,
}

impl Redis {
    fn start(bench: &Bench, directory: &Path) -> Result<Self> {
        let socket = directory.join("redis.sock");
        // Free at this moment.
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = port.context("there is no free port")?.port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--save", "", "--unixsocket"]).arg(&socket).arg("--dir").arg(directory);
        let server = Running(bench.cpus.spawn_target(command.stdout(Stdio::null()))?);
        until("redis is up", || Ok(socket.exists()))?;
        let by_network = vec!["-p".to_owned(), port];
        let words = ["-s", &socket.to_string_lossy(), "-d", "100", "-r", "100000"];
        Ok(Self { server, by_network, locally: words.map(str::to_owned).to_vec() })
    }

    /// SET and GET a second, by TCP and locally.
    fn measure(&self, bench: &Bench, contender: &Contender) -> Result<[f64; 4]> {
        let mut tracer = contender.attach(bench, self.server.0.id())?;
        load(&self.by_network, REQUESTS.1)?;
        tracer.settle()?;
        let [set, get] = load(&self.by_network, REQUESTS.0)?;
        let [local_set, local_get] = load(&self.locally, REQUESTS.0)?;
        Ok([set, get, local_set, local_get])
    }
}

/// redis-benchmark's SET and GET a second.
fn load(options: &[String], requests: u32) -> Result<[f64; 2]> {
    let mut command = Command::new("redis-benchmark");
    command.args(options).args(["-t", "set,get", "--csv", "-n"]);
    let text = process::read(command.arg(requests.to_string()))?;
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("\"{name}\"")))?;
        line.split('"').nth(3)?.parse().ok()
    };
    of("SET").zip(of("GET")).map(|(set, get)| [set, get]).with_context(|| format!("redis-benchmark says {text}"))
}

struct Postgres {
    server: Running,
    directory: PathBuf,
}

/// Whom postgres runs as: it refuses to be root.
const AS_NOBODY: [&str; 3] = ["setpriv", "--reuid=nobody", "--clear-groups"];

impl Postgres {
    fn start(bench: &Bench, directory: &Path) -> Result<Self> {
        let programs = process::read(Command::new("sh").args(["-c", "dirname $(readlink -f $(command -v postgres))"]))?;
        let programs = PathBuf::from(programs.trim());
        let directory = directory.join("postgres");
        fs::create_dir(&directory)?;
        process::read(Command::new("chown").arg("nobody").arg(&directory))?;
        let data = directory.join("data");
        process::read(as_nobody(&programs.join("initdb")).args(["-A", "trust", "-D"]).arg(&data))?;
        let mut command = as_nobody(&programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(&directory);
        command.args(["-c", "fsync=off", "-c", "listen_addresses="]).stderr(Stdio::null()).stdout(Stdio::null());
        let server = Running(bench.cpus.spawn_target(&mut command)?);
        let postgres = Self { server, directory };
        until("PostgreSQL is up", || Ok(process::read(postgres.client("psql").args(["-c", "select 1"])).is_ok()))?;
        process::read(postgres.client("pgbench").args(["-i", "-q"]))?;
        Ok(postgres)
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("PGHOST", &self.directory).env("PGUSER", "nobody").env("PGDATABASE", "postgres");
        command
    }

    /// Transactions a second of one connection, whose process is traced.
    fn measure(&self, bench: &Bench, contender: &Contender) -> Result<f64> {
        let mut command = self.client("pgbench");
        command.args(["-n", "-c", "1", "-T", "600", "-P", "1"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut load = Running(command.spawn().context("cannot run pgbench")?);
        let said = load.0.stderr.take().context("its progress is not read")?;
        let lines = BufReader::new(said).lines().map_while(Result::ok);
        let mut told = lines.filter_map(|line| line.split(", ").nth(1)?.strip_suffix(" tps")?.parse::<f64>().ok());
        // A first connection looks at the tables, and is gone when there are numbers.
        told.next().context("pgbench has ended")?;
        let mut tracer = contender.attach(bench, self.backend().context("no process of the connection")?)?;
        tracer.settle()?;
        // Those before came while the tracer was being attached; they are in the pipe already.
        let start = Instant::now();
        let told = told.skip_while(|_| start.elapsed() < Duration::from_millis(300)).skip(1);
        let sum: f64 = told.take(SECONDS).sum();
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let seconds = SECONDS as f64;
        drop(load);
        // The next connection is another process.
        until("the connection's process is gone", || Ok(self.backend().is_none()))?;
        Ok(sum / seconds)
    }

    /// The process of a connection, if there is one.
    fn backend(&self) -> Option<u32> {
        let server = self.server.0.id();
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).ok()?;
        let is_backend = |pid: &u32| {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.contains(" [local] ")
        };
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is_backend)
    }
}

fn as_nobody(program: &Path) -> Command {
    let [program_of, words @ ..] = AS_NOBODY;
    let mut command = Command::new(program_of);
    command.args(words).arg(program);
    command
}
