//! What an operator gives on standard input, so that it is in no shell history.

use std::io::Read as _;

use anyhow::Context as _;

/// How much of standard input is read for an address.
const MOST: u64 = 1_024;

/// The argument, or standard input for `-`.
///
/// # Errors
/// When standard input is no text.
pub(super) fn input(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(MOST);
    input.read_to_string(&mut text).context("cannot read standard input as text")?;
    Ok(text.trim().to_owned())
}
