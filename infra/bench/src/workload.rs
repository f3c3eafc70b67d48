//! What is measured, a file each.

pub(crate) mod cold;
pub(crate) mod decode;
pub(crate) mod instructions;
pub(crate) mod latency;
pub(crate) mod publish;
pub(crate) mod sizes;
pub(crate) mod subscribe;
pub(crate) mod throughput;
pub(crate) mod warm;

use std::time::Duration;

/// The value in the middle, of values in any order.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The least value that at least so many percent do not exceed.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Milliseconds, to the hundredth.
pub(crate) fn ms(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1_000.0)
}

/// To the hundredth.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!((median(&values), percentile(&values, 99.0), percentile(&values, 0.0)), (2.0, 4.0, 1.0));
        assert_eq!(median(&[]), 0.0);
    }
}
