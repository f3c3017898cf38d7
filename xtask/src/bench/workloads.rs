//! Real programs from Debian's packages, built without frame pointers, under load: a line each.

/// A program and what it has to do. `{dir}` stands for a directory of its own, `{port}` for a free port, `{cc1}` for the
/// compiler proper, `{source}` for a C file of some length.
pub struct Workload {
    /// For the table.
    pub name: &'static str,
    /// Run by `sh` before, untraced.
    pub prepare: &'static str,
    /// What is traced, as words; its output is thrown away.
    pub command: &'static [&'static str],
    /// Run by `sh` beside it; ends it, too.
    pub load: &'static str,
    /// Whether the cost of a frame is measured with it: it does the same each time, in one process.
    pub measured: bool,
}

const NONE: Workload = Workload { name: "", prepare: "", command: &[], load: "", measured: false };

/// The programs.
pub const WORKLOADS: [Workload; 10] = [
    Workload {
        name: "python3",
        command: &[
            "/usr/bin/python3",
            "-c",
            "import json, re\nfor i in range(1000): json.loads(json.dumps([{str(k): [k] * 5} for k in range(300)]))",
        ],
        measured: true,
        ..NONE
    },
    Workload {
        name: "perl",
        command: &[
            "perl",
            "-e",
            "for my $n (1..150) { my %h; $h{$_} = [1..5] for 1..3000; my $s = join q(,), sort keys %h }",
        ],
        measured: true,
        ..NONE
    },
    Workload {
        name: "sqlite3",
        command: &[
            "sqlite3",
            ":memory:",
            "create table t(a, b); insert into t select value, hex(randomblob(50)) from generate_series(1, 100000); create index i on t(b); select count(*), max(b) from t group by a % 100",
        ],
        measured: true,
        ..NONE
    },
    Workload { name: "git", command: &["git", "--no-pager", "log", "--stat", "-n", "300"], measured: true, ..NONE },
    Workload {
        name: "cc1",
        command: &["{cc1}", "-quiet", "-O2", "-imultiarch", "{multiarch}", "{source}", "-o", "/dev/null"],
        measured: true,
        ..NONE
    },
    Workload { name: "clang", command: &["clang", "-O2", "-S", "{source}", "-o", "/dev/null"], ..NONE },
    Workload {
        name: "node",
        command: &[
            "node",
            "-e",
            "const a = []; for (let i = 0; i < 30000; i++) { a[i % 99] = Buffer.alloc(9000 + i % 99); JSON.stringify(a[i % 9].slice(0, 9)) }",
        ],
        ..NONE
    },
    Workload {
        name: "nginx",
        prepare: "printf 'daemon off; master_process off; pid {dir}/pid; error_log stderr; events {}\\nhttp { access_log off; \
                  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; \
                  scgi_temp_path {dir}/e; server { listen 127.0.0.1:{port}; root {dir}; autoindex on; } }' > {dir}/conf",
        command: &["nginx", "-e", "stderr", "-c", "{dir}/conf"],
        load: "until ab -q -n 5000 -c 4 http://127.0.0.1:{port}/; do sleep 0.1; done; kill $(cat {dir}/pid)",
        ..NONE
    },
    Workload {
        name: "redis",
        command: &["redis-server", "--port", "{port}", "--save", "", "--dir", "{dir}", "--pidfile", "{dir}/pid"],
        load: "until redis-cli -p {port} ping; do sleep 0.1; done; redis-benchmark -q -p {port} -n 5000 -t set,lpush,hset,zadd; \
               redis-cli -p {port} shutdown nosave",
        ..NONE
    },
    Workload {
        name: "postgres",
        prepare: "chmod 755 {dir}; mkdir {dir}/data; chown nobody {dir}/data; setpriv --reuid=nobody --clear-groups \
                  $(dirname $(readlink -f $(which postgres)))/initdb -D {dir}/data",
        command: &[
            "setpriv",
            "--reuid=nobody",
            "--clear-groups",
            "postgres",
            "--single",
            "-D",
            "{dir}/data",
            "postgres",
        ],
        load: "",
        ..NONE
    },
];

/// What postgres reads.
pub const SQL: &str = "create table t as select i, md5(i::text) m, array[i, i] a from generate_series(1, 20000) i; \
                       select count(*), string_agg(m, ',' order by m) from t group by i % 50; \
                       with recursive r(n) as (select 1 union all select n + 1 from r where n < 5000) select sum(n) from r;\n";
