//! What becomes of records that cannot be read: each goes to the dead letters by itself, unless so many come at once, and
//! nothing else, that their writer (or this code) is more likely at fault than they are. Then the batch fails loudly, so that
//! a topic is not emptied into its dead letters. That is right only where the mapping bisects such a batch, gives up after so
//! many tries, and has a failure destination: Lambda's provisioned mode. Elsewhere it would come again, whole, for ever, and
//! its partition would stand still.

/// When a batch of nothing but poison fails as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoisonPolicy {
    /// The mapping looks at partial batch responses, so it bisects and gives up as well.
    pub(crate) mapping_gives_up: bool,
}

/// So many unreadable records in one batch are no bad luck.
const MANY: usize = 20;

impl PoisonPolicy {
    /// Whether a batch of `poison` unreadable and `others` other records is to fail as a whole. Tombstones are others: the
    /// producer of a compacted topic writes them on purpose.
    pub(crate) fn fails_loudly(self, poison: usize, others: usize) -> bool {
        self.mapping_gives_up && others == 0 && poison >= MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_and_nothing_else_fail_and_only_where_the_mapping_gives_up() {
        for (mapping_gives_up, poison, others, fails) in [
            (true, 20, 0, true),
            (true, 10_000, 0, true),
            (true, 19, 0, false),
            (true, 1, 0, false),
            (true, 0, 0, false),
            (true, 20, 1, false),
            (false, 20, 0, false),
            (false, 10_000, 0, false),
        ] {
            let policy = PoisonPolicy { mapping_gives_up };
            assert_eq!(policy.fails_loudly(poison, others), fails, "{policy:?} {poison} {others}");
        }
    }
}
