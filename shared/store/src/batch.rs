//! Reads of many items at once, and the pauses between the tries where DynamoDB leaves a part unread.

use std::time::Duration;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use domain::backoff::Backoff;

use crate::error::Cause;
use crate::item::{Item, ItemKey};
use crate::{Store, StoreError};

const OPERATION: &str = "BatchGetItem";

/// The keys of one request: as many as `BatchGetItem` takes.
const KEYS_AT_ONCE: usize = 100;

/// The pause before a repeat of a request that DynamoDB left undone, with a random part.
const LEFT_UNDONE: Backoff = Backoff::new(Duration::from_millis(50), 5);
/// How often in a row DynamoDB may leave all of a request undone.
const MOST_IN_VAIN: u32 = 8;

/// The pauses between requests of which DynamoDB leaves a part undone because it is busy: its documentation asks for a growing one,
/// since a request that comes at once is refused again.
#[derive(Default)]
struct Pauses {
    in_vain: u32,
}

impl Pauses {
    /// The pause, made of these `random` bits, after a request for `asked` of which `left` are undone; `None` where so many in a
    /// row came to nothing that it is an error.
    fn after(&mut self, asked: usize, left: usize, random: u128) -> Option<Duration> {
        if left == 0 {
            self.in_vain = 0;
            return Some(Duration::ZERO);
        }
        self.in_vain = if left < asked { 1 } else { self.in_vain + 1 };
        if self.in_vain > MOST_IN_VAIN {
            return None;
        }
        // With a random part, so that workers that were refused together do not come back together.
        Some(LEFT_UNDONE.jittered(self.in_vain, random))
    }
}

impl Store {
    /// Reads the items under these keys, strongly consistent, in any order; those that are not there are left out. `wants`
    /// says which attributes.
    ///
    /// # Errors
    /// `Unavailable`, also where DynamoDB gives none of them again and again, and `Denied`.
    pub(crate) async fn batch(
        &self,
        keys: impl IntoIterator<Item = ItemKey>,
        wants: impl Fn(KeysAndAttributesBuilder) -> KeysAndAttributesBuilder,
    ) -> Result<Vec<Item>, StoreError> {
        let (mut items, mut pauses) = (Vec::new(), Pauses::default());
        let mut keys: Vec<Item> = keys.into_iter().map(|key| key.attributes()).collect();
        while !keys.is_empty() {
            let rest = keys.split_off(keys.len().min(KEYS_AT_ONCE));
            let count = keys.len();
            let asked = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
            let asked = wants(asked).build().map_err(StoreError::built)?;
            let request = self.client.batch_get_item().request_items(&self.table, asked);
            let got = request.send().await.map_err(|e| StoreError::of(OPERATION, &e))?;
            items.extend(got.responses.unwrap_or_default().into_values().flatten());
            keys =
                got.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys).collect();
            let Some(pause) = pauses.after(count, keys.len(), rand::random()) else {
                let source = Cause::new("none of the items was read".to_owned());
                return Err(StoreError::Unavailable { operation: OPERATION, source });
            };
            tokio::time::sleep(pause).await;
            keys.extend(rest);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_while_all_is_left_undone_and_begin_anew_with_progress() {
        let ms = |pause: Option<Duration>| pause.map(|pause| pause.as_millis());
        let mut pauses = Pauses::default();
        let shortest: Vec<_> = (0..9).map(|_| ms(pauses.after(3, 3, 0))).collect();
        let expected = [25, 50, 100, 200, 400, 800, 800, 800].map(Some);
        assert_eq!((&shortest[..8], shortest[8]), (&expected[..], None));

        let mut pauses = Pauses::default();
        for (asked, left, expected) in [(3, 3, 25), (3, 3, 50), (3, 2, 25), (2, 2, 50), (2, 0, 0), (9, 9, 25)]
        {
            assert_eq!(ms(pauses.after(asked, left, 0)), Some(expected), "{left} of {asked}");
        }
    }
}
