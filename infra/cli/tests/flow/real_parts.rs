//! What only Apache Kafka and DynamoDB Local can show.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use crate::support::{PATIENCE, Parts, System, TOPICS};

/// The partitions of each of our topics that is there.
fn partitions(admin: &AdminClient<DefaultClientContext>) -> Vec<(&'static str, i32)> {
    let metadata = admin.inner().fetch_metadata(None, PATIENCE).unwrap();
    let count = |name: &str| {
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        topic.and_then(|topic| i32::try_from(topic.partitions().len()).ok())
    };
    TOPICS.iter().filter_map(|(name, _)| Some((*name, count(name)?))).collect()
}

#[tokio::test]
#[ignore = "the embedded Kafka has its topics from the start: NOTIFY_ME_PARTS=real"]
async fn topics_that_are_missing_are_made_and_those_that_are_there_stay_as_they_are() {
    let parts = Parts::new();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", parts.kafka()).create().unwrap();
    assert_eq!(partitions(&admin), []);
    let own = NewTopic::new("notification-batches", 5, TopicReplication::Fixed(1));
    admin.create_topics([&own], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();

    let mut first = System::start_on(parts.clone(), &[], &[]);

    let expected = [
        ("item-restocked", 3),
        ("notification-batches", 5),
        ("item-restocked-dlq", 1),
        ("notification-batches-dlq", 1),
    ];
    assert_eq!(partitions(&admin), expected);
    let shop = first.shop();
    shop.subscribe("made", "made@example.com").await;
    shop.stock("made", serde_json::json!({ "quantity": 1 })).await;
    shop.only_mail("made@example.com").await;
    first.end("INT");
    // What the first one read is not read again, and its table is still there.
    let second = first.again(&[], &[]);
    assert_eq!(partitions(&admin), expected);
    let shop = second.shop();
    assert_eq!(shop.told("made@example.com").await, 0);
    assert!(shop.subscribe("made", "later@example.com").await, "it is known to be in stock");
}

#[tokio::test]
#[ignore = "the embedded Kafka has its topics from the start: NOTIFY_ME_PARTS=real"]
async fn a_new_kafka_and_a_new_dynamodb_get_all_topics_and_the_table_with_its_ttl() {
    let parts = Parts::new();
    let _system = System::start_on(parts.clone(), &[], &[]);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", parts.kafka()).create().unwrap();
    assert_eq!(partitions(&admin), TOPICS);
    let ttl = parts.table().describe_time_to_live().table_name("notify-me").send().await.unwrap();
    let ttl = ttl.time_to_live_description.unwrap();
    assert_eq!(ttl.attribute_name.as_deref(), Some("ttl"));
    assert_eq!(ttl.time_to_live_status.unwrap().as_str(), "ENABLED");
}
