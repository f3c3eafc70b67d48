//! What was measured on: the machine, and the versions of what ran.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

/// The machine and the versions.
pub(crate) fn describe() -> BTreeMap<String, Value> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let field = |file: &str, name: &str| {
        let text = read(file);
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let facts = json!({
        "date": jiff::Zoned::now().date(),
        "processor": field("/proc/cpuinfo", "model name"),
        "cores": cores,
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "rustc": version("rustc", &["--version"]),
        "java": version("java", &["--version"]),
        "node": version("node", &["--version"]),
        "go": version("go", &["version"]),
        "python": version("python3", &["--version"]),
    });
    facts.as_object().cloned().unwrap_or_default().into_iter().collect()
}

/// The first line of what a program says of its version.
fn version(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("not there").to_owned()
}
