//! The two emails that an ask can cause: the one that asks for a confirmation, and the one that says that the person waits. Anybody
//! can cause them for any address, so no word of them comes from the ask: neither a name, nor the id of a product that the shop
//! has never said anything of.

use super::letter::{Content, Letter};
use super::{Shop, alerts_label, fill};
use crate::Locale;
use crate::product::Product;

/// The words of both. `{product}` and `{shop}` stand for what they say, `{hours}` for the time that a link works.
struct Words {
    language: &'static str,
    greeting: &'static str,
    /// A product of which nothing is known.
    some_product: &'static str,
    confirm_subject: &'static str,
    confirm_question: &'static str,
    confirm_explanation: &'static str,
    confirm_action: &'static str,
    confirm_hours: &'static str,
    confirm_ignore: &'static str,
    confirm_reason: &'static str,
    listed_subject: &'static str,
    listed_news: &'static str,
    listed_explanation: &'static str,
    listed_reason: &'static str,
    unsubscribe: &'static str,
}

/// The email that asks a person to confirm.
#[derive(Debug, Clone, Copy)]
pub struct ToConfirm<'a> {
    /// The language of the ask.
    pub locale: &'a Locale,
    /// What is known of the product.
    pub product: Option<&'a Product>,
    /// Where the person confirms.
    pub url: &'a str,
    /// How long that works, in hours.
    pub hours: u32,
    /// Where the person sees and ends their alerts.
    pub alerts_url: &'a str,
}

/// The email that says that a person waits.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// The language of the ask.
    pub locale: &'a Locale,
    /// What is known of the product.
    pub product: Option<&'a Product>,
    /// Where the person leaves.
    pub unsubscribe_url: &'a str,
    /// Where the person sees and ends their alerts.
    pub alerts_url: &'a str,
}

impl ToConfirm<'_> {
    /// The letter.
    pub fn letter(&self, shop: &Sender<'_>) -> Letter {
        let words = of(self.locale);
        let hours = self.hours.to_string();
        let values = [("product", named(self.product, words)), ("shop", shop.name), ("hours", &hours)];
        let filled = |text: &str| fill(text, &values);
        let paragraphs = [words.confirm_question, words.confirm_explanation].map(filled);
        let notes = [words.confirm_hours, words.confirm_ignore].map(filled);
        let content = Content {
            language: words.language,
            subject: &filled(words.confirm_subject),
            greeting: words.greeting,
            paragraphs: &paragraphs,
            action: Some((words.confirm_action, self.url)),
            notes: &notes,
            foot: &shop.foot(filled(words.confirm_reason)),
            links: &[(alerts_label(words.language), self.alerts_url)],
        };
        content.letter()
    }
}

impl Listed<'_> {
    /// The letter.
    pub fn letter(&self, shop: &Sender<'_>) -> Letter {
        let words = of(self.locale);
        let values = [("product", named(self.product, words)), ("shop", shop.name)];
        let filled = |text: &str| fill(text, &values);
        let paragraphs = [words.listed_news, words.listed_explanation].map(filled);
        let content = Content {
            language: words.language,
            subject: &filled(words.listed_subject),
            greeting: words.greeting,
            paragraphs: &paragraphs,
            action: None,
            notes: &[],
            foot: &shop.foot(filled(words.listed_reason)),
            links: &[
                (words.unsubscribe, self.unsubscribe_url),
                (alerts_label(words.language), self.alerts_url),
            ],
        };
        content.letter()
    }
}

/// The shop as the foot of a letter has it.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its postal address.
    pub address: Option<&'a str>,
}

impl<'a> From<&'a Shop> for Sender<'a> {
    fn from(shop: &'a Shop) -> Self {
        Self { name: &shop.name, address: shop.address.as_deref() }
    }
}

impl Sender<'_> {
    /// The small lines: why the letter was sent, and the postal address.
    pub fn foot(&self, reason: String) -> Vec<String> {
        [Some(reason), self.address.map(str::to_owned)].into_iter().flatten().collect()
    }
}

/// What the emails call a product: as the shop does, where it has ever spoken of it.
fn named<'a>(product: Option<&'a Product>, words: &Words) -> &'a str {
    product.and_then(|known| known.product.as_ref()?.name.as_deref()).unwrap_or(words.some_product)
}

fn of(locale: &Locale) -> &'static Words {
    LANGUAGES.iter().find(|words| words.language == locale.language()).unwrap_or(&ENGLISH)
}

const ENGLISH: Words = Words {
    language: "en",
    greeting: "Hello,",
    some_product: "the product you asked for",
    confirm_subject: "Please confirm your alert for {product}",
    confirm_question: "Shall we tell you when {product} is back in stock?",
    confirm_explanation: "This address was entered at {shop} to be told by email, once, as soon as it can be bought again. \
        If that was you, please confirm.",
    confirm_action: "Confirm",
    confirm_hours: "The link works for {hours} hours. Until you confirm, we keep the place in line of the moment you asked.",
    confirm_ignore: "You did not ask? Ignore this email: without your confirmation we send no alert and forget the request.",
    confirm_reason: "You are receiving this email because this address was entered at {shop}.",
    listed_subject: "You are on the list for {product}",
    listed_news: "You are on the list for {product}.",
    listed_explanation: "We send you one email as soon as it is back in stock. There is nothing else to do.",
    listed_reason: "You are receiving this email because this address was entered at {shop}, and you are on the list.",
    unsubscribe: "Unsubscribe from this alert",
};

const LANGUAGES: [Words; 2] = [
    Words {
        language: "de",
        greeting: "Guten Tag,",
        some_product: "das gewünschte Produkt",
        confirm_subject: "Bitte bestätigen: Benachrichtigung für {product}",
        confirm_question: "Sollen wir Ihnen Bescheid geben, sobald {product} wieder auf Lager ist?",
        confirm_explanation: "Diese Adresse wurde bei {shop} eingegeben, um einmal per E-Mail benachrichtigt zu werden, sobald \
            man es wieder kaufen kann. Wenn Sie das waren, bestätigen Sie bitte.",
        confirm_action: "Bestätigen",
        confirm_hours: "Der Link gilt {hours} Stunden. Bis Sie bestätigen, bleibt Ihnen der Platz in der Reihe, an dem Sie sich \
            angemeldet haben.",
        confirm_ignore: "Sie waren das nicht? Dann ignorieren Sie diese E-Mail: Ohne Ihre Bestätigung schicken wir keine \
            Benachrichtigung und vergessen die Anfrage.",
        confirm_reason: "Sie erhalten diese E-Mail, weil diese Adresse bei {shop} eingegeben wurde.",
        listed_subject: "Sie stehen auf der Liste: {product}",
        listed_news: "Sie stehen auf der Liste für {product}.",
        listed_explanation: "Wir schicken Ihnen eine E-Mail, sobald es wieder auf Lager ist. Mehr ist nicht zu tun.",
        listed_reason: "Sie erhalten diese E-Mail, weil diese Adresse bei {shop} eingegeben wurde und auf der Liste steht.",
        unsubscribe: "Diese Benachrichtigung abbestellen",
    },
    Words {
        language: "fr",
        greeting: "Bonjour,",
        some_product: "le produit demandé",
        confirm_subject: "Merci de confirmer votre alerte : {product}",
        confirm_question: "Souhaitez-vous être prévenu du retour en stock ? Article : {product}",
        confirm_explanation: "Cette adresse a été saisie chez {shop} pour être prévenue par e-mail, une seule fois, dès que cet \
            article pourra de nouveau être acheté. Si c’était vous, merci de confirmer.",
        confirm_action: "Confirmer",
        confirm_hours: "Le lien est valable {hours} heures. Jusqu’à votre confirmation, vous gardez la place que vous aviez au \
            moment de votre demande.",
        confirm_ignore: "Ce n’était pas vous ? Ignorez cet e-mail : sans votre confirmation, nous n’envoyons aucune alerte et \
            oublions la demande.",
        confirm_reason: "Vous recevez cet e-mail parce que cette adresse a été saisie chez {shop}.",
        listed_subject: "Vous êtes sur la liste : {product}",
        listed_news: "Vous êtes sur la liste d’attente. Article : {product}",
        listed_explanation: "Nous vous enverrons un e-mail dès son retour en stock. Vous n’avez rien d’autre à faire.",
        listed_reason: "Vous recevez cet e-mail parce que cette adresse a été saisie chez {shop} et figure sur la liste.",
        unsubscribe: "Se désabonner de cette alerte",
    },
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    const SHOP: Sender<'_> = Sender { name: "Corner & Shop", address: Some("1 High Street, Springfield") };

    #[test]
    fn the_texts_of_both_in_each_language() {
        for locale in ["en", "de-AT", "fr", "pt"] {
            let locale = Locale::parse(locale).unwrap();
            let (url, product) = ("https://shop.example/confirm/t0ken", None);
            let alerts_url = "https://shop.example/alerts/t0ken";
            let confirm = ToConfirm { locale: &locale, product, url, hours: 48, alerts_url }.letter(&SHOP);
            let unsubscribe_url = "https://shop.example/unsubscribe/t0ken";
            let listed = Listed { locale: &locale, product, unsubscribe_url, alerts_url }.letter(&SHOP);
            let both = [confirm, listed].map(|letter| {
                assert!(letter.html.contains("1 High Street, Springfield") && letter.html.contains("t0ken"));
                assert!(!letter.html.contains('{') && !letter.text.contains('{'), "{}", letter.text);
                format!("Subject: {}\n\n{}", letter.subject, letter.text)
            });
            insta::assert_snapshot!(format!("asked_{}", locale.as_str()), both.join("\n=====\n\n"));
        }
    }

    #[test]
    fn without_a_postal_address_there_is_no_line_for_it() {
        let shop = Sender { name: "Shop", address: None };
        assert_eq!(shop.foot("why".to_owned()), ["why"]);
        assert_eq!(SHOP.foot("why".to_owned()), ["why", "1 High Street, Springfield"]);
    }
}
