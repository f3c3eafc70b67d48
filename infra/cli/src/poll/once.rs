//! When `notify-me poll --once` gives up. Without `--once` whatever is away is waited for; a run that is to end must end.

use std::time::Duration;

/// How long a Kafka may take to answer at first, name resolution and login included.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// How long one that answered may be away. Brokers that are restarted one by one are back within this.
const OUTAGE: Duration = Duration::from_secs(60);
/// How long the group may take to give this member a partition. One that was killed keeps its own for a session, which is ten
/// seconds here, and longer in other clients.
const ASSIGNMENT: Duration = Duration::from_secs(60);

/// What the poller has of Kafka.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Since when it polls.
    pub(super) running: Duration,
    /// How long ago it was connected to a broker; `None` where it never was.
    pub(super) heard: Option<Duration>,
    /// Whether it ever had a partition.
    pub(super) had_partitions: bool,
}

/// Why waiting is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// Kafka was never there.
    NoKafka,
    /// Kafka went away.
    KafkaAway,
    /// Kafka is there, and gives nothing to read.
    NoPartitions,
}

impl Standing {
    pub(super) fn given_up(self) -> Option<GivenUp> {
        match self.heard {
            None => (self.running >= FIRST_ANSWER).then_some(GivenUp::NoKafka),
            Some(ago) if ago >= OUTAGE => Some(GivenUp::KafkaAway),
            Some(_) => (!self.had_partitions && self.running >= ASSIGNMENT).then_some(GivenUp::NoPartitions),
        }
    }
}

impl GivenUp {
    /// What is said of it; `trouble` is what the client said last.
    pub(super) fn error(
        self,
        kafka: &str,
        topics: &str,
        group: &str,
        trouble: Option<&str>,
    ) -> anyhow::Error {
        let trouble = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
        match self {
            Self::NoKafka => {
                anyhow::anyhow!(
                    "Kafka at {kafka} does not answer within {} s{trouble}",
                    FIRST_ANSWER.as_secs()
                )
            }
            Self::KafkaAway => anyhow::anyhow!(
                "Kafka at {kafka} has not answered for {} s{trouble}; what was not done comes again with the next run",
                OUTAGE.as_secs()
            ),
            Self::NoPartitions => anyhow::anyhow!(
                "no partition of {topics} was assigned within {} s: this Kafka has no such topic, or others in the group \
                 {group} read it",
                ASSIGNMENT.as_secs()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_to_the_end_waits_for_what_may_come_and_not_for_ever() {
        use GivenUp::{KafkaAway, NoKafka, NoPartitions};
        for (running, heard, had_partitions, given_up) in [
            (0, None, false, None),
            (14, None, false, None),
            (15, None, false, Some(NoKafka)),
            (15, Some(0), false, None),
            (59, Some(1), false, None),
            (60, Some(1), false, Some(NoPartitions)),
            (3_600, Some(1), true, None),
            (3_600, Some(59), true, None),
            (3_600, Some(60), true, Some(KafkaAway)),
            (61, Some(60), false, Some(KafkaAway)),
        ] {
            let standing = Standing {
                running: Duration::from_secs(running),
                heard: heard.map(Duration::from_secs),
                had_partitions,
            };
            assert_eq!(standing.given_up(), given_up, "{standing:?}");
        }
    }
}
