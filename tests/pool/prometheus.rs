//! A strict reader of the two formats scrapers take, Prometheus text 0.0.4 and OpenMetrics 1.0:
//! what it refuses, a scraper might refuse.

use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// The format a content type announces.
    pub fn of(content_type: &str) -> Option<Self> {
        let (kind, _) = content_type.split_once(';')?;
        match kind {
            "text/plain" => Some(Self::Text),
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            _ => None,
        }
    }

    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["counter", "gauge", "histogram", "summary", "untyped"],
            Self::OpenMetrics => &["counter", "gauge", "histogram", "summary", "info", "unknown"],
        }
    }

    /// What a sample's name may have behind the name its `TYPE` stands under, and whether it must.
    fn suffixes(self, kind: &str) -> (&'static [&'static str], bool) {
        match (self, kind) {
            (Self::OpenMetrics, "counter") => (&["_total"], true),
            (Self::OpenMetrics, "info") => (&["_info"], true),
            (_, "histogram") => (&["_bucket", "_sum", "_count"], true),
            (_, "summary") => (&["_sum", "_count"], false),
            _ => (&[], false),
        }
    }

    /// The name the `TYPE` of a sample of this kind stands under.
    fn family<'a>(self, name: &'a str, kind: &str) -> Option<&'a str> {
        let (suffixes, required) = self.suffixes(kind);
        let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        if required { family } else { family.or(Some(name)) }
    }
}

/// A value with its name and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// Reads a whole exposition, or says what is wrong with it.
pub fn parse(text: &str, format: Format) -> Result<Vec<Sample>, String> {
    let text = match format {
        Format::Text if text.ends_with('\n') => text,
        Format::Text => return Err("the last line has no end".to_owned()),
        Format::OpenMetrics => {
            text.strip_suffix("# EOF\n").ok_or_else(|| "it does not end in # EOF".to_owned())?
        }
    };
    let mut types: HashMap<&str, &str> = HashMap::new();
    let mut samples: Vec<Sample> = Vec::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            if let Some((name, kind)) = type_of(comment, format)? {
                let late = samples.iter().any(|s| format.family(&s.name, kind) == Some(name));
                if late || types.insert(name, kind).is_some() {
                    return Err(format!("TYPE of {name} comes twice or too late"));
                }
            }
            continue;
        }
        let sample = sample(line).ok_or_else(|| format!("no sample: {line:?}"))?;
        if !types.iter().any(|(name, kind)| format.family(&sample.name, kind) == Some(name)) {
            return Err(format!("{} has no TYPE", sample.name));
        }
        if !seen.insert((sample.name.clone(), sample.labels.clone())) {
            return Err(format!("{line:?} comes twice"));
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// The sum over all labels; `None` when there is no such sample.
pub fn sum(samples: &[Sample], name: &str) -> Option<f64> {
    let mut values = samples.iter().filter(|sample| sample.name == name).map(|s| s.value);
    let first = values.next()?;
    Some(values.fold(first, |sum, value| sum + value))
}

/// The name and kind of a `TYPE` comment.
fn type_of(comment: &str, format: Format) -> Result<Option<(&str, &str)>, String> {
    let mut words = comment.split_whitespace();
    if words.next() != Some("TYPE") {
        return Ok(None);
    }
    match (words.next(), words.next(), words.next()) {
        (Some(name), Some(kind), None) if is_name(name) && format.kinds().contains(&kind) => {
            Ok(Some((name, kind)))
        }
        _ => Err(format!("TYPE is malformed: {comment:?}")),
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' ']).filter(|end| is_name(&line[..*end]))?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse().ok()?;
    // A time in milliseconds may follow.
    if words.next().is_some_and(|time| time.parse::<i64>().is_err()) || words.next().is_some() {
        return None;
    }
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads `key="value",key="value"}` and returns what follows.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (key, value) = rest.split_once("=\"")?;
        let (value, after) = quoted(value)?;
        if !is_name(key) || key.contains(':') || labels.insert(key.to_owned(), value).is_some() {
            return None;
        }
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with('}') => after,
            None => return None,
        };
    }
}

/// Reads to the closing quote and returns what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

#[test]
fn a_sample_has_a_name_labels_and_a_value() {
    let text = "# HELP a_total of a\n# TYPE a_total counter\n\
                a_total{why=\"x\\\"y\",shard=\"0\"} 3\na_total{why=\"z\"} 1e3\n";
    let samples = parse(text, Format::Text).expect("it is well formed");
    assert_eq!(samples[0].labels["why"], "x\"y");
    assert_eq!(sum(&samples, "a_total"), Some(1003.0));
    assert_eq!(sum(&samples, "b"), None);
}

#[test]
fn what_a_scraper_would_refuse_is_refused() {
    for text in [
        "# TYPE a gauge\na 1",
        "a 1\n",
        "# TYPE a gauge\n# TYPE a gauge\na 1\n",
        "# TYPE a thing\na 1\n",
        "# TYPE a gauge\na 1\na 2\n",
        "# TYPE a gauge\na one\n",
        "# TYPE a gauge\na{b=1} 1\n",
        "# TYPE a gauge\na{b=\"c\" 1\n",
        "# TYPE 1a gauge\n1a 1\n",
    ] {
        assert!(parse(text, Format::Text).is_err(), "{text:?}");
    }
}

#[test]
fn open_metrics_has_names_and_an_end_of_its_own() {
    let text = "# TYPE a counter\na_total 1\n# TYPE b info\nb_info{c=\"d\"} 1\n# EOF\n";
    let samples = parse(text, Format::OpenMetrics).expect("it is well formed");
    assert_eq!(sum(&samples, "a_total"), Some(1.0));
    assert!(parse(text, Format::Text).is_err(), "the older format names a counter in full");
    for text in ["# TYPE a counter\na 1\n# EOF\n", "# TYPE a gauge\na 1\n"] {
        assert!(parse(text, Format::OpenMetrics).is_err(), "{text:?}");
    }
}
