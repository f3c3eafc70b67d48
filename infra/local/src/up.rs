//! `notify-me up`: starts every part, in order, and stops them again.

#[derive(clap::Args, Default)]
pub struct Args {}

pub async fn run(_: Args) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
