//! The words of the unsubscribe pages in each language that emails have. To add a language, add it
//! here; a shopper with another language gets English.

/// The pages' words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) language: &'static str,
    /// The page that asks: heading, explanation, button.
    pub(crate) question: &'static str,
    pub(crate) explanation: &'static str,
    pub(crate) button: &'static str,
    /// The page after it.
    pub(crate) done: &'static str,
    pub(crate) done_explanation: &'static str,
    /// The page of a link that is not one of ours.
    pub(crate) invalid: &'static str,
    pub(crate) invalid_explanation: &'static str,
}

/// The words of a language, if there are any.
pub(crate) fn of(language: &str) -> Option<&'static Words> {
    LANGUAGES.iter().find(|words| words.language == language)
}

/// The words of the language that an `Accept-Language` header prefers (RFC 9110, 12.5.4) out of
/// those that there are, else the English ones.
pub(crate) fn preferred(header: Option<&str>) -> &'static Words {
    let mut best: Option<(f32, &'static Words)> = None;
    for range in header.unwrap_or_default().split(',') {
        let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
        let weight = match weight.trim().strip_prefix("q=") {
            None => 1.0,
            Some(weight) => weight.trim().parse().unwrap_or(0.0),
        };
        let language = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        if let Some(words) = of(&language)
            && weight > best.map_or(0.0, |(weight, _)| weight)
        {
            best = Some((weight, words));
        }
    }
    best.map_or(&ENGLISH, |(_, words)| words)
}

const ENGLISH: Words = Words {
    language: "en",
    question: "Stop notifications for this product?",
    explanation: "You asked to be notified when this product is back in stock.",
    button: "Unsubscribe",
    done: "You are unsubscribed",
    done_explanation: "You will not get any more emails about this product.",
    invalid: "This unsubscribe link is not valid",
    invalid_explanation: "Copy the complete link from the email and try again.",
};

const LANGUAGES: [Words; 3] = [
    ENGLISH,
    Words {
        language: "de",
        question: "Benachrichtigungen zu diesem Produkt beenden?",
        explanation: "Sie wollten benachrichtigt werden, sobald dieses Produkt wieder auf Lager ist.",
        button: "Abmelden",
        done: "Sie sind abgemeldet",
        done_explanation: "Sie erhalten keine weiteren E-Mails zu diesem Produkt.",
        invalid: "Dieser Abmeldelink ist ungültig",
        invalid_explanation: "Kopieren Sie den vollständigen Link aus der E-Mail und versuchen Sie es noch einmal.",
    },
    Words {
        language: "fr",
        question: "Ne plus recevoir d’alertes pour ce produit ?",
        explanation: "Vous avez demandé à être prévenu du retour en stock de ce produit.",
        button: "Se désabonner",
        done: "Désabonnement confirmé",
        done_explanation: "Vous ne recevrez plus d’e-mails au sujet de ce produit.",
        invalid: "Ce lien de désabonnement n’est pas valide",
        invalid_explanation: "Copiez le lien complet depuis l’e-mail et réessayez.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_is_preferred_among_those_there_are_is_taken() {
        for (header, language) in [
            (None, "en"),
            (Some(""), "en"),
            (Some("de"), "de"),
            (Some("DE-at"), "de"),
            (Some("ja, fr;q=0.8, de;q=0.9"), "de"),
            (Some("fr;q=0.5,en;q=0.5"), "fr"),
            (Some("de;q=0, fr;q=0.1"), "fr"),
            (Some("de;q=0"), "en"),
            (Some("de;q=x, fr;q= 0.2"), "fr"),
            (Some("*"), "en"),
            (Some("ja"), "en"),
        ] {
            assert_eq!(preferred(header).language, language, "{header:?}");
        }
    }

    #[test]
    fn no_words_need_escaping() {
        for Words {
            question,
            explanation,
            button,
            done,
            done_explanation,
            invalid,
            invalid_explanation,
            ..
        } in LANGUAGES
        {
            for words in [question, explanation, button, done, done_explanation, invalid, invalid_explanation]
            {
                assert!(words.len() > 3 && !words.contains(['<', '>', '&', '"']), "{words}");
            }
        }
    }
}
