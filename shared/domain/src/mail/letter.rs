//! An email to one person that is sent by itself, such as one that asks for a confirmation: its text, whole, in one language.

use super::escaped;

const HTML: &str = include_str!("letter.html");

/// An email as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The subject line.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// What a letter says, in plain text; what HTML needs is done here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// The language of all of it, such as `de`.
    pub language: &'a str,
    /// The subject line.
    pub subject: &'a str,
    /// The first line.
    pub greeting: &'a str,
    /// What it is about, a paragraph each; the first stands out.
    pub paragraphs: &'a [String],
    /// A button: its label, and where it leads.
    pub action: Option<(&'a str, &'a str)>,
    /// What follows it, a paragraph each.
    pub notes: &'a [String],
    /// The small lines at the foot: why this was sent, and by whom.
    pub foot: &'a [String],
    /// The small links at the foot: label and target.
    pub links: &'a [(&'a str, &'a str)],
}

impl Content<'_> {
    /// The letter.
    pub fn letter(&self) -> Letter {
        Letter { subject: self.subject.to_owned(), text: self.text(), html: self.html() }
    }

    fn text(&self) -> String {
        let mut parts = vec![self.greeting.to_owned()];
        parts.extend(self.paragraphs.iter().cloned());
        parts.extend(self.action.map(|(label, url)| format!("{label}:\n{url}")));
        parts.extend(self.notes.iter().cloned());
        let links = self.links.iter().map(|(label, url)| format!("{label}: {url}"));
        let foot: Vec<String> = self.foot.iter().cloned().chain(links).collect();
        if !foot.is_empty() {
            parts.push(format!("--\n{}", foot.join("\n")));
        }
        parts.join("\n\n") + "\n"
    }

    fn html(&self) -> String {
        let paragraph = |text: &String| format!("<p style=\"margin:0 0 16px\">{}</p>\n", escaped(text));
        let (title, rest) =
            self.paragraphs.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
        let action = self.action.map(|(label, url)| {
            format!(
                "<p style=\"margin:8px 0 24px\"><a href=\"{}\" style=\"display:inline-block;padding:12px 24px;background:#1d4ed8;\
                 color:#ffffff;text-decoration:none;border-radius:8px;font-weight:600\">{}</a></p>\n",
                escaped(url),
                escaped(label)
            )
        });
        let foot = self.foot.iter().map(|line| escaped(line));
        let links = self.links.iter().map(|(label, url)| {
            format!("<a href=\"{}\" style=\"color:#5b5b55\">{}</a>", escaped(url), escaped(label))
        });
        let body: String =
            rest.iter().map(paragraph).chain(action).chain(self.notes.iter().map(paragraph)).collect();
        let values = [
            ("lang", escaped(self.language)),
            ("greeting", escaped(self.greeting)),
            ("title", escaped(title)),
            ("body", body),
            ("foot", foot.chain(links).collect::<Vec<_>>().join("<br>\n")),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        super::fill(HTML, &values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_letter_says_is_text_in_its_html_and_stands_in_both_parts() {
        let paragraphs = ["<b>First</b>".to_owned(), "Second & last".to_owned()];
        let (notes, foot) = (["A note".to_owned()], ["Corner Shop, 1 High Street".to_owned()]);
        let content = Content {
            language: "en",
            subject: "Subject",
            greeting: "Hello,",
            paragraphs: &paragraphs,
            action: Some(("Press \"here\"", "https://shop.example/?a=1&b={greeting}")),
            notes: &notes,
            foot: &foot,
            links: &[("Your alerts", "https://shop.example/alerts/x")],
        };
        let letter = content.letter();
        assert_eq!(
            letter.text,
            "Hello,\n\n<b>First</b>\n\nSecond & last\n\nPress \"here\":\nhttps://shop.example/?a=1&b={greeting}\n\nA note\n\n\
             --\nCorner Shop, 1 High Street\nYour alerts: https://shop.example/alerts/x\n"
        );
        for part in [
            "lang=\"en\"",
            "&lt;b&gt;First&lt;/b&gt;</h1>",
            "Second &amp; last",
            "href=\"https://shop.example/?a=1&amp;b={greeting}\"",
            "Press &quot;here&quot;",
            "A note",
            "High Street<br>",
        ] {
            assert!(letter.html.contains(part), "{part} is not in {}", letter.html);
        }
    }
}
