//! What a variant's updates make of the product that it is a variant of.

use super::*;
use crate::product::UpdateOrder;

const PARENT: &str = "shirt";

fn id(text: &str) -> ProductId {
    ProductId::parse(text).unwrap()
}

/// What the update of this variant makes of the parent, which is `known`.
fn heard(
    known: Option<Product>,
    variant: &str,
    offset: i64,
    quantity: u64,
) -> (UpdateOrder, Option<Product>) {
    let json = format!(
        r#"{{"productId":"{variant}","parentId":"{PARENT}","quantity":{quantity},"product":{{"name":"{variant}"}}}}"#
    );
    let update = StockUpdate::from_record(Some(json.as_bytes())).unwrap().update;
    let restock = RestockId::parse(&format!("stock-0-{offset}")).unwrap();
    let of_parent = update.of_parent(&restock).unwrap();
    assert_eq!(of_parent.product_id, id(PARENT));
    let now = Timestamp::from_second(1_000).unwrap();
    let rules = Arc::new(Rules::default());
    let mut planning = Planning::of_variant(&record(offset), of_parent, id(variant), rules, now);
    planning.on_product(stored(known.clone(), 1));
    match planning.next() {
        Step::RecordStockUpdate(update) => {
            let recorded = update.clone().recorded_over(known);
            // As if it were planned at once.
            let planned = recorded.in_stock().then(|| recorded.version.clone());
            (UpdateOrder::Newer, Some(Product { planned, ..recorded }))
        }
        Step::RecordSale(sale) => (UpdateOrder::Sale, known.map(|known| sale.clone().level_over(known))),
        Step::Finished(Outcome::Stale) => (UpdateOrder::Stale, known),
        _ => (UpdateOrder::Duplicate, known),
    }
}

#[test]
fn a_parent_has_a_restock_when_any_variant_comes_and_says_its_details() {
    use UpdateOrder::{Duplicate, Newer, Sale, Stale};
    let mut known = None;
    for (offset, variant, quantity, order, in_stock, announced, variants) in [
        (1, "red", 0, Newer, false, "red", vec![]),
        (2, "blue", 3, Newer, true, "blue", vec!["blue"]),
        // Sold a few, and the same told twice.
        (3, "blue", 2, Sale, true, "blue", vec!["blue"]),
        (2, "blue", 3, Duplicate, true, "blue", vec!["blue"]),
        // Another one comes, which some may have waited for; then its level is said again, and the first one's.
        (4, "red", 9, Newer, true, "red", vec!["blue", "red"]),
        (5, "blue", 1, Stale, true, "red", vec!["blue", "red"]),
        // The one that is not announced sells out: nothing changes but that.
        (6, "blue", 0, Sale, true, "red", vec!["red"]),
        (7, "blue", 0, Stale, true, "red", vec!["red"]),
        (8, "blue", 4, Newer, true, "blue", vec!["red", "blue"]),
        // The announced one does: its emails end, and the other's next update begins anew.
        (9, "blue", 0, Newer, false, "blue", vec!["red"]),
        (10, "red", 8, Newer, true, "red", vec!["red"]),
        (9, "blue", 0, Stale, true, "red", vec!["red"]),
    ] {
        let (found, after) = heard(known, variant, offset, quantity);
        let product = after.clone().unwrap();
        let names: Vec<&str> = product.variants.iter().map(ProductId::as_str).collect();
        let said = product.product.as_ref().and_then(|details| details.name.as_deref());
        assert_eq!((found, product.in_stock()), (order, in_stock), "{offset} {variant}");
        assert_eq!((product.variant.as_ref(), names), (Some(&id(announced)), variants), "{offset} {variant}");
        assert_eq!(said, Some(announced), "{offset} {variant}");
        known = after;
    }
}

#[test]
fn an_update_of_a_variant_counts_though_another_variants_was_later() {
    let (_, known) = heard(None, "blue", 5, 3);
    let known = known.map(|known| Product { version: other(999, None, true).version, ..known });
    assert_eq!(heard(known, "red", 4, 3).0, UpdateOrder::Newer);
}

#[test]
fn the_parents_restock_has_an_id_of_its_own_and_the_same_each_time() {
    let update = |json: &str| StockUpdate::from_record(Some(json.as_bytes())).unwrap().update;
    let red = update(r#"{"productId":"red","parentId":"shirt"}"#);
    let id = |restock: &str| red.of_parent(&RestockId::parse(restock).unwrap()).unwrap().restock_id;
    assert!(id("r-1") == id("r-1") && id("r-1") != id("r-2"));
    assert!(id(&"x".repeat(255)).is_some());
    for alone in [r#"{"productId":"red"}"#, r#"{"productId":"red","parentId":"red"}"#] {
        assert_eq!(update(alone).of_parent(&RestockId::parse("r").unwrap()), None, "{alone}");
    }
}
