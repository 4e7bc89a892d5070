//! Lists in parts: which part is asked for, what is looked for, and how to come back to the same
//! place after something has been done (`web.md` §6.9).

use serde::Serialize;

use super::super::account::Fields;
use super::super::format;

const PER_PAGE: usize = 25;
const PER_PAGE_MAX: usize = 200;
/// What the page offers.
const SIZES: [usize; 4] = [10, 25, 50, 100];
/// What is looked for is not longer than what is looked through.
const SEARCH_BYTES_MAX: usize = 256;

/// Which part of a list, and of which of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    page: usize,
    per_page: usize,
    /// As it was typed.
    search: String,
    /// In lower case.
    needle: String,
}

/// One part, as the template shows it.
#[derive(Debug, Serialize)]
pub struct Part {
    pub page: usize,
    pub per_page: usize,
    pub search: String,
    pub sizes: [usize; 4],
    /// From 1; 0 when there is nothing.
    pub from: usize,
    pub to: usize,
    pub total: usize,
    /// Queries of the neighbouring parts.
    pub previous: Option<String>,
    pub next: Option<String>,
}

impl Wanted {
    /// Of a query, or of a form that carries it on.
    pub fn of(fields: &Fields) -> Self {
        let number = |name: &str| fields.get(name).parse::<usize>().ok();
        let search = fields.get("q");
        let search = search[..search.floor_char_boundary(SEARCH_BYTES_MAX)].to_owned();
        Self {
            page: number("page").unwrap_or(1).max(1),
            per_page: match number("per_page") {
                None | Some(0) => PER_PAGE,
                Some(count) => count.min(PER_PAGE_MAX),
            },
            needle: search.to_lowercase(),
            search,
        }
    }

    /// Whether a row that shows these texts is looked for.
    pub fn is_found(&self, texts: &[&str]) -> bool {
        self.needle.is_empty() || texts.iter().any(|text| self.is_in(text))
    }

    /// Most texts are ASCII, and there may be a hundred thousand to look through.
    fn is_in(&self, text: &str) -> bool {
        if !text.is_ascii() {
            return text.to_lowercase().contains(&self.needle);
        }
        let needle = self.needle.as_bytes();
        text.as_bytes().windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle))
    }

    /// Everything is looked for.
    pub fn is_all(&self) -> bool {
        self.needle.is_empty()
    }

    /// The wanted part of all rows that are found; past the last one it is the last one.
    pub fn part<'a, T>(&self, rows: &'a [T]) -> (&'a [T], Part) {
        let total = rows.len();
        let page = self.page.min(total.div_ceil(self.per_page)).max(1);
        let start = (page - 1) * self.per_page;
        let end = (start + self.per_page).min(total);
        let part = Part {
            page,
            per_page: self.per_page,
            search: self.search.clone(),
            sizes: SIZES,
            from: if total == 0 { 0 } else { start + 1 },
            to: end,
            total,
            previous: (page > 1).then(|| self.query(page - 1)),
            next: (end < total).then(|| self.query(page + 1)),
        };
        (&rows[start..end], part)
    }

    /// The address of the same place on the page at `path`.
    pub fn place(&self, path: &str) -> String {
        format!("{path}?{}", self.query(self.page))
    }

    fn query(&self, page: usize) -> String {
        let mut query = format!("page={page}&per_page={}", self.per_page);
        if !self.search.is_empty() {
            query += "&q=";
            query += &format::url_encoded(&self.search);
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Wanted {
        Wanted::of(&Fields::of_form(query).unwrap())
    }

    #[test]
    fn a_part_is_within_the_list_and_knows_its_neighbours() {
        let rows: Vec<usize> = (1..=60).collect();
        for (query, from, to, page, previous, next) in [
            ("", 1, 25, 1, None, Some("page=2&per_page=25")),
            ("page=2", 26, 50, 2, Some("page=1&per_page=25"), Some("page=3&per_page=25")),
            ("page=99", 51, 60, 3, Some("page=2&per_page=25"), None),
            ("page=0&per_page=0", 1, 25, 1, None, Some("page=2&per_page=25")),
            ("page=-1&per_page=x", 1, 25, 1, None, Some("page=2&per_page=25")),
            ("per_page=1000", 1, 60, 1, None, None),
            (
                "page=2&per_page=10&q=a%26b",
                11,
                20,
                2,
                Some("page=1&per_page=10&q=a%26b"),
                Some("page=3&per_page=10&q=a%26b"),
            ),
        ] {
            let wanted = wanted(query);
            let (shown, part) = wanted.part(&rows);
            assert_eq!((shown[0], *shown.last().unwrap()), (from, to), "{query}");
            assert_eq!((part.from, part.to, part.page, part.total), (from, to, page, 60));
            assert_eq!((part.previous.as_deref(), part.next.as_deref()), (previous, next));
        }
        let (shown, part) = wanted("page=7").part::<u8>(&[]);
        assert!(shown.is_empty());
        assert_eq!((part.from, part.to, part.page, part.next), (0, 0, 1, None));
    }

    #[test]
    fn what_is_looked_for_is_found_in_any_text_and_case() {
        let wanted = wanted("q=+Ga%C3%84+");
        assert!(wanted.is_found(&["x", "a GAär b"]) && !wanted.is_found(&["ga", "x"]));
        assert_eq!(wanted.place("/p"), "/p?page=1&per_page=25&q=Ga%C3%84");
        assert!(super::tests::wanted("").is_found(&[]));
    }
}
