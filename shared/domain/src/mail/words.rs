//! The words of an email in each language. To add a language, add it here; a locale of any other
//! language reads English.

use crate::rules::Availability;

/// An email's words. `{product}`, `{shop}` and `{name}` stand for what they say.
pub(super) struct Words {
    pub(super) language: &'static str,
    pub(super) in_stock: News,
    pub(super) few_left: News,
    pub(super) backorder: News,
    pub(super) preorder: News,
    pub(super) greeting: &'static str,
    pub(super) greeting_name: &'static str,
    pub(super) action: &'static str,
    pub(super) reason: &'static str,
    pub(super) unsubscribe: &'static str,
    pub(super) alerts: &'static str,
}

/// What there is to tell of a product.
pub(super) struct News {
    pub(super) subject: &'static str,
    pub(super) news: &'static str,
    pub(super) hurry: &'static str,
}

impl Words {
    /// What to tell of a product that is so.
    pub(super) fn news(&self, availability: Availability) -> &News {
        match availability {
            Availability::InStock => &self.in_stock,
            Availability::FewLeft => &self.few_left,
            Availability::Backorder => &self.backorder,
            Availability::Preorder => &self.preorder,
        }
    }
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
    in_stock: News {
        subject: "{product} is back in stock",
        news: "{product} is back in stock at {shop}.",
        hurry: "We notify people in the order they signed up. Stock may be limited.",
    },
    few_left: News {
        subject: "{product} is back in stock, but only a few are left",
        news: "{product} is back in stock at {shop}, but only a few are left.",
        hurry: "We notify people in the order they signed up. It may sell out soon.",
    },
    backorder: News {
        subject: "{product} can be ordered again",
        news: "{product} can be ordered again at {shop}, and will be delivered later.",
        hurry: "We notify people in the order they signed up.",
    },
    preorder: News {
        subject: "{product} can be preordered",
        news: "{product} can be preordered at {shop}, and will be delivered once it is out.",
        hurry: "We notify people in the order they signed up.",
    },
    greeting: "Hello,",
    greeting_name: "Hello {name},",
    action: "See it in the shop",
    reason: "You are receiving this email because you asked {shop} to notify you when {product} is back in stock.",
    unsubscribe: "Unsubscribe from this alert",
    alerts: "All your alerts",
};

const LANGUAGES: [Words; 2] = [
    Words {
        language: "de",
        in_stock: News {
            subject: "{product} ist wieder da",
            news: "{product} ist bei {shop} wieder auf Lager.",
            hurry: "Wir benachrichtigen in der Reihenfolge der Anmeldung. Der Vorrat ist möglicherweise begrenzt.",
        },
        few_left: News {
            subject: "{product} ist wieder da, aber nur wenige",
            news: "{product} ist bei {shop} wieder auf Lager, aber es sind nur wenige da.",
            hurry: "Wir benachrichtigen in der Reihenfolge der Anmeldung. Der Vorrat kann bald vergriffen sein.",
        },
        backorder: News {
            subject: "{product} kann wieder bestellt werden",
            news: "{product} kann bei {shop} wieder bestellt werden und wird später geliefert.",
            hurry: "Wir benachrichtigen in der Reihenfolge der Anmeldung.",
        },
        preorder: News {
            subject: "{product} kann vorbestellt werden",
            news: "{product} kann bei {shop} vorbestellt werden und wird nach dem Erscheinen geliefert.",
            hurry: "Wir benachrichtigen in der Reihenfolge der Anmeldung.",
        },
        greeting: "Guten Tag,",
        greeting_name: "Guten Tag {name},",
        action: "Im Shop ansehen",
        reason: "Sie erhalten diese E-Mail, weil Sie {shop} gebeten haben, Ihnen Bescheid zu geben, sobald {product} wieder da ist.",
        unsubscribe: "Diese Benachrichtigung abbestellen",
        alerts: "Alle Ihre Benachrichtigungen",
    },
    Words {
        language: "fr",
        in_stock: News {
            subject: "{product} est de retour en stock",
            news: "{product} est de nouveau disponible chez {shop}.",
            hurry: "Nous prévenons nos clients dans l’ordre des inscriptions. Le stock peut être limité.",
        },
        few_left: News {
            subject: "{product} est de retour en stock, en petite quantité",
            news: "{product} est de nouveau disponible chez {shop}, mais il n’en reste que peu.",
            hurry: "Nous prévenons nos clients dans l’ordre des inscriptions. Le stock peut être vite épuisé.",
        },
        backorder: News {
            subject: "{product} peut de nouveau être commandé",
            news: "{product} peut de nouveau être commandé chez {shop} et sera livré plus tard.",
            hurry: "Nous prévenons nos clients dans l’ordre des inscriptions.",
        },
        preorder: News {
            subject: "{product} peut être précommandé",
            news: "{product} peut être précommandé chez {shop} et sera livré dès sa sortie.",
            hurry: "Nous prévenons nos clients dans l’ordre des inscriptions.",
        },
        greeting: "Bonjour,",
        greeting_name: "Bonjour {name},",
        action: "Voir dans la boutique",
        reason: "Vous recevez cet e-mail parce que vous avez demandé à {shop} de vous prévenir dès que {product} serait de nouveau disponible.",
        unsubscribe: "Se désabonner de cette alerte",
        alerts: "Toutes vos alertes",
    },
];
