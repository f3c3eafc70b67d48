//! The base of the workloads: the stub, the programs, and subscribers of products.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::job::Job;
use domain::{Address, Lane, Locale, PersonId, Position, ProductId, RestockId, Shard, ShardCount};
use lambda::clock;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Map, Value, json};
use store::waitlist::Entry;

use crate::contender::Contender;
use crate::stub::{SUBSCRIPTIONS, Stub, TABLE};

const YEAR_SECONDS: i64 = 366 * 86_400;

/// The rig.
pub(crate) struct Rig {
    /// The stub.
    pub(crate) stub: Stub,
    /// This project's binaries.
    pub(crate) binaries: Binaries,
    /// `notify`, and those that do the same work.
    pub(crate) contenders: Vec<Contender>,
    /// The root of the checkout.
    pub(crate) root: PathBuf,
    number: AtomicU64,
    producer: FutureProducer,
}

/// Where this project's binaries are.
pub(crate) struct Binaries {
    /// The directory of the functions; without it, those in `notify-me` are taken.
    pub(crate) functions: Option<PathBuf>,
    /// The program.
    pub(crate) notify_me: PathBuf,
}

/// A product and its subscribers.
pub(crate) struct Waiting {
    pub(crate) product: ProductId,
    /// Their addresses, in the order in which they asked.
    pub(crate) people: Vec<String>,
}

impl Rig {
    /// # Errors
    /// When there is no producer for the stub's Kafka.
    pub(crate) fn new(
        stub: Stub,
        root: PathBuf,
        binaries: Binaries,
        contenders: Vec<Contender>,
    ) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", stub.kafka_servers())
            .set("linger.ms", "0")
            .create()?;
        Ok(Self { stub, binaries, contenders, root, number: AtomicU64::new(0), producer })
    }

    /// `notify`, as it is deployed.
    pub(crate) fn notify(&self) -> Contender {
        self.function("notify")
    }

    /// `notify`, and those of the other contenders that `which` takes.
    pub(crate) fn with_ours(&self, which: impl Fn(&Contender) -> bool) -> Vec<Contender> {
        let others = self.contenders.iter().filter(|one| which(one)).cloned();
        std::iter::once(self.notify()).chain(others).collect()
    }

    /// One of this project's functions.
    pub(crate) fn function(&self, name: &'static str) -> Contender {
        match &self.binaries.functions {
            Some(directory) => Contender::ours(name, directory.join(name), Vec::new()),
            None => {
                let arguments = vec!["function".to_owned(), name.to_owned()];
                Contender::ours(name, self.binaries.notify_me.clone(), arguments)
            }
        }
    }

    /// Writes a stock update to a topic.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub(crate) async fn publish(&self, topic: &str, waiting: &Waiting) -> anyhow::Result<()> {
        let value = update(&waiting.product).to_string();
        let record = FutureRecord::to(topic).key(waiting.product.as_str()).payload(&value);
        let sent = self.producer.send(record, Duration::from_secs(10)).await;
        sent.map(drop).map_err(|(error, _)| error).context("Kafka does not take a record")
    }

    /// A topic of this many partitions and an unused group, as variables for a contender that polls Kafka.
    ///
    /// # Errors
    /// When Kafka does not make the topic.
    pub(crate) async fn new_topic(&self, partitions: i32) -> anyhow::Result<[(&'static str, String); 2]> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let topic = format!("restocked-{number}");
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.stub.kafka_servers()).create()?;
        let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
        for made in admin.create_topics([&new], &AdminOptions::new()).await? {
            made.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} is not made: {code}"))?;
        }
        Ok([("KAFKA_GROUP", format!("group-{number}")), ("KAFKA_TOPIC", topic)])
    }

    /// Lets `count` people wait for a new product, in the table that the contender reads: in ours as a long list, in eight
    /// shards.
    ///
    /// # Errors
    /// When the table does not take them.
    pub(crate) fn wait(&self, contender: &Contender, count: usize) -> anyhow::Result<Waiting> {
        self.wait_in(contender, count, ShardCount::DEFAULT)
    }

    /// The same in so many shards.
    ///
    /// # Errors
    /// When the table does not take them.
    pub(crate) fn wait_in(
        &self,
        contender: &Contender,
        count: usize,
        shards: ShardCount,
    ) -> anyhow::Result<Waiting> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let product =
            ProductId::parse(&format!("product-{number}")).map_err(|_| anyhow::anyhow!("not an id"))?;
        // The same people for every contender: what their emails say is compared.
        let people: Vec<String> = (0..count).map(|person| format!("{person}.shopper@example.com")).collect();
        if contender.ours && shards > ShardCount::ONE {
            self.stub.tables.fill(TABLE, &[store::json::shards(&product, shards)])?;
        }
        let items: Vec<Value> = if contender.ours {
            let entry = |(person, address): (usize, &String)| our_entry(&product, shards, person, address);
            people.iter().enumerate().map(entry).collect::<Result<_, _>>()?
        } else {
            people
                .iter()
                .enumerate()
                .map(|(person, address)| subscription(&product, person, address))
                .collect()
        };
        self.stub.tables.fill(if contender.ours { TABLE } else { SUBSCRIPTIONS }, &items)?;
        Ok(Waiting { product, people })
    }
}

/// Every other person gave a name.
fn name(person: usize) -> Option<String> {
    (person % 2 == 1).then(|| format!("Shopper <{person}> & Co"))
}

fn our_entry(product: &ProductId, shards: ShardCount, person: usize, address: &str) -> anyhow::Result<Value> {
    let shard = Shard::mail(u16::try_from(person % usize::from(shards.get()))?);
    // A minute ago, a thousand a millisecond, in their order.
    let asked = clock::now_ms() - 60_000 + person as u64 / 1_000;
    let entry = Entry {
        moved: false,
        subscriber: PersonId::from_bytes((person as u128).to_be_bytes()),
        address: Address::parse(address).map_err(|_| anyhow::anyhow!("not an address"))?,
        locale: Locale::default(),
        name: name(person),
        ttl: clock::now().as_second() + YEAR_SECONDS,
    };
    Ok(store::json::entry(product, shard, Position::new(asked, person as u128), &entry)?)
}

fn subscription(product: &ProductId, person: usize, address: &str) -> Value {
    let mut item = Map::new();
    let mut set = |name: &str, value: String| item.insert(name.to_owned(), json!({ "S": value }));
    set("productId", product.to_string());
    set("userId", format!("user-{person:07}"));
    set("address", address.to_owned());
    set("locale", "en".to_owned());
    set("createdAt", clock::now().to_string());
    if let Some(name) = name(person) {
        set("name", name);
    }
    Value::Object(item)
}

/// A stock update as the topic carries it.
pub(crate) fn update(product: &ProductId) -> Value {
    json!({
        "restockId": format!("r-{product}"), "generatedId": true, "productId": product, "quantity": 25, "occurredAt": clock::now(),
        "product": {
            "name": "iPhone 15", "url": "https://shop.example/p/iphone15",
            "imageUrl": "https://shop.example/img/iphone15.jpg", "price": "799.00 €",
        },
    })
}

/// What an event source mapping makes of records.
pub(crate) fn event<'a>(topic: &str, records: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Value {
    let now = clock::now_ms();
    let records = records.into_iter().enumerate().map(|(offset, (key, value))| {
        json!({
            "topic": topic, "partition": 0, "offset": offset, "timestamp": now, "timestampType": "CREATE_TIME",
            "key": STANDARD.encode(key), "value": STANDARD.encode(value.to_string()), "headers": [],
        })
    });
    json!({
        "eventSource": "SelfManagedKafka", "bootstrapServers": "127.0.0.1:9092",
        "records": { format!("{topic}-0"): records.collect::<Vec<_>>() },
    })
}

/// The event of one stock update.
pub(crate) fn back_in_stock(product: &ProductId) -> Value {
    event("item-restocked", [(product.as_str(), &update(product))])
}

/// The event with a job for every shard, as the topic of jobs hands them out.
///
/// # Errors
/// When the restock is not planned.
pub(crate) fn jobs(rig: &Rig, waiting: &Waiting) -> anyhow::Result<Value> {
    let bound = bound(rig, &waiting.product)?;
    let restock_id =
        RestockId::parse(&format!("r-{}", waiting.product)).map_err(|_| anyhow::anyhow!("not an id"))?;
    let job = |shard: Shard| Job {
        restock_id: restock_id.clone(),
        product_id: waiting.product.clone(),
        shard,
        bound,
        turn: 1,
        ticket: None,
    };
    let jobs: Vec<(String, Value)> = ShardCount::DEFAULT
        .all(Lane::Mail)
        .map(job)
        .map(|job| Ok((job.key(), serde_json::from_str(&job.to_json())?)))
        .collect::<anyhow::Result<_>>()?;
    Ok(event("notification-batches", jobs.iter().map(|(key, job)| (key.as_str(), job))))
}

fn bound(rig: &Rig, product: &ProductId) -> anyhow::Result<Position> {
    let key = store::json::product_key(product);
    let found = rig.stub.tables.ask("GetItem", &json!({ "TableName": TABLE, "Key": key }))?;
    store::json::bound(&found["Item"]).context("the product has no bound")
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}
