//! One message in the making: lines are added as long as they fit (`state-and-services.md` §13.8).

use super::words::cut;

/// Of a message, and of a line in it.
pub const MESSAGE_BYTES_MAX: usize = 1000;
const EVERYONE: &str = "@everyone ";

/// What is added to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Notice(String),
    /// To one person, whose number on Discord comes first.
    User(String, String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Whether all of the channel are called.
    pub is_everyone: bool,
    notices: Vec<String>,
    /// In the order they were first mentioned in.
    users: Vec<(String, Vec<String>)>,
}

impl Message {
    /// A message of one line, which is cut to what there is room for.
    pub fn of(line: Line, is_everyone: bool) -> Self {
        let mut message = Self { is_everyone, ..Self::default() };
        let called = if is_everyone { EVERYONE.len() } else { 0 };
        match line {
            Line::Notice(text) => {
                message.notices.push(cut(&text, MESSAGE_BYTES_MAX - called).to_owned());
            }
            Line::User(id, text) => {
                let room = MESSAGE_BYTES_MAX.saturating_sub(called + mention(&id).len() + 1);
                message.users.push((id, vec![cut(&text, room).to_owned()]));
            }
        }
        message
    }

    /// This message with one line more; none when it does not fit.
    pub fn with(&self, line: &Line) -> Option<Self> {
        let mut more = self.clone();
        match line {
            Line::Notice(text) => more.notices.push(text.clone()),
            Line::User(id, text) => match more.users.iter_mut().find(|(known, _)| known == id) {
                Some((_, texts)) => texts.push(text.clone()),
                None => more.users.push((id.clone(), vec![text.clone()])),
            },
        }
        (more.text().len() <= MESSAGE_BYTES_MAX).then_some(more)
    }

    pub fn text(&self) -> String {
        let user =
            |(id, texts): &(String, Vec<String>)| format!("{} {}", mention(id), texts.join(" | "));
        let lines = self.notices.iter().cloned().chain(self.users.iter().map(user));
        let called = if self.is_everyone { EVERYONE } else { "" };
        format!("{called}{}", lines.collect::<Vec<_>>().join("\n"))
    }

    /// The text with a link to a page below it, where there is one and room for it.
    pub fn text_with_link(&self, link: &str) -> String {
        let text = self.text();
        let linked = format!("{text}\n[Saved workers]({link})");
        if link.is_empty() || linked.len() > MESSAGE_BYTES_MAX { text } else { linked }
    }

    /// Who may be called by it.
    pub fn users(&self) -> Vec<String> {
        self.users.iter().map(|(id, _)| id.clone()).collect()
    }

    pub fn line_count(&self) -> u64 {
        let texts: usize = self.users.iter().map(|(_, texts)| texts.len()).sum();
        (self.notices.len() + texts) as u64
    }
}

fn mention(id: &str) -> String {
    format!("<@{id}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(text: &str) -> Line {
        Line::Notice(text.to_owned())
    }

    fn user(id: &str, text: &str) -> Line {
        Line::User(id.to_owned(), text.to_owned())
    }

    fn message(is_everyone: bool, lines: &[Line]) -> Message {
        let first = Message::of(lines[0].clone(), is_everyone);
        lines[1..].iter().fold(first, |message, line| message.with(line).unwrap())
    }

    #[test]
    fn notices_come_first_and_each_user_has_one_line() {
        let lines = [user("2", "a"), notice("n"), user("1", "b"), user("2", "c"), notice("m")];
        let message = message(true, &lines);
        assert_eq!(message.text(), "@everyone n\nm\n<@2> a | c\n<@1> b");
        assert_eq!((message.users(), message.line_count()), (vec!["2".into(), "1".into()], 5));
    }

    #[test]
    fn a_line_is_cut_and_one_that_does_not_fit_changes_nothing() {
        for is_everyone in [false, true] {
            for line in [notice(&"é".repeat(600)), user("1234567890", &"é".repeat(600))] {
                let full = Message::of(line, is_everyone);
                assert!((MESSAGE_BYTES_MAX - 1..=MESSAGE_BYTES_MAX).contains(&full.text().len()));
                assert_eq!(full.with(&user("1", "a")), None);
                assert_eq!(full.with(&notice("a")), None);
            }
        }
        let message = Message::of(notice(&"a".repeat(990)), false);
        assert_eq!(message.with(&notice(&"b".repeat(9))).unwrap().text().len(), 1000);
        assert_eq!(message.with(&notice(&"b".repeat(10))), None);
    }

    #[test]
    fn a_link_stands_below_where_there_is_room() {
        let link = "https://pool/saved-workers";
        let message = Message::of(notice("n"), false);
        assert_eq!(message.text_with_link(link), format!("n\n[Saved workers]({link})"));
        assert_eq!(message.text_with_link(""), "n");
        let full = Message::of(notice(&"a".repeat(960)), false);
        assert_eq!(full.text_with_link(link), full.text());
    }
}
