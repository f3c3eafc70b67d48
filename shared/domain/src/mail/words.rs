//! The words of an email in each language. To add a language, add it here; a locale of any other
//! language reads English.

/// An email's words. `{product}`, `{shop}` and `{name}` stand for what they say.
pub(super) struct Words {
    pub(super) language: &'static str,
    pub(super) subject: &'static str,
    pub(super) greeting: &'static str,
    pub(super) greeting_name: &'static str,
    pub(super) news: &'static str,
    pub(super) hurry: &'static str,
    pub(super) action: &'static str,
    pub(super) reason: &'static str,
    pub(super) unsubscribe: &'static str,
    pub(super) alerts: &'static str,
}

/// What the link to all alerts of a person is called, in a language.
pub fn alerts(language: &str) -> &'static str {
    of(language).alerts
}

/// The words of a language, else the English ones.
pub(super) fn of(language: &str) -> &'static Words {
    LANGUAGES.iter().find(|words| words.language == language).unwrap_or(&ENGLISH)
}

const ENGLISH: Words = Words {
    language: "en",
    subject: "{product} is back in stock",
    greeting: "Hello,",
    greeting_name: "Hello {name},",
    news: "{product} is back in stock at {shop}.",
    hurry: "We notify people in the order they signed up. Stock may be limited.",
    action: "See it in the shop",
    reason: "You are receiving this email because you asked {shop} to notify you when {product} is back in stock.",
    unsubscribe: "Unsubscribe from this alert",
    alerts: "All your alerts",
};

const LANGUAGES: [Words; 2] = [
    Words {
        language: "de",
        subject: "{product} ist wieder da",
        greeting: "Guten Tag,",
        greeting_name: "Guten Tag {name},",
        news: "{product} ist bei {shop} wieder auf Lager.",
        hurry: "Wir benachrichtigen in der Reihenfolge der Anmeldung. Der Vorrat ist möglicherweise begrenzt.",
        action: "Im Shop ansehen",
        reason: "Sie erhalten diese E-Mail, weil Sie {shop} gebeten haben, Ihnen Bescheid zu geben, sobald {product} wieder da ist.",
        unsubscribe: "Diese Benachrichtigung abbestellen",
        alerts: "Alle Ihre Benachrichtigungen",
    },
    Words {
        language: "fr",
        subject: "{product} est de retour en stock",
        greeting: "Bonjour,",
        greeting_name: "Bonjour {name},",
        news: "{product} est de nouveau disponible chez {shop}.",
        hurry: "Nous prévenons nos clients dans l’ordre des inscriptions. Le stock peut être limité.",
        action: "Voir dans la boutique",
        reason: "Vous recevez cet e-mail parce que vous avez demandé à {shop} de vous prévenir dès que {product} serait de nouveau disponible.",
        unsubscribe: "Se désabonner de cette alerte",
        alerts: "Toutes vos alertes",
    },
];
