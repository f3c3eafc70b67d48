//! The planner of a restock, step by step.

use super::{Job, Mistake, Protocol, World, restock, version};
use crate::{
    Position,
    product::{Product, Standing},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Planner {
    Idle,
    Start { early: Option<Option<Position>> },
    Written(Product),
    Read(Product, Option<Position>),
    Fixed(Option<Position>),
}

impl Protocol {
    pub(super) fn plan(&self, world: &mut World) {
        let event = world.next_event;
        let last = world.entries.last_key_value().map(|(position, _)| *position);
        world.planner = match world.planner.clone() {
            Planner::Idle => {
                Planner::Start { early: (self.mistake == Mistake::EndsBeforeStock).then_some(last) }
            }
            Planner::Start { early } => {
                let (version, restock_id) = (version(event), restock(event));
                let in_stock = self.events[event];
                match Product::standing(world.product.as_ref(), &version, &restock_id, in_stock) {
                    Standing::Stale => {}
                    Standing::Current => {}
                    Standing::News => {
                        let known = world.product.take();
                        let (bound, bound_of) =
                            known.map_or((None, None), |known| (known.bound, known.bound_of));
                        let quantity = Some(u64::from(in_stock));
                        world.product =
                            Some(Product { quantity, version, restock_id, bound, bound_of, product: None });
                    }
                }
                match (world.product.clone(), early) {
                    (Some(product), Some(early)) if product.in_stock() => Planner::Read(product, early),
                    (Some(product), None) if product.in_stock() => Planner::Written(product),
                    _ => Planner::Fixed(None),
                }
            }
            Planner::Written(product) => Planner::Read(product, last),
            Planner::Read(product, _) if product.is_planned() => Planner::Fixed(product.bound),
            Planner::Read(product, ends) => {
                let bound = product.bound_over(ends);
                match world.product.as_mut().filter(|known| known.restock_id == restock(event)) {
                    Some(known) => {
                        known.bound = bound;
                        known.bound_of = Some(restock(event));
                        Planner::Fixed(bound)
                    }
                    None => Planner::Fixed(None),
                }
            }
            Planner::Fixed(bound) => {
                if let Some(bound) = bound.filter(|bound| !world.cursor.is_done(last, *bound)) {
                    world.put_in_line(Job { event, bound });
                }
                world.next_event += 1;
                Planner::Idle
            }
        };
    }
}
