//! The words of the page of a person's alerts, and of the email with its link, in each language that emails have. `{shop}` and
//! `{product}` stand for what they say.

use domain::alert::State;

/// The words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) language: &'static str,
    pub(crate) title: &'static str,
    pub(crate) none: &'static str,
    pub(crate) since: &'static str,
    /// Pending, waiting, told, expired, suppressed.
    pub(crate) states: [&'static str; 5],
    pub(crate) leave: &'static str,
    pub(crate) leave_all: &'static str,
    pub(crate) data: &'static str,
    pub(crate) export: &'static str,
    pub(crate) never: &'static str,
    pub(crate) never_explanation: &'static str,
    pub(crate) erase: &'static str,
    pub(crate) erase_question: &'static str,
    pub(crate) erase_explanation: &'static str,
    pub(crate) erase_yes: &'static str,
    pub(crate) back: &'static str,
    /// What was done.
    pub(crate) left: &'static str,
    pub(crate) left_all: &'static str,
    pub(crate) nevered: &'static str,
    pub(crate) nevered_explanation: &'static str,
    pub(crate) erased: &'static str,
    pub(crate) erased_explanation: &'static str,
    /// A link that opens nothing, and the form that asks for another.
    pub(crate) expired: &'static str,
    pub(crate) unknown: &'static str,
    pub(crate) ask_explanation: &'static str,
    pub(crate) email: &'static str,
    pub(crate) send: &'static str,
    pub(crate) bad_address: &'static str,
    pub(crate) sent: &'static str,
    pub(crate) sent_explanation: &'static str,
    pub(crate) letter: Letter,
}

/// The words of the email.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) subject: &'static str,
    pub(crate) greeting: &'static str,
    pub(crate) news: &'static str,
    pub(crate) action: &'static str,
    pub(crate) lifetime: &'static str,
    pub(crate) reason: &'static str,
}

impl Words {
    /// The word for a state.
    pub(crate) const fn state(&self, state: State) -> &'static str {
        let [pending, waiting, told, expired, suppressed] = self.states;
        match state {
            State::Pending => pending,
            State::Waiting => waiting,
            State::Told => told,
            State::Expired => expired,
            State::Suppressed => suppressed,
        }
    }
}

/// The words of a language, else the English ones.
pub(crate) fn of(language: &str) -> &'static Words {
    LANGUAGES.iter().find(|words| words.language == language).unwrap_or(&ENGLISH)
}

const ENGLISH: Words = Words {
    language: "en",
    title: "Your alerts",
    none: "You have no alerts.",
    since: "since",
    states: ["unconfirmed", "waiting", "notified", "expired", "suppressed"],
    leave: "End this alert",
    leave_all: "End all alerts",
    data: "Your data",
    export: "Download my data",
    never: "Never write to me again",
    never_explanation: "All alerts end, and this shop sends no more alerts to your address.",
    erase: "Erase my data",
    erase_question: "Erase your data?",
    erase_explanation: "All alerts end, and your address is erased. Only a hash stays: of what you agreed to, as a proof, and of the wish \
                        to get no email, so that it can be kept.",
    erase_yes: "Erase everything",
    back: "Back to your alerts",
    left: "The alert for {product} has ended.",
    left_all: "All alerts have ended.",
    nevered: "You will get no more alerts",
    nevered_explanation: "All alerts have ended. Only you can have this changed: by a word to the shop.",
    erased: "Your data is erased",
    erased_explanation: "All alerts have ended, and your address is erased.",
    expired: "This link has expired",
    unknown: "This link is not valid",
    ask_explanation: "Get a new link to your alerts by email.",
    email: "Your email address",
    send: "Send me a link",
    bad_address: "This is not an email address.",
    sent: "Look into your inbox",
    sent_explanation: "If alerts are kept for this address, an email with a link to them is on its way. The link works for 30 minutes.",
    letter: Letter {
        subject: "Your alerts at {shop}",
        greeting: "Hello,",
        news: "Here are your alerts at {shop}.",
        action: "See my alerts",
        lifetime: "The link works for 30 minutes. With it, everyone can see and end your alerts: forward this email to nobody.",
        reason: "You are receiving this email because a link to your alerts was asked for. If that was not you, you need do nothing.",
    },
};

const GERMAN: Words = Words {
    language: "de",
    title: "Ihre Benachrichtigungen",
    none: "Sie haben keine Benachrichtigungen.",
    since: "seit",
    states: ["unbestätigt", "wartend", "benachrichtigt", "abgelaufen", "gesperrt"],
    leave: "Diese Benachrichtigung beenden",
    leave_all: "Alle Benachrichtigungen beenden",
    data: "Ihre Daten",
    export: "Meine Daten herunterladen",
    never: "Mir nie wieder schreiben",
    never_explanation: "Alle Benachrichtigungen enden, und dieser Shop sendet Ihrer Adresse keine weiteren.",
    erase: "Meine Daten löschen",
    erase_question: "Ihre Daten löschen?",
    erase_explanation: "Alle Benachrichtigungen enden, und Ihre Adresse wird gelöscht. Es bleibt nur ein Hash: zu Ihrer Einwilligung, als \
                        Nachweis, und zum Wunsch, keine E-Mails zu erhalten, damit er eingehalten werden kann.",
    erase_yes: "Alles löschen",
    back: "Zurück zu Ihren Benachrichtigungen",
    left: "Die Benachrichtigung zu {product} ist beendet.",
    left_all: "Alle Benachrichtigungen sind beendet.",
    nevered: "Sie erhalten keine Benachrichtigungen mehr",
    nevered_explanation: "Alle Benachrichtigungen sind beendet. Nur Sie können das ändern lassen: durch ein Wort an den Shop.",
    erased: "Ihre Daten sind gelöscht",
    erased_explanation: "Alle Benachrichtigungen sind beendet, und Ihre Adresse ist gelöscht.",
    expired: "Dieser Link ist abgelaufen",
    unknown: "Dieser Link ist ungültig",
    ask_explanation: "Lassen Sie sich einen neuen Link zu Ihren Benachrichtigungen per E-Mail senden.",
    email: "Ihre E-Mail-Adresse",
    send: "Link senden",
    bad_address: "Das ist keine E-Mail-Adresse.",
    sent: "Sehen Sie in Ihr Postfach",
    sent_explanation: "Falls es zu dieser Adresse Benachrichtigungen gibt, ist eine E-Mail mit einem Link unterwegs. Der Link gilt 30 \
                       Minuten.",
    letter: Letter {
        subject: "Ihre Benachrichtigungen bei {shop}",
        greeting: "Guten Tag,",
        news: "Hier sind Ihre Benachrichtigungen bei {shop}.",
        action: "Meine Benachrichtigungen ansehen",
        lifetime: "Der Link gilt 30 Minuten. Mit ihm kann jeder Ihre Benachrichtigungen sehen und beenden: Leiten Sie diese E-Mail nicht \
                   weiter.",
        reason: "Sie erhalten diese E-Mail, weil ein Link zu Ihren Benachrichtigungen angefordert wurde. Waren Sie das nicht, brauchen Sie \
                 nichts zu tun.",
    },
};

const FRENCH: Words = Words {
    language: "fr",
    title: "Vos alertes",
    none: "Vous n’avez aucune alerte.",
    since: "depuis le",
    states: ["provisoire", "active", "envoyée", "expirée", "bloquée"],
    leave: "Arrêter cette alerte",
    leave_all: "Arrêter toutes les alertes",
    data: "Vos données",
    export: "Télécharger mes données",
    never: "Ne plus jamais m’écrire",
    never_explanation: "Toutes les alertes s’arrêtent, et cette boutique n’en envoie plus à votre adresse.",
    erase: "Effacer mes données",
    erase_question: "Effacer vos données ?",
    erase_explanation: "Toutes les alertes s’arrêtent, et votre adresse est effacée. Seule une empreinte reste : celle de votre accord, comme \
                        preuve, et celle du souhait de ne plus recevoir d’e-mails, pour qu’il soit respecté.",
    erase_yes: "Tout effacer",
    back: "Retour à vos alertes",
    left: "L’alerte pour {product} est arrêtée.",
    left_all: "Toutes les alertes sont arrêtées.",
    nevered: "Vous ne recevrez plus d’alertes",
    nevered_explanation: "Toutes les alertes sont arrêtées. Vous seul pouvez faire changer cela : par un mot à la boutique.",
    erased: "Vos données sont effacées",
    erased_explanation: "Toutes les alertes sont arrêtées, et votre adresse est effacée.",
    expired: "Ce lien a expiré",
    unknown: "Ce lien n’est pas valide",
    ask_explanation: "Recevez un nouveau lien vers vos alertes par e-mail.",
    email: "Votre adresse e-mail",
    send: "Envoyer le lien",
    bad_address: "Ce n’est pas une adresse e-mail.",
    sent: "Regardez votre boîte de réception",
    sent_explanation: "Si des alertes existent pour cette adresse, un e-mail avec un lien est en route. Le lien est valable 30 minutes.",
    letter: Letter {
        subject: "Vos alertes chez {shop}",
        greeting: "Bonjour,",
        news: "Voici vos alertes chez {shop}.",
        action: "Voir mes alertes",
        lifetime: "Le lien est valable 30 minutes. Il permet à quiconque de voir et d’arrêter vos alertes : ne transférez pas cet e-mail.",
        reason: "Vous recevez cet e-mail parce qu’un lien vers vos alertes a été demandé. Si ce n’était pas vous, vous n’avez rien à faire.",
    },
};

const LANGUAGES: [Words; 3] = [ENGLISH, GERMAN, FRENCH];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_word_of_its_own_for_each_state_and_another_language_reads_english() {
        for words in &LANGUAGES {
            let mut states = words.states.to_vec();
            assert!(states.iter().all(|state| !state.contains(char::is_whitespace)), "{states:?}");
            states.sort_unstable();
            states.dedup();
            assert_eq!(states.len(), 5, "{}", words.language);
            assert!(words.left.contains("{product}") && words.letter.subject.contains("{shop}"));
        }
        assert_eq!((of("de").language, of("pt").language), ("de", "en"));
    }

    #[test]
    fn the_pages_say_how_long_the_link_really_works() {
        let minutes = (domain::alert::ASKED_LINK.as_secs() / 60).to_string();
        for words in &LANGUAGES {
            assert!(words.letter.lifetime.contains(&minutes) && words.sent_explanation.contains(&minutes));
        }
    }
}
