//! The processor share of a Lambda function: a control group with a quota (Linux, version 1 or 2, as root).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;

/// The memory that gets a function one whole processor, in MB (AWS's documentation of Lambda).
const MB_OF_A_PROCESSOR: f64 = 1_769.0;
/// How often the quota is filled up again, in microseconds.
const PERIOD_US: u32 = 20_000;
const ROOT: &str = "/sys/fs/cgroup";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A control group. It goes when this is dropped, after its processes.
pub(crate) struct Group(PathBuf);

impl Group {
    /// One with the share of a function with so much memory.
    ///
    /// # Errors
    /// Where there are no control groups, or this user may not make any.
    pub(crate) fn of_memory(mb: u32) -> anyhow::Result<Self> {
        let root = Path::new(ROOT);
        let version_2 = root.join("cgroup.controllers").exists();
        let parent = if version_2 { root.to_owned() } else { root.join("cpu") };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("notify-me-bench-{}-{number}", std::process::id()));
        let quota = (f64::from(PERIOD_US) * f64::from(mb) / MB_OF_A_PROCESSOR).round();
        let made = (|| {
            if version_2 {
                fs::write(parent.join("cgroup.subtree_control"), "+cpu")?;
            }
            fs::create_dir(&directory)?;
            let group = Self(directory.clone());
            if version_2 {
                fs::write(directory.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
            } else {
                fs::write(directory.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                fs::write(directory.join("cpu.cfs_quota_us"), quota.to_string())?;
            }
            Ok::<_, std::io::Error>(group)
        })();
        made.with_context(|| {
            format!("no processor shares here ({}); they need root on Linux", parent.display())
        })
    }

    /// Takes a process in.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn take(&self, pid: u32) -> anyhow::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).context("a process cannot be given its share")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel needs a moment to see that its processes are gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
