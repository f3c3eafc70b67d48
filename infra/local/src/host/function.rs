//! `notify-me function NAME`: this same binary as one function's bootstrap.

#[derive(clap::Args, Default)]
pub struct Args {}

pub async fn run(_: Args) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
