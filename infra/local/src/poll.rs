//! `notify-me poll`: the poller by itself, from its command line.

#[derive(clap::Args, Default)]
pub struct Args {}

pub async fn run(_: Args) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
