#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput};
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{
    Body, BulkEmailContent, BulkEmailEntry, BulkEmailStatus, Content, Destination, EmailContent,
    EmailTemplateContent, Message, MessageHeader, MessageTag, RawMessage, ReplacementEmailContent,
    ReplacementTemplate, Template,
};
use base64::Engine as _;
use serde_json::{Value, json};

use super::inbox::{Call, Content as Kept, Inbox, New};
use super::wire::{self, Entry, TemplateContent};
use super::{Options, Ses};

type BulkResult = Result<SendBulkEmailOutput, SdkError<SendBulkEmailError>>;

struct Bench {
    ses: Ses,
    client: aws_sdk_sesv2::Client,
    http: reqwest::Client,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let ses = Ses::start(options).await.unwrap();
        let config = aws_sdk_sesv2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("dummy", "dummy", None, None, "test"))
            .endpoint_url(ses.url())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(20)).build())
            .http_client(
                aws_smithy_http_client::Builder::new()
                    .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
                        aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
                    ))
                    .build_https(),
            )
            .build();
        Self {
            ses,
            client: aws_sdk_sesv2::Client::from_conf(config),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn send(&self, entries: Vec<BulkEmailEntry>) -> BulkResult {
        self.bulk(template(), entries).await
    }

    async fn bulk(&self, template: Template, entries: Vec<BulkEmailEntry>) -> BulkResult {
        self.client
            .send_bulk_email()
            .from_email_address("Shop <shop@example.com>")
            .default_content(BulkEmailContent::builder().template(template).build())
            .set_bulk_email_entries(Some(entries))
            .default_email_tags(tag("restock", "r1"))
            .default_email_tags(tag("shard", "0"))
            .configuration_set_name("alerts")
            .send()
            .await
    }

    async fn json(&self, path_and_query: &str) -> Value {
        let url = format!("{}{path_and_query}", self.ses.url());
        self.http.get(url).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    async fn messages(&self, query: &str) -> Vec<Value> {
        self.json(&format!("/_aws/ses{query}")).await["messages"].as_array().unwrap().clone()
    }

    async fn faults(&self, faults: Value) -> reqwest::StatusCode {
        let url = format!("{}/_aws/ses/faults", self.ses.url());
        self.http.put(url).json(&faults).send().await.unwrap().status()
    }

    async fn delete(&self, query: &str) -> u16 {
        let url = format!("{}/_aws/ses{query}", self.ses.url());
        self.http.delete(url).send().await.unwrap().status().as_u16()
    }
}

fn template() -> Template {
    Template::builder()
        .template_content(
            EmailTemplateContent::builder()
                .subject("{{product}} is back, {{name}}")
                .text("Hello {{name}}: {{url}}")
                .html("<p>Hello {{name}}</p>{{price}}")
                .build(),
        )
        .template_data(r#"{"product":"Phone","name":"there","url":"http://x/?a=1&b=2","price":""}"#)
        .headers(header("X-Default", "kept"))
        .headers(header("List-Unsubscribe", "<https://shop.example/default>"))
        .build()
}

fn tag(name: &str, value: &str) -> MessageTag {
    MessageTag::builder().name(name).value(value).build().unwrap()
}

fn header(name: &str, value: &str) -> MessageHeader {
    MessageHeader::builder().name(name).value(value).build().unwrap()
}

fn to(address: &str) -> BulkEmailEntry {
    entry(address, None)
}

fn entry(address: &str, data: Option<&str>) -> BulkEmailEntry {
    let template = ReplacementTemplate::builder().set_replacement_template_data(data.map(Into::into)).build();
    BulkEmailEntry::builder()
        .destination(Destination::builder().to_addresses(address).build())
        .replacement_email_content(ReplacementEmailContent::builder().replacement_template(template).build())
        .build()
}

fn many(count: usize) -> Vec<BulkEmailEntry> {
    (0..count).map(|n| to(&format!("shopper{n}@example.com"))).collect()
}

fn statuses(sent: BulkResult) -> Vec<BulkEmailStatus> {
    sent.unwrap().bulk_email_entry_results().iter().map(|result| result.status().unwrap().clone()).collect()
}

/// The HTTP status, the error's code and its message.
fn refusal<E: ProvideErrorMetadata + std::fmt::Debug>(
    error: &SdkError<E, aws_sdk_sesv2::config::http::HttpResponse>,
) -> (u16, String, String) {
    let status = error.raw_response().expect("an answer").status().as_u16();
    (status, error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
}

fn bad_request(sent: BulkResult) -> String {
    let (status, code, message) = refusal(&sent.expect_err("a refusal"));
    assert_eq!((status, code.as_str()), (400, "BadRequestException"), "{message}");
    message
}

#[tokio::test]
async fn a_bulk_call_is_captured_with_everything_a_recipient_would_get() {
    let bench = Bench::new().await;
    let own = BulkEmailEntry::builder()
        .destination(
            Destination::builder()
                .to_addresses("Ann <ann@example.com>")
                .cc_addresses("cc@example.com")
                .bcc_addresses("bcc@example.com")
                .build(),
        )
        .replacement_email_content(
            ReplacementEmailContent::builder()
                .replacement_template(
                    ReplacementTemplate::builder()
                        .replacement_template_data(r#"{"name":"Ann & <b>Bo</b>"}"#)
                        .build(),
                )
                .build(),
        )
        .replacement_headers(header("list-unsubscribe", "<https://shop.example/unsubscribe/t1>"))
        .replacement_headers(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        .replacement_tags(tag("shard", "7"))
        .build();

    let sent = bench.send(vec![own]).await.unwrap();

    let result = &sent.bulk_email_entry_results()[0];
    assert_eq!(result.status(), Some(&BulkEmailStatus::Success));
    assert_eq!(result.error(), None);
    let messages = bench.messages("").await;
    assert_eq!(messages.len(), 1);
    let mut message = messages[0].clone();
    let taken: jiff::Timestamp = message["Timestamp"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(taken).as_secs() < 60);
    message.as_object_mut().unwrap().remove("Timestamp");
    assert_eq!(
        message,
        json!({
            "Id": result.message_id().unwrap(),
            "Region": "eu-central-1",
            "Source": "Shop <shop@example.com>",
            "Destination": {
                "ToAddresses": ["Ann <ann@example.com>"],
                "CcAddresses": ["cc@example.com"],
                "BccAddresses": ["bcc@example.com"],
            },
            "Subject": "Phone is back, Ann & <b>Bo</b>",
            "Body": {
                "text_part": "Hello Ann & <b>Bo</b>: http://x/?a=1&b=2",
                "html_part": "<p>Hello Ann & <b>Bo</b></p>",
            },
            "TemplateData": r#"{"name":"Ann & <b>Bo</b>","price":"","product":"Phone","url":"http://x/?a=1&b=2"}"#,
            "Headers": [
                {"Name": "X-Default", "Value": "kept"},
                {"Name": "list-unsubscribe", "Value": "<https://shop.example/unsubscribe/t1>"},
                {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
            ],
            "Tags": [{"Name": "restock", "Value": "r1"}, {"Name": "shard", "Value": "7"}],
            "ConfigurationSet": "alerts",
        })
    );
}

#[tokio::test]
async fn fifty_destinations_are_taken_and_none_or_fifty_one_are_refused() {
    let bench = Bench::new().await;
    assert_eq!(statuses(bench.send(many(50)).await), vec![BulkEmailStatus::Success; 50]);
    assert!(bad_request(bench.send(many(51)).await).contains("50"));
    assert!(bad_request(bench.send(Vec::new()).await).contains("destinations"));
    assert_eq!(bench.messages("").await.len(), 50);
}

#[tokio::test]
async fn a_malformed_entry_fails_alone() {
    let bench = Bench::new().await;
    let without = BulkEmailEntry::builder().destination(Destination::builder().build()).build();
    let entries = vec![
        to("good@example.com"),
        without,
        to("no-at-sign"),
        to("nodot@localhost"),
        to("jürgen@example.com"),
        entry("data@example.com", Some("not json")),
        entry("list@example.com", Some("[1]")),
        to("last@example.com"),
    ];
    let sent = bench.send(entries).await.unwrap();
    let results = sent.bulk_email_entry_results();
    let expected = |at: usize| {
        if [0, 7].contains(&at) { BulkEmailStatus::Success } else { BulkEmailStatus::InvalidParameter }
    };
    for (at, result) in results.iter().enumerate() {
        assert_eq!(result.status(), Some(&expected(at)), "entry {at}");
        assert_eq!(result.error().is_some(), result.message_id().is_none(), "entry {at}");
        assert!(!result.error().unwrap_or_default().contains("example.com"), "an error tells no address");
    }
    let captured: Vec<_> =
        bench.messages("").await.iter().map(|mail| mail["Id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(captured, [results[0].message_id().unwrap(), results[7].message_id().unwrap()]);
}

#[tokio::test]
async fn calls_without_sender_or_template_are_refused_with_the_reason() {
    let bench = Bench::new().await;
    let anonymous = bench
        .client
        .send_bulk_email()
        .default_content(BulkEmailContent::builder().template(template()).build())
        .bulk_email_entries(to("a@example.com"))
        .send()
        .await;
    assert!(bad_request(anonymous).contains("FromEmailAddress"));

    let bare = Template::builder().template_data("{}").build();
    assert!(bad_request(bench.bulk(bare, many(1)).await).contains("TemplateContent"));
    let content = EmailTemplateContent::builder().subject("s").build();
    let empty = Template::builder().template_content(content).build();
    assert!(bad_request(bench.bulk(empty, many(1)).await).contains("Html"));
    let content = EmailTemplateContent::builder().subject("{{#if}").text("t").build();
    let broken = Template::builder().template_content(content).build();
    assert!(bad_request(bench.bulk(broken, many(1)).await).contains("unsupported operations"));
    let content = EmailTemplateContent::builder().subject("s").text("t").build();
    let data = Template::builder().template_content(content).template_data("{").build();
    assert!(bad_request(bench.bulk(data, many(1)).await).contains("TemplateData"));

    let stored = Template::builder().template_name("BackInStock").build();
    let (status, code, message) = refusal(&bench.bulk(stored, many(1)).await.unwrap_err());
    assert_eq!((status, code.as_str()), (404, "NotFoundException"));
    assert!(message.contains("BackInStock"));
    assert!(bench.messages("").await.is_empty());
}

#[tokio::test]
async fn headers_and_tags_that_ses_would_refuse_are_refused() {
    let bench = Bench::new().await;
    let with = |headers: Vec<MessageHeader>| {
        let entry = BulkEmailEntry::builder()
            .destination(Destination::builder().to_addresses("a@example.com").build())
            .set_replacement_headers(Some(headers))
            .build();
        bench.send(vec![entry])
    };
    let numbered = |count: usize| (0..count).map(|n| header(&format!("X-{n}"), "v")).collect::<Vec<_>>();
    assert_eq!(statuses(with(numbered(15)).await), [BulkEmailStatus::Success]);
    assert!(bad_request(with(numbered(16)).await).contains("at most 15"));
    assert!(bad_request(with(vec![header("X-Name", "caf\u{e9}")]).await).contains("X-Name"));
    assert!(bad_request(with(vec![header("X-Name", "a\r\nBcc: b@example.com")]).await).contains("X-Name"));
    assert!(bad_request(with(vec![header("X Name", "v")]).await).contains("name"));
    assert!(bad_request(with(vec![header("X-Long", &"v".repeat(871))]).await).contains("870"));
    assert!(bad_request(with(vec![header("Subject", "v")]).await).contains("Subject"));
    let too_many = Template::builder()
        .template_content(EmailTemplateContent::builder().subject("s").text("t").build())
        .set_headers(Some(numbered(16)))
        .build();
    assert!(bad_request(bench.bulk(too_many, many(1)).await).contains("at most 15"));

    let tagged = |name: &str, value: &str| {
        let entry = BulkEmailEntry::builder()
            .destination(Destination::builder().to_addresses("a@example.com").build())
            .replacement_tags(tag(name, value))
            .build();
        bench.send(vec![entry])
    };
    assert_eq!(statuses(tagged("product", "iphone15.a_b-c@d").await), [BulkEmailStatus::Success]);
    let long = "v".repeat(256);
    assert_eq!(statuses(tagged(&long[1..], &long[1..]).await), [BulkEmailStatus::Success]);
    for (name, value, said) in [
        ("", "v", "The tag name must be specified."),
        ("n", "", "The tag value must be specified."),
        (&long, "v", "Tag name cannot exceed 255 characters."),
        ("n", &long, "Tag value cannot exceed 255 characters."),
        (
            "a.b",
            "two words",
            "Invalid tag name <a.b>: only alphanumeric ASCII characters, '_',  '-' are allowed.",
        ),
        (
            "n",
            "two words",
            "Invalid tag value <two words>: only alphanumeric ASCII characters, '_',  '-' , '.', '@' are allowed.",
        ),
    ] {
        assert_eq!(bad_request(tagged(name, value).await), said);
    }
}

#[tokio::test]
async fn a_missing_variable_is_accepted_and_kept_as_a_rendering_failure() {
    let bench = Bench::new().await;
    let template = Template::builder()
        .template_content(EmailTemplateContent::builder().subject("Hi {{name}}").text("t").build())
        .build();
    let entries = vec![entry("ann@example.com", Some(r#"{"name":"Ann"}"#)), to("bob@example.com")];
    assert_eq!(statuses(bench.bulk(template, entries).await), vec![BulkEmailStatus::Success; 2]);

    let messages = bench.messages("").await;
    assert_eq!(messages[0]["Subject"], "Hi Ann");
    assert!(messages[0].get("RenderingFailure").is_none());
    let failed = &messages[1];
    assert!(failed["RenderingFailure"].as_str().unwrap().contains("name"));
    assert_eq!(failed["Body"], json!({"text_part": null, "html_part": null}));
    let event = &failed["Event"];
    assert_eq!(event["eventType"], "Rendering Failure");
    assert_eq!(event["failure"]["errorMessage"], "Attribute 'name' is not present in the rendering data.");
    assert_eq!(event["mail"]["messageId"], failed["Id"]);
    assert_eq!(event["mail"]["destination"], json!(["bob@example.com"]));
    let tags = json!({"restock": ["r1"], "shard": ["0"], "ses:configuration-set": ["alerts"]});
    assert_eq!(event["mail"]["tags"], tags);
    assert!(messages[0].get("Event").is_none());
    assert_eq!(bench.json("/_aws/ses/stats").await["renderingFailures"], 1);
}

#[tokio::test]
async fn an_inline_template_with_a_block_is_refused_in_ses_words() {
    let bench = Bench::new().await;
    let with = |text: &str| {
        Template::builder()
            .template_content(EmailTemplateContent::builder().subject("s").text(text).build())
            .build()
    };
    let error = bench.bulk(with("{{#if price}}{{price}}{{/if}}"), many(1)).await.unwrap_err();
    let error = format!("{error:?}");
    assert!(error.contains("BadRequestException") && error.contains("unsupported operations"), "{error}");
    assert!(bench.messages("").await.is_empty());
}

#[tokio::test]
async fn an_entry_that_is_not_one_address_in_ses_eyes_is_an_invalid_parameter() {
    let bench = Bench::new().await;
    for odd in [
        "a@example.com,b@example.com",
        "a@example.com b@example.com",
        "jo@exa_mple.com",
        "jo@-example.com",
        "jo@example..com",
        "jo@192.0.2.1",
        "jö@example.com",
        "jo@ex%61mple.com",
        ".jo@example.com",
        "jo",
        "a@example.com, Bo <b@example.com>",
        "a@example.com;<b@example.com>",
        "<a@example.com> <b@example.com>",
        "\"Bo <b@example.com>",
        "Bo\r\nBcc: <b@example.com>",
        "jo@example.com>",
        "jo@exämple.com",
    ] {
        let sent = bench.send(vec![to(odd), to("good@example.com")]).await;
        assert_eq!(statuses(sent), [BulkEmailStatus::InvalidParameter, BulkEmailStatus::Success], "{odd}");
    }
}

#[tokio::test]
async fn simulator_addresses_are_captured_and_say_what_they_simulate() {
    let bench = Bench::new().await;
    let mailboxes = ["bounce", "complaint", "suppressionlist", "success", "bounce+label-7"];
    let entries = mailboxes.iter().map(|mailbox| to(&format!("{mailbox}@simulator.amazonses.com"))).collect();
    bench.send(entries).await.unwrap();
    bench.send(vec![to("bounce@example.com")]).await.unwrap();
    let simulated: Vec<_> = bench.messages("").await.iter().map(|mail| mail["simulated"].clone()).collect();
    assert_eq!(
        simulated,
        [
            json!("bounce"),
            json!("complaint"),
            json!("suppressionlist"),
            json!("success"),
            json!("bounce"),
            Value::Null
        ]
    );
}

#[tokio::test]
async fn a_burst_above_the_rate_is_taken_and_the_next_call_is_refused() {
    let bench = Bench::with(Options { max_send_rate: 1.0, ..Options::default() }).await;
    assert_eq!(statuses(bench.send(many(50)).await).len(), 50);
    let (status, code, message) = refusal(&bench.send(many(1)).await.unwrap_err());
    assert_eq!((status, code.as_str()), (429, "TooManyRequestsException"));
    assert_eq!(message, "Maximum sending rate exceeded.");
    assert_eq!(bench.messages("").await.len(), 50);
    let mut stats = bench.json("/_aws/ses/stats").await;
    stats.as_object_mut().unwrap().remove("startedAt").unwrap();
    assert_eq!(
        stats,
        json!({"captured": 50, "calls": 2, "throttled": 1, "overQuota": 0, "renderingFailures": 0})
    );
}

#[tokio::test]
async fn a_quota_that_runs_out_within_a_call_fails_the_rest_and_then_every_call() {
    let bench = Bench::with(Options { max_24_hour_send: 3.0, ..Options::default() }).await;
    let quota = BulkEmailStatus::AccountDailyQuotaExceeded;
    let mut expected = vec![BulkEmailStatus::Success; 3];
    expected.extend([quota.clone(), quota]);
    assert_eq!(statuses(bench.send(many(5)).await), expected);
    let (status, code, message) = refusal(&bench.send(many(1)).await.unwrap_err());
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (400, "LimitExceededException", "Daily message quota exceeded.")
    );
    assert_eq!(bench.messages("").await.len(), 3);
}

#[tokio::test]
async fn get_account_tells_the_quotas_and_what_was_sent() {
    let options = Options { max_send_rate: 200.0, max_24_hour_send: 50_000.0, ..Options::default() };
    let bench = Bench::with(options).await;
    bench.send(many(7)).await.unwrap();
    let account = bench.client.get_account().send().await.unwrap();
    let quota = account.send_quota().unwrap();
    assert!((quota.max_send_rate() - 200.0).abs() < f64::EPSILON);
    assert!((quota.max24_hour_send() - 50_000.0).abs() < f64::EPSILON);
    assert!((quota.sent_last24_hours() - 7.0).abs() < f64::EPSILON);
    assert!(account.sending_enabled() && account.production_access_enabled());
    assert_eq!(account.enforcement_status(), Some("HEALTHY"));
}

#[tokio::test]
async fn single_mails_are_captured_simple_templated_and_raw() {
    let bench = Bench::new().await;
    let send = |content: EmailContent, to: &str| {
        let destination = Destination::builder().to_addresses(to).build();
        bench
            .client
            .send_email()
            .from_email_address("a@example.com")
            .destination(destination)
            .content(content)
            .send()
    };
    let part = |text: &str| Content::builder().data(text).build().unwrap();
    let message = Message::builder()
        .subject(part("Hi {{x}}"))
        .body(Body::builder().text(part("plain")).html(part("<i>rich</i>")).build())
        .headers(header("X-One", "1"))
        .build();
    let sent = send(EmailContent::builder().simple(message).build(), "simple@example.com").await.unwrap();
    send(EmailContent::builder().template(template()).build(), "templated@example.com").await.unwrap();
    let mime = "From: a@example.com\r\nSubject: Raw\r\n\r\nbody";
    let raw = RawMessage::builder().data(Blob::new(mime)).build().unwrap();
    send(EmailContent::builder().raw(raw).build(), "raw@example.com").await.unwrap();

    let messages = bench.messages("").await;
    assert_eq!(messages[0]["Id"], sent.message_id().unwrap());
    assert_eq!(messages[0]["Subject"], "Hi {{x}}");
    assert_eq!(messages[0]["Body"], json!({"text_part": "plain", "html_part": "<i>rich</i>"}));
    assert_eq!(messages[0]["Headers"], json!([{"Name": "X-One", "Value": "1"}]));
    assert_eq!(messages[1]["Subject"], "Phone is back, there");
    let kept =
        base64::engine::general_purpose::STANDARD.decode(messages[2]["RawData"].as_str().unwrap()).unwrap();
    assert_eq!(kept, mime.as_bytes());

    // What the request leaves out stands in the message.
    let mime = "From: Shop <shop@example.com>\r\nTo: in-the-message@example.com\r\n\r\nbody";
    let raw = RawMessage::builder().data(Blob::new(mime)).build().unwrap();
    bench.client.send_email().content(EmailContent::builder().raw(raw).build()).send().await.unwrap();
    let messages = bench.messages("?to=in-the-message@example.com").await;
    assert_eq!(messages[0]["Source"], "Shop <shop@example.com>");

    // Only the request's recipients get it, whatever addresses the message names.
    let raw = |mime: &str| RawMessage::builder().data(Blob::new(mime)).build().unwrap();
    let content = |mime: &str| EmailContent::builder().raw(raw(mime)).build();
    let mime = "From: Shop <shop@example.com>\r\nTo: shown@example.com\r\n\r\nbody";
    send(content(mime), "named@example.com").await.unwrap();
    assert!(bench.messages("?to=shown@example.com").await.is_empty());
    assert_eq!(bench.messages("?to=named@example.com").await[0]["Source"], "a@example.com");

    let alone = async |mime: String| {
        refusal(&bench.client.send_email().content(content(&mime)).send().await.unwrap_err())
    };
    let (status, code, message) = alone("To: a@example.com\r\n\r\nbody".to_owned()).await;
    assert_eq!((status, code.as_str()), (400, "BadRequestException"));
    assert_eq!(message, "Missing required header 'From'.");
    let addresses: Vec<_> = (0..51).map(|n| format!("a{n}@example.com")).collect();
    let crowd = format!("From: a@example.com\r\nTo: {}\r\n\r\nbody", addresses.join(",\r\n "));
    assert!(alone(crowd).await.2.contains("at most 50"));
    assert_eq!(alone("From: a@example.com\r\nTo: undisclosed:;\r\n\r\nb".to_owned()).await.0, 400);

    let unanswered = bench
        .client
        .send_email()
        .from_email_address("a@example.com")
        .destination(Destination::builder().build())
        .content(EmailContent::builder().template(template()).build())
        .send()
        .await;
    assert_eq!(refusal(&unanswered.unwrap_err()).1, "BadRequestException");
}

#[tokio::test]
async fn every_other_call_is_a_clear_4xx() {
    let bench = Bench::new().await;
    let (status, code, message) =
        refusal(&bench.client.list_contacts().contact_list_name("x").send().await.unwrap_err());
    assert_eq!((status, code.as_str()), (404, "UnknownOperationException"));
    assert!(message.contains("SendBulkEmail"));
    let get =
        bench.http.get(format!("{}/v2/email/outbound-bulk-emails", bench.ses.url())).send().await.unwrap();
    assert_eq!(get.status(), 404);
    assert!(get.headers().contains_key("x-amzn-errortype"));
    let garbage = bench.http.post(format!("{}/v2/email/outbound-emails", bench.ses.url()));
    let garbage = garbage.body("secret@example.com").send().await.unwrap();
    assert_eq!(garbage.status(), 400);
    assert!(!garbage.text().await.unwrap().contains("secret@"));
}

#[tokio::test]
async fn asked_for_statuses_hit_their_address_as_often_as_asked() {
    let bench = Bench::new().await;
    let faults = json!({"statuses": {
        "ann@example.com": {"status": "TRANSIENT_FAILURE", "times": 1},
        "bob@example.com": {"status": "MESSAGE_REJECTED"},
    }});
    assert_eq!(bench.faults(faults).await, 204);
    let entries = || vec![to("ann@example.com"), to("Bob <bob@example.com>"), to("eve@example.com")];
    use BulkEmailStatus::{MessageRejected, Success, TransientFailure};
    assert_eq!(statuses(bench.send(entries()).await), [TransientFailure, MessageRejected, Success]);
    assert_eq!(statuses(bench.send(entries()).await), [Success, MessageRejected, Success]);
    assert_eq!(bench.messages("?to=ann@example.com").await.len(), 1);
    assert_eq!(bench.messages("?to=bob@example.com").await.len(), 0);
    assert_eq!(
        bench.json("/_aws/ses/faults").await["statuses"],
        json!({"bob@example.com": {"status": "MESSAGE_REJECTED"}})
    );
    assert_eq!(bench.faults(json!({})).await, 204);
    assert_eq!(statuses(bench.send(entries()).await), vec![Success; 3]);
    assert_eq!(bench.faults(json!({"throtleNext": 1})).await, 400, "a misspelt fault is not silently none");
}

#[tokio::test]
async fn an_entry_can_spoil_its_call_as_often_as_it_is_in_one() {
    let bench = Bench::new().await;
    assert_eq!(bench.faults(json!({"refuseCalls": ["shopper3@example.com"]})).await, 204);
    for _ in 0..2 {
        bad_request(bench.send(many(5)).await);
        bad_request(bench.send(vec![to("Shopper <Shopper3@example.com>")]).await);
    }
    assert!(bench.messages("").await.is_empty());
    assert_eq!(statuses(bench.send(many(3)).await), vec![BulkEmailStatus::Success; 3]);
    assert_eq!(bench.faults(json!({})).await, 204);
    assert_eq!(statuses(bench.send(many(5)).await).len(), 5);
}

#[tokio::test]
async fn the_sandbox_takes_verified_recipients_and_the_simulators_alone() {
    let bench = Bench::new().await;
    let verified = json!({"sandbox": {"verified": ["Ann@example.com", "example.org"]}});
    assert_eq!(bench.faults(verified).await, 204);
    let (yes, no) = (BulkEmailStatus::Success, BulkEmailStatus::MessageRejected);
    for (recipient, expected) in [
        ("ann@example.com", &yes),
        ("Bob <bob@example.com>", &no),
        ("bob@EXAMPLE.org", &yes),
        ("bob@mail.example.org", &yes),
        ("bob@notexample.org", &no),
        ("bounce+1@simulator.amazonses.com", &yes),
    ] {
        assert_eq!(
            statuses(bench.send(vec![to(recipient)]).await),
            std::slice::from_ref(expected),
            "{recipient}"
        );
    }
    let sent = bench.send(vec![to("bob@example.com")]).await.unwrap();
    assert_eq!(
        sent.bulk_email_entry_results()[0].error().unwrap(),
        "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: \
         bob@example.com"
    );
    let single = bench
        .client
        .send_email()
        .from_email_address("a@example.com")
        .destination(Destination::builder().to_addresses("bob@example.com").build())
        .content(EmailContent::builder().template(template()).build())
        .send()
        .await;
    assert_eq!(refusal(&single.unwrap_err()).1, "MessageRejected");
    let production = async || bench.client.get_account().send().await.unwrap().production_access_enabled();
    assert!(!production().await);
    assert_eq!(bench.faults(json!({})).await, 204);
    assert!(production().await);
}

#[tokio::test]
async fn template_data_has_a_limit() {
    let bench = Bench::new().await;
    let data = |length: usize| format!(r#"{{"name":"{}"}}"#, "ü".repeat(length - r#"{"name":""}"#.len()));
    let own = async |length| bench.send(vec![entry("a@example.com", Some(&data(length)))]).await;
    assert_eq!(statuses(own(262_144).await), [BulkEmailStatus::Success]);
    assert!(bad_request(own(262_145).await).contains("ReplacementTemplateData"));
    let content = EmailTemplateContent::builder().subject("s").text("t").build();
    let long = Template::builder().template_content(content).template_data(data(262_145)).build();
    assert!(bad_request(bench.bulk(long, many(1)).await).contains("TemplateData"));
}

#[tokio::test]
async fn asked_for_throttles_and_failures_last_as_many_calls_as_asked() {
    let bench = Bench::new().await;
    bench.faults(json!({"throttleNext": 2})).await;
    for _ in 0..2 {
        assert_eq!(refusal(&bench.send(many(1)).await.unwrap_err()).0, 429);
    }
    bench.send(many(1)).await.unwrap();
    bench.faults(json!({"failNext": 1})).await;
    assert_eq!(refusal(&bench.send(many(1)).await.unwrap_err()).0, 500);
    bench.send(many(1)).await.unwrap();
    assert_eq!(bench.messages("").await.len(), 2);
}

#[tokio::test]
async fn a_dropped_answer_leaves_the_mails_captured_and_the_caller_without_a_word() {
    let bench = Bench::new().await;
    bench.faults(json!({"dropNext": 1})).await;
    let lost = bench.send(many(3)).await.unwrap_err();
    assert!(lost.raw_response().is_none(), "no answer came back: {lost:?}");
    assert!(!matches!(lost, SdkError::TimeoutError(_)), "the connection was closed, not left open");
    assert_eq!(bench.messages("").await.len(), 3);
    bench.send(many(1)).await.unwrap();
}

#[tokio::test]
async fn asked_for_latency_delays_a_call() {
    let bench = Bench::new().await;
    bench.faults(json!({"latencyMs": 300})).await;
    let impatient = tokio::time::timeout(Duration::from_millis(100), bench.send(many(1))).await;
    assert!(impatient.is_err(), "answered before the latency was over");
    bench.faults(json!({})).await;
    bench.send(many(1)).await.unwrap();
}

#[tokio::test]
async fn a_late_answer_leaves_the_mails_captured() {
    let bench = Bench::new().await;
    bench.faults(json!({"answerMs": 60_000})).await;
    let impatient = tokio::time::timeout(Duration::from_secs(1), bench.send(many(2))).await;
    assert!(impatient.is_err(), "answered before it was asked to");
    assert_eq!(bench.messages("").await.len(), 2);
}

#[tokio::test]
async fn the_list_filters_by_id_source_and_recipient_and_pages() {
    let bench = Bench::new().await;
    bench.send(many(40)).await.unwrap();
    bench.send(vec![to("Shopper1@example.com")]).await.unwrap();
    let all = bench.messages("").await;
    assert_eq!(all.len(), 41);
    let ids: Vec<_> = all.iter().map(|mail| mail["Id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.is_sorted() && ids.iter().collect::<HashSet<_>>().len() == 41);
    let ids_of = async |query: &str| -> Vec<String> {
        bench.messages(query).await.iter().map(|mail| mail["Id"].as_str().unwrap().to_owned()).collect()
    };

    assert_eq!(ids_of(&format!("?id={}", ids[5])).await, ids[5..6]);
    assert!(ids_of("?id=nonsense").await.is_empty());
    assert_eq!(ids_of("?email=shop@example.com").await.len(), 41, "by address");
    assert_eq!(ids_of("?email=Shop%20%3Cshop@example.com%3E").await.len(), 41, "by the source as sent");
    assert!(ids_of("?email=other@example.com").await.is_empty());
    assert_eq!(
        ids_of("?to=shopper1@example.com").await,
        [ids[1].clone(), ids[40].clone()],
        "whole, whatever its case"
    );
    assert_eq!(ids_of("?limit=10").await, ids[..10]);
    assert_eq!(ids_of(&format!("?limit=10&after={}", ids[9])).await, ids[10..20]);
    assert_eq!(ids_of("?last=3").await, ids[38..]);
    assert!(ids_of(&format!("?after={}", ids[40])).await.is_empty());
    let bad = bench.http.get(format!("{}/_aws/ses?limit=ten", bench.ses.url())).send().await.unwrap();
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn deleting_takes_out_one_mail_or_all() {
    let bench = Bench::new().await;
    bench.send(many(3)).await.unwrap();
    let id = bench.messages("").await[1]["Id"].as_str().unwrap().to_owned();
    assert_eq!(bench.delete(&format!("?id={id}")).await, 204);
    assert_eq!(bench.delete(&format!("?id={id}")).await, 404);
    assert_eq!(bench.messages("").await.len(), 2);
    assert_eq!(bench.delete("").await, 204);
    assert!(bench.messages("").await.is_empty());
    bench.send(many(1)).await.unwrap();
    assert_eq!(bench.messages("").await.len(), 1);
}

#[tokio::test]
async fn new_mails_are_told_live_and_a_listener_that_reconnects_gets_what_it_missed() {
    let bench = Bench::new().await;
    let listen = async |last: Option<&str>| {
        let mut request = bench.http.get(format!("{}/_aws/ses/events", bench.ses.url()));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        response
    };
    let mut live = listen(None).await;
    bench.send(many(2)).await.unwrap();
    let first = read_events(&mut live, 2).await;
    assert_eq!(first[0]["to"], json!(["shopper0@example.com"]));
    assert_eq!(first[1]["subject"], "Phone is back, there");
    drop(live);

    bench.send(many(2)).await.unwrap();
    let last = first[1]["id"].as_str().unwrap();
    let mut again = listen(Some(last)).await;
    bench.send(many(1)).await.unwrap();
    let told: Vec<_> = read_events(&mut again, 3).await.iter().map(|mail| mail["id"].clone()).collect();
    let kept: Vec<_> =
        bench.messages(&format!("?after={last}")).await.iter().map(|mail| mail["Id"].clone()).collect();
    assert_eq!(told, kept);

    bench.ses.stop().await;
    assert!(again.chunk().await.is_ok(), "a stop ends the stream, it does not tear it");
}

async fn read_events(response: &mut reqwest::Response, count: usize) -> Vec<Value> {
    let mut text = String::new();
    loop {
        let events: Vec<Value> = text
            .split_inclusive("\n\n")
            .filter(|event| event.ends_with("\n\n"))
            .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        if events.len() >= count {
            return events;
        }
        let chunk =
            tokio::time::timeout(Duration::from_secs(20), response.chunk()).await.expect("an event in time");
        text.push_str(std::str::from_utf8(&chunk.unwrap().expect("an open stream")).unwrap());
    }
}

fn kept_in(file: &Path) -> Options {
    Options { file: Some(file.into()), ..Options::default() }
}

#[tokio::test]
async fn a_kept_inbox_is_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inbox.jsonl");
    let bench = Bench::with(kept_in(&file)).await;
    bench.send(many(3)).await.unwrap();
    bench.send(many(2)).await.unwrap();
    let template = Template::builder()
        .template_content(EmailTemplateContent::builder().subject("{{gone}}").text("t").build())
        .build();
    bench.bulk(template, many(1)).await.unwrap();
    let gone = bench.messages("").await[1]["Id"].as_str().unwrap().to_owned();
    assert_eq!(bench.delete(&format!("?id={gone}")).await, 204);
    let before = bench.messages("").await;
    assert_eq!(before.len(), 5);
    bench.ses.stop().await;

    let bench = Bench::with(kept_in(&file)).await;
    assert_eq!(bench.messages("").await, before);
    let account = bench.client.get_account().send().await.unwrap();
    assert!((account.send_quota().unwrap().sent_last24_hours() - 5.0).abs() < f64::EPSILON);
    bench.send(many(1)).await.unwrap();
    bench.ses.stop().await;

    let bench = Bench::with(kept_in(&file)).await;
    assert_eq!(bench.messages("").await.len(), 6);
    assert_eq!(bench.delete("").await, 204);
    bench.ses.stop().await;
    let bench = Bench::with(kept_in(&file)).await;
    assert!(bench.messages("").await.is_empty());
}

#[tokio::test]
async fn a_torn_last_line_is_cut_away_and_what_came_before_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inbox.jsonl");
    let bench = Bench::with(kept_in(&file)).await;
    bench.send(many(3)).await.unwrap();
    bench.ses.stop().await;
    let whole = std::fs::read(&file).unwrap();
    // Torn at every length that a kill in the middle of the last line can leave.
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in last_line + 1..whole.len() {
        std::fs::write(&file, &whole[..cut]).unwrap();
        let inbox = Inbox::open(&file).unwrap();
        assert_eq!(inbox.after(None).len(), 2, "torn after {cut} bytes");
        assert_eq!(std::fs::read(&file).unwrap(), whole[..last_line]);
    }

    let bench = Bench::with(kept_in(&file)).await;
    bench.send(many(1)).await.unwrap();
    assert_eq!(bench.messages("").await.len(), 3, "what follows a cut is readable");
    bench.ses.stop().await;
    assert_eq!(Inbox::open(&file).unwrap().after(None).len(), 3);
}

#[tokio::test]
async fn a_file_that_is_damaged_in_the_middle_or_is_no_inbox_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inbox.jsonl");
    for content in ["{\"call\":{}}\nshopping list\nmilk\n", "shopping list\n", "a note without an end"] {
        std::fs::write(&file, content).unwrap();
        let error = Ses::start(kept_in(&file)).await.err().expect("a refusal");
        assert!(error.to_string().contains("line 1"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
    }
}

#[test]
fn a_million_mails_fit_in_two_gib() {
    let mut inbox = Inbox::in_memory();
    let call = || Call {
        region: "us-east-1".into(),
        source: "Shop <shop@example.com>".into(),
        reply_to: Vec::new(),
        configuration_set: None,
        content: Kept::Template {
            template: TemplateContent {
                subject: Some("s".into()),
                text: Some("t".into()),
                html: Some("h".repeat(20_000)),
            },
            data: Some(format!("{{\"product\":\"{}\"}}", "p".repeat(2_000))),
        },
        headers: Vec::new(),
        tags: Vec::new(),
    };
    let own = || -> Entry {
        serde_json::from_value(json!({
            "Destination": {"ToAddresses": ["a.quite.long.name.of.a.shopper@subdomain.example.com"]},
            "ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData":
                json!({"name": "Some Long Name", "unsubscribe": "u".repeat(160)}).to_string()}},
            "ReplacementHeaders": [
                {"Name": "List-Unsubscribe", "Value": format!("<{}>", "u".repeat(160))},
                {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
            ],
            "ReplacementTags": [{"Name": "restock", "Value": "01JAAAAAAAAAAAAAAAAAAAAAAA"}],
        }))
        .unwrap()
    };
    let new = || New { entry: own(), failure: None, became: None };
    // Two calls with the same content share it.
    for _ in 0..2 {
        inbox.append(call(), vec![new(), new()], 0).unwrap();
    }
    let mails = inbox.after(None);
    assert!(mails.iter().all(|mail| std::sync::Arc::ptr_eq(&mail.call, &mails[0].call)));
    // Twice the pointer, for a list that has just grown.
    let each = mails[3].size() + size_of::<usize>();
    assert!(each * 1_000_000 < 2 * 1024 * 1024 * 1024, "{each} bytes each");
}

#[test]
fn a_clock_that_goes_back_does_not_put_a_new_mail_before_an_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inbox.jsonl");
    let call = r#"{"call":{"n":1,"shared":{"region":"r","source":"s@e.x","content":{"Simple":{"subject":"s","text":null,"html":null}}}}}"#;
    let future = "7ZZZZZZZZZ0000000000000000";
    let mail = format!(r#"{{"mail":{{"id":"{future}","at":1,"call":1,"entry":{{"Destination":{{}}}}}}}}"#);
    std::fs::write(&file, format!("{call}\n{mail}\n")).unwrap();
    let mut inbox = Inbox::open(&file).unwrap();
    let shared = Call {
        region: "r".into(),
        source: "s@e.x".into(),
        reply_to: Vec::new(),
        configuration_set: None,
        content: Kept::Raw { data: String::new() },
        headers: Vec::new(),
        tags: Vec::new(),
    };
    let added =
        inbox.append(shared, vec![New { entry: Entry::default(), failure: None, became: None }], 2).unwrap();
    assert!(added[0].id.to_string().as_str() > future);
    assert_eq!(inbox.after(Some(ulid::Ulid::from_string(future).unwrap())).len(), 1);
}

#[test]
fn addresses_are_read_as_ses_reads_them() {
    for good in [
        "a@b.co",
        "Ann <a+b@c.example.com>",
        "\"Doe, \\\"Jo\\\"\" <a@b.co>",
        "=?UTF-8?B?S8OkdGhl?= <a@b.co>",
        "<a@b.co>",
        "o'neil@x.y",
        "bounce+1@simulator.amazonses.com",
    ] {
        assert!(wire::is_address(good), "{good}");
    }
    for bad in ["", "a", "@b.co", "a@", "a@b", "a@b..co", "a b@c.de", "a@b.c\r\nd", "<>", "é@b.co"] {
        assert!(!wire::is_address(bad), "{bad}");
    }
}

#[tokio::test]
async fn a_stop_finishes_the_call_in_flight() {
    let bench = Bench::new().await;
    bench.faults(json!({"latencyMs": 200})).await;
    let client = bench.client.clone();
    let call = tokio::spawn(async move {
        client
            .send_bulk_email()
            .from_email_address("shop@example.com")
            .default_content(BulkEmailContent::builder().template(template()).build())
            .bulk_email_entries(to("a@example.com"))
            .send()
            .await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.ses.stop().await;
    assert_eq!(statuses(call.await.unwrap()), [BulkEmailStatus::Success]);
}
