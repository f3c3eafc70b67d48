//! The one table. Each kind of item has a module with its key, its record and its operations by name; the guarantee of
//! each conditional write is the doc comment of its operation. No other crate names an attribute, builds an expression or
//! sees the client.
//!
//! | item | pk | sk | module |
//! |---|---|---|---|
//! | subscription | `S#<person>` | `P#<product>` | [`subscription`] |
//! | person | `S#<person>` | `PERSON` | [`person`] |
//! | consent | `S#<person>` | `C#<ask>` | [`consent`] |
//! | suppression in the list | `SUPPRESSED#<bucket>` | `<person>` | [`suppressed`] |
//! | user | `U#<user>` | `S#<person>` | [`user`] |
//! | waitlist entry | `W#<product>#<shard>` | `E#<position>` | [`waitlist`] |
//! | shard cursor | `W#<product>#<shard>` | `CURSOR` | [`cursor`] |
//! | product | `P#<product>` | `STATE` | [`product`] |
//! | plans of a product | `P#<product>` | `PLAN#<bound>#<restock>` | [`summary`] |
//! | restock summary | `R#<restock>` | `SUMMARY`, `SHARD#<shard>`, `FAILED#<position>` | [`summary`] |
//! | what came back of a restock | `R#<restock>` | `FEEDBACK` | [`feedback`] |
//! | event of SES's that was worked on | `F#<event>` | `EVENT` | [`feedback`] |
//! | unfinished fan-out | `OPEN#<bucket>` | `<product>#<shard>` | [`fanout`] |
//! | timer of a product | `DUE#<bucket>` | `<time>#<product>` | [`timer`] |
//! | limit | `L#<kind>#<hash>` | `TAT` | [`limit`] |
//! | used solution of a challenge | `L#solution#<hash>` | `USED` | [`limit`] |
//! | send budget, and whether it is paused | `RATE#<sender>` | `TAT` | [`budget`], [`sending`] |
//! | what came back in an hour | `RATE#<sender>` | `HOUR#<hour>` | [`feedback`], [`sending`] |
//! | name of a restock | `I#<restock>` | `NAME` | [`name`] |
//! | update whose planning failed | `UNPLANNED` | `<product>` | [`unplanned`] |
//! | an item that cannot be read | `UNREADABLE` | `<pk>\|<sk>` of it | [`unreadable`] |
//!
//! A product or restock stands in a key as [`ProductId::key_part`] writes it, without `#`: so no two of them meet in
//! one key. The longest is three times 255 bytes, and DynamoDB takes 2,048 bytes in a partition key and 1,024 in a
//! sort key: "Quotas in Amazon DynamoDB", developer guide.
//!
//! `CURSOR` sorts before every `E#`, so the last item of a shard is its last entry, or its cursor where the shard never
//! had an entry.
//!
//! A record that `domain` decides with (a product, a cursor, a tally) is `domain`'s; every other one is its module's.
//! The crate has no clock: times and tokens are handed in. Its only dice are for the pauses between repeats.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use domain::{ProductId, Shard};

mod batch;
pub mod budget;
pub mod consent;
pub mod cursor;
pub mod erase;
pub mod error;
pub mod fanout;
pub mod feedback;
mod item;
pub mod json;
pub mod limit;
pub mod name;
pub mod outcome;
pub mod people;
pub mod person;
pub mod product;
pub mod release;
mod request;
pub mod schema;
pub mod sending;
pub mod subscription;
pub mod summary;
pub mod suppressed;
#[cfg(feature = "test-util")]
pub mod test_util;
pub mod timer;
mod transaction;
pub mod unplanned;
pub mod unreadable;
pub mod user;
pub mod waitlist;
pub mod wave;

pub use error::StoreError;
pub use item::ItemKey;
pub use outcome::Outcome;

use budget::SendBudget;
use consent::Consents;
use cursor::Cursors;
use fanout::FanOuts;
use feedback::Feedback;
use limit::Limits;
use name::Names;
use person::Persons;
use product::Products;
use sending::Sending;
use subscription::Subscriptions;
use summary::Summaries;
use timer::Timers;
use unplanned::UnplannedUpdates;
use unreadable::UnreadableItems;
use user::Users;
use waitlist::Waitlist;

/// The table. A clone is another handle to the same client.
#[derive(Clone)]
pub struct Store {
    client: Client,
    table: String,
}

impl Store {
    /// The table `table` where `aws` says: its region, or the endpoint that it or the environment names.
    pub fn new(aws: &SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(aws), table: table.into() }
    }

    /// The table `table` at `endpoint`; `None`: where `aws` says.
    pub fn at(aws: &SdkConfig, endpoint: Option<&str>, table: impl Into<String>) -> Self {
        let mut config = aws_sdk_dynamodb::config::Builder::from(aws);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        let client = Client::from_conf(config.build());
        Self { client, table: table.into() }
    }

    /// The products.
    pub fn products(&self) -> Products<'_> {
        Products(self)
    }

    /// The cursors of the shards.
    pub fn cursors(&self) -> Cursors<'_> {
        Cursors(self)
    }

    /// One shard of a product's waitlist.
    pub fn waitlist<'a>(&'a self, product: &'a ProductId, shard: Shard) -> Waitlist<'a> {
        Waitlist { store: self, product, shard }
    }

    /// The subscriptions, each with its waitlist entry.
    pub fn subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions(self)
    }

    /// The persons.
    pub fn persons(&self) -> Persons<'_> {
        Persons(self)
    }

    /// The persons who get no email, part by part.
    pub fn suppressed(&self) -> suppressed::List<'_> {
        suppressed::List::of(self)
    }

    /// The consents.
    pub fn consents(&self) -> Consents<'_> {
        Consents(self)
    }

    /// The users.
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }

    /// The limits.
    pub fn limits(&self) -> Limits<'_> {
        Limits(self)
    }

    /// The unfinished fan-outs.
    pub fn fan_outs(&self) -> FanOuts<'_> {
        FanOuts(self)
    }

    /// Plans and results of restocks.
    pub fn summaries(&self) -> Summaries<'_> {
        Summaries(self)
    }

    /// The names of restocks.
    pub fn names(&self) -> Names<'_> {
        Names(self)
    }

    /// The timers.
    pub fn timers(&self) -> Timers<'_> {
        Timers(self)
    }

    /// The stock updates whose planning failed.
    pub fn unplanned(&self) -> UnplannedUpdates<'_> {
        UnplannedUpdates(self)
    }

    /// The items that could not be read.
    pub fn unreadable(&self) -> UnreadableItems<'_> {
        UnreadableItems(self)
    }

    /// What SES reported of emails.
    pub fn feedback(&self) -> Feedback<'_> {
        Feedback(self)
    }

    /// The fan-outs of a sender: whether they pause.
    pub fn sending<'a>(&'a self, sender: &'a str) -> Sending<'a> {
        Sending { store: self, sender }
    }

    /// The send budget of a sender, which it owns a handle for.
    pub fn send_budget(&self, sender: &str) -> SendBudget {
        SendBudget::new(self.clone(), sender)
    }
}
