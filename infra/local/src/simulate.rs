//! `notify-me simulate`: plays the inventory service and its shoppers.

#[derive(clap::Args, Default)]
pub struct Args {}

pub async fn run(_: Args) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
