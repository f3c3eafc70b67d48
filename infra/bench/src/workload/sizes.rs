//! What is uploaded: the functions' binaries in a zip.

use anyhow::{Context as _, ensure};
use notify_me::report::{Goal, Report};
use serde_json::json;

use super::round;
use crate::rig::Rig;

/// Zips the binaries.
///
/// # Errors
/// When there is no Python to zip them.
pub(crate) fn run(rig: &Rig) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "sizes",
        "Binaries",
        "The functions' release binaries as built for this machine, and in a zip as sam packs them.",
    );
    for name in ["subscribe", "restock", "notify", "feedback"] {
        let file = rig.function(name).program;
        let whole = std::fs::metadata(&file).with_context(|| file.display().to_string())?.len();
        let zip = std::process::Command::new("python3")
            .arg(rig.root.join("infra/deploy/zipped_size.py"))
            .arg(&file)
            .output()?;
        ensure!(zip.status.success(), "python3 infra/deploy/zipped_size.py failed");
        let zipped: f64 = String::from_utf8(zip.stdout)?.trim().parse()?;
        let zipped = round(zipped / 1e6);
        report.goal(Goal::at_most(&format!("zip of {name} (MB)"), 4.0), zipped);
        report.row(vec![
            ("function", json!(name)),
            ("binary (MB)", json!(round(whole as f64 / 1e6))),
            ("zip (MB)", json!(zipped)),
        ]);
    }
    Ok(report)
}
