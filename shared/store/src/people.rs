//! What is kept of a person, read together: for the page of their alerts, for their data on request, and for the operator.

use domain::alert::{Facts, State};
use domain::{Address, Locale, PersonId, PersonKey, ProductId, UserId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use crate::consent::Consent;
use crate::person::Person;
use crate::subscription::Subscription;
use crate::{Store, StoreError};

/// How many products of a person are looked at side by side.
pub(crate) const SIDE_BY_SIDE: usize = 8;

/// One alert of a person.
pub struct Alert {
    /// The product.
    pub product: ProductId,
    /// Its name, where a stock update said it.
    pub name: Option<String>,
    /// The state.
    pub state: State,
    /// The subscription.
    pub subscription: Subscription,
}

impl Alert {
    /// What people know the product by.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(self.product.as_str())
    }
}

/// Everything that is kept of a person.
#[derive(Default)]
pub struct Everything {
    /// The person.
    pub person: Person,
    /// Their alerts, the newest first.
    pub alerts: Vec<Alert>,
    /// What they said when they asked, the oldest first.
    pub consents: Vec<Consent>,
    /// The number of their items that cannot be read.
    pub unreadable: usize,
}

impl Everything {
    /// The language that the person last asked in.
    pub fn locale(&self) -> Option<&Locale> {
        let alert = self.alerts.first().map(|alert| &alert.subscription.locale);
        alert.or_else(|| self.consents.last().map(|consent| &consent.locale))
    }
}

/// What is known of a person at a glance, which takes the same reads whether anything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// The person.
    pub person: Person,
    /// Whether anything is kept of them, beside that somebody asked for emails to them.
    pub known: bool,
    /// The language that they last asked in.
    pub locale: Option<Locale>,
}

/// Looks at a person.
///
/// # Errors
/// `Unavailable` and `Denied`.
pub async fn glance(store: &Store, person: PersonId, now: Timestamp) -> Result<Glance, StoreError> {
    let (person, subscriptions, consents) = futures::try_join!(
        async { legible(store.persons().read(person).await.map(Some)) },
        store.subscriptions().all_of(person, now),
        store.consents().all_of(person, now)
    )?;
    let (person, (subscriptions, odd), (consents, worse)) =
        (person.unwrap_or_default(), subscriptions, consents);
    let last = subscriptions.iter().map(|(_, found)| found).max_by_key(|found| found.created_at);
    let locale = last.map(|found| &found.locale).or_else(|| consents.last().map(|consent| &consent.locale));
    // Consents alone are the proof that outlives an erasure.
    let known =
        last.is_some() || odd + worse > 0 || person.confirmed_at.is_some() || person.suppressed.is_some();
    Ok(Glance { known, locale: locale.cloned(), person })
}

/// The persons whom a text names: the reader of an address, and those to whom the shop's id of a shopper is linked. A shop
/// may use addresses as its ids.
///
/// # Errors
/// `Unavailable` and `Denied`.
pub async fn named(store: &Store, key: &PersonKey, text: &str) -> Result<Vec<PersonId>, StoreError> {
    let mut persons: Vec<PersonId> = Address::parse(text).iter().map(|address| key.person(address)).collect();
    if let Ok(user) = UserId::parse(text) {
        persons.extend(store.users().persons_of(&user).await?);
    }
    persons.sort_unstable();
    persons.dedup();
    Ok(persons)
}

/// Everything that is kept of a person, strongly consistent, also what has expired and is still there.
///
/// # Errors
/// `Unavailable` and `Denied`.
pub async fn everything(store: &Store, person: PersonId, now: Timestamp) -> Result<Everything, StoreError> {
    let own = async {
        match store.persons().read(person).await {
            Err(error) if error.is_corrupt() => Ok((Person::default(), 1)),
            read => read.map(|person| (person, 0)),
        }
    };
    // Before that time nothing has expired.
    let subscriptions = store.subscriptions().all_of(person, Timestamp::MIN);
    let consents = store.consents().all_of(person, now);
    let ((person, broken), (subscriptions, odd), (consents, worse)) =
        futures::try_join!(own, subscriptions, consents)?;
    let suppressed = person.suppressed.is_some();
    let looks = subscriptions
        .into_iter()
        .map(|(product, subscription)| alert(store, product, subscription, suppressed, now));
    let mut alerts: Vec<Alert> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.subscription.created_at));
    Ok(Everything { person, alerts, consents, unreadable: broken + odd + worse })
}

/// An alert with its state. A product or a cursor that cannot be read keeps no person from what is theirs: without them the
/// product has no name, and nobody was told.
async fn alert(
    store: &Store,
    product: ProductId,
    subscription: Subscription,
    suppressed: bool,
    now: Timestamp,
) -> Result<Alert, StoreError> {
    let known = async { legible(store.products().get(&product).await) };
    let cursor = async { legible(store.cursors().read(&product, subscription.shard).await.map(Some)) };
    let (known, cursor) = futures::try_join!(known, cursor)?;
    let state = State::of(Facts {
        suppressed,
        expired: subscription.is_expired(now),
        pending: subscription.pending.is_some(),
        consumed: cursor.is_some_and(|stored| stored.cursor.is_consumed(subscription.position)),
    });
    let name = known.and_then(|known| known.product).and_then(|info| info.name);
    Ok(Alert { product, name, state, subscription })
}

/// What was read, and nothing where it cannot be.
fn legible<T>(read: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(error) if error.is_corrupt() => Ok(None),
        read => read,
    }
}

/// Everything of some persons, as they get it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    exported_at: Timestamp,
    subscribers: Vec<Exported>,
}

/// Everything of one person.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    /// The hash that the table's keys hold in place of the address.
    subscriber: PersonId,
    confirmed_at: Option<Timestamp>,
    suppression: Option<Suppressed>,
    /// Emails in a row that could not be delivered.
    bounces: u32,
    subscriptions: Vec<ExportedAlert>,
    consents: Vec<ExportedConsent>,
    /// Items that are there and cannot be read.
    unreadable: usize,
}

#[derive(Serialize)]
struct Suppressed {
    reason: &'static str,
    since: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExportedAlert {
    product_id: ProductId,
    product_name: Option<String>,
    state: &'static str,
    asked_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    channel: String,
    locale: Locale,
    user_id: Option<UserId>,
    /// As the ask or the entry in the waitlist holds it, as long as one does.
    email: Option<Address>,
    name: Option<String>,
    kept_until: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExportedConsent {
    product_id: ProductId,
    asked_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    source: String,
    page: Option<String>,
    locale: Locale,
    words: Option<String>,
    kept_until: Option<Timestamp>,
}

impl From<Consent> for ExportedConsent {
    fn from(consent: Consent) -> Self {
        Self {
            product_id: consent.product_id,
            asked_at: consent.asked_at,
            confirmed_at: consent.confirmed_at,
            source: consent.source,
            page: consent.page,
            locale: consent.locale,
            words: consent.words,
            kept_until: Timestamp::from_second(consent.ttl).ok(),
        }
    }
}

impl Export {
    /// Whether nothing at all is kept of any of them.
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }
}

/// Everything that is kept of these persons. One of whom nothing is kept is left out.
///
/// # Errors
/// `Unavailable` and `Denied`.
pub async fn export(store: &Store, persons: &[PersonId], now: Timestamp) -> Result<Export, StoreError> {
    let mut subscribers = Vec::new();
    for &subscriber in persons {
        let Everything { person, alerts, consents, unreadable } = everything(store, subscriber, now).await?;
        // Consents alone are the proof that outlives an erasure: the person is gone.
        if person == Person::default() && alerts.is_empty() && unreadable == 0 {
            continue;
        }
        let looks = alerts.into_iter().map(|alert| exported(store, alert));
        let suppression = person.suppressed;
        subscribers.push(Exported {
            subscriber,
            confirmed_at: person.confirmed_at,
            suppression: suppression
                .map(|found| Suppressed { reason: found.reason.word(), since: found.since }),
            bounces: person.bounces,
            subscriptions: stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?,
            consents: consents.into_iter().map(ExportedConsent::from).collect(),
            unreadable,
        });
    }
    Ok(Export { exported_at: now, subscribers })
}

async fn exported(store: &Store, alert: Alert) -> Result<ExportedAlert, StoreError> {
    let Alert { product, name: product_name, state, subscription } = alert;
    let (email, name) = match subscription.pending {
        Some(pending) => (Some(pending.address), pending.name),
        None => {
            let waitlist = store.waitlist(&product, subscription.shard);
            let entry = legible(waitlist.entry(subscription.position).await)?;
            entry.map_or((None, None), |entry| (Some(entry.address), entry.name))
        }
    };
    Ok(ExportedAlert {
        product_name,
        state: state.word(),
        asked_at: subscription.created_at,
        confirmed_at: subscription.confirmed_at,
        channel: subscription.channel,
        locale: subscription.locale,
        user_id: subscription.user_id,
        email,
        name,
        kept_until: Timestamp::from_second(subscription.ttl).ok(),
        product_id: product,
    })
}
