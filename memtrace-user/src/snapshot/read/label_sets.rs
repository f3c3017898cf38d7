//! From labels to the process, thread, domain and stack end of a sample.

use std::{collections::HashMap, sync::Arc};

use super::tables::Tables;
use crate::{
    profile::{Domain, ProcessIndex, ProcessInfo, StackEnd, ThreadIndex, TracedProcess, TracedThread},
    snapshot::{SnapshotProblem, labels, proto::Label, time},
};

/// What a combination of labels says.
#[derive(Debug, Clone, Copy)]
pub struct LabelSet {
    /// Whose the sample is.
    pub process: ProcessIndex,
    /// The thread, if told.
    pub thread: Option<ThreadIndex>,
    /// Layer of memory.
    pub domain: Domain,
    /// Whether the stack is whole.
    pub end: StackEnd,
}

/// What tells a process from others in a file: its id, when it was started, its name.
type ProcessKey = (u32, Option<i64>, Arc<str>);

/// The labels of one sample.
#[derive(Debug, Default)]
struct Labels {
    process: Option<Arc<str>>,
    pid: u32,
    started: Option<i64>,
    thread: Option<Arc<str>>,
    tid: u32,
    domain: Option<Arc<str>>,
    stack: Option<Arc<str>>,
}

/// Processes and threads as they are met.
#[derive(Debug)]
pub struct LabelReader {
    own: bool,
    /// The processes, those told by comments first.
    pub processes: Vec<TracedProcess>,
    /// The threads.
    pub threads: Vec<TracedThread>,
    by_key: HashMap<ProcessKey, ProcessIndex>,
    by_thread: HashMap<(u32, Arc<str>), ThreadIndex>,
    /// Some label told a process.
    pub tells_process: bool,
}

impl LabelReader {
    /// With the processes that comments tell of; `own` files have labels whose meaning is known.
    pub fn new(own: bool, processes: Vec<TracedProcess>) -> Self {
        let mut by_key = HashMap::new();
        for (index, process) in (0..).map(ProcessIndex).zip(&processes) {
            by_key.entry(key_of(process)).or_insert(index);
        }
        Self { own, processes, threads: Vec::new(), by_key, by_thread: HashMap::new(), tells_process: false }
    }

    /// Reads a combination of labels, each with its length before it.
    pub fn read(&mut self, bytes: &[u8], tables: &Tables) -> Result<LabelSet, SnapshotProblem> {
        let mut labels = Labels::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let label: Label = prost::Message::decode_length_delimited(&mut rest)
                .map_err(|error| SnapshotProblem::damaged(error.to_string()))?;
            labels.take(label, tables)?;
        }
        let thread = self.thread(&labels);
        let (domain, end) = self.own_labels(&labels)?;
        Ok(LabelSet { process: self.process(&labels), thread, domain, end })
    }

    fn process(&mut self, labels: &Labels) -> ProcessIndex {
        let name = labels.process.clone().unwrap_or_default();
        self.tells_process |= labels.pid != 0 || !name.is_empty();
        let key = (labels.pid, labels.started, name);
        if let Some(index) = self.by_key.get(&key) {
            return *index;
        }
        let index = ProcessIndex(u32::try_from(self.processes.len()).unwrap_or(u32::MAX));
        let info = ProcessInfo { pid: labels.pid, command: key.2.to_string(), ..ProcessInfo::default() };
        let started_at = labels.started.map(time::from_nanos);
        self.processes.push(TracedProcess { info, started_at, ..TracedProcess::default() });
        self.by_key.insert(key, index);
        index
    }

    fn thread(&mut self, labels: &Labels) -> Option<ThreadIndex> {
        let name = labels.thread.clone().unwrap_or_default();
        if labels.tid == 0 && name.is_empty() {
            return None;
        }
        let threads = &mut self.threads;
        let index = self.by_thread.entry((labels.tid, name)).or_insert_with_key(|(tid, name)| {
            threads.push(TracedThread { tid: *tid, name: Arc::clone(name) });
            ThreadIndex(u32::try_from(threads.len() - 1).unwrap_or(u32::MAX))
        });
        Some(*index)
    }

    /// Labels whose words are memtrace's own. Other programs may use the same keys for something else.
    fn own_labels(&self, labels: &Labels) -> Result<(Domain, StackEnd), SnapshotProblem> {
        if !self.own {
            return Ok((Domain::default(), StackEnd::default()));
        }
        let unknown = |key: &str, value: &str| SnapshotProblem::damaged(format!("it has a {key} called `{value}`"));
        let domain = labels.domain.as_deref().map_or(Ok(Domain::default()), |name| {
            Domain::all().find(|domain| domain.name() == name).ok_or_else(|| unknown(labels::DOMAIN, name))
        })?;
        let end = labels.stack.as_deref().map_or(Ok(StackEnd::default()), |name| {
            StackEnd::all().find(|end| end.name() == name).ok_or_else(|| unknown(labels::STACK, name))
        })?;
        Ok((domain, end))
    }
}

impl Labels {
    fn take(&mut self, label: Label, tables: &Tables) -> Result<(), SnapshotProblem> {
        let key = &**tables.text(label.key)?;
        let text = tables.text(label.text)?;
        // Some programs write ids as text.
        let id = || u32::try_from(label.number).ok().filter(|id| *id > 0).or_else(|| text.parse().ok());
        let text = || (!text.is_empty()).then(|| Arc::clone(text));
        match key {
            labels::PROCESS => self.process = text(),
            labels::THREAD => self.thread = text(),
            labels::DOMAIN => self.domain = text(),
            labels::STACK => self.stack = text(),
            labels::PID => self.pid = id().unwrap_or_default(),
            labels::TID => self.tid = id().unwrap_or_default(),
            labels::START_TIME => self.started = (label.number != 0).then_some(label.number),
            _ => {}
        }
        Ok(())
    }
}

fn key_of(process: &TracedProcess) -> ProcessKey {
    let name = labels::process_name(&process.info.command).into();
    (process.info.pid, process.started_at.map(time::to_nanos), name)
}
