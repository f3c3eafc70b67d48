//! Planning a restock: who is told of it. The order of the steps is what keeps everybody. A
//! shopper who was answered "you wait" had written their entry and then read "not in stock", so
//! the entry was there before step 1, step 2 sees it, and the bound covers it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use domain::{
    Position, ProductId, RestockId, Shard,
    job::Job,
    product::{Product, Standing},
    record::Record,
    stock::{ProductInfo, StockUpdate, Version},
};
use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use platform::{
    chance,
    table::{CURSOR, ItemKey, Named, Planned, StoredCursor, TableError, item, position_of, read, waitlist},
};
use tokio::time::Instant;

use crate::{
    App,
    deliver::{self, Kept},
    event::Failed,
    fanout,
};

/// How long the telling may go on where it was planned.
const HEAD_START: Duration = Duration::from_secs(1);

/// Plans what a stock update asks for, and begins with it.
pub(crate) async fn plan(
    app: &App,
    record: &Record,
    update: StockUpdate,
    until: Instant,
) -> Result<(), Failed> {
    let id = &update.product_id;
    let looked = Instant::now();
    let restock = match &update.restock_id {
        Some(name) => app.table.take_name(name, &Named::now(id, None)).await?.0,
        None => RestockId::of_record(&record.topic, record.partition, record.offset),
    };
    // Step 1: the product is in stock (or sold out), unless something later is known.
    let Some(product) = write_down(app, record, &update, &restock).await? else {
        tracing::info!(product = %id, %restock, "stale: something later is known");
        return Ok(());
    };
    if !product.in_stock() {
        tracing::info!(product = %id, %restock, "sold out");
        return Ok(());
    }
    // Step 2: the last position of every shard.
    let ends = try_join_all(app.shards().all().map(|shard| end_of(app, id, shard))).await?;
    // Step 3: the bound, unless it stands or another restock is current by now.
    let bound = if product.is_planned() {
        product.bound
    } else {
        let bound = product.bound_over(ends.iter().filter_map(|end| end.last));
        if !fix_bound(app, id, &restock, bound).await? {
            tracing::info!(product = %id, %restock, "overtaken by a later update");
            return Ok(());
        }
        bound
    };
    // Step 4: a job for every shard that has someone to tell, after a note of what is planned.
    let job = |shard, bound| Job { restock_id: restock.clone(), product_id: id.clone(), shard, bound };
    let (mut jobs, mut cursors) = (Vec::new(), Vec::new());
    if let Some(bound) = bound {
        let (waiting, told) = waiting(app, id, ends, bound).await?;
        if product.is_planned() {
            // It comes again: whoever told the last of a shard may have died before writing so.
            let told: Vec<Job> = told.into_iter().map(|shard| job(shard, bound)).collect();
            try_join_all(told.iter().map(|job| fanout::close(app, job))).await?;
        }
        (jobs, cursors) = waiting.into_iter().map(|(shard, stored)| (job(shard, bound), stored)).unzip();
    }
    note(app, id, &restock, bound, &jobs).await?;
    fanout::open(app, &jobs).await?;
    tracing::info!(product = %id, %restock, shards = jobs.len(), "planned");
    // Each is begun here, and what is left of it goes in line: so a few who wait for one product
    // are told at once, and not after the slices of another that a million wait for.
    let until = until.min(Instant::now() + HEAD_START);
    let first = !product.is_planned();
    let product = Product { bound, bound_of: Some(restock.clone()), ..product };
    let told = jobs.iter().zip(cursors).map(|(job, stored)| {
        let known =
            stored.map(|stored| deliver::Snapshot { product: product.clone(), looked, stored, first });
        async move {
            match known {
                Some(known) => deliver::deliver_from(app, job, Some(known), until)
                    .await
                    .err()
                    .map(|error| (job, Some(error))),
                None => Some((job, None)),
            }
        }
    });
    // All to their ends: one that was dropped half-way would leave a call in doubt.
    put_in_line(app, join_all(told).await.into_iter().flatten()).await
}

/// Puts those in line that could not be begun here. The restock is planned, whatever became of them: its record fails only
/// where they cannot be put in line.
async fn put_in_line(app: &App, left: impl Iterator<Item = (&Job, Option<Failed>)>) -> Result<(), Failed> {
    let jobs: Vec<Job> = left
        .map(|(job, error)| {
            let why = error.as_ref().map(|error| platform::causes(error).to_string());
            tracing::error!(product = %job.product_id, shard = %job.shard, why, "not begun at once: put in line");
            job.clone()
        })
        .collect();
    Ok(fanout::emit(app, &jobs).await?)
}

/// Writes the update to the product's item, on condition that the item holds nothing newer, and
/// gives the item as it then is; `None` where the update is stale.
async fn write_down(
    app: &App,
    record: &Record,
    update: &StockUpdate,
    restock: &RestockId,
) -> Result<Option<Product>, TableError> {
    let written_at = Timestamp::from_millisecond(record.written_ms).ok().filter(|_| record.written_ms > 0);
    let version =
        Version::new(update.occurred_at, written_at, chance::now(), record.partition, record.offset);
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut request = app
        .table
        .client
        .update_item()
        .table_name(&app.table.name)
        .set_key(Some(ItemKey::product(&update.product_id).attributes()))
        // The same decision as `Product::standing` makes.
        .condition_expression(
            "attribute_not_exists(pk) OR (#version < :version AND \
             (attribute_not_exists(#boundOf) OR #boundOf <> :restock OR #restock = :restock))",
        )
        .expression_attribute_names("#version", "version")
        .expression_attribute_names("#boundOf", "boundOf")
        .expression_attribute_names("#restock", "restockId")
        .expression_attribute_names("#quantity", "quantity")
        .expression_attribute_values(":version", text(version.as_str()))
        .expression_attribute_values(":restock", text(restock.as_str()))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let (mut set, mut gone) = ("SET #version = :version, #restock = :restock".to_owned(), Vec::new());
    request = request.expression_attribute_names("#product", "product");
    match details(app, update).await? {
        Some(info) => {
            let info = serde_dynamo::to_attribute_value(&info)
                .map_err(|_| TableError::Corrupt { item: "product", done: "written" })?;
            set.push_str(", #product = :product");
            request = request.expression_attribute_values(":product", info);
        }
        None => gone.push("#product"),
    }
    match update.quantity {
        Some(quantity) => {
            set.push_str(", #quantity = :quantity");
            request =
                request.expression_attribute_values(":quantity", AttributeValue::N(quantity.to_string()));
        }
        None => gone.push("#quantity"),
    }
    if !gone.is_empty() {
        set.push_str(&format!(" REMOVE {}", gone.join(", ")));
    }
    let found = match request.update_expression(set).send().await {
        Ok(updated) => return updated.attributes.map(|item| read(item, "product")).transpose(),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => failed.item.clone(),
            _ => return Err(TableError::of("UpdateItem", &error)),
        },
    };
    let known: Option<Product> = found.map(|item| read(item, "product")).transpose()?;
    let in_stock = update.quantity != Some(0);
    let standing = Product::standing(known.as_ref(), &version, restock, in_stock);
    Ok(known.filter(|_| standing == Standing::Current))
}

/// What mails are to say of the product from this update on. Nothing is read for one that brings everything itself.
async fn details(app: &App, update: &StockUpdate) -> Result<Option<ProductInfo>, TableError> {
    let news = update.product.as_ref();
    let known = match news {
        Some(news) if news.is_whole() => None,
        _ => app.table.product(&update.product_id).await?.and_then(|known| known.product),
    };
    Ok(ProductInfo::after(known, news))
}

/// The end of a shard of a waitlist.
struct End {
    shard: Shard,
    last: Option<Position>,
    /// It was told before, so it has a cursor.
    told: bool,
}

/// Reads the last item of a shard: its last entry, or else its cursor. What has no position in its key is nobody's place, and
/// may not hide those before it.
async fn end_of(app: &App, product: &ProductId, shard: Shard) -> Result<End, TableError> {
    let mut from = None;
    loop {
        let found = app
            .table
            .query(waitlist(product, shard), None)
            .projection_expression("sk")
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(true)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|e| TableError::of("Query", &e))?;
        let item = found.items.unwrap_or_default().into_iter().next();
        let sort_key = item.as_ref().and_then(|item| item.get("sk")).and_then(|sk| sk.as_s().ok());
        let last = sort_key.and_then(|sk| position_of(sk));
        let told = last.is_some() || sort_key.is_some_and(|sk| sk == CURSOR);
        from = found.last_evaluated_key;
        if told || from.is_none() {
            return Ok(End { shard, last, told });
        }
    }
}

/// Fixes the bound for a restock; false where another one is current by now.
async fn fix_bound(
    app: &App,
    product: &ProductId,
    restock: &RestockId,
    bound: Option<Position>,
) -> Result<bool, TableError> {
    let mut request = app
        .table
        .client
        .update_item()
        .table_name(&app.table.name)
        .set_key(Some(ItemKey::product(product).attributes()))
        .condition_expression("#restock = :restock")
        .expression_attribute_names("#restock", "restockId")
        .expression_attribute_names("#boundOf", "boundOf")
        .expression_attribute_values(":restock", AttributeValue::S(restock.to_string()));
    request = match bound {
        Some(bound) => request
            .update_expression("SET #boundOf = :restock, #bound = :bound")
            .expression_attribute_names("#bound", "bound")
            .expression_attribute_values(":bound", AttributeValue::S(bound.to_string())),
        None => request.update_expression("SET #boundOf = :restock"),
    };
    match request.send().await {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
            Ok(false)
        }
        Err(error) => Err(TableError::of("UpdateItem", &error)),
    }
}

/// Writes down what a restock planned, for whoever asks later: by the restock, and by the product,
/// where the bound leads from somebody's place to the restocks that covered it. A redelivered
/// restock leaves the first note, because by then fewer shards have someone to tell.
async fn note(
    app: &App,
    product: &ProductId,
    restock: &RestockId,
    bound: Option<Position>,
    jobs: &[Job],
) -> Result<(), TableError> {
    let planned = Planned {
        restock_id: restock.clone(),
        product_id: product.clone(),
        bound,
        shard_count: u16::try_from(app.shards().all().count()).unwrap_or(u16::MAX),
        shards: jobs.iter().map(|job| job.shard).collect(),
        planned_ms: chance::now_ms(),
    };
    let by_bound = bound.map(|bound| ItemKey::plan(product, bound, restock));
    // By the product first, so that a summary that is there says that both are.
    for key in by_bound.into_iter().chain([ItemKey::summary(restock)]) {
        let written =
            app.table.put_if(item(&key, &Kept::new(&planned))?, "attribute_not_exists(pk)", &[], vec![]);
        let _there_already = written.await?;
    }
    Ok(())
}

/// The shards that have someone to tell up to `bound`, with their cursors, and those where everybody is told. A cursor that
/// cannot be read is `None`: who works on its job finds out more.
async fn waiting(
    app: &App,
    product: &ProductId,
    ends: Vec<End>,
    bound: Position,
) -> Result<(Vec<(Shard, Option<StoredCursor>)>, Vec<Shard>), TableError> {
    let looks = ends.into_iter().filter(|end| end.told).map(|end| async move {
        match app.table.cursor(product, end.shard).await {
            Ok(stored) => Ok((end, Some(stored))),
            Err(error) if error.is_corrupt() => Ok((end, None)),
            Err(error) => Err(error),
        }
    });
    let (mut waiting, mut told) = (Vec::new(), Vec::new());
    for (end, stored) in try_join_all(looks).await? {
        if stored.as_ref().is_some_and(|stored| stored.cursor.is_done(end.last, bound)) {
            told.push(end.shard);
        } else {
            waiting.push((end.shard, stored));
        }
    }
    Ok((waiting, told))
}
