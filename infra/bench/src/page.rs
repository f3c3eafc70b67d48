//! The results page: the machine, the goals, and every workload with its table and its picture.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::machine;
use crate::report::Report;

/// Writes `README.md`, a picture for each workload that has one, and `results.json`.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(directory: &Path, reports: &[Report], missing: &[String]) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)?;
    let machine = machine::describe();
    let mut page =
        String::from("# Benchmarks\n\nWritten by `cargo run --release -p bench -- --write docs/bench`.\n\n");
    if let Value::Object(facts) = &machine {
        let facts: Vec<String> = facts.iter().map(|(name, fact)| format!("{name} {}", plain(fact))).collect();
        let _ = writeln!(page, "{}.\n", facts.join("; "));
    }
    page.push_str("## Goals\n\n| goal | at | measured | |\n|---|---|---|---|\n");
    for goal in reports.iter().flat_map(|report| &report.goals) {
        let verdict = if goal.is_reached() { "reached" } else { "not reached" };
        let _ = writeln!(page, "| {} | {} | {} | {verdict} |", goal.what(), goal.limit(), goal.measured());
    }
    for report in reports {
        let _ = write!(page, "\n## {}\n\n{}", report.title, report.section(directory)?);
    }
    if !missing.is_empty() {
        page.push_str("\n## Not measured\n\n");
        for gap in missing {
            let _ = writeln!(page, "- {gap}");
        }
    }
    std::fs::write(directory.join("README.md"), page)?;
    let results = serde_json::json!({ "machine": machine, "reports": reports, "notMeasured": missing });
    std::fs::write(directory.join("results.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
