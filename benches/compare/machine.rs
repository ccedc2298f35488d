//! The machine: which core a process runs on, what it has used of it, what it holds in memory, and what all of this ran on.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use serde_json::{Value, json};

/// The servers' core, and that of the load and the backend.
pub const SERVERS: &str = "0";
pub const LOAD: &str = "1";

/// Binds this process, with every thread that it has and will have, to the core of the load. `false`: there is no second core, or no
/// `taskset`.
pub fn bind_to_load_core() -> bool {
    let own = std::process::id().to_string();
    let bound = Command::new("taskset").args(["-acp", LOAD, &own]).output();
    bound.is_ok_and(|output| output.status.success())
}

/// Asks for all the descriptors that the system allows, for this process and those that it starts; says how many.
pub fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    // What cannot be raised stays: whoever needs more finds out by the number.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |many| usize::try_from(many).unwrap_or(usize::MAX))
}

/// The revision of this tree, as git has it.
pub fn revision() -> String {
    let words = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"];
    let output = Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if said.is_empty() { "an unknown revision".into() } else { said }
}

/// A process and all that it has started.
pub fn family(root: u32) -> Vec<u32> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            && let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat"))
            // The program's name is in parentheses and may contain anything.
            && let Some((_, rest)) = stat.rsplit_once(')')
            && let Some(parent) = rest.split_whitespace().nth(1).and_then(|parent| parent.parse::<u32>().ok())
        {
            parents.insert(pid, parent);
        }
    }
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family
}

pub fn send(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// What each thread of some processes has used, by the scheduler's own account: nanoseconds, not ticks. A thread that ends
/// between two looks takes what it used since the first along; servers under load keep theirs.
pub struct Used(HashMap<String, u64>);

impl Used {
    pub fn by(pids: &[u32]) -> Self {
        let mut used = HashMap::new();
        for pid in pids {
            for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let path = task.path();
                let account = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
                if let Some(nanos) = account.split_whitespace().next().and_then(|nanos| nanos.parse().ok()) {
                    used.insert(path.display().to_string(), nanos);
                }
            }
        }
        Self(used)
    }

    pub fn since(&self, before: &Self) -> Duration {
        let of = |(task, now): (&String, &u64)| now.saturating_sub(before.0.get(task).copied().unwrap_or(0));
        Duration::from_nanos(self.0.iter().map(of).sum())
    }
}

/// Bytes that are resident, those that several of the processes share counted once between them.
pub fn memory(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum::<u64>() * 1024
}

/// What it all ran on, for those who compare figures.
pub fn describe() -> Value {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = meminfo.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    json!({
        "cpu": model.map_or("unknown", |(_, model)| model.trim()),
        "cores": cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
        "memory_gib": kibibytes.map(|kibibytes| (kibibytes as f64 / 1_048_576.0).round()),
        "kernel": kernel.trim(),
        "system": system(),
    })
}

fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}
