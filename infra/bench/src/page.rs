//! The results page: the machine, the goals, and every workload with its table and its picture. A workload that was not
//! run this time stays as it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use notify_me::report::{Goal, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine;

/// What `results.json` holds.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Results {
    workloads: BTreeMap<String, Workload>,
    not_measured: Vec<String>,
}

/// What came of a workload when it was run last.
#[derive(Serialize, Deserialize)]
struct Workload {
    title: String,
    machine: BTreeMap<String, Value>,
    goals: Vec<Goal>,
    /// In Markdown.
    section: String,
}

/// Writes `README.md`, a picture for each workload that has one, and `results.json`.
///
/// # Errors
/// When a file cannot be written, or a `results.json` is none.
pub(crate) fn write(
    directory: &Path,
    order: &[&str],
    reports: &[Report],
    missing: &[String],
) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)?;
    let file = directory.join("results.json");
    let mut results: Results = match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => Results::default(),
    };
    for report in reports {
        let workload = Workload {
            title: report.title.clone(),
            machine: machine::describe(),
            goals: report.goals.clone(),
            section: report.section(directory)?,
        };
        results.workloads.insert(report.name.to_owned(), workload);
    }
    results.not_measured = missing.to_vec();
    std::fs::write(directory.join("README.md"), page(&results, order))?;
    std::fs::write(file, serde_json::to_string_pretty(&results)? + "\n")?;
    Ok(())
}

fn page(results: &Results, order: &[&str]) -> String {
    let workloads: Vec<&Workload> = order.iter().filter_map(|name| results.workloads.get(*name)).collect();
    let mut page = String::from(
        "# Benchmarks\n\nWritten by `cargo run --release -p notify-me-bench -- --write docs/bench`. How it is measured, and what holds the \
         goals that are not reached: [infra/bench](../../infra/bench/README.md).\n\n",
    );
    if let Some(last) = workloads.first() {
        let facts: Vec<String> =
            last.machine.iter().map(|(name, fact)| format!("{name} {}", plain(fact))).collect();
        let _ = writeln!(page, "{}.\n", facts.join("; "));
    }
    page.push_str("## Goals\n\n| goal | at | measured | |\n|---|---|---|---|\n");
    for goal in workloads.iter().flat_map(|workload| &workload.goals) {
        let verdict = if goal.is_reached() { "reached" } else { "**not reached**" };
        let _ = writeln!(page, "| {} | {} | {} | {verdict} |", goal.what(), goal.limit(), goal.measured());
    }
    for Workload { title, section, .. } in workloads {
        let _ = write!(page, "\n## {title}\n\n{section}");
    }
    if !results.not_measured.is_empty() {
        page.push_str("\n## Not measured\n\n");
        for gap in &results.not_measured {
            let _ = writeln!(page, "- {gap}");
        }
    }
    page
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
