//! The words of the pages that answer a form, in each language that emails have.

use crate::words;

/// A page: its heading, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) title: &'static str,
    pub(super) explanation: &'static str,
}

/// The pages of a language.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) language: &'static str,
    /// The person waits.
    pub(super) waiting: Text,
    /// The person waits for what is there.
    pub(super) in_stock: Text,
    /// The ask is taken; whether there is more to do is in an email, if one is sent.
    pub(super) accepted: Text,
    /// The address cannot be used.
    pub(super) address: Text,
    /// Something else cannot be used.
    pub(super) invalid: Text,
    /// Too many asks.
    pub(super) limited: Text,
    /// A challenge must be solved.
    pub(super) challenge: Text,
    /// Something does not answer.
    pub(super) unavailable: Text,
}

/// The pages in the language of these words.
pub(super) fn of(other: &words::Words) -> &'static Words {
    LANGUAGES.iter().find(|words| words.language == other.language).unwrap_or(&ENGLISH)
}

const fn text(title: &'static str, explanation: &'static str) -> Text {
    Text { title, explanation }
}

const ENGLISH: Words = Words {
    language: "en",
    waiting: text("You are on the list", "We will email you once this product is back in stock."),
    in_stock: text(
        "This product is in stock",
        "You can buy it now. Should it sell out, we will email you when it is back.",
    ),
    accepted: text(
        "Thank you",
        "Please look into your inbox: if your address has to be confirmed, you find an email with a button there.",
    ),
    address: text(
        "This email address cannot be used",
        "Please go back, check the address, and send the form again.",
    ),
    invalid: text("This form cannot be read", "Please go back and fill it in again."),
    limited: text("Too many requests", "Please wait for some minutes, go back, and send the form again."),
    challenge: text(
        "This form has to be checked",
        "A check against robots is missing or has expired. Please go back, switch JavaScript on if it is off, and send the form again.",
    ),
    unavailable: text(
        "That did not work",
        "Nothing is lost. Please go back in a moment and send the form again.",
    ),
};

const LANGUAGES: [Words; 3] = [
    ENGLISH,
    Words {
        language: "de",
        waiting: text(
            "Sie stehen auf der Liste",
            "Wir schreiben Ihnen eine E-Mail, sobald dieses Produkt wieder auf Lager ist.",
        ),
        in_stock: text(
            "Dieses Produkt ist auf Lager",
            "Sie können es jetzt kaufen. Sollte es ausverkauft sein, schreiben wir Ihnen, sobald es wieder da ist.",
        ),
        accepted: text(
            "Vielen Dank",
            "Bitte sehen Sie in Ihr Postfach: Muss Ihre Adresse noch bestätigt werden, liegt dort eine E-Mail mit einer Schaltfläche.",
        ),
        address: text(
            "Diese E-Mail-Adresse kann nicht verwendet werden",
            "Bitte gehen Sie zurück, prüfen Sie die Adresse und senden Sie das Formular noch einmal ab.",
        ),
        invalid: text(
            "Dieses Formular ist nicht lesbar",
            "Bitte gehen Sie zurück und füllen Sie es noch einmal aus.",
        ),
        limited: text(
            "Zu viele Anfragen",
            "Bitte warten Sie einige Minuten, gehen Sie zurück und senden Sie das Formular noch einmal ab.",
        ),
        challenge: text(
            "Dieses Formular muss geprüft werden",
            "Eine Prüfung gegen Roboter fehlt oder ist abgelaufen. Bitte gehen Sie zurück, schalten Sie JavaScript ein, falls es aus ist, \
             und senden Sie das Formular noch einmal ab.",
        ),
        unavailable: text(
            "Das hat nicht geklappt",
            "Es ist nichts verloren. Bitte gehen Sie gleich zurück und senden Sie das Formular noch einmal ab.",
        ),
    },
    Words {
        language: "fr",
        waiting: text(
            "Vous êtes sur la liste",
            "Nous vous enverrons un e-mail dès que ce produit sera de nouveau en stock.",
        ),
        in_stock: text(
            "Ce produit est en stock",
            "Vous pouvez l’acheter maintenant. S’il venait à s’épuiser, nous vous écririons à son retour.",
        ),
        accepted: text(
            "Merci",
            "Veuillez consulter votre boîte de réception : si votre adresse doit être confirmée, vous y trouverez un e-mail avec un bouton.",
        ),
        address: text(
            "Cette adresse e-mail ne peut pas être utilisée",
            "Veuillez revenir en arrière, vérifier l’adresse et renvoyer le formulaire.",
        ),
        invalid: text("Ce formulaire est illisible", "Veuillez revenir en arrière et le remplir de nouveau."),
        limited: text(
            "Trop de demandes",
            "Veuillez patienter quelques minutes, revenir en arrière et renvoyer le formulaire.",
        ),
        challenge: text(
            "Ce formulaire doit être vérifié",
            "Une vérification contre les robots manque ou a expiré. Veuillez revenir en arrière, activer JavaScript s’il est désactivé et \
             renvoyer le formulaire.",
        ),
        unavailable: text(
            "Cela n’a pas fonctionné",
            "Rien n’est perdu. Veuillez revenir en arrière dans un instant et renvoyer le formulaire.",
        ),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_page_and_no_words_need_escaping() {
        assert_eq!(LANGUAGES.map(|words| words.language), ["en", "de", "fr"]);
        for Words {
            waiting, in_stock, accepted, address, invalid, limited, challenge, unavailable, ..
        } in LANGUAGES
        {
            for Text { title, explanation } in
                [waiting, in_stock, accepted, address, invalid, limited, challenge, unavailable]
            {
                for words in [title, explanation] {
                    assert!(words.len() > 3 && !words.contains(['<', '>', '&', '"']), "{words}");
                }
            }
        }
    }

    #[test]
    fn words_are_found_by_their_language() {
        for language in ["en", "de", "fr"] {
            assert_eq!(words::of(language).map(|words| of(words).language), Some(language));
        }
    }
}
