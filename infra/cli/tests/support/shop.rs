//! HTTP: what shoppers and the inventory service do, the Invoke API, and the inbox.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Shop, until};

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Shop {
    /// A request with a body, of the content type that the story with curl has too.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let url = if path.starts_with('/') { format!("{}{path}", self.api) } else { path.to_owned() };
        let mut request = self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.text().await.unwrap(),
        }
    }

    /// Asks to be told.
    pub(crate) async fn ask(&self, product: &str, wish: Value) -> Answer {
        let path = format!("/products/{product}/subscriptions");
        self.request("POST", &path, &[("content-type", "application/json")], wish.to_string()).await
    }

    /// A new subscription by address alone. Gives whether the product was in stock.
    pub(crate) async fn subscribe(&self, product: &str, email: &str) -> bool {
        let answer = self.ask(product, json!({ "email": email })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["inStock"].as_bool().unwrap()
    }

    /// A stock update that is taken. Gives its restock id.
    pub(crate) async fn stock(&self, product: &str, update: Value) -> String {
        self.stock_as(product, update, &[]).await
    }

    /// The same with more headers.
    pub(crate) async fn stock_as(&self, product: &str, update: Value, headers: &[(&str, &str)]) -> String {
        let answer =
            self.request("PUT", &format!("/products/{product}/stock"), headers, update.to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["restockId"].as_str().unwrap().to_owned()
    }

    /// How many wait.
    pub(crate) async fn waiting(&self, product: &str) -> u64 {
        let answer = self.request("GET", &format!("/products/{product}/subscriptions/count"), &[], "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["waiting"].as_u64().unwrap()
    }

    /// Invokes a function. Gives its answer, or the error document as `Err`.
    pub(crate) async fn invoke(&self, function: &str, payload: &Value) -> Result<Value, Value> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let answer = self.request("POST", &path, &[], payload.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        match answer.header("x-amz-function-error") {
            "" => Ok(answer.json()),
            _ => Err(answer.json()),
        }
    }

    /// The emails to an address, oldest first.
    pub(crate) async fn inbox(&self, to: &str) -> Vec<Value> {
        self.messages(&[("to", to)]).await
    }

    /// All emails, oldest first.
    pub(crate) async fn everything(&self) -> Vec<Value> {
        self.messages(&[]).await
    }

    async fn messages(&self, query: &[(&str, &str)]) -> Vec<Value> {
        let list = self.http.get(&self.ready.inbox).query(query).send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        list["messages"].as_array().unwrap().clone()
    }

    /// The emails to an address once there are `count` of them.
    pub(crate) async fn mails(&self, to: &str, count: usize) -> Vec<Value> {
        until(&format!("{count} mails to {to}"), async || {
            Some(self.inbox(to).await).filter(|mails| mails.len() >= count)
        })
        .await
    }

    /// The one email to an address, once everything that was published is worked off.
    pub(crate) async fn only_mail(&self, to: &str) -> Value {
        self.mails(to, 1).await;
        self.rest().await;
        let mails = self.inbox(to).await;
        assert_eq!(mails.len(), 1, "{mails:#?}");
        mails[0].clone()
    }

    /// How many emails an address has got, once everything that was published is worked off.
    pub(crate) async fn told(&self, to: &str) -> usize {
        self.rest().await;
        self.inbox(to).await.len()
    }

    /// Empties the inbox.
    pub(crate) async fn clear_inbox(&self) {
        let answer = self.request("DELETE", &self.ready.inbox.clone(), &[], "").await;
        assert!(answer.status < 300, "{answer:?}");
    }

    /// Makes SES misbehave. For systems of a test's own.
    pub(crate) async fn ses_faults(&self, faults: Value) {
        let url = format!("{}/_aws/ses/faults", self.ses);
        let answer = self.request("PUT", &url, &[], faults.to_string()).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }
}

/// The text of an email.
pub(crate) fn text(mail: &Value) -> &str {
    mail["Body"]["text_part"].as_str().unwrap()
}

/// The value of an email's tag.
pub(crate) fn tag<'a>(mail: &'a Value, name: &str) -> &'a str {
    named(&mail["Tags"], name)
}

/// The value of an email's header.
pub(crate) fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    named(&mail["Headers"], name)
}

fn named<'a>(list: &'a Value, name: &str) -> &'a str {
    let found = list.as_array().unwrap().iter().find(|pair| pair["Name"] == name);
    found.map_or("", |pair| pair["Value"].as_str().unwrap())
}

/// The link after these words in an email's text.
pub(crate) fn link_after<'a>(mail: &'a Value, words: &str) -> &'a str {
    let (_, rest) = text(mail).split_once(words).unwrap_or_else(|| panic!("{words:?} is not in {mail:#}"));
    rest.split_whitespace().next().unwrap()
}
