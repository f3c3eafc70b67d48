//! The words of the pages behind the link that confirms an ask, in each language that emails have.

/// The pages' words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) language: &'static str,
    /// The page that asks: heading, explanation, button.
    pub(crate) question: &'static str,
    pub(crate) explanation: &'static str,
    pub(crate) button: &'static str,
    /// The page after it, and what it says of the product as it is now.
    pub(crate) done: &'static str,
    pub(crate) sold_out: &'static str,
    pub(crate) in_stock: &'static str,
    /// The page after it where the alert was sent already.
    pub(crate) over: &'static str,
    pub(crate) over_explanation: &'static str,
    /// The page of a link whose time is over, or whose ask is gone.
    pub(crate) gone: &'static str,
    pub(crate) gone_explanation: &'static str,
    /// The page of a link that is not one of ours.
    pub(crate) invalid: &'static str,
    pub(crate) invalid_explanation: &'static str,
}

/// The words of a language, else the English ones.
pub(crate) fn of(language: &str) -> &'static Words {
    LANGUAGES.iter().find(|words| words.language == language).unwrap_or(&ENGLISH)
}

const ENGLISH: Words = Words {
    language: "en",
    question: "Confirm your alert?",
    explanation: "You asked to be told by email when this product is back in stock. Press the button to confirm.",
    button: "Confirm",
    done: "You are on the list",
    sold_out: "We will email you once, as soon as the product is back in stock.",
    in_stock: "Good news: the product is in stock right now. If it sells out, we will email you once when it is back.",
    over: "This alert has been sent",
    over_explanation: "You confirmed this alert before, and we have told you. To be told again, ask for a new alert in the shop.",
    gone: "This link has expired",
    gone_explanation: "There is nothing to confirm any more. To be told when the product is back, ask again in the shop.",
    invalid: "This link is not valid",
    invalid_explanation: "Copy the complete link from the email and try again.",
};

const LANGUAGES: [Words; 3] = [
    ENGLISH,
    Words {
        language: "de",
        question: "Benachrichtigung bestätigen?",
        explanation: "Sie wollten per E-Mail benachrichtigt werden, sobald dieses Produkt wieder auf Lager ist. Drücken Sie den \
                      Knopf, um das zu bestätigen.",
        button: "Bestätigen",
        done: "Sie stehen auf der Liste",
        sold_out: "Wir schicken Ihnen eine E-Mail, sobald das Produkt wieder auf Lager ist.",
        in_stock: "Gute Nachricht: Das Produkt ist gerade auf Lager. Falls es ausverkauft wird, schicken wir Ihnen eine E-Mail, \
                   sobald es wieder da ist.",
        over: "Diese Benachrichtigung ist verschickt",
        over_explanation: "Sie haben sie schon bestätigt und von uns erhalten. Für eine weitere melden Sie sich bitte im Shop \
                           noch einmal an.",
        gone: "Dieser Link ist abgelaufen",
        gone_explanation: "Es gibt nichts mehr zu bestätigen. Wenn Sie benachrichtigt werden möchten, melden Sie sich bitte im \
                           Shop noch einmal an.",
        invalid: "Dieser Link ist ungültig",
        invalid_explanation: "Kopieren Sie den vollständigen Link aus der E-Mail und versuchen Sie es noch einmal.",
    },
    Words {
        language: "fr",
        question: "Confirmer votre alerte ?",
        explanation: "Vous avez demandé à être prévenu par e-mail du retour en stock de ce produit. Appuyez sur le bouton pour \
                      confirmer.",
        button: "Confirmer",
        done: "Vous êtes sur la liste",
        sold_out: "Nous vous enverrons un e-mail dès le retour en stock du produit.",
        in_stock: "Bonne nouvelle : le produit est en stock en ce moment. S’il est épuisé, nous vous enverrons un e-mail dès son \
                   retour.",
        over: "Cette alerte a été envoyée",
        over_explanation: "Vous l’aviez confirmée et nous vous avons prévenu. Pour l’être de nouveau, faites une nouvelle demande \
                           dans la boutique.",
        gone: "Ce lien a expiré",
        gone_explanation: "Il n’y a plus rien à confirmer. Pour être prévenu du retour du produit, faites une nouvelle demande dans \
                           la boutique.",
        invalid: "Ce lien n’est pas valide",
        invalid_explanation: "Copiez le lien complet depuis l’e-mail et réessayez.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_of_the_unsubscribe_pages_has_words_that_need_no_escaping() {
        for words in &LANGUAGES {
            assert!(crate::words::of(words.language).is_some() && of(words.language) == words);
            for text in [
                words.question,
                words.explanation,
                words.button,
                words.done,
                words.sold_out,
                words.in_stock,
                words.over,
                words.over_explanation,
                words.gone,
                words.gone_explanation,
                words.invalid,
                words.invalid_explanation,
            ] {
                assert!(text.len() > 3 && !text.contains(['<', '>', '&', '"']), "{text}");
            }
        }
        assert_eq!(of("pt").language, "en");
    }
}
